/* The trash: names that say when, and what is old enough to go; what is anything else stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trash.h"

static char dir[64];

static void path_of(char path[PATH_MAX], const char *name)
{
    snprintf(path, PATH_MAX, "%s/trash/%s", dir, name);
}

static void make(const char *name)
{
    char path[PATH_MAX];
    path_of(path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

static bool is_there(const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    path_of(path, name);
    return lstat(path, &status) == 0;
}

static int setup(void **state)
{
    char path[PATH_MAX];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/coldpath-trash-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    path_of(path, "");
    return mkdir(path, 0700);
}

static int teardown(void **state)
{
    char command[PATH_MAX];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void test_expiry(void **state)
{
    (void)state;
    cp_error err = {0};
    uint32_t deleted = 99;
    char path[PATH_MAX];
    const char *const stay[] = {"quotes.1001.dropped",
                                "quotes.9999.dropped",
                                "quotes.dropped",
                                "10",
                                "a.10",
                                ".10.x",
                                "a.10x.dropped",
                                "a.99999999999999999999999.x",
                                "a..x"};
    const char *const go[] = {"quotes.10.dropped", "000001.seg-7.1000.purged", "a.b.c.0.x"};
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++)
        make(stay[i]);
    for (size_t i = 0; i < sizeof go / sizeof go[0]; i++)
        make(go[i]);
    path_of(path, "directory.10.dropped");
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, "link.10.dropped");
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(cp_trash_expire(dir, 1000, 2001, &deleted, &err), CP_OK);
    assert_int_equal(deleted, sizeof go / sizeof go[0]);
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++)
        assert_true(is_there(stay[i]));
    for (size_t i = 0; i < sizeof go / sizeof go[0]; i++)
        assert_false(is_there(go[i]));
    assert_true(is_there("directory.10.dropped") && is_there("link.10.dropped"));
    assert_int_equal(cp_trash_expire(dir, 1000, 2001, &deleted, &err), CP_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(cp_trash_expire("/tmp/coldpath-no-such-directory", 0, 1, &deleted, &err), CP_OK);
}

static void test_names(void **state)
{
    (void)state;
    cp_error err = {0};
    char path[PATH_MAX];
    char small[32];
    uint32_t deleted;
    assert_int_equal(cp_trash_path(path, sizeof path, dir, "quotes", "dropped", 5, &err), CP_OK);
    make(strrchr(path, '/') + 1);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(cp_trash_expire(dir, 0, 6, &deleted, &err), CP_OK);
    assert_int_equal(deleted, 1);
    assert_int_equal(cp_trash_path(small, sizeof small, dir, "quotes", "dropped", 5, &err), CP_E_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
