/* How long a put takes on this host, beside what the hardware asks for.
 *
 *   producer thread (CPU a)                       consumer thread (CPU b)
 *     floor      memcpy of the row into a            the recorder's own drain, with its lazy polling;
 *                private area of the ring's size     what it drains is dropped and acknowledged at once
 *     paced      one put every pace_ns, each timed
 *     saturated  puts as fast as they are taken
 *     lump       CP_BENCH_LUMP bytes of rows      ──► drain: the lump is taken out, row by row checked and indexed in
 *                put while nobody looks              chunks, timed by itself
 *   both: ping-pong of one cache line
 *
 * Reading the time stamp counter costs and resolves about 10 ns on many hosts, more than a put. So the median is taken
 * over bursts of CP_BENCH_BURST puts (or copies), one burst every CP_BENCH_BURST paces, timed together and divided; the
 * tail over single puts, one every pace. Both are interpolated within the counter's step, after a wait of random length that
 * spreads their beginnings over it (base/put_timer.h): a median is good to 0.09 of a step, divided by CP_BENCH_BURST, a tail to
 * half a step.
 *
 * Measurements of all sizes are interleaved in rounds, ratios are formed within a round, and the median round is reported with the
 * spread over the rounds: machines are shared and drift. The cost of reading the counter is taken off every figure. */
#ifndef CP_CLI_BENCH_PUT_H
#define CP_CLI_BENCH_PUT_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/put_timer.h"
#include "cli/bench/figure.h"

enum {
    CP_BENCH_SIZES = 3,
    CP_BENCH_BURST = 16,
    CP_BENCH_LUMP = 256 * 1024 /* what the recorder's drain lets gather */
};

typedef struct cp_bench_put_options {
    uint32_t rounds;
    uint64_t round_ns; /* of paced puts, per size and round */
    uint64_t pace_ns;
    uint64_t ring_size;
    int producer_cpu;
    int consumer_cpu;
    bool (*cancelled)(void);
    void (*progress)(uint32_t round, uint32_t rounds);
} cp_bench_put_options;

typedef struct cp_bench_put_result {
    uint32_t bytes;                 /* of the row */
    cp_bench_figure floor_ns;       /* mean per memcpy, flat out */
    cp_bench_figure floor_paced_ns; /* median per memcpy, in paced bursts */
    cp_bench_figure p50_ns;         /* per put, in paced bursts */
    cp_bench_figure p99_ns;         /* of single paced puts, as the next two */
    cp_bench_figure p999_ns;
    cp_bench_figure max_ns;
    cp_bench_figure saturated_ns; /* mean per put, full rings waited out */
    cp_bench_figure drain_ns;     /* mean per row, out of the ring into a chunk */
    cp_bench_figure p50_over_floor;
    cp_bench_figure p999_over_pingpong;
    cp_bench_figure saturated_over_floor;
    cp_bench_figure drain_over_floor;
    uint64_t puts;
} cp_bench_put_result;

typedef struct cp_bench_put_report {
    cp_bench_put_result sizes[CP_BENCH_SIZES];
    cp_bench_figure pingpong_ns; /* one way: half a round trip of a cache line between the two CPUs */
    double step_ns;              /* resolution of the counter: what single puts come in multiples of */
    double timer_ns;             /* cost of reading the counter, taken off the paced figures */
    uint32_t rounds;
} cp_bench_put_report;

/* Runs it in a region of its own, which is removed at the end. CP_E_INVAL: the CPUs are not there or the same;
 * otherwise errors of making a region. */
int cp_bench_put_run(const cp_bench_put_options *options, cp_bench_put_report *report, cp_error *err);

#endif
