#include "cli/bench/end_to_end.h"

#include <coldpath/coldpath.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench/body.h"
#include "cli/bench/child.h"

enum { START_MS = 10000, STEP_MS = 20, ALONE = 50, PATIENCE_S = 120, LINE = 300 };

static const char put_table[] = "e2e";
static const char file_table[] = "native";

enum figure { RATE, FILE_RATE, RATIO, PRODUCER, RECORDER, ENGINE, FILE_ENGINE, FIGURES };

typedef struct bench {
    const cp_bench_e2e_options *options;
    char region[PATH_MAX];
    char log[PATH_MAX + 16];
    pid_t recorder;
    cp_region *attached;
    cp_ring *ring;
    cp_bench_body file;
    uint64_t alone[ALONE];
    double samples[FIGURES][CP_BENCH_MAX_ROUNDS];
} bench;

/* ---- the recorder ---------------------------------------------------------------------------------------------- */

static void text_add(json_object *object, const char *key, const char *value)
{
    if (value)
        cp_json_add_string(object, key, value);
}

static json_object *clickhouse_section(const bench *b, const char *password_file)
{
    const cp_sink_config *sink = &b->options->server->sink;
    json_object *section = json_object_new_object();
    text_add(section, "url", sink->url);
    text_add(section, "database", sink->database);
    text_add(section, "user", sink->user);
    text_add(section, "ca_file", sink->ca_file);
    text_add(section, "password_file", sink->password ? password_file : NULL);
    text_add(section, "compression", b->options->compression);
    cp_json_add_uint(section, "compression_level", (uint64_t)b->options->level);
    return section;
}

static json_object *table_section(const bench *b, const char *ddl)
{
    char wait[CP_HUMAN_TEXT];
    json_object *flush = json_object_new_object();
    json_object *table = json_object_new_object();
    snprintf(wait, sizeof wait, "%dms", CP_BENCH_ALONE_WAIT_MS);
    cp_json_add_uint(flush, "rows", b->options->batch_rows);
    cp_json_add_uint(flush, "max_rows", b->options->batch_rows);
    cp_json_add_string(flush, "bytes", "64MiB");
    cp_json_add_string(flush, "max_bytes", "64MiB");
    cp_json_add_string(flush, "interval", wait);
    cp_json_add_string(table, "ddl", ddl);
    cp_json_add_string(table, "ring_size", "64MiB");
    cp_json_add_string(table, "row_max", "1MiB");
    cp_json_add_uint(table, "slots", 1);
    cp_json_add(table, "flush", flush);
    return table;
}

/* JSON is YAML. */
static int configuration_write(bench *b, char path[PATH_MAX + 16], cp_error *err)
{
    const cp_bench_server *server = b->options->server;
    char ddl_path[PATH_MAX + 16];
    char password[PATH_MAX + 16];
    char *ddl = malloc(CP_MAX_DDL);
    snprintf(path, PATH_MAX + 16, "%s/coldpath.yaml", server->dir);
    snprintf(ddl_path, sizeof ddl_path, "%s/%s.sql", server->dir, put_table);
    snprintf(password, sizeof password, "%s/password", server->dir);
    int rc = ddl ? cp_bench_table_text(b->options->rows->table, put_table, ddl, CP_MAX_DDL, err)
                 : cp_error_set(err, CP_E_NOMEM, "out of memory");
    if (rc == CP_OK)
        rc = cp_bench_file_write(ddl_path, ddl, err);
    if (rc == CP_OK && server->sink.password)
        rc = cp_bench_file_write(password, server->sink.password, err);
    json_object *root = json_object_new_object();
    json_object *region = json_object_new_object();
    json_object *tables = json_object_new_object();
    cp_json_add_string(root, "namespace", "bench");
    cp_json_add_string(region, "dir", b->region);
    cp_json_add(root, "region", region);
    cp_json_add(root, "clickhouse", clickhouse_section(b, password));
    cp_json_add(tables, put_table, table_section(b, ddl_path));
    cp_json_add(root, "tables", tables);
    if (rc == CP_OK)
        rc = cp_bench_file_write(path, json_object_to_json_string(root), err);
    json_object_put(root);
    free(ddl);
    return rc;
}

/* What the recorder said last, behind what went wrong. */
static int recorder_failed(const bench *b, int code, const char *what, cp_error *err)
{
    char line[LINE] = "";
    char last[LINE] = "nothing";
    FILE *file = fopen(b->log, "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        memcpy(last, line, sizeof last);
    }
    if (file)
        fclose(file);
    return cp_error_set(err, code, "%s; coldpathd said last: %s", what, last);
}

static int recorder_start(bench *b, cp_error *err)
{
    char config[PATH_MAX + 16];
    char region[PATH_MAX + 8];
    snprintf(b->region, sizeof b->region, "/dev/shm/coldpath-bench-XXXXXX");
    if (!mkdtemp(b->region)) {
        b->region[0] = 0;
        return cp_error_set(err, CP_E_IO, "cannot make a region in /dev/shm");
    }
    snprintf(b->log, sizeof b->log, "%s/coldpathd.log", b->options->server->dir);
    snprintf(region, sizeof region, "%s/bench", b->region);
    int rc = configuration_write(b, config, err);
    const char *const argv[] = {"coldpathd", "--config", config, NULL};
    if (rc == CP_OK)
        rc = cp_bench_child_start(&b->recorder, argv[0], argv, b->log, err);
    if (rc < 0)
        return rc;
    cp_error reason = {0};
    rc = CP_E_ABSENT;
    for (int ms = 0; ms < START_MS && rc != CP_OK; ms += STEP_MS) {
        if (!cp_bench_child_runs(&b->recorder))
            return recorder_failed(b, CP_E_ABSENT, "coldpathd ended at once", err);
        rc = cp_attach(&b->attached, region, &reason);
        if (rc != CP_OK)
            usleep(STEP_MS * 1000);
    }
    if (rc == CP_OK)
        rc = cp_ring_open(&b->ring, b->attached, put_table, 0, "bench", err);
    else
        rc = recorder_failed(b, CP_E_ABSENT, "coldpathd did not come up", err);
    return rc;
}

/* ---- a round --------------------------------------------------------------------------------------------------- */

static int delivery_wait(const bench *b, uint64_t position, cp_error *err)
{
    const uint64_t until = cp_boottime_ns() + PATIENCE_S * (uint64_t)CP_NS_PER_S;
    while (cp_wait(b->ring, CP_DELIVERED, position, CP_NS_PER_S) != CP_OK) {
        if (b->options->cancelled() || cp_boottime_ns() > until)
            return recorder_failed(b, CP_E_SERVER, "the rows were not delivered", err);
    }
    return CP_OK;
}

static uint64_t position_of(const bench *b)
{
    cp_ring_stats stats;
    cp_ring_get_stats(b->ring, &stats);
    return stats.written;
}

static int chunk_put(const bench *b, const cp_chunk *chunk, cp_error *err)
{
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        const uint8_t *row = cp_chunk_row(chunk, i);
        const uint32_t size = cp_chunk_row_size(chunk, i);
        if (cp_put(b->ring, row, size) == CP_OK)
            continue;
        const int rc = cp_put_wait(b->ring, row, size, PATIENCE_S * (uint64_t)CP_NS_PER_S);
        if (rc != CP_OK)
            return cp_error_set(err, rc, "a put was refused: %s", cp_strerror(rc));
    }
    return CP_OK;
}

static int visible(const bench *b, const char *table, uint64_t expected, cp_error *err)
{
    uint64_t rows = 0;
    const int rc = cp_bench_server_count(b->options->server, table, &rows, err);
    if (rc == CP_OK && rows != expected)
        return cp_error_set(err, CP_E_SERVER, "%s: %" PRIu64 " rows are there of %" PRIu64, table, rows,
                            expected);
    return rc;
}

/* Or the engine goes on merging these rows, beside what is measured next. */
static int table_empty(const bench *b, const char *table, cp_error *err)
{
    return cp_bench_server_run(b->options->server, err, "TRUNCATE TABLE `%s`", table);
}

static int run_flat_out(bench *b, uint32_t round, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    const double count = rows->row_count;
    int rc = CP_OK;
    const uint64_t own = cp_bench_own_cpu_ns();
    const uint64_t recorder = cp_bench_child_cpu_ns(b->recorder);
    const uint64_t engine = cp_bench_server_cpu_ns(b->options->server);
    const uint64_t began = cp_boottime_ns();
    for (uint32_t i = 0; rc == CP_OK && i < rows->chunk_count; i++)
        rc = chunk_put(b, rows->chunks[i], err);
    const uint64_t put_ns = cp_bench_own_cpu_ns() - own;
    if (rc == CP_OK)
        rc = delivery_wait(b, position_of(b), err);
    if (rc == CP_OK)
        rc = visible(b, put_table, rows->row_count, err);
    b->samples[RATE][round] = count * 1e9 / (double)(cp_boottime_ns() - began);
    b->samples[PRODUCER][round] = (double)put_ns / count;
    b->samples[RECORDER][round] = (double)(cp_bench_child_cpu_ns(b->recorder) - recorder) / count;
    b->samples[ENGINE][round] = (double)(cp_bench_server_cpu_ns(b->options->server) - engine) / count;
    return rc == CP_OK ? table_empty(b, put_table, err) : rc;
}

static int run_file(bench *b, uint32_t round, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    const double count = rows->row_count;
    const uint64_t engine = cp_bench_server_cpu_ns(b->options->server);
    const uint64_t began = cp_boottime_ns();
    int rc = cp_bench_server_insert(b->options->server, rows->table, file_table, "Native", b->file.bytes,
                                    b->file.size, err);
    if (rc == CP_OK)
        rc = visible(b, file_table, rows->row_count, err);
    b->samples[FILE_RATE][round] = count * 1e9 / (double)(cp_boottime_ns() - began);
    b->samples[FILE_ENGINE][round] = (double)(cp_bench_server_cpu_ns(b->options->server) - engine) / count;
    return rc == CP_OK ? table_empty(b, file_table, err) : rc;
}

static int round_run(bench *b, uint32_t round, cp_error *err)
{
    int rc = run_flat_out(b, round, err);
    if (rc == CP_OK)
        rc = run_file(b, round, err);
    b->samples[RATIO][round] = b->samples[RATE][round] / b->samples[FILE_RATE][round];
    return rc;
}

static int run_alone(bench *b, cp_bench_e2e_report *report, cp_error *err)
{
    const cp_chunk *chunk = b->options->rows->chunks[0];
    int rc = CP_OK;
    while (rc == CP_OK && report->alone < ALONE && !b->options->cancelled()) {
        const uint32_t row = report->alone % chunk->row_count;
        const uint64_t began = cp_boottime_ns();
        rc = cp_put(b->ring, cp_chunk_row(chunk, row), cp_chunk_row_size(chunk, row));
        if (rc != CP_OK)
            return cp_error_set(err, rc, "a put was refused: %s", cp_strerror(rc));
        rc = delivery_wait(b, position_of(b), err);
        b->alone[report->alone++] = cp_boottime_ns() - began;
    }
    report->alone_ns = (cp_bench_figure){.median = (double)cp_bench_percentile(b->alone, report->alone, 0.5),
                                         .low = (double)cp_bench_percentile(b->alone, report->alone, 0),
                                         .high = (double)cp_bench_percentile(b->alone, report->alone, 1)};
    return rc;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

static int bench_open(bench *b, cp_error *err)
{
    cp_bench_server *server = b->options->server;
    const cp_bench_rows *rows = b->options->rows;
    int rc = cp_bench_body_make(&b->file, rows, 0, rows->chunk_count, err);
    if (rc == CP_OK)
        rc = cp_bench_server_table(server, rows->table, put_table, err);
    if (rc == CP_OK)
        rc = cp_bench_server_table(server, rows->table, file_table, err);
    return rc == CP_OK ? recorder_start(b, err) : rc;
}

static void figures_make(bench *b, cp_bench_e2e_report *report)
{
    cp_bench_figure *const to[FIGURES] = {
        &report->rows_per_s,  &report->native_rows_per_s, &report->rate_to_native,  &report->producer_ns,
        &report->recorder_ns, &report->engine_ns,         &report->native_engine_ns};
    for (int i = 0; i < FIGURES; i++)
        *to[i] = cp_bench_figure_of(b->samples[i], report->rounds);
}

int cp_bench_e2e_run(const cp_bench_e2e_options *options, cp_bench_e2e_report *report, cp_error *err)
{
    memset(report, 0, sizeof *report);
    report->rows = options->rows->row_count;
    report->engine = options->server->embedded;
    bench *b = calloc(1, sizeof *b);
    if (!b)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    b->options = options;
    int rc = bench_open(b, err);
    if (rc == CP_OK) /* once for nothing: pages are touched, the engine loads what it needs */
        rc = round_run(b, 0, err);
    for (uint32_t round = 0; rc == CP_OK && round < options->rounds && !options->cancelled(); round++) {
        options->progress(round, options->rounds);
        rc = round_run(b, round, err);
        report->rounds = round + 1;
    }
    if (rc == CP_OK)
        rc = run_alone(b, report, err);
    figures_make(b, report);
    cp_ring_close(b->ring);
    cp_detach(b->attached);
    cp_bench_child_end(&b->recorder, SIGKILL); /* it has delivered what there was */
    cp_bench_remove(b->region);
    free(b->file.bytes);
    free(b);
    return rc;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

static int print_json(const cp_bench_e2e_report *report, const cp_bench_e2e_options *options,
                      const char *what, const cp_bench_host *host)
{
    json_object *answer = cp_json_begin("bench e2e");
    json_object *cpu = json_object_new_object();
    cp_bench_host_add(answer, host);
    cp_json_add_string(answer, "server", options->server->version);
    cp_json_add_bool(answer, "embedded", options->server->embedded);
    cp_json_add_string(answer, "compression", options->compression);
    cp_json_add_string(answer, "rows_of", what);
    cp_json_add_uint(answer, "rounds", report->rounds);
    cp_json_add_uint(answer, "rows", report->rows);
    cp_json_add_uint(answer, "batch_rows", options->batch_rows);
    cp_bench_figure_add(answer, "rows_per_s", &report->rows_per_s);
    cp_bench_figure_add(answer, "native_rows_per_s", &report->native_rows_per_s);
    cp_bench_figure_add(answer, "rate_to_native", &report->rate_to_native);
    cp_bench_figure_add(cpu, "producer", &report->producer_ns);
    cp_bench_figure_add(cpu, "recorder", &report->recorder_ns);
    if (report->engine) {
        cp_bench_figure_add(cpu, "engine", &report->engine_ns);
        cp_bench_figure_add(cpu, "engine_native", &report->native_engine_ns);
    }
    cp_json_add(answer, "cpu_ns_per_row", cpu);
    cp_json_add_uint(answer, "alone_rows", report->alone);
    cp_json_add_uint(answer, "alone_wait_ms", CP_BENCH_ALONE_WAIT_MS);
    cp_bench_figure_add(answer, "alone_ns", &report->alone_ns);
    return cp_json_end(answer);
}

int cp_bench_e2e_print(const cp_bench_e2e_report *report, const cp_bench_e2e_options *options,
                       const char *what, const cp_bench_host *host, bool json)
{
    char text[3][CP_HUMAN_TEXT];
    if (json)
        return print_json(report, options, what, host);
    const struct {
        const char *name;
        const cp_bench_figure *figure;
    } lines[] = {{"put to visible", &report->rows_per_s}, {"ready Native file", &report->native_rows_per_s}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        printf("%-18s %12s rows/s (%s to %s)\n", lines[i].name,
               cp_human_count(text[0], (uint64_t)lines[i].figure->median),
               cp_human_count(text[1], (uint64_t)lines[i].figure->low),
               cp_human_count(text[2], (uint64_t)lines[i].figure->high));
    printf("ratio              %12.2f        (%.2f to %.2f)\n", report->rate_to_native.median,
           report->rate_to_native.low, report->rate_to_native.high);
    printf("CPU time, ns/row: producer %.0f, recorder %.0f", report->producer_ns.median,
           report->recorder_ns.median);
    if (report->engine)
        printf(", engine %.0f (a ready file: %.0f)", report->engine_ns.median,
               report->native_engine_ns.median);
    printf("\na row alone        %12s (%s to %s), of which its batch waits %d ms for more\n",
           cp_human_ns(text[0], (uint64_t)report->alone_ns.median),
           cp_human_ns(text[1], (uint64_t)report->alone_ns.low),
           cp_human_ns(text[2], (uint64_t)report->alone_ns.high), CP_BENCH_ALONE_WAIT_MS);
    printf("%u rows of %s into ClickHouse %s%s, batches of up to %u; medians of %u rounds\n", report->rows,
           what, options->server->version, options->server->embedded ? ", embedded" : "", options->batch_rows,
           report->rounds);
    cp_bench_host_print(host);
    return cp_output_finish();
}
