/* Figures of benchmarks: the median of interleaved rounds with its spread, and what benchmarks need beside. */
#ifndef CP_CLI_BENCH_FIGURE_H
#define CP_CLI_BENCH_FIGURE_H

#include <json-c/json.h>
#include <stdint.h>

enum { CP_BENCH_MAX_ROUNDS = 101 };

/* A figure over the rounds. */
typedef struct cp_bench_figure {
    double median;
    double low;
    double high;
} cp_bench_figure;

/* Of count samples, one per round; sorts them. Zeros without any. */
cp_bench_figure cp_bench_figure_of(double *samples, uint32_t count);

/* "key": {"median": …, "low": …, "high": …} */
void cp_bench_figure_add(json_object *object, const char *key, const cp_bench_figure *figure);

/* Sorts count latencies and returns the one below which `share` of them lie; 0 without any. */
uint64_t cp_bench_percentile(uint64_t *samples, uint64_t count, double share);

/* Removes a directory with all that is in it. */
void cp_bench_remove(const char *path);

#endif
