/* What it costs to make an insert's body from rows: the recorder's way, columnar and compressed, beside JSONEachRow under the
 * same compression.
 *
 *   floor          memcpy of the rows
 *   native         rows → ClickHouse's Native form, LowCardinality columns with real dictionaries
 *   native zstd    the same, then zstd: what is sent
 *   json           rows → JSONEachRow, written digit by digit (json_text.h)
 *   json zstd      the same, then zstd of the same level
 *
 * Every round makes one batch of all rows in each way, by the thread's CPU clock. The heap is looked at before the first round
 * and after the last: batches of the recorder's way must not have taken any. */
#ifndef CP_CLI_BENCH_ENCODE_H
#define CP_CLI_BENCH_ENCODE_H

#include <coldpath/error.h>
#include <stdbool.h>

#include "cli/bench/figure.h"
#include "cli/bench/host.h"
#include "cli/bench/rows.h"

typedef enum cp_bench_way {
    CP_BENCH_COPY,
    CP_BENCH_NATIVE,
    CP_BENCH_NATIVE_ZSTD,
    CP_BENCH_JSON,
    CP_BENCH_JSON_ZSTD,
    CP_BENCH_WAYS
} cp_bench_way;

typedef struct cp_bench_encode_options {
    const cp_bench_rows *rows;
    int level; /* of zstd */
    uint32_t rounds;
    uint64_t total_ns; /* about; each way runs at least once a round */
    bool (*cancelled)(void);
    void (*progress)(uint32_t round, uint32_t rounds);
} cp_bench_encode_options;

typedef struct cp_bench_encode_report {
    uint32_t rounds;
    uint32_t rows;
    int level;
    bool json;                         /* the table could be written as JSON */
    uint64_t row_bytes;                /* as they lie in the ring */
    uint64_t bytes[CP_BENCH_WAYS];     /* of the batch's body */
    uint64_t batches;                  /* made the recorder's way */
    int64_t heap_growth;               /* bytes, over those batches */
    cp_bench_figure ns[CP_BENCH_WAYS]; /* CPU time per row */
    cp_bench_figure cpu_ratio;         /* native zstd ÷ json zstd, round by round */
} cp_bench_encode_report;

/* CP_E_NOMEM; CP_E_TOO_BIG: the rows do not fit one batch. */
int cp_bench_encode_run(const cp_bench_encode_options *options, cp_bench_encode_report *report,
                        cp_error *err);

/* Prints the report; returns an exit code. */
int cp_bench_encode_print(const cp_bench_encode_report *report, const char *what, const cp_bench_host *host,
                          bool json);

#endif
