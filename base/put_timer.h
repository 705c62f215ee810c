/* How long puts take: the time stamp counter around each, in a log-linear histogram.
 *
 * A value below 64 ticks has a bucket of its own; above, each power of two is divided into 32. Recording is an increment: no call,
 * no allocation. The cost of reading the counter, measured at start, is taken off the quantiles. The counter is calibrated
 * against CLOCK_MONOTONIC over the whole run.
 *
 * Many counters advance in steps longer than a put (10 ns on AMD's). So a quantile is that of grouped data: the samples of a
 * bucket are taken to lie evenly over the bucket, or over one step around it where a step is wider:
 *
 *     share     1 ┤            ╭────        all samples 20 ns: the median is 20 ns;
 *     of samples  │       ╭────╯            half of them 20, half 30: 25 ns
 *               0 ┼──────┴────┴─────
 *                     10   20   30 ns
 *
 * This assumes that samples begin anywhere within a step of the counter, each place as likely. Then what always takes
 * d shows as the step below d or the one above, the more often the nearer it is, and the median is found to 0.09 of a step; a
 * tail is at most half a step too long. A loop that waits for the counter and then measures may stand always at
 * the same place in the step: cp_put_timer_scatter, between the two, sees to it that it does not. */
#ifndef CP_BASE_PUT_TIMER_H
#define CP_BASE_PUT_TIMER_H

#include <stdint.h>
#include <x86intrin.h>

enum {
    CP_TIMER_SUB_BITS = 5,
    CP_TIMER_EXACT = 2 << CP_TIMER_SUB_BITS,
    CP_TIMER_TOP_BIT = 40, /* minutes; what takes longer counts as that */
    CP_TIMER_BUCKETS = (CP_TIMER_TOP_BIT - CP_TIMER_SUB_BITS + 1) << CP_TIMER_SUB_BITS
};

typedef struct cp_put_timer {
    uint64_t buckets[CP_TIMER_BUCKETS];
    uint64_t count;
    uint64_t max_ticks;
    double overhead_ticks; /* the mean: less than a step matters */
    uint64_t start_ticks;
    uint64_t start_ns;
    uint64_t step_ticks;
} cp_put_timer;

/* Zeroes it, measures the cost of reading the counter and starts calibrating. Takes about a millisecond. */
void cp_put_timer_init(cp_put_timer *timer);

/* The bucket of a value. */
static inline uint32_t cp_put_timer_bucket(uint64_t ticks)
{
    if (ticks < CP_TIMER_EXACT)
        return (uint32_t)ticks;
    if (ticks >> CP_TIMER_TOP_BIT)
        return CP_TIMER_BUCKETS - 1;
    const uint32_t shift = 63u - (uint32_t)__builtin_clzll(ticks) - CP_TIMER_SUB_BITS;
    return (shift << CP_TIMER_SUB_BITS) + (uint32_t)(ticks >> shift);
}

/* The largest value of a bucket. */
uint64_t cp_put_timer_bucket_top(uint32_t bucket);

/* The counter, behind everything that came before. */
static inline uint64_t cp_put_timer_now(void)
{
    unsigned core;
    return __rdtscp(&core);
}

/* Lets between none and some tens of nanoseconds pass, at random (state: any number at first), so that what is measured next begins
 * anywhere within the counter's step. */
static inline void cp_put_timer_scatter(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u; /* Numerical Recipes, ranqd1: its upper bits are even enough */
    for (uint32_t turns = *state >> 25; turns > 0; turns--)
        __asm__ volatile("" : "+r"(turns));
}

static inline void cp_put_timer_record(cp_put_timer *timer, uint64_t begin, uint64_t end)
{
    const uint64_t ticks = end - begin;
    timer->buckets[cp_put_timer_bucket(ticks)]++;
    timer->count++;
    if (ticks > timer->max_ticks)
        timer->max_ticks = ticks;
}

typedef struct cp_put_times {
    uint64_t count;
    double p50_ns;
    double p99_ns;
    double p999_ns;
    double max_ns;
    double step_ns;     /* the smallest difference that the counter showed */
    double overhead_ns; /* of the measurement; already taken off the others */
} cp_put_times;

/* Quantiles so far, in nanoseconds; all zero when nothing was recorded. */
void cp_put_timer_read(const cp_put_timer *timer, cp_put_times *times);

/* The number of ticks, without the cost of reading the counter, that a fraction (0 … 1) of the samples does not exceed; 0 when nothing
 * was recorded. */
double cp_put_timer_quantile(const cp_put_timer *timer, double fraction);

#endif
