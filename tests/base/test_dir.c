/* Which directory is synced, and what is said when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/dir.h"

static void test_parents(void **state)
{
    (void)state;
    char path[PATH_MAX + 2];
    assert_int_equal(cp_dir_sync_parent("not-there"), 0); /* "." */
    assert_int_equal(cp_dir_sync_parent("/tmp"), 0);
    assert_int_equal(cp_dir_sync_parent("/tmp/not-there"), 0);
    assert_int_equal(cp_dir_sync_parent("/tmp/not-there/at-all"), -ENOENT);
    assert_int_equal(cp_dir_sync_parent("/etc/passwd/below"), -ENOTDIR);
    memset(path, 'd', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(cp_dir_sync_parent(path), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
