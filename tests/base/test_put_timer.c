/* The histogram: buckets cover every value once, in order, each at most 1/32 wide; quantiles are those of the samples, also where
 * the counter's steps are longer than what is measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
    timer.step_ticks = 1;
    for (uint64_t i = 1; i <= 1000; i++)
        cp_put_timer_record(&timer, 5000, 5010 + i);
    assert_int_equal(timer.count, 1000);
    assert_true(fabs(cp_put_timer_quantile(&timer, 0.5) - 500) <= 500 / 32.0 + 1);
    assert_true(fabs(cp_put_timer_quantile(&timer, 0.99) - 990) <= 990 / 32.0 + 1);
    assert_true(fabs(cp_put_timer_quantile(&timer, 1) - 1000) < 0.1);
    cp_put_timer_read(&timer, &times);
    assert_true(times.p50_ns > 0 && times.p50_ns < times.p99_ns && times.p99_ns <= times.max_ns);
    const double ns_per_tick = times.max_ns / 1000;
    assert_true(ns_per_tick > 0.05 && ns_per_tick < 10); /* counters run at 100 MHz to 20 GHz */
}

/* Puts of one length, beginning anywhere within the counter's step, as such a counter shows them. */
static void test_steps(void **state)
{
    (void)state;
    const uint64_t step = 25;
    const uint64_t phases = 1000;
    for (uint64_t length = 0; length <= 4 * step; length++) {
        cp_put_timer_init(&timer);
        timer.overhead_ticks = 0;
        timer.step_ticks = step;
        for (uint64_t i = 0; i < phases; i++) {
            const uint64_t begin = 1000 * step + i * step / phases;
            cp_put_timer_record(&timer, begin / step * step, (begin + length) / step * step);
        }
        const double median = cp_put_timer_quantile(&timer, 0.5);
        assert_true(fabs(median - (double)length) <= 0.12 * (double)step); /* 0.09, and half a bucket */
        assert_true(cp_put_timer_quantile(&timer, 0.999) - (double)length <= 1.5 * (double)step);
    }
}

/* The counter that is here: nothing takes no time, to a part of its step. */
static void test_nothing(void **state)
{
    (void)state;
    enum { TRIES = 20, SAMPLES = 20000 };
    uint32_t scatter = 7;
    bool found = false;
    for (int i = 0; i < TRIES && !found; i++) { /* a host may be busy: one undisturbed try is enough */
        cp_put_timer_init(&timer);
        for (int n = 0; n < SAMPLES; n++) {
            cp_put_timer_scatter(&scatter);
            const uint64_t begin = cp_put_timer_now();
            cp_put_timer_record(&timer, begin, cp_put_timer_now());
        }
        const double step =
            timer.step_ticks > 20 ? (double)timer.step_ticks : 20; /* finer ones vary by more than a step */
        found = cp_put_timer_quantile(&timer, 0.5) <= 0.3 * step;
    }
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_buckets), cmocka_unit_test(test_quantiles),
                                       cmocka_unit_test(test_steps), cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
