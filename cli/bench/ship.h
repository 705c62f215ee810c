/* What it costs to get rows into ClickHouse, from rows in memory to rows that a SELECT sees, in four ways that take turns, each into
 * a table of its own:
 *
 *   ship      the recorder's flusher: Native, compressed, batches of --batch rows under tokens, over HTTP
 *   batches   ready Native bodies of as many rows: what the engine takes for inserts of that size, whoever makes them
 *   native    one ready Native body of all rows: the engine's own INSERT of a file
 *   json      JSONEachRow, 250 rows to a POST: how programs without a recorder write (its first rows only)
 *
 * For each: rows per second until the last row is counted, and rows per second of CPU time, of this process and, where the engine is
 * the benchmark's own (server.h), of both together. */
#ifndef CP_CLI_BENCH_SHIP_H
#define CP_CLI_BENCH_SHIP_H

#include <coldpath/error.h>
#include <stdbool.h>

#include "cli/bench/figure.h"
#include "cli/bench/host.h"
#include "cli/bench/rows.h"
#include "cli/bench/server.h"

typedef enum cp_bench_ship_way {
    CP_BENCH_SHIP,
    CP_BENCH_BATCHES,
    CP_BENCH_FILE,
    CP_BENCH_JSON_POSTS,
    CP_BENCH_SHIP_WAYS
} cp_bench_ship_way;

enum { CP_BENCH_JSON_POST_ROWS = 250 };

typedef struct cp_bench_ship_options {
    cp_bench_rows *rows; /* their chunks' epoch is changed */
    cp_bench_server *server;
    cp_compression compression;
    const char *compression_name; /* the same, for people */
    int level;
    uint32_t batch_rows;
    uint32_t rounds;
    bool (*cancelled)(void);
    void (*progress)(uint32_t round, uint32_t rounds);
} cp_bench_ship_options;

typedef struct cp_bench_ship_report {
    uint32_t rounds;
    uint32_t rows;
    uint32_t batch_rows;
    uint32_t json_rows;                                     /* 0: the table cannot be written as JSON */
    bool engine;                                            /* the engine's CPU time is known */
    uint64_t bytes[CP_BENCH_SHIP_WAYS];                     /* of all bodies of a round */
    cp_bench_figure rows_per_s[CP_BENCH_SHIP_WAYS];         /* until they are visible */
    cp_bench_figure own_rows_per_cpu_s[CP_BENCH_SHIP_WAYS]; /* of this process' time */
    cp_bench_figure rows_per_cpu_s[CP_BENCH_SHIP_WAYS];     /* with the engine's */
    cp_bench_figure rate_to_file;                           /* ship ÷ native, round by round, rows/s */
    cp_bench_figure rate_to_batches;
    cp_bench_figure cpu_rate_to_json; /* ship ÷ json, rows per CPU second: both processes', or this one's */
} cp_bench_ship_report;

/* Errors of the server; CP_E_NOMEM; CP_E_TOO_BIG: the rows do not fit one block. */
int cp_bench_ship_run(const cp_bench_ship_options *options, cp_bench_ship_report *report, cp_error *err);

/* Prints the report; returns an exit code. */
int cp_bench_ship_print(const cp_bench_ship_report *report, const cp_bench_ship_options *options,
                        const char *what, const cp_bench_host *host, bool json);

#endif
