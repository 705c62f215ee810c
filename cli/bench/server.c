#include "cli/bench/server.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench/child.h"
#include "cli/bench/figure.h"
#include "cli/place.h"
#include "flush/query.h"
#include "flush/url.h"
#include "recorder/config_apply.h"

enum {
    START_MS = 60000, /* a cold disk reads half a gigabyte of library */
    STEP_MS = 10,
    CONNECT_MS = 5000,
    REQUEST_MS = 120000,
    STATEMENT_ROOM = 4096,
    PORT_ROOM = 16,
    POLL_MS = 1000,
    ERROR_ROOM = 300
};

/* ---- the engine ------------------------------------------------------------------------------------------------ */

static bool port_read(const char *path, cp_bench_server *server)
{
    char text[PORT_ROOM] = "";
    uint64_t port = 0;
    FILE *file = fopen(path, "re");
    const bool got = file && fgets(text, sizeof text, file);
    if (file)
        fclose(file);
    text[strcspn(text, "\n")] = 0;
    if (!got || !cp_number_parse(text, 1, UINT16_MAX, &port))
        return false;
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", (unsigned)port);
    return true;
}

static int engine_start(cp_bench_server *server, cp_error *err)
{
    char data[PATH_MAX + 16];
    char port[PATH_MAX + 16];
    snprintf(data, sizeof data, "%s/engine", server->dir);
    snprintf(port, sizeof port, "%s/port", server->dir);
    const char *const argv[] = {"coldpath-chdb", "--port", "0",           "--port-file", port, "--path", data,
                                "--threads",     "1",      "--log-level", "error",       NULL};
    const int rc = cp_bench_child_start(&server->engine, argv[0], argv, NULL, err);
    if (rc < 0)
        return cp_error_prefix(err, "without --url or --config the embedded engine is measured");
    for (int ms = 0; ms < START_MS; ms += STEP_MS) {
        if (port_read(port, server)) {
            server->sink.url = server->url;
            return CP_OK;
        }
        if (!cp_bench_child_runs(&server->engine))
            return cp_error_set(
                err, CP_E_ABSENT,
                "coldpath-chdb ended at once: is libchdb.so installed, or COLDPATH_CHDB_LIB set?");
        usleep(STEP_MS * 1000);
    }
    return cp_error_set(err, CP_E_ABSENT, "coldpath-chdb was not ready within %d s", START_MS / 1000);
}

/* ---- statements ------------------------------------------------------------------------------------------------ */

typedef struct answer {
    char *text;
    size_t room;
    size_t used;
} answer;

static int answer_take(void *ctx, const void *data, size_t size)
{
    answer *to = ctx;
    const size_t left = to->room - 1 - to->used;
    const size_t taken = size < left ? size : left;
    memcpy(to->text + to->used, data, taken);
    to->used += taken;
    to->text[to->used] = 0;
    return 0;
}

static int run_for(cp_bench_server *server, const char *database, const char *sql, char *text, size_t room,
                   cp_error *err)
{
    answer to = {.text = text, .room = room};
    text[0] = 0;
    const int rc = cp_query_run(&server->sink, database, sql, answer_take, &to, err);
    text[strcspn(text, "\n")] = 0;
    return rc;
}

int cp_bench_server_run(cp_bench_server *server, cp_error *err, const char *sql, ...)
{
    char statement[STATEMENT_ROOM];
    char text[CP_HUMAN_TEXT];
    va_list args;
    va_start(args, sql);
    const int length = vsnprintf(statement, sizeof statement, sql, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof statement)
        return cp_error_set(err, CP_E_TOO_BIG, "a statement of the benchmark is too long");
    return run_for(server, server->made ? server->database : NULL, statement, text, sizeof text, err);
}

int cp_bench_server_count(cp_bench_server *server, const char *name, uint64_t *rows, cp_error *err)
{
    char sql[CP_MAX_NAME + 64];
    char text[CP_HUMAN_TEXT];
    snprintf(sql, sizeof sql, "SELECT count() FROM `%s`", name);
    const int rc = run_for(server, server->database, sql, text, sizeof text, err);
    if (rc == CP_OK && !cp_number_parse(text, 0, UINT64_MAX, rows))
        return cp_error_set(err, CP_E_SERVER, "ClickHouse counts '%s' rows", text);
    return rc;
}

/* ---- tables ---------------------------------------------------------------------------------------------------- */

int cp_bench_table_text(const cp_table *table, const char *name, char *text, size_t room, cp_error *err)
{
    FILE *out = fmemopen(text, room, "w");
    if (!out)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    fprintf(out, "CREATE TABLE `%s` (", name);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        fprintf(out, "%s`%s` %s", i ? ", " : "", column->name, column->type.text);
        if (column->codec)
            fprintf(out, " CODEC(%s)", column->codec);
    }
    fputs(") ENGINE = MergeTree", out);
    if (table->partition_by)
        fprintf(out, " PARTITION BY %s", table->partition_by);
    fprintf(out, " ORDER BY %s SETTINGS non_replicated_deduplication_window = 1000",
            table->order_by ? table->order_by : "tuple()");
    fputc('\0', out);
    const bool whole = fflush(out) == 0 && !ferror(out) && (size_t)ftell(out) < room;
    fclose(out);
    return whole ? CP_OK
                 : cp_error_set(err, CP_E_TOO_BIG, "table %s: its columns do not fit a statement", name);
}

int cp_bench_server_table(cp_bench_server *server, const cp_table *table, const char *name, cp_error *err)
{
    char text[CP_HUMAN_TEXT];
    char *sql = malloc(CP_MAX_DDL);
    if (!sql)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    int rc = cp_bench_table_text(table, name, sql, CP_MAX_DDL, err);
    if (rc == CP_OK)
        rc = run_for(server, server->database, sql, text, sizeof text, err);
    free(sql);
    return rc;
}

/* ---- inserts --------------------------------------------------------------------------------------------------- */

typedef struct reply_taken {
    bool done;
    int rc;
    char text[ERROR_ROOM];
} reply_taken;

static void on_reply(void *ctx, cp_http_exchange *exchange, const cp_http_reply *reply)
{
    reply_taken *taken = ctx;
    (void)exchange;
    taken->done = true;
    taken->rc = CP_OK;
    if (reply->net != 0)
        taken->rc = CP_E_NET;
    else if (reply->status != 200 || reply->exception_code != 0)
        taken->rc = CP_E_SERVER;
    cp_http_reply_text(reply, taken->text, sizeof taken->text);
}

/* Columns by name, as a recorder's statement has them; the settings that make one POST one block. */
static bool insert_url(const cp_bench_server *server, const cp_table *table, const char *name,
                       const char *format, cp_url *url)
{
    cp_url_add(url, server->sink.url);
    cp_url_add(url,
               "/?wait_end_of_query=1&async_insert=0&max_insert_block_size=1048449"
               "&min_insert_block_size_rows=0&min_insert_block_size_bytes=0&max_insert_threads=1&database=");
    cp_url_add_encoded(url, server->database);
    cp_url_add(url, "&query=");
    cp_url_add_encoded(url, "INSERT INTO ");
    cp_url_add_identifier(url, name);
    for (uint32_t i = 0; i < table->column_count; i++) {
        cp_url_add_encoded(url, i ? "," : " (");
        cp_url_add_identifier(url, table->columns[i].name);
    }
    cp_url_add_encoded(url, ") FORMAT ");
    cp_url_add_encoded(url, format);
    return !url->overflow;
}

int cp_bench_server_insert(cp_bench_server *server, const cp_table *table, const char *name,
                           const char *format, const void *body, size_t size, cp_error *err)
{
    cp_url url;
    char *text = malloc(CP_HTTP_URL_MAX);
    if (!text)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a URL");
    cp_url_begin(&url, text, CP_HTTP_URL_MAX);
    reply_taken taken = {.rc = CP_E_TOO_BIG};
    if (insert_url(server, table, name, format, &url))
        taken.rc = cp_http_start(server->exchange, text, body, size, false);
    free(text);
    if (taken.rc != CP_OK)
        return cp_error_set(err, taken.rc, "the insert into %s could not be sent", name);
    while (!taken.done)
        cp_http_poll(server->http, POLL_MS, on_reply, &taken);
    return taken.rc == CP_OK
               ? CP_OK
               : cp_error_set(err, taken.rc, "ClickHouse at %s: %s", server->sink.url, taken.text);
}

/* ---- open, close ----------------------------------------------------------------------------------------------- */

static int server_choose(cp_bench_server *server, const cp_common *common, const char *url, cp_error *err)
{
    if (common->config) {
        const int rc = cp_place_config(common, &server->given, err);
        if (rc < 0)
            return rc;
        cp_config_sink(server->given, &server->sink);
    }
    if (url)
        server->sink.url = url;
    server->sink.connect_timeout_ms = CONNECT_MS;
    server->sink.request_timeout_ms = REQUEST_MS;
    server->sink.stall_timeout_ms = REQUEST_MS;
    server->sink.retry_min_ms = STEP_MS;
    server->sink.retry_max_ms = CONNECT_MS;
    server->sink.quarantine_dir = NULL;
    server->embedded = !server->sink.url;
    return server->embedded ? engine_start(server, err) : CP_OK;
}

int cp_bench_server_open(cp_bench_server *server, const cp_common *common, const char *url, cp_error *err)
{
    memset(server, 0, sizeof *server);
    snprintf(server->dir, sizeof server->dir, "%s/coldpath-bench-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(server->dir)) {
        server->dir[0] = 0;
        return cp_error_set(err, CP_E_IO, "cannot make a temporary directory");
    }
    snprintf(server->database, sizeof server->database, "coldpath_bench_%d", (int)getpid());
    int rc = server_choose(server, common, url, err);
    if (rc == CP_OK)
        rc = run_for(server, NULL, "SELECT version()", server->version, sizeof server->version, err);
    if (rc == CP_OK)
        rc = cp_bench_server_run(server, err, "CREATE DATABASE %s", server->database);
    if (rc == CP_OK) {
        server->made = true;
        server->sink.database = server->database;
        rc = cp_http_create(&server->http, &server->sink, err);
    }
    if (rc == CP_OK) {
        server->exchange = cp_http_exchange_create(server->http, CP_HTTP_REPLY_BYTES, server);
        rc = server->exchange ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for HTTP");
    }
    return rc;
}

void cp_bench_server_close(cp_bench_server *server)
{
    cp_error err;
    cp_http_exchange_free(server->exchange);
    cp_http_free(server->http);
    const bool made = server->made;
    server->made = false;
    if (made && !server->embedded &&
        cp_bench_server_run(server, &err, "DROP DATABASE %s", server->database) < 0)
        cp_message("bench: database %s is still there: %s", server->database, err.text);
    cp_bench_child_end(&server->engine, SIGKILL); /* nobody wants its data */
    cp_config_free(server->given);
    if (server->dir[0])
        cp_bench_remove(server->dir);
}

uint64_t cp_bench_server_cpu_ns(const cp_bench_server *server)
{
    return cp_bench_child_cpu_ns(server->engine);
}

uint64_t cp_bench_own_cpu_ns(void)
{
    struct timespec time;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * CP_NS_PER_S + (uint64_t)time.tv_nsec;
}
