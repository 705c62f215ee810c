/* logind's configuration, as `coldpath doctor` reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/doctor.h"

static void file_write(char path[], const char *text)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", text) >= 0);
    close(fd);
}

static void test_remove_ipc(void **state)
{
    static const struct {
        const char *first;
        const char *second;
        bool removes;
    } cases[] = {{"", "", true},
                 {"[Login]\n#RemoveIPC=no\n", "", true},
                 {"[Login]\nRemoveIPC=no\n", "", false},
                 {"[Login]\n  RemoveIPC = no\n", "", false},
                 {"[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC=yes\n", true},
                 {"[Login]\nRemoveIPC=yes\n", "[Login]\nRemoveIPC=0\n", false},
                 {"[Login]\nRemoveIPCX=no\nRemoveIPC no\n", "", true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char first[] = "/tmp/coldpath-logind-XXXXXX";
        char second[] = "/tmp/coldpath-logind-XXXXXX";
        file_write(first, cases[i].first);
        file_write(second, cases[i].second);
        const char *const files[] = {"/nonexistent/logind.conf", first, second};
        assert_int_equal(cp_logind_removes_ipc(files, 3), cases[i].removes);
        unlink(first);
        unlink(second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remove_ipc)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
