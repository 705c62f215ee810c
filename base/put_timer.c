#include "base/put_timer.h"

#include <string.h>

#include "base/clock.h"

static const double quantile_ticks = 0.01; /* to which quantiles are found */

enum {
    OVERHEAD_ROUNDS = 1000,              /* 8 KB of stack */
    CALIBRATION_MIN_NS = 5 * 1000 * 1000 /* shorter runs calibrate this long at the end */
};

_Static_assert(CP_TIMER_EXACT == 64, "the comment in the header says so");

/* The least step in which durations differ, and the mean of those that nothing disturbed: within two steps of the least. */
static void measure_overhead(cp_put_timer *timer)
{
    uint64_t taken[OVERHEAD_ROUNDS];
    uint64_t least = UINT64_MAX;
    uint64_t step = UINT64_MAX;
    uint32_t scatter = 1;
    for (int i = 0; i < OVERHEAD_ROUNDS; i++) {
        cp_put_timer_scatter(&scatter);
        const uint64_t begin = cp_put_timer_now();
        taken[i] = cp_put_timer_now() - begin;
        least = taken[i] < least ? taken[i] : least;
    }
    for (int i = 0; i < OVERHEAD_ROUNDS; i++) {
        if (taken[i] > least && taken[i] - least < step)
            step = taken[i] - least;
    }
    timer->step_ticks = step == UINT64_MAX ? 0 : step;
    uint64_t sum = 0;
    uint64_t count = 0;
    for (int i = 0; i < OVERHEAD_ROUNDS; i++) {
        if (taken[i] - least <= 2 * timer->step_ticks) {
            sum += taken[i];
            count++;
        }
    }
    timer->overhead_ticks = (double)sum / (double)count;
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

/* How many samples lie below a number of ticks, when those of a bucket lie evenly over it, or over a step around its middle. */
static double samples_below(const cp_put_timer *timer, double ticks)
{
    double below = 0;
    uint64_t bottom = 0;
    for (uint32_t i = 0; i < CP_TIMER_BUCKETS; i++) {
        const uint64_t top = cp_put_timer_bucket_top(i);
        if (timer->buckets[i] > 0) {
            const uint64_t values = top - bottom + 1;
            const double width = (double)(values > timer->step_ticks ? values : timer->step_ticks);
            const double share = (ticks - ((double)(bottom + top) - width) / 2) / width;
            below += (double)timer->buckets[i] * (share < 0 ? 0 : share > 1 ? 1 : share);
        }
        bottom = top + 1;
    }
    return below;
}

double cp_put_timer_quantile(const cp_put_timer *timer, double fraction)
{
    if (timer->count == 0)
        return 0;
    double low = 0;
    double high = (double)(timer->max_ticks + timer->step_ticks);
    while (high - low > quantile_ticks) {
        const double middle = (low + high) / 2;
        if (samples_below(timer, middle) < fraction * (double)timer->count)
            low = middle;
        else
            high = middle;
    }
    const double most = (double)timer->max_ticks;
    const double ticks = (high < most ? high : most) - timer->overhead_ticks;
    return ticks > 0 ? ticks : 0;
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
    const double most = (double)timer->max_ticks - timer->overhead_ticks;
    *times = (cp_put_times){.count = timer->count,
                            .p50_ns = scale * cp_put_timer_quantile(timer, 0.5),
                            .p99_ns = scale * cp_put_timer_quantile(timer, 0.99),
                            .p999_ns = scale * cp_put_timer_quantile(timer, 0.999),
                            .max_ns = most > 0 ? scale * most : 0,
                            .step_ns = scale * (double)timer->step_ticks,
                            .overhead_ns = scale * timer->overhead_ticks};
}
