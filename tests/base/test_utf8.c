#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

typedef void changer(char *text);

static void becomes(changer *change, const char *text, const char *expected)
{
    char copy[64];
    snprintf(copy, sizeof copy, "%s", text);
    change(copy);
    assert_string_equal(copy, expected);
}

static void length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t left;
        size_t length;
    } cases[] = {{"a", 1, 1},
                 {"", 1, 1},
                 {"\xc3\xa4", 2, 2},
                 {"\xc3\xa4", 1, 0},
                 {"\xe2\x82\xac", 3, 3},
                 {"\xf4\x8f\xbf\xbf", 4, 4},
                 {"\xf4\x90\x80\x80", 4, 0}, /* behind the last */
                 {"\xc0\x80", 2, 0},         /* longer than needed */
                 {"\xe0\x9f\xbf", 3, 0},
                 {"\xed\xa0\x80", 3, 0}, /* a surrogate */
                 {"\x80", 1, 0},
                 {"\xe2\x82", CP_UTF8_MAX, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cp_utf8_length((const unsigned char *)cases[i].text, cases[i].left),
                         cases[i].length);
}

static void clean(void **state)
{
    (void)state;
    becomes(cp_utf8_clean,
            "gr\xc3\xb6\xc3\x9f"
            "er\x1b\xc2\x9b",
            "gr\xc3\xb6\xc3\x9f"
            "er\x1b\xc2\x9b");
    becomes(cp_utf8_clean, "a\xff\xc3", "a??");
    becomes(cp_utf8_clean, "", "");
}

static void plain(void **state)
{
    (void)state;
    becomes(cp_utf8_make_plain,
            "gr\xc3\xb6\xc3\x9f"
            "er, \xe2\x82\xac",
            "gr\xc3\xb6\xc3\x9f"
            "er, \xe2\x82\xac");
    becomes(cp_utf8_make_plain, "\x1b[31m\t\n\x7f", "?[31m???");
    becomes(cp_utf8_make_plain,
            "\xc2\x9b"
            "31m\xc2\xa0\xc2\x80",
            "??31m\xc2\xa0??");
    becomes(cp_utf8_make_plain, "\xc2", "?");
    becomes(cp_utf8_make_plain, "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length),
        cmocka_unit_test(clean),
        cmocka_unit_test(plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
