/* The host under a benchmark: what it is, and whether it was quiet enough for the figures to mean anything. Taken at the
 * begin and at the end of a run; the difference tells how much of the CPUs' time the hypervisor gave to others (steal), and how
 * much other processes here used. */
#ifndef CP_CLI_BENCH_HOST_H
#define CP_CLI_BENCH_HOST_H

#include <json-c/json.h>
#include <stdint.h>

enum { CP_BENCH_HOST_TEXT = 96, CP_BENCH_HOST_WARNING = 256 };

typedef struct cp_bench_host {
    char cpu[CP_BENCH_HOST_TEXT];
    char kernel[CP_BENCH_HOST_TEXT];
    char governor
        [CP_BENCH_HOST_TEXT]; /* of CPU 0's clock; "none": nothing here sets it, as in most virtual machines */
    uint32_t cpus;
    uint64_t total_ticks; /* /proc/stat, all CPUs: at the begin, after cp_bench_host_end since then */
    uint64_t steal_ticks;
    uint64_t busy_ticks;                 /* neither idle nor waiting for a disk */
    double own_cpu_s;                    /* of this process and its ended children: likewise */
    double steal;                        /* share of the CPUs' time, 0 to 1 */
    double others;                       /* CPUs that others here kept busy, on average */
    char warning[CP_BENCH_HOST_WARNING]; /* why the figures are doubtful; "": no reason */
} cp_bench_host;

/* Before the first round. What cannot be read is "unknown" or 0. */
void cp_bench_host_begin(cp_bench_host *host);

/* After the last round and the end of child processes. */
void cp_bench_host_end(cp_bench_host *host);

/* "host": {…} */
void cp_bench_host_add(json_object *answer, const cp_bench_host *host);

/* One line for people, and the warning. */
void cp_bench_host_print(const cp_bench_host *host);

#endif
