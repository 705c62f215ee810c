/* Durations of command lines: every unit, fractions, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/duration.h"

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } cases[] = {
        {"0", 0},
        {"1", UINT64_C(1000000000)},
        {"0.25", 250000000},
        {"30s", UINT64_C(30000000000)},
        {"250ms", 250000000},
        {"50us", 50000},
        {"1.5us", 1500},
        {"2m", UINT64_C(120000000000)},
        {"1h", UINT64_C(3600000000000)},
        {"87840h", UINT64_C(316224000000000000)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ns = 1;
        if (!cp_duration_parse(cases[i].text, &ns) || ns != cases[i].ns)
            fail_msg("'%s' became %llu", cases[i].text, (unsigned long long)ns);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "s",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 s",
                                        "1d",
                                        "1e3",
                                        "0x10",
                                        "inf",
                                        "nan",
                                        "1..2",
                                        "1ss",
                                        "1S",
                                        "87841h",
                                        "1e999",
                                        ".5",
                                        "1s ",
                                        "999999999999999999999999999"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ns = 7;
        if (cp_duration_parse(cases[i], &ns) || ns != 7)
            fail_msg("'%s' was taken as %llu", cases[i], (unsigned long long)ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
