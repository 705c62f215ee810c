#include "base/put_timer.h"

#include <string.h>

#include "base/clock.h"

enum {
    OVERHEAD_ROUNDS = 1000,
    CALIBRATION_MIN_NS = 5 * 1000 * 1000 /* shorter runs calibrate this long at the end */
};

_Static_assert(CP_TIMER_EXACT == 64, "the comment in the header says so");

/* The least cost of reading the counter, and the least step in which it counts. */
static void measure_overhead(cp_put_timer *timer)
{
    uint64_t least = UINT64_MAX;
    uint64_t step = UINT64_MAX;
    for (int i = 0; i < OVERHEAD_ROUNDS; i++) {
        const uint64_t begin = cp_put_timer_now();
        const uint64_t taken = cp_put_timer_now() - begin;
        if (taken < least) {
            step = least != UINT64_MAX && least - taken < step ? least - taken : step;
            least = taken;
        } else if (taken > least && taken - least < step) {
            step = taken - least;
        }
    }
    timer->overhead_ticks = least;
    timer->step_ticks = step == UINT64_MAX ? 0 : step;
}

void cp_put_timer_init(cp_put_timer *timer)
{
    memset(timer, 0, sizeof *timer);
    measure_overhead(timer);
    timer->start_ns = cp_clock_ns_(CLOCK_MONOTONIC);
    timer->start_ticks = cp_put_timer_now();
}

uint64_t cp_put_timer_bucket_top(uint32_t bucket)
{
    if (bucket < CP_TIMER_EXACT)
        return bucket;
    const uint32_t shift = (bucket >> CP_TIMER_SUB_BITS) - 1;
    const uint64_t mantissa = bucket - (shift << CP_TIMER_SUB_BITS);
    return ((mantissa + 1) << shift) - 1;
}

uint64_t cp_put_timer_quantile(const cp_put_timer *timer, double fraction)
{
    const double wanted = fraction * (double)timer->count;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < CP_TIMER_BUCKETS; i++) {
        seen += timer->buckets[i];
        if (timer->buckets[i] > 0 && (double)seen >= wanted) {
            const uint64_t top = cp_put_timer_bucket_top(i);
            return top < timer->max_ticks ? top : timer->max_ticks;
        }
    }
    return 0;
}

static double ns_per_tick(const cp_put_timer *timer)
{
    uint64_t ns;
    do
        ns = cp_clock_ns_(CLOCK_MONOTONIC) - timer->start_ns;
    while (ns < CALIBRATION_MIN_NS);
    const uint64_t ticks = cp_put_timer_now() - timer->start_ticks;
    return ticks > 0 ? (double)ns / (double)ticks : 0;
}

void cp_put_timer_read(const cp_put_timer *timer, cp_put_times *times)
{
    const double scale = ns_per_tick(timer);
    *times = (cp_put_times){.count = timer->count,
                            .p50_ns = scale * (double)cp_put_timer_quantile(timer, 0.5),
                            .p99_ns = scale * (double)cp_put_timer_quantile(timer, 0.99),
                            .p999_ns = scale * (double)cp_put_timer_quantile(timer, 0.999),
                            .max_ns = scale * (double)timer->max_ticks,
                            .step_ns = scale * (double)timer->step_ticks,
                            .overhead_ns = scale * (double)timer->overhead_ticks};
}
