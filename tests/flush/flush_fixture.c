#include "flush_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "row_maker.h"

enum { QUEUE = 64, LONGEST = 100, CHUNK_BYTES = 1 << 20 };

const cp_batch_policy flush_eager = {
    .rows = 1, .max_rows = 100000, .bytes = 1 << 20, .max_bytes = 16 << 20, .interval_ns = 1000000};

static void on_release(void *ctx, cp_chunk *chunk)
{
    (void)ctx;
    chunk_free(chunk);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    flush_fixture *f = ctx;
    (void)table;
    atomic_fetch_add(&f->attempts, 1);
    atomic_fetch_add(&f->parked, attempt->parked);
}

static bool on_prepare(void *ctx, uint32_t table, const cp_batch_intent *intent)
{
    flush_fixture *f = ctx;
    (void)table;
    atomic_store(&f->endpoint, intent->endpoint);
    atomic_store(&f->group, intent->group);
    return true;
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    flush_fixture *f = ctx;
    (void)table;
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const cp_span *span = &batch->spans[i];
        atomic_fetch_add(&f->quarantined, span->quarantined);
        atomic_fetch_add(&f->held, span->held);
        atomic_fetch_add(&f->delivered, span->rows - span->quarantined - span->held);
    }
    atomic_fetch_add(&f->batches, 1);
}

static void on_unheld(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    flush_fixture *f = ctx;
    (void)table;
    for (uint32_t i = 0; i < batch->span_count; i++)
        atomic_fetch_add(&f->unheld, batch->spans[i].rows);
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued, uint64_t oldest_ns)
{
    (void)ctx;
    (void)table;
    (void)in_flight;
    (void)queued;
    (void)oldest_ns;
}

static void visit_nothing(void *ctx, const cp_span *span, bool settled)
{
    (void)ctx;
    (void)settled;
    (void)span;
}

cp_table *flush_table_parse(const char *ddl)
{
    cp_table *table = NULL;
    cp_error err = {0};
    if (cp_table_parse(&table, NULL, ddl, strlen(ddl), &err) < 0)
        fail_msg("%s", err.text);
    return table;
}

int flush_fixture_try(flush_fixture *f, cp_error *err)
{
    const cp_flush_events events = {.ctx = f,
                                    .prepare = on_prepare,
                                    .release = on_release,
                                    .attempt = on_attempt,
                                    .delivered = on_delivered,
                                    .unheld = on_unheld,
                                    .endpoints = f->endpoints,
                                    .progress = on_progress};
    f->flusher = NULL;
    int rc = cp_flusher_create(&f->flusher, &f->config, &events, err);
    if (rc == CP_OK)
        rc = cp_flusher_add_table(f->flusher, f->table, &flush_eager, QUEUE, err);
    if (rc == CP_OK) {
        cp_error early;
        (void)cp_flusher_held(f->flusher, 0, f->visit ? f->visit : visit_nothing, f, &early);
        assert_int_equal(cp_flusher_configure(f->flusher, &f->config, &flush_eager, &early), CP_E_INVAL);
        rc = cp_flusher_start(f->flusher, -1, err);
    }
    if (rc < 0)
        cp_flusher_free(f->flusher);
    return rc;
}

void flush_fixture_start(flush_fixture *f, const char *ddl)
{
    cp_error err = {0};
    f->table = flush_table_parse(ddl);
    if (flush_fixture_try(f, &err) < 0)
        fail_msg("%s", err.text);
}

void flush_fixture_stop(flush_fixture *f)
{
    cp_flusher_stop(f->flusher, cp_boottime_ns());
    cp_flusher_free(f->flusher);
    cp_table_free(f->table);
}

cp_chunk *flush_fixture_chunk(flush_fixture *f, uint32_t rows)
{
    cp_chunk *chunk = chunk_make(CHUNK_BYTES, rows + 1, 3, 9, f->position);
    row_maker maker = {.table = f->table, .random = ++f->made, .distinct = 10, .longest = LONGEST};
    for (uint32_t i = 0; i < rows; i++)
        assert_true(row_make(&maker, chunk));
    f->position = chunk->end;
    return chunk;
}

void flush_fixture_give(flush_fixture *f, cp_chunk *chunk)
{
    chunk->first_seen_ns = cp_boottime_ns();
    assert_true(cp_flusher_submit(f->flusher, 0, chunk));
    cp_flusher_wake(f->flusher);
}

void flush_fixture_submit(flush_fixture *f, uint32_t rows)
{
    flush_fixture_give(f, flush_fixture_chunk(f, rows));
}

void flush_remove_all(const char *dir)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

void flush_wait_delivered(flush_fixture *f, uint64_t rows)
{
    FLUSH_WAIT_FOR(atomic_load(&f->delivered) >= rows);
    assert_int_equal(atomic_load(&f->delivered), rows);
}
