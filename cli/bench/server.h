/* The ClickHouse that a benchmark measures against: the embedded engine, started for it from beside this program (coldpath-chdb, one
 * thread per statement, data in a temporary directory), or the one that the user names with --url or --config.
 *
 * Tables are made in a database of the benchmark's own, coldpath_bench_<pid>, which is dropped at the end. Statements that insert go
 * over one kept-alive connection, as a recorder's do. */
#ifndef CP_CLI_BENCH_SERVER_H
#define CP_CLI_BENCH_SERVER_H

#include <coldpath/error.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/cli.h"
#include "flush/flusher.h"
#include "flush/http.h"
#include "recorder/config/config.h"
#include "schema/table.h"

enum { CP_BENCH_DATABASE = 48, CP_BENCH_SERVER_URL = 64 };

typedef struct cp_bench_server {
    cp_sink_config sink; /* url, user, password, database */
    char dir[PATH_MAX];  /* of the benchmark's files, removed at the end */
    char database[CP_BENCH_DATABASE];
    char version[CP_BENCH_DATABASE];
    bool embedded;
    pid_t engine;     /* embedded: its process */
    cp_config *given; /* --config */
    char url[CP_BENCH_SERVER_URL];
    bool made; /* the database */
    cp_http *http;
    cp_http_exchange *exchange;
} cp_bench_server;

/* common->config: the configuration whose ClickHouse is meant; url: an address without credentials; neither: the embedded engine.
 * CP_E_ABSENT: no coldpath-chdb beside this program, or it did not come up; errors of the configuration and of the server. */
int cp_bench_server_open(cp_bench_server *server, const cp_common *common, const char *url, cp_error *err);

/* Drops the database, ends the engine, removes the files. What open has filled, even on an error. */
void cp_bench_server_close(cp_bench_server *server);

/* Runs a statement in the benchmark's database. */
int cp_bench_server_run(cp_bench_server *server, cp_error *err, const char *sql, ...) CP_PRINTF(3, 4);

/* Makes table `name` with table's columns, order and partitions as a MergeTree. CP_E_TOO_BIG; errors of the server. */
int cp_bench_server_table(cp_bench_server *server, const cp_table *table, const char *name, cp_error *err);

/* The same statement without a database, as a recorder's DDL. CP_E_TOO_BIG. */
int cp_bench_table_text(const cp_table *table, const char *name, char *text, size_t room, cp_error *err);

/* Rows of a table of the benchmark's. */
int cp_bench_server_count(cp_bench_server *server, const char *name, uint64_t *rows, cp_error *err);

/* Posts body to INSERT INTO name (table's columns) FORMAT format, and waits for the answer. CP_E_NET, CP_E_SERVER, CP_E_NOMEM. */
int cp_bench_server_insert(cp_bench_server *server, const cp_table *table, const char *name,
                           const char *format, const void *body, size_t size, cp_error *err);

/* CPU time of the engine so far, ns; 0: it is not ours. */
uint64_t cp_bench_server_cpu_ns(const cp_bench_server *server);

/* Of this process, ns. */
uint64_t cp_bench_own_cpu_ns(void);

#endif
