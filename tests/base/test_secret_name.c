/* Secrets by their names: which options and keys would hold one, and that a command line with one is refused without repeating it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/secret_name.h"

static bool is_named(const char *name)
{
    return cp_secret_is_named(name, strlen(name));
}

static void test_names(void **state)
{
    (void)state;
    const char *const secrets[] = {"password", "pasword", "PASSWD",   "passphrase",    "token",
                                   "api-key",  "secret",  "my_token", "--credential=", "pass"};
    const char *const others[] = {"token_file", "token-file", "password_file", "key",
                                  "keep",       "rows",       "file",          ""};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        assert_true(is_named(secrets[i]));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(is_named(others[i]));
}

/* What is said goes to a file instead. */
static bool passes(const char *option, const char *given, char said[1024])
{
    char program[] = "program";
    char argument[64];
    char value[64];
    snprintf(argument, sizeof argument, "%s", option);
    snprintf(value, sizeof value, "%s", given);
    char *argv[] = {program, argument, value, NULL};
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    const bool passed = cp_secret_arguments_check(3, argv);
    fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    rewind(file);
    said[fread(said, 1, 1023, file)] = '\0';
    fclose(file);
    return passed;
}

static void test_arguments(void **state)
{
    (void)state;
    char said[1024];
    const char *const refused[] = {"--password=hunter2", "--token=hunter2", "--tok", "--PassWord",
                                   "--api-key=hunter2"};
    const char *const taken[] = {"--token-file=x",        "--key",           "--to",          "--", "-p",
                                 "SELECT '--password=x'", "-- the password", "--config=token"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(passes(refused[i], "hunter2", said));
        assert_null(strstr(said, "hunter2"));
        assert_non_null(strstr(said, "command line"));
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        assert_true(passes(taken[i], "hunter2", said));
        assert_string_equal(said, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
