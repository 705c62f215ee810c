/* Errors: codes, names, texts that are cut and never overrun. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void text_and_code(void **state)
{
    (void)state;
    cp_error err = {0, ""};
    assert_int_equal(cp_error_set(&err, CP_E_PARSE, "line %d: %s", 7, "what"), CP_E_PARSE);
    assert_int_equal(err.code, CP_E_PARSE);
    assert_string_equal(err.text, "line 7: what");
    assert_int_equal(cp_error_prefix(&err, "file '%s'", "x"), CP_E_PARSE);
    assert_string_equal(err.text, "file 'x': line 7: what");
    assert_int_equal(cp_error_errno(&err, CP_E_IO, ENOENT, "cannot open %s", "y"), CP_E_IO);
    assert_string_equal(err.text, "cannot open y: No such file or directory");
}

static void nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(cp_error_set(NULL, CP_E_PARSE, "x"), CP_E_PARSE);
    assert_int_equal(cp_error_errno(NULL, CP_E_IO, EIO, "x"), CP_E_IO);
    assert_int_equal(cp_error_prefix(NULL, "x"), CP_E_INVAL);
}

/* An error between two guards: whatever is written, they stay. */
typedef struct guarded {
    uint64_t before;
    cp_error err;
    uint64_t behind;
} guarded;

static void long_texts_are_cut(void **state)
{
    (void)state;
    static char text[3 * CP_ERROR_TEXT];
    guarded g = {.before = 0x1122334455667788, .behind = 0x8877665544332211};
    memset(text, 'x', sizeof text - 1);
    cp_error_set(&g.err, CP_E_IO, "%s", text);
    assert_int_equal(strlen(g.err.text), CP_ERROR_TEXT - 1);
    cp_error_prefix(&g.err, "in front");
    assert_int_equal(strlen(g.err.text), CP_ERROR_TEXT - 1);
    assert_memory_equal(g.err.text, "in front: xxx", 13);
    cp_error_prefix(&g.err, "%s", text);
    assert_int_equal(strlen(g.err.text), CP_ERROR_TEXT - 1);
    cp_error_errno(&g.err, CP_E_IO, EIO, "%s", text);
    assert_int_equal(strlen(g.err.text), CP_ERROR_TEXT - 1);
    assert_true(g.before == 0x1122334455667788 && g.behind == 0x8877665544332211);
}

static void every_code_has_a_name(void **state)
{
    (void)state;
    for (int code = CP_OK; code >= CP_E_UNSUPPORTED; code--) {
        assert_string_not_equal(cp_strerror(code), "unknown error");
        for (int other = CP_OK; other > code; other--)
            assert_string_not_equal(cp_strerror(code), cp_strerror(other));
    }
    assert_string_equal(cp_strerror(CP_E_PARSE), "syntax error");
    assert_string_equal(cp_strerror(CP_E_UNSUPPORTED), "not supported");
    assert_string_equal(cp_strerror(1), "unknown error");
    assert_string_equal(cp_strerror(CP_E_UNSUPPORTED - 1), "unknown error");
    assert_string_equal(cp_strerror(INT32_MIN), "unknown error");
}

static void codes_of_errno(void **state)
{
    (void)state;
    assert_int_equal(cp_error_code_of_errno(EACCES), CP_E_PERM);
    assert_int_equal(cp_error_code_of_errno(EPERM), CP_E_PERM);
    assert_int_equal(cp_error_code_of_errno(ENOENT), CP_E_ABSENT);
    assert_int_equal(cp_error_code_of_errno(ENOMEM), CP_E_NOMEM);
    assert_int_equal(cp_error_code_of_errno(EIO), CP_E_IO);
    assert_int_equal(cp_error_code_of_errno(0), CP_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_code),      cmocka_unit_test(nobody_listens),
        cmocka_unit_test(long_texts_are_cut), cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(codes_of_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
