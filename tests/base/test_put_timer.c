/* The histogram: buckets cover every value once, in order, each at most 1/32 wide; quantiles are those of the samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "base/put_timer.h"

static cp_put_timer timer;

static void test_buckets(void **state)
{
    (void)state;
    uint64_t next = 0; /* the first value of the bucket */
    for (uint32_t bucket = 0; bucket < CP_TIMER_BUCKETS; bucket++) {
        const uint64_t top = cp_put_timer_bucket_top(bucket);
        assert_int_equal(cp_put_timer_bucket(next), bucket);
        assert_int_equal(cp_put_timer_bucket(top), bucket);
        assert_true(top - next <= next / 32);
        next = top + 1;
    }
    assert_true(next == UINT64_C(1) << CP_TIMER_TOP_BIT);
    assert_int_equal(cp_put_timer_bucket(UINT64_MAX), CP_TIMER_BUCKETS - 1);
}

static void test_quantiles(void **state)
{
    (void)state;
    cp_put_times times;
    cp_put_timer_init(&timer);
    cp_put_timer_read(&timer, &times);
    assert_true(times.p99_ns == 0 && times.count == 0);
    timer.overhead_ticks = 10;
    for (uint64_t i = 1; i <= 1000; i++)
        cp_put_timer_record(&timer, 5000, 5010 + i);
    assert_int_equal(timer.count, 1000);
    assert_true(fabs((double)cp_put_timer_quantile(&timer, 0.5) - 500) <= 500 / 32.0 + 1);
    assert_true(fabs((double)cp_put_timer_quantile(&timer, 0.99) - 990) <= 990 / 32.0 + 1);
    assert_int_equal(cp_put_timer_quantile(&timer, 1), 1000);
    cp_put_timer_read(&timer, &times);
    assert_true(times.p50_ns > 0 && times.p50_ns < times.p99_ns && times.p99_ns <= times.max_ns);
    const double ns_per_tick = times.max_ns / 1000;
    assert_true(ns_per_tick > 0.05 && ns_per_tick < 10); /* counters run at 100 MHz to 20 GHz */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_buckets), cmocka_unit_test(test_quantiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
