/* Addresses to listen on: what is taken comes back as it was written, what is none is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

static void test_good(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {{"127.0.0.1:9464", true}, {"127.9.9.9:0", true},     {"[::1]:65535", true},
                 {"0.0.0.0:1", false},     {"[fe80::1]:9464", false}, {"10.1.2.3:80", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cp_address address;
        char text[CP_ADDRESS_TEXT];
        assert_true(cp_address_parse(cases[i].text, strlen(cases[i].text), &address));
        assert_string_equal(cp_address_format(&address, text), cases[i].text);
        assert_int_equal(cp_address_is_loopback(&address), cases[i].loopback);
    }
}

static void test_bad(void **state)
{
    static const char *const cases[] = {"",
                                        ":9464",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:65536",
                                        "localhost:1",
                                        "127.0.0.1:-1",
                                        "127.0.0.1:1x",
                                        "::1:9464",
                                        "[::1]",
                                        "[127.0.0.1]:1",
                                        "127.1:9464",
                                        "[::1%lo]:9464",
                                        "127.0.0.1:123456"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cp_address address;
        assert_false(cp_address_parse(cases[i], strlen(cases[i]), &address));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
