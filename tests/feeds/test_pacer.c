/* Due times: proportional within a capture, continuous over steps back, bounded over gaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feeds/pacer.h"

#define S INT64_C(1000000000)

static void test_speeds(void **state)
{
    (void)state;
    cp_pacer pacer;
    cp_pacer_init(&pacer, 2, 100 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1000 * S, 7 * S), 7 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1010 * S, 50 * S), 12 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1011 * S, 8 * S), 12 * S + S / 2);
    cp_pacer_init(&pacer, 0, 100 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1000 * S, 7 * S), 7 * S);
    assert_int_equal(cp_pacer_due(&pacer, 2000 * S, 8 * S), 8 * S);
}

static void test_steps(void **state)
{
    (void)state;
    cp_pacer pacer;
    cp_pacer_init(&pacer, 1, 5 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1000 * S, 0), 0);
    assert_int_equal(cp_pacer_due(&pacer, 1004 * S, 0), 4 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1004 * S - S / 2, 0), 4 * S - S / 2); /* disorder: no new segment */
    assert_int_equal(cp_pacer_due(&pacer, 10 * S, 0), 4 * S); /* another capture follows at once */
    assert_int_equal(cp_pacer_due(&pacer, 11 * S, 0), 5 * S);
    assert_int_equal(cp_pacer_due(&pacer, 1000000 * S, 0), 10 * S); /* silence of days: five seconds */
    assert_int_equal(cp_pacer_due(&pacer, 1000001 * S, 0), 11 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_speeds), cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
