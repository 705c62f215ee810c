/* From put to visible: a producer of this process, a recorder of its own (coldpathd, from beside this program), and a ClickHouse
 * (server.h).
 *
 *   flat out   rows put as fast as the ring takes them, from the first put until a SELECT counts them all
 *   native     the same rows as one ready Native body: the engine's own INSERT of a file; in turns with flat out
 *   alone      one row at a time on a path that is otherwise idle, from its put until its delivery is known: the batch waits
 *              CP_BENCH_ALONE_WAIT_MS for more rows, the rest is the way
 *
 * CPU time is counted apart: the producer's (with a put's waiting for room), the recorder's and, of an engine of the benchmark's own,
 * the engine's. */
#ifndef CP_CLI_BENCH_END_TO_END_H
#define CP_CLI_BENCH_END_TO_END_H

#include <coldpath/error.h>
#include <stdbool.h>

#include "cli/bench/figure.h"
#include "cli/bench/host.h"
#include "cli/bench/rows.h"
#include "cli/bench/server.h"

enum { CP_BENCH_ALONE_WAIT_MS = 10 };

typedef struct cp_bench_e2e_options {
    const cp_bench_rows *rows;
    cp_bench_server *server;
    const char *compression; /* as in the recorder's configuration */
    int level;
    uint32_t batch_rows;
    uint32_t rounds;
    bool (*cancelled)(void);
    void (*progress)(uint32_t round, uint32_t rounds);
} cp_bench_e2e_options;

typedef struct cp_bench_e2e_report {
    uint32_t rounds;
    uint32_t rows;
    bool engine; /* the engine's CPU time is known */
    cp_bench_figure rows_per_s;
    cp_bench_figure native_rows_per_s;
    cp_bench_figure rate_to_native; /* round by round */
    cp_bench_figure producer_ns;    /* CPU time per row */
    cp_bench_figure recorder_ns;
    cp_bench_figure engine_ns;
    cp_bench_figure native_engine_ns;
    cp_bench_figure alone_ns; /* median … slowest of the rows put one at a time */
    uint32_t alone;
} cp_bench_e2e_report;

/* CP_E_ABSENT: no coldpathd beside this program, or it did not come up; errors of the server; CP_E_NOMEM. */
int cp_bench_e2e_run(const cp_bench_e2e_options *options, cp_bench_e2e_report *report, cp_error *err);

/* Prints the report; returns an exit code. */
int cp_bench_e2e_print(const cp_bench_e2e_report *report, const cp_bench_e2e_options *options,
                       const char *what, const cp_bench_host *host, bool json);

#endif
