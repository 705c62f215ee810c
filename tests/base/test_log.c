/* The log: quoting that no text can break out of, levels, one line per event even when it is cut. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/log_limit.h"

static void quoted(const char *text, const char *expected)
{
    char out[256];
    assert_string_equal(cp_log_quote(out, sizeof out, text), expected);
}

static void quoting(void **state)
{
    (void)state;
    quoted("", "\"\"");
    quoted("plain", "\"plain\"");
    quoted("a \"b\" \\ c", "\"a \\\"b\\\" \\\\ c\"");
    quoted("two\nlines", "\"two\\nlines\"");
    quoted("\x01\x1b[31m\x7f\t", "\"\\x01\\x1b[31m\\x7f\\x09\"");
    quoted("größer", "\"größer\"");
    quoted("\xc2\x9b"
           "31m \xff\xc3",
           "\"\\xc2\\x9b31m \\xff\\xc3\"");
}

/* In every room from the smallest: quoted, terminated, inside. */
static void quoting_in_any_room(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "x",
                                        "\"\"\"\"\"\"\"\"\"\"\"\"",
                                        "\n\n\n\n\n\n\n\n\n",
                                        "\x01\x01\x01\x01\x01\x01",
                                        "0123456789012345678901234567890123456789"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        for (size_t size = 3; size < 64; size++) {
            char *out = malloc(size); /* its own allocation, so that a sanitizer sees the byte behind it */
            assert_non_null(out);
            cp_log_quote(out, size, texts[t]);
            const size_t len = strlen(out);
            assert_true(len >= 2 && len < size);
            assert_true(out[0] == '"' && out[len - 1] == '"');
            free(out);
        }
    }
}

/* What the log writes to standard error, caught in a file. */
static char caught[64 * CP_LOG_LINE];

static void catch_log(void (*write_events)(void))
{
    FILE *file = tmpfile();
    assert_non_null(file);
    const int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    write_events();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    rewind(file);
    const size_t got = fread(caught, 1, sizeof caught - 1, file);
    caught[got] = '\0';
    fclose(file);
}

static void two_events(void)
{
    errno = ENOTDIR;
    cp_log(CP_LOG_DEBUG, "unseen", NULL);
    cp_log(CP_LOG_INFO, "started", NULL);
    cp_log(CP_LOG_ERROR, "failed", "table=%s rows=%d", "quotes", 5);
    assert_int_equal(errno, ENOTDIR);
}

static void events_on_a_terminal(void **state)
{
    (void)state;
    unsetenv("JOURNAL_STREAM");
    cp_log_set_level(CP_LOG_INFO);
    catch_log(two_events);
    assert_null(strstr(caught, "unseen"));
    assert_non_null(strstr(caught, "Z level=info msg=\"started\"\nts="));
    assert_non_null(strstr(caught, "Z level=error msg=\"failed\" table=quotes rows=5\n"));
    assert_memory_equal(caught, "ts=2", 4);
}

/* As systemd does for what it starts. */
static void two_events_for_the_journal(void)
{
    char stream[64];
    struct stat status;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    two_events();
}

static void events_for_the_journal(void **state)
{
    (void)state;
    cp_log_set_level(CP_LOG_DEBUG);
    setenv("JOURNAL_STREAM", "1:2", 1); /* a session's, whose shell has sent standard error elsewhere */
    catch_log(two_events);
    assert_memory_equal(caught, "ts=2", 4);
    catch_log(two_events_for_the_journal);
    assert_string_equal(caught, "<7>level=debug msg=\"unseen\"\n<6>level=info msg=\"started\"\n"
                                "<3>level=error msg=\"failed\" table=quotes rows=5\n");
    unsetenv("JOURNAL_STREAM");
}

static void a_long_event(void)
{
    static char text[2 * CP_LOG_LINE];
    memset(text, 'x', sizeof text - 1);
    cp_log(CP_LOG_WARN, "long", "text=%s", text);
    cp_log(CP_LOG_WARN, text, NULL);
}

static void long_events_are_cut(void **state)
{
    (void)state;
    catch_log(a_long_event);
    char *first_end = strchr(caught, '\n');
    assert_non_null(first_end);
    assert_int_equal(first_end - caught + 1, CP_LOG_LINE);
    assert_int_equal(strlen(first_end + 1), CP_LOG_LINE);
    assert_true(caught[strlen(caught) - 1] == '\n');
}

static void levels_by_name(void **state)
{
    (void)state;
    cp_log_level level = CP_LOG_DEBUG;
    assert_true(cp_log_level_parse("warn", &level));
    assert_int_equal(level, CP_LOG_WARN);
    assert_false(cp_log_level_parse("Warn", &level));
    assert_false(cp_log_level_parse("", &level));
    assert_int_equal(level, CP_LOG_WARN);
}

static void field(const char *fields, const char *name, const char *expected)
{
    char value[32];
    assert_int_equal(cp_log_field(fields, name, value, sizeof value), expected != NULL);
    assert_string_equal(value, expected ? expected : "");
}

static void fields_by_name(void **state)
{
    (void)state;
    field("table=quotes rows=5", "table", "quotes");
    field("table=quotes rows=5", "rows", "5");
    field("table=quotes rows=5", "row", NULL);
    field("table=quotes rows=5", "ble", NULL);
    field("", "table", NULL);
    field("error=\"no table=x there\" table=y", "table", "y");
    field("error=\"a \\\"b\\\" \\\\ c\\nd\"", "error", "a \"b\" \\ c\nd");
    field("error=\"cut off", "error", "cut off");
    field("a= b=2", "a", "");
    field("a= b=2", "b", "2");
    field("lonely b=2", "b", "2");
    field("long=0123456789012345678901234567890123456789", "long", "0123456789012345678901234567890");
}

/* A quoted value is found again as it was, whatever is in it, unless it has control characters. */
static void fields_undo_quoting(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "\"", "\\", "a=b c=\"d\"", "\\\"", "end\\", "two\nlines"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char quoted_text[64];
        char fields[128];
        char value[64];
        snprintf(fields, sizeof fields, "a=%s b=2", cp_log_quote(quoted_text, sizeof quoted_text, texts[i]));
        assert_true(cp_log_field(fields, "a", value, sizeof value));
        assert_string_equal(value, texts[i]);
        assert_true(cp_log_field(fields, "b", value, sizeof value));
        assert_string_equal(value, "2");
    }
}

static unsigned observed;

static void on_event(void *ctx, cp_log_level level, const char *msg, const char *fields)
{
    assert_ptr_equal(ctx, &observed);
    assert_true(level >= CP_LOG_WARN);
    assert_string_equal(msg, "again");
    assert_true(strncmp(fields, "table=", 6) == 0);
    observed++;
}

enum { MANY = 1000 };

static void many_events(void)
{
    cp_log_observe(on_event, &observed);
    cp_log(CP_LOG_INFO, "not observed", NULL);
    for (int i = 0; i < MANY; i++) {
        cp_log(CP_LOG_WARN, "again", "table=a n=%d", i);
        cp_log(CP_LOG_ERROR, "again", "table=b slot=%d", i % 3);
    }
    cp_log_observe(NULL, NULL);
    cp_log(CP_LOG_WARN, "unobserved", NULL);
}

static unsigned lines_with(const char *text)
{
    unsigned count = 0;
    for (const char *at = strstr(caught, text); at; at = strstr(at + 1, text))
        count++;
    return count;
}

/* The same of the same thing is said a few times; the observer sees all. Informing lines are not limited. */
static void repeated_events_are_limited(void **state)
{
    (void)state;
    cp_log_set_level(CP_LOG_INFO);
    catch_log(many_events);
    assert_int_equal(observed, 2 * MANY);
    /* At the most two windows are met. */
    assert_in_range(lines_with("table=a"), CP_LOG_BURST, 2 * CP_LOG_BURST);
    assert_in_range(lines_with("table=b"), 3 * CP_LOG_BURST, 6 * CP_LOG_BURST);
    assert_int_equal(lines_with("unobserved"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoting),
        cmocka_unit_test(quoting_in_any_room),
        cmocka_unit_test(events_on_a_terminal),
        cmocka_unit_test(events_for_the_journal),
        cmocka_unit_test(long_events_are_cut),
        cmocka_unit_test(levels_by_name),
        cmocka_unit_test(fields_by_name),
        cmocka_unit_test(fields_undo_quoting),
        cmocka_unit_test(repeated_events_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
