/* Which endpoint is chosen: by preference, at once away from one that is down, back only after it has been up for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flush/failover.h"

#define S UINT64_C(1000000000)

enum { PATIENCE_S = 30 };

static void test_nobody_is_known(void **state)
{
    (void)state;
    cp_failover f;
    cp_failover_begin(&f, 2, PATIENCE_S * S);
    assert_false(cp_failover_choose(&f, S));
    cp_failover_tell(&f, 1, CP_REACH_UP, S);
    assert_false(cp_failover_choose(&f, 2 * S)); /* the first has not answered yet: it is waited for */
    assert_int_equal(f.chosen, 0);
    cp_failover_tell(&f, 0, CP_REACH_DOWN, 3 * S);
    assert_true(cp_failover_choose(&f, 3 * S));
    assert_int_equal(f.chosen, 1);
}

static void test_order_and_none(void **state)
{
    (void)state;
    cp_failover f;
    cp_failover_begin(&f, 3, PATIENCE_S * S);
    for (uint32_t i = 0; i < 3; i++)
        cp_failover_tell(&f, i, CP_REACH_UP, S);
    cp_failover_tell(&f, 0, CP_REACH_DOWN, 2 * S);
    assert_true(cp_failover_choose(&f, 2 * S));
    assert_int_equal(f.chosen, 1);
    cp_failover_tell(&f, 1, CP_REACH_DOWN, 3 * S);
    assert_true(cp_failover_choose(&f, 3 * S));
    assert_int_equal(f.chosen, 2);
    cp_failover_tell(&f, 2, CP_REACH_DOWN, 4 * S);
    assert_false(cp_failover_choose(&f, 4 * S)); /* none is better */
    assert_int_equal(f.chosen, 2);
    cp_failover_tell(&f, 1, CP_REACH_UP, 5 * S);
    assert_true(cp_failover_choose(&f, 5 * S)); /* at once, for the chosen one is down */
    assert_int_equal(f.chosen, 1);
}

static void test_back_after_patience(void **state)
{
    (void)state;
    cp_failover f;
    cp_failover_begin(&f, 2, PATIENCE_S * S);
    cp_failover_tell(&f, 0, CP_REACH_DOWN, S);
    cp_failover_tell(&f, 1, CP_REACH_UP, S);
    assert_true(cp_failover_choose(&f, S));
    cp_failover_tell(&f, 0, CP_REACH_UP, 10 * S);
    assert_false(cp_failover_choose(&f, 39 * S));
    cp_failover_tell(&f, 0, CP_REACH_DOWN, 39 * S); /* a break: it begins anew */
    cp_failover_tell(&f, 0, CP_REACH_UP, 40 * S);
    assert_false(cp_failover_choose(&f, 69 * S));
    assert_true(cp_failover_choose(&f, 70 * S));
    assert_int_equal(f.chosen, 0);
    assert_false(cp_failover_choose(&f, 200 * S)); /* and stays */
}

static void fail_and_return(cp_failover *f, uint64_t *now_ns, uint64_t patience_s, uint64_t holds_s)
{
    cp_failover_tell(f, 0, CP_REACH_DOWN, *now_ns);
    assert_true(cp_failover_choose(f, *now_ns));
    cp_failover_tell(f, 0, CP_REACH_UP, *now_ns += S);
    assert_false(cp_failover_choose(f, *now_ns + patience_s * S - 1));
    assert_true(cp_failover_choose(f, *now_ns += patience_s * S));
    assert_int_equal(f->chosen, 0);
    *now_ns += holds_s * S;
}

static void test_flapping(void **state)
{
    (void)state;
    cp_failover f;
    uint64_t now_ns = S;
    cp_failover_begin(&f, 2, PATIENCE_S * S);
    cp_failover_tell(&f, 1, CP_REACH_UP, now_ns);
    fail_and_return(&f, &now_ns, PATIENCE_S, 1);
    for (uint32_t i = 1; i <= CP_FAILOVER_RELAPSES + 2; i++) {
        const uint32_t times = i < CP_FAILOVER_RELAPSES ? i : CP_FAILOVER_RELAPSES;
        fail_and_return(&f, &now_ns, (uint64_t)PATIENCE_S << times, 1);
    }
    now_ns += 3600 * S;
    fail_and_return(&f, &now_ns, PATIENCE_S, 0); /* it held: what was before is forgiven */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_is_known),
        cmocka_unit_test(test_order_and_none),
        cmocka_unit_test(test_back_after_patience),
        cmocka_unit_test(test_flapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
