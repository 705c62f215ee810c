#include "cli/import/import.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/import/span.h"
#include "feeds/producer.h"

enum {
    BATCH_ROWS = 20000, /* on their way at a time: with the recorder's shortest interval some 40,000 rows/s */
    POLL_NS = 5 * CP_NS_PER_MS,
    FOLLOW_NS = 200 * CP_NS_PER_MS, /* between looks at a source that had nothing */
    SLICE_NS = 100 * CP_NS_PER_MS,  /* of a wait, between looks at signals */
    REOPEN_S = 5                    /* for a region that is being replaced */
};

volatile sig_atomic_t cp_import_stopped;

cp_import_table *cp_import_find(cp_import *import, const char *name, size_t len)
{
    const char *dot = memrchr(name, '.', len);
    const char *bare = dot ? dot + 1 : name;
    const size_t bare_len = len - (size_t)(bare - name);
    for (uint32_t i = 0; i < import->table_count; i++) {
        const char *ours = import->tables[i].table->name;
        if (strlen(ours) == bare_len && memcmp(ours, bare, bare_len) == 0)
            return &import->tables[i];
    }
    return NULL;
}

static int row_parse(cp_import *import, cp_import_table *table, const char *text, size_t len,
                     bool best_effort, cp_row *row, cp_error *err)
{
    int rc = cp_row_begin(row, table->table, import->row_buffer, CP_MAX_ROW);
    row->best_effort = row->cuts_digits = best_effort;
    if (rc == CP_OK)
        rc = cp_json_row_parse(&table->json, text, len, row, err);
    return rc == CP_OK ? cp_row_end(row, err) : rc;
}

int cp_import_json(cp_import *import, cp_import_table *table, const char *text, size_t len, cp_row *row,
                   cp_error *err)
{
    int rc = CP_OK;
    if (!table->json_ready) {
        rc = cp_json_row_init(&table->json, table->table, import->skip_unknown, err);
        table->json.defaults_for_null = import->defaults_for_null;
        table->json.sized_digits = import->best_effort;
        table->json.adapts = import->best_effort;
        table->json_ready = rc == CP_OK;
    }
    if (rc == CP_OK)
        rc = row_parse(import, table, text, len, false, row, err);
    if (rc == CP_E_PARSE && import->best_effort &&
        row_parse(import, table, text, len, true, row, NULL) == CP_OK)
        rc = CP_OK; /* else the strict way's words, which say what to write */
    if (rc == CP_OK && row->used > table->row_max)
        rc = cp_error_set(err, CP_E_PARSE, "the row has %u bytes; the table takes %u (row_max)", row->used,
                          table->row_max);
    return rc == CP_OK || rc == CP_E_NOMEM ? rc : CP_E_PARSE;
}

static void nap(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / CP_NS_PER_S), .tv_nsec = (long)(ns % CP_NS_PER_S)};
    nanosleep(&time, NULL); /* a signal ends it early */
}

/* ---- what an import before this one left ----------------------------------------------------------------- */

/* What the user wants done with rows of which nobody knows whether they arrived; rc as it came, where it is another matter. */
static int doubt_settle(cp_import *import, cp_put_span *span, const cp_staged_rows *rows, int rc,
                        cp_error *err)
{
    if (rc != CP_E_UNSUPPORTED || import->in_doubt == CP_DOUBT_ASK)
        return rc;
    if (import->in_doubt == CP_DOUBT_PUT)
        return cp_staging_span_settle(&import->stage, span, rows, 0, err);
    import->dropped += rows->count;
    return cp_staging_span_finish(&import->stage, span, err);
}

static int span_resume(cp_import *import, cp_put_span *span, cp_error *err)
{
    cp_staged_rows rows = {0};
    size_t put = 0;
    int rc = cp_staging_load(&import->stage, span->table, span->schema_hash, span, SIZE_MAX >> 1, &rows, err);
    if (rc == CP_OK && span->settled) {
        rc = cp_put_span_is_safe(span, import->region_path, rows.count, err);
        put = rows.count;
    } else if (rc == CP_OK) {
        rc = cp_put_span_look(span, import->region_path, &rows, &put, err);
        if (rc == CP_OK)
            rc = cp_staging_span_settle(&import->stage, span, &rows, put, err);
    }
    if (rc >= 0)
        import->resumed += put;
    else
        rc = doubt_settle(import, span, &rows, rc, err);
    cp_staged_rows_free(&rows);
    return rc < 0 ? rc : CP_OK;
}

int cp_import_resume(cp_import *import, cp_error *err)
{
    cp_put_span *spans = NULL;
    int rc = CP_OK;
    const int count = cp_staging_spans(&import->stage, &spans, err);
    for (int i = 0; i < count && rc == CP_OK; i++)
        rc = span_resume(import, &spans[i], err);
    free(spans);
    return count < 0 ? count : rc;
}

/* ---- putting ------------------------------------------------------------------------------------------- */

static int row_put(cp_import *import, cp_producer *producer, const uint8_t *bytes, uint32_t size,
                   cp_error *err)
{
    const uint64_t begin = cp_boottime_ns();
    int rc = CP_E_TIMEOUT;
    while (rc == CP_E_TIMEOUT && !cp_import_stopped) {
        rc = cp_put_wait(producer->ring, bytes, size, SLICE_NS);
        if (rc == CP_E_TIMEOUT && cp_boottime_ns() - begin > import->timeout_ns)
            return cp_error_set(
                err, rc,
                "table %s: the ring is full and stayed so%s; what is staged stays in %s: run it again",
                producer->table,
                cp_region_recorder_alive(producer->region) ? "" : ": no recorder runs, start coldpathd",
                import->stage.path);
    }
    return rc < 0 && !cp_import_stopped && rc != CP_E_RETIRED
               ? cp_error_set(err, rc, "table %s: %s", producer->table, cp_strerror(rc))
               : rc;
}

/* Puts the rows of a span, which is settled in any case: by all of them, or as far as it came. */
static int span_put(cp_import *import, cp_producer *producer, cp_put_span *span, const cp_staged_rows *rows,
                    cp_error *err)
{
    size_t put = 0;
    int rc = CP_OK;
    while (put < rows->count && rc == CP_OK && !cp_import_stopped) {
        rc = row_put(import, producer, rows->bytes + rows->row[put].offset, rows->row[put].size, err);
        put += rc == CP_OK;
    }
    span->end = producer->ring->write;
    import->put += put;
    const int settled = cp_staging_span_settle(&import->stage, span, rows, put, err);
    return settled < 0 ? settled : rc;
}

/* One ring, as many spans as the table has rows for; a replaced region ends a span and begins another. */
static int table_put(cp_import *import, const char *table, uint64_t schema_hash, cp_staged_rows *rows,
                     cp_error *err)
{
    cp_producer producer = {.region_path = import->region_path,
                            .table = table,
                            .name = "coldpath-import",
                            .schema_hash = schema_hash};
    int rc = cp_producer_open(&producer, err);
    if (rc == CP_E_SCHEMA || rc == CP_E_ABSENT)
        cp_error_prefix(err, "rows that are staged in %s", import->stage.path);
    while (rc == CP_OK && !cp_import_stopped) {
        cp_put_span span = {0};
        rc = cp_staging_load(&import->stage, table, schema_hash, NULL, BATCH_ROWS, rows, err);
        if (rc < 0 || rows->count == 0)
            break;
        rc = cp_put_span_note(&span, import->region_path, table,
                              cp_producer_spans(&producer)[producer.span_count - 1].slot, err);
        if (rc == CP_OK && span.first != producer.ring->write)
            rc = CP_E_RETIRED; /* the region was replaced between attaching and looking */
        if (rc == CP_OK)
            rc = cp_staging_span_make(&import->stage, &span, rows, err);
        if (rc == CP_OK)
            rc = span_put(import, &producer, &span, rows, err);
        if (rc == CP_E_RETIRED)
            rc = cp_producer_reopen(&producer, (uint64_t)REOPEN_S * CP_NS_PER_S, &cp_import_stopped, err);
    }
    cp_producer_free(&producer);
    return cp_import_stopped && rc < 0 ? CP_OK : rc;
}

static int staged_put(cp_import *import, cp_error *err)
{
    char table[CP_MAX_NAME + 1];
    uint64_t schema_hash;
    cp_staged_rows rows = {0};
    int rc = CP_OK;
    int more = 1;
    while (rc == CP_OK && more == 1 && !cp_import_stopped) {
        more = cp_staging_next_table(&import->stage, table, &schema_hash, err);
        rc = more == 1 ? table_put(import, table, schema_hash, &rows, err) : more;
    }
    cp_staged_rows_free(&rows);
    return rc;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

/* Takes what is safe out of the stage: how many spans remain. */
static int spans_finish(cp_import *import, cp_error *err)
{
    cp_put_span *spans = NULL;
    int left = 0;
    int rc = CP_OK;
    const int count = cp_staging_spans(&import->stage, &spans, err);
    for (int i = 0; i < count && rc >= 0; i++) {
        rc = spans[i].settled ? cp_put_span_is_safe(&spans[i], import->region_path, 0, err) : 0;
        if (rc == 1)
            rc = cp_staging_span_finish(&import->stage, &spans[i], err);
        else if (rc == 0)
            left++;
    }
    free(spans);
    return count < 0 ? count : rc < 0 ? rc : left;
}

static int safe_wait(cp_import *import, cp_error *err)
{
    const uint64_t begin = cp_boottime_ns();
    int left;
    while ((left = spans_finish(import, err)) > 0 && !cp_import_stopped) {
        if (cp_boottime_ns() - begin > import->timeout_ns)
            return cp_error_set(
                err, CP_E_TIMEOUT,
                "every row is in a ring, but not all are safe yet%s; they stay in %s: run it again",
                cp_region_recorder_alive(import->region) ? "" : ": no recorder runs, start coldpathd",
                import->stage.path);
        nap(POLL_NS);
    }
    return left < 0 ? left : CP_OK;
}

/* Stages up to a batch: how many rows were seen. */
static int batch_fill(cp_import *import, const cp_import_source *source, cp_error *err)
{
    int seen = 0;
    while (seen < BATCH_ROWS && !cp_import_stopped) {
        const int rc = source->fill(source->self, import, BATCH_ROWS - seen, err);
        if (rc <= 0)
            return rc < 0 ? rc : seen;
        seen += rc;
    }
    return seen;
}

int cp_import_run(cp_import *import, const cp_import_source *source, bool follow, cp_error *err)
{
    while (!cp_import_stopped) {
        cp_error problem = {0};
        const int seen = batch_fill(import, source, &problem);
        int rc =
            staged_put(import, err); /* also when the source failed: what it gave before is not kept back */
        if (rc == CP_OK)
            rc = safe_wait(import, err);
        if (rc == CP_OK && seen < 0) {
            *err = problem;
            rc = seen;
        }
        if (rc < 0 || (seen == 0 && !follow))
            return rc;
        if (seen == 0)
            nap(FOLLOW_NS);
    }
    return CP_OK;
}
