#include "cli/bench/ship.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench/body.h"
#include "cli/bench/json_text.h"

enum {
    JSON_ROWS = 25000, /* a tenth of a second each way would be too few, all of them minutes */
    LOOK_US = 200,
    PATIENCE_S = 120,
    TEXT = 256
};

static const char *const way_names[CP_BENCH_SHIP_WAYS] = {"shipped", "ready batches", "ready file",
                                                          "JSONEachRow, 250"};
static const char *const way_keys[CP_BENCH_SHIP_WAYS] = {"ship", "batches", "native", "json"};

/* What the flusher's thread says of a round. */
typedef struct progress {
    atomic_bool up;
    atomic_bool failed;
    _Atomic uint64_t rows;
    _Atomic uint64_t bytes;
    char text[TEXT]; /* before failed */
} progress;

typedef struct bench {
    const cp_bench_ship_options *options;
    cp_table *table; /* as rows->table, under the name of the first way */
    cp_bench_body file;
    cp_bench_body *batches;
    uint32_t batch_count;
    char *text;
    size_t text_room;
    progress progress;
    double samples[CP_BENCH_SHIP_WAYS][3]
                  [CP_BENCH_MAX_ROUNDS]; /* rows/s, per own CPU second, per CPU second */
    double ratios[3][CP_BENCH_MAX_ROUNDS];
} bench;

/* ---- the flusher ----------------------------------------------------------------------------------------------- */

static void on_release(void *ctx, cp_chunk *chunk)
{
    (void)ctx;
    (void)chunk; /* the rows stay, for the next round */
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    progress *seen = ctx;
    (void)table;
    if (attempt->result == CP_ATTEMPT_OK || atomic_load(&seen->failed))
        return;
    snprintf(seen->text, sizeof seen->text, "%s%s", attempt->text, attempt->remedy);
    atomic_store(&seen->failed, true);
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    progress *seen = ctx;
    (void)table;
    atomic_fetch_add(&seen->rows, batch->rows);
}

static void on_sent(void *ctx, uint32_t table, uint64_t bytes)
{
    progress *seen = ctx;
    (void)table;
    atomic_fetch_add(&seen->bytes, bytes);
}

static void on_server(void *ctx, bool up, const char *text)
{
    progress *seen = ctx;
    (void)text;
    atomic_store(&seen->up, up);
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued,
                        uint64_t oldest_seen_ns)
{
    (void)ctx;
    (void)table;
    (void)in_flight;
    (void)queued;
    (void)oldest_seen_ns;
}

/* Until the condition holds. False: it failed, was interrupted, or took too long. */
static bool wait_for(bench *b, const uint64_t *rows)
{
    const uint64_t until = cp_boottime_ns() + PATIENCE_S * (uint64_t)CP_NS_PER_S;
    while (rows ? atomic_load(&b->progress.rows) < *rows : !atomic_load(&b->progress.up)) {
        if (atomic_load(&b->progress.failed) || b->options->cancelled() || cp_boottime_ns() > until)
            return false;
        usleep(LOOK_US);
    }
    return true;
}

static int flusher_make(bench *b, uint32_t round, cp_flusher **out, cp_error *err)
{
    const cp_bench_ship_options *options = b->options;
    static const cp_flush_events calls = {.release = on_release,
                                          .sent = on_sent,
                                          .attempt = on_attempt,
                                          .delivered = on_delivered,
                                          .server = on_server,
                                          .progress = on_progress};
    cp_flush_events events = calls;
    char instance[CP_BENCH_DATABASE + CP_HUMAN_TEXT];
    cp_sink_config sink = options->server->sink;
    uint32_t capacity = 2;
    events.ctx = &b->progress;
    snprintf(instance, sizeof instance, "%s:%u", options->server->database, round);
    sink.instance = instance;
    sink.compression = options->compression;
    sink.compression_level = options->level;
    while (capacity < options->rows->chunk_count)
        capacity *= 2;
    const cp_batch_policy policy = {.rows = options->batch_rows,
                                    .max_rows = options->batch_rows,
                                    .bytes = CP_MAX_BATCH_BYTES,
                                    .max_bytes = CP_MAX_BATCH_BYTES,
                                    .interval_ns = CP_NS_PER_S};
    int rc = cp_flusher_create(out, &sink, &events, err);
    if (rc == CP_OK)
        rc = cp_flusher_add_table(*out, b->table, &policy, capacity, err);
    if (rc == CP_OK)
        rc = cp_flusher_start(*out, -1, err);
    return rc;
}

/* All rows through a flusher that has found its server. */
static int ship(bench *b, cp_flusher *flusher, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    const uint64_t count = rows->row_count;
    for (uint32_t i = 0; i < rows->chunk_count; i++) {
        while (!cp_flusher_submit(flusher, 0, rows->chunks[i]))
            usleep(LOOK_US);
    }
    cp_flusher_set_urgent(flusher, true);
    if (wait_for(b, &count))
        return CP_OK;
    return cp_error_set(err, CP_E_SERVER, "the rows were not delivered: %s",
                        atomic_load(&b->progress.failed) ? b->progress.text
                                                         : "interrupted, or no end in sight");
}

/* ---- the other ways -------------------------------------------------------------------------------------------- */

static int post_json(bench *b, uint32_t count, uint64_t *bytes, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    uint32_t chunk = 0;
    uint32_t row = 0;
    int rc = CP_OK;
    for (uint32_t done = 0; rc == CP_OK && done < count && !b->options->cancelled();) {
        char *to = b->text;
        uint32_t in = 0;
        for (; in < CP_BENCH_JSON_POST_ROWS && done + in < count; in++) {
            if (row == rows->chunks[chunk]->row_count) {
                chunk++;
                row = 0;
            }
            to = cp_json_text_row(to, rows->table, rows->chunks[chunk], row++);
        }
        done += in;
        *bytes += (uint64_t)(to - b->text);
        rc = cp_bench_server_insert(b->options->server, rows->table, way_keys[CP_BENCH_JSON_POSTS],
                                    "JSONEachRow", b->text, (size_t)(to - b->text), err);
    }
    return rc;
}

static int post_bodies(bench *b, cp_bench_ship_way way, uint64_t *bytes, cp_error *err)
{
    const cp_bench_body *bodies = way == CP_BENCH_FILE ? &b->file : b->batches;
    const uint32_t count = way == CP_BENCH_FILE ? 1 : b->batch_count;
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && i < count; i++) {
        *bytes += bodies[i].size;
        rc = cp_bench_server_insert(b->options->server, b->options->rows->table, way_keys[way], "Native",
                                    bodies[i].bytes, bodies[i].size, err);
    }
    return rc;
}

/* ---- a round --------------------------------------------------------------------------------------------------- */

static int visible(bench *b, cp_bench_ship_way way, uint64_t expected, cp_error *err)
{
    uint64_t rows = 0;
    const int rc = cp_bench_server_count(b->options->server, way_keys[way], &rows, err);
    if (rc == CP_OK && rows != expected && !b->options->cancelled())
        return cp_error_set(err, CP_E_SERVER, "%s: %" PRIu64 " rows are there of %" PRIu64, way_names[way],
                            rows, expected);
    return rc;
}

static int way_run(bench *b, cp_bench_ship_way way, uint32_t round, cp_bench_ship_report *report,
                   cp_error *err)
{
    const cp_bench_server *server = b->options->server;
    const uint64_t rows = way == CP_BENCH_JSON_POSTS ? report->json_rows : report->rows;
    cp_flusher *flusher = NULL;
    memset(&b->progress, 0, sizeof b->progress);
    int rc = CP_OK;
    if (way == CP_BENCH_SHIP)
        rc = flusher_make(b, round, &flusher, err);
    if (rc == CP_OK && flusher && !wait_for(b, NULL))
        rc = cp_error_set(err, CP_E_NET, "ClickHouse at %s does not answer", server->sink.url);
    const uint64_t own = cp_bench_own_cpu_ns();
    const uint64_t engine = cp_bench_server_cpu_ns(server);
    const uint64_t began = cp_boottime_ns();
    report->bytes[way] = 0;
    if (rc == CP_OK && way == CP_BENCH_SHIP)
        rc = ship(b, flusher, err);
    else if (rc == CP_OK && way == CP_BENCH_JSON_POSTS)
        rc = post_json(b, (uint32_t)rows, &report->bytes[way], err);
    else if (rc == CP_OK)
        rc = post_bodies(b, way, &report->bytes[way], err);
    if (rc == CP_OK)
        rc = visible(b, way, rows, err);
    const double wall_s = (double)(cp_boottime_ns() - began) / CP_NS_PER_S;
    const double own_s = (double)(cp_bench_own_cpu_ns() - own) / CP_NS_PER_S;
    const double engine_s = (double)(cp_bench_server_cpu_ns(server) - engine) / CP_NS_PER_S;
    if (rc == CP_OK) /* or the engine goes on merging these rows, beside the next way's */
        rc = cp_bench_server_run(b->options->server, err, "TRUNCATE TABLE `%s`", way_keys[way]);
    if (flusher) {
        report->bytes[way] = atomic_load(&b->progress.bytes);
        cp_flusher_stop(flusher, 1);
        cp_flusher_free(flusher);
    }
    b->samples[way][0][round] = (double)rows / wall_s;
    b->samples[way][1][round] = (double)rows / own_s;
    b->samples[way][2][round] = (double)rows / (own_s + engine_s);
    return rc;
}

static int round_run(bench *b, uint32_t round, cp_bench_ship_report *report, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    int rc = CP_OK;
    for (uint32_t i = 0; i < rows->chunk_count; i++)
        rows->chunks[i]->epoch++; /* other rows, under other tokens */
    for (int way = 0; rc == CP_OK && way < CP_BENCH_SHIP_WAYS; way++) {
        if (way != CP_BENCH_JSON_POSTS || report->json_rows)
            rc = way_run(b, (cp_bench_ship_way)way, round, report, err);
    }
    b->ratios[0][round] = b->samples[CP_BENCH_SHIP][0][round] / b->samples[CP_BENCH_FILE][0][round];
    b->ratios[1][round] = b->samples[CP_BENCH_SHIP][0][round] / b->samples[CP_BENCH_BATCHES][0][round];
    const int cpu = report->engine ? 2 : 1;
    if (report->json_rows)
        b->ratios[2][round] =
            b->samples[CP_BENCH_SHIP][cpu][round] / b->samples[CP_BENCH_JSON_POSTS][cpu][round];
    return rc;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

/* The bodies that are sent as they are: their chunks are cut as the flusher cuts them. */
static int bodies_make(bench *b, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    b->batches = calloc(rows->chunk_count, sizeof *b->batches);
    int rc = b->batches ? cp_bench_body_make(&b->file, rows, 0, rows->chunk_count, err)
                        : cp_error_set(err, CP_E_NOMEM, "out of memory");
    for (uint32_t first = 0; rc == CP_OK && first < rows->chunk_count;) {
        uint32_t end = first;
        uint64_t in = 0;
        while (end < rows->chunk_count &&
               (end == first || in + rows->chunks[end]->row_count <= b->options->batch_rows))
            in += rows->chunks[end++]->row_count;
        rc = cp_bench_body_make(&b->batches[b->batch_count++], rows, first, end - first, err);
        first = end;
    }
    return rc;
}

static int bench_open(bench *b, cp_bench_ship_report *report, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    cp_error reason;
    char *ddl = malloc(CP_MAX_DDL);
    int rc = ddl ? cp_bench_table_text(rows->table, way_keys[CP_BENCH_SHIP], ddl, CP_MAX_DDL, err)
                 : cp_error_set(err, CP_E_NOMEM, "out of memory");
    if (rc == CP_OK)
        rc = cp_table_parse(&b->table, "bench", ddl, strlen(ddl), err);
    free(ddl);
    if (rc == CP_OK)
        rc = bodies_make(b, err);
    if (cp_json_text_check(rows->table, &reason) == CP_OK)
        report->json_rows = rows->row_count < JSON_ROWS ? rows->row_count : JSON_ROWS;
    b->text_room =
        report->json_rows ? cp_json_text_bound(rows->table, rows->largest) * CP_BENCH_JSON_POST_ROWS : 1;
    b->text = malloc(b->text_room);
    if (rc == CP_OK && !b->text)
        rc = cp_error_set(err, CP_E_NOMEM, "out of memory");
    for (int way = 0; rc == CP_OK && way < CP_BENCH_SHIP_WAYS; way++)
        rc = cp_bench_server_table(b->options->server, rows->table, way_keys[way], err);
    return rc;
}

static void bench_close(bench *b)
{
    for (uint32_t i = 0; i < b->batch_count; i++)
        free(b->batches[i].bytes);
    free(b->batches);
    free(b->file.bytes);
    free(b->text);
    cp_table_free(b->table);
    free(b);
}

static void figures_make(bench *b, cp_bench_ship_report *report)
{
    for (int way = 0; way < CP_BENCH_SHIP_WAYS; way++) {
        report->rows_per_s[way] = cp_bench_figure_of(b->samples[way][0], report->rounds);
        report->own_rows_per_cpu_s[way] = cp_bench_figure_of(b->samples[way][1], report->rounds);
        report->rows_per_cpu_s[way] = cp_bench_figure_of(b->samples[way][2], report->rounds);
    }
    report->rate_to_file = cp_bench_figure_of(b->ratios[0], report->rounds);
    report->rate_to_batches = cp_bench_figure_of(b->ratios[1], report->rounds);
    report->cpu_rate_to_json = cp_bench_figure_of(b->ratios[2], report->rounds);
}

int cp_bench_ship_run(const cp_bench_ship_options *options, cp_bench_ship_report *report, cp_error *err)
{
    memset(report, 0, sizeof *report);
    report->rows = options->rows->row_count;
    report->batch_rows = options->batch_rows;
    report->engine = options->server->embedded;
    bench *b = calloc(1, sizeof *b);
    if (!b)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    b->options = options;
    int rc = bench_open(b, report, err);
    if (rc == CP_OK) /* once for nothing: pages are touched, the engine loads what it needs */
        rc = round_run(b, 0, report, err);
    for (uint32_t round = 0; rc == CP_OK && round < options->rounds && !options->cancelled(); round++) {
        options->progress(round, options->rounds);
        rc = round_run(b, round, report, err);
        report->rounds = round + 1;
    }
    figures_make(b, report);
    bench_close(b);
    return rc;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

static bool way_shown(const cp_bench_ship_report *report, int way)
{
    return way != CP_BENCH_JSON_POSTS || report->json_rows > 0;
}

static int print_json(const cp_bench_ship_report *report, const cp_bench_ship_options *options,
                      const char *what, const cp_bench_host *host)
{
    json_object *answer = cp_json_begin("bench ship");
    json_object *ways = json_object_new_object();
    cp_bench_host_add(answer, host);
    cp_json_add_string(answer, "server", options->server->version);
    cp_json_add_bool(answer, "embedded", options->server->embedded);
    cp_json_add_string(answer, "compression", options->compression_name);
    cp_json_add_string(answer, "rows_of", what);
    cp_json_add_uint(answer, "rounds", report->rounds);
    cp_json_add_uint(answer, "rows", report->rows);
    cp_json_add_uint(answer, "batch_rows", report->batch_rows);
    for (int way = 0; way < CP_BENCH_SHIP_WAYS; way++) {
        if (!way_shown(report, way))
            continue;
        json_object *item = json_object_new_object();
        cp_json_add_uint(item, "rows", way == CP_BENCH_JSON_POSTS ? report->json_rows : report->rows);
        cp_json_add_uint(item, "bytes", report->bytes[way]);
        cp_bench_figure_add(item, "rows_per_s", &report->rows_per_s[way]);
        cp_bench_figure_add(item, "own_rows_per_cpu_s", &report->own_rows_per_cpu_s[way]);
        if (report->engine)
            cp_bench_figure_add(item, "rows_per_cpu_s", &report->rows_per_cpu_s[way]);
        cp_json_add(ways, way_keys[way], item);
    }
    cp_json_add(answer, "ways", ways);
    cp_bench_figure_add(answer, "rate_to_native", &report->rate_to_file);
    cp_bench_figure_add(answer, "rate_to_batches", &report->rate_to_batches);
    if (report->json_rows)
        cp_bench_figure_add(answer, "cpu_rate_to_json", &report->cpu_rate_to_json);
    return cp_json_end(answer);
}

int cp_bench_ship_print(const cp_bench_ship_report *report, const cp_bench_ship_options *options,
                        const char *what, const cp_bench_host *host, bool json)
{
    if (json)
        return print_json(report, options, what, host);
    printf("%-18s %12s %25s %16s %16s %10s\n", "", "rows/s", "low … high", "per CPU s, own",
           "with the engine", "bytes/row");
    for (int way = 0; way < CP_BENCH_SHIP_WAYS; way++) {
        char text[5][CP_HUMAN_TEXT];
        if (!way_shown(report, way))
            continue;
        const uint32_t rows = way == CP_BENCH_JSON_POSTS ? report->json_rows : report->rows;
        printf("%-18s %12s %12s … %10s %16s %16s %10.1f\n", way_names[way],
               cp_human_count(text[0], (uint64_t)report->rows_per_s[way].median),
               cp_human_count(text[1], (uint64_t)report->rows_per_s[way].low),
               cp_human_count(text[2], (uint64_t)report->rows_per_s[way].high),
               cp_human_count(text[3], (uint64_t)report->own_rows_per_cpu_s[way].median),
               report->engine ? cp_human_count(text[4], (uint64_t)report->rows_per_cpu_s[way].median) : "–",
               (double)report->bytes[way] / rows);
    }
    printf("shipped ÷ ready file, rows/s: %.2f (%.2f to %.2f); ÷ ready batches: %.2f (%.2f to %.2f)\n",
           report->rate_to_file.median, report->rate_to_file.low, report->rate_to_file.high,
           report->rate_to_batches.median, report->rate_to_batches.low, report->rate_to_batches.high);
    if (report->json_rows)
        printf("shipped ÷ JSONEachRow, rows per CPU second%s: %.1f (%.1f to %.1f)\n",
               report->engine ? ", engine's included" : " of this process", report->cpu_rate_to_json.median,
               report->cpu_rate_to_json.low, report->cpu_rate_to_json.high);
    printf("%u rows of %s into ClickHouse %s%s, batches of %u; medians of %u rounds\n", report->rows, what,
           options->server->version, options->server->embedded ? ", embedded" : "", report->batch_rows,
           report->rounds);
    cp_bench_host_print(host);
    return cp_output_finish();
}
