/* Ships random rows of given tables through the flusher, for test_ship.py, and says what became of them.
 *
 *     ship_rows URL USER ROWS CHUNK_ROWS PAUSE_US DDL…      password in $CP_TEST_PASSWORD
 *
 * Prints one line per table when all is delivered or nothing more will be in TIMEOUT_S seconds:
 *     table=NAME submitted=N delivered=N failed=N guarantee=N last_code=N */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "flush/flusher.h"
#include "row_maker.h"

enum { TABLES_MAX = 8, TIMEOUT_S = 60, CHUNK_BYTES = 512 * 1024, CHUNKS_ALIVE = 64 };

typedef struct ship {
    _Atomic uint32_t alive; /* chunks not yet released */
    _Atomic uint64_t delivered[TABLES_MAX];
    _Atomic uint64_t failed[TABLES_MAX];
    _Atomic int last_code[TABLES_MAX];
} ship;

static void on_release(void *ctx, cp_chunk *chunk)
{
    ship *s = ctx;
    chunk_free(chunk);
    atomic_fetch_sub(&s->alive, 1);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    ship *s = ctx;
    if (attempt->result == CP_ATTEMPT_OK)
        return;
    atomic_fetch_add(&s->failed[table], 1);
    atomic_store(&s->last_code[table], attempt->server_code);
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    ship *s = ctx;
    for (uint32_t i = 0; i < batch->span_count; i++)
        atomic_fetch_add(&s->delivered[table], batch->spans[i].rows);
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

static void submit(cp_flusher *flusher, ship *s, uint32_t table, row_maker *maker, uint64_t *position,
                   uint32_t rows)
{
    cp_chunk *chunk = chunk_make(CHUNK_BYTES, rows, 2, 77, *position);
    while (chunk->row_count < rows && row_make(maker, chunk))
        ;
    chunk->first_seen_ns = cp_boottime_ns();
    *position = chunk->end;
    atomic_fetch_add(&s->alive, 1);
    while (atomic_load(&s->alive) > CHUNKS_ALIVE || !cp_flusher_submit(flusher, table, chunk))
        usleep(1000);
}

/* The guarantee, which may be known only some milliseconds after the last row is in. */
static int guarantee_of(const cp_flusher *flusher, uint32_t table)
{
    for (unsigned i = 0; i < 500 && cp_flusher_guarantee(flusher, table) == CP_GUARANTEE_UNKNOWN; i++)
        usleep(10000);
    return (int)cp_flusher_guarantee(flusher, table);
}

static void fail_on(int rc, const cp_error *err)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* Says what became of each table's rows. True: all of them were delivered. */
static bool report(ship *s, const cp_flusher *flusher, cp_table *const *tables, const row_maker *makers,
                   uint32_t count)
{
    bool complete = true;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t delivered = atomic_load(&s->delivered[i]);
        complete = complete && delivered == makers[i].rows;
        printf("table=%s submitted=%lu delivered=%lu failed=%lu guarantee=%d last_code=%d\n", tables[i]->name,
               makers[i].rows, delivered, atomic_load(&s->failed[i]), guarantee_of(flusher, i),
               atomic_load(&s->last_code[i]));
    }
    return complete;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 6 + TABLES_MAX)
        return 64;
    const cp_sink_config config = {.url = argv[1],
                                   .user = argv[2],
                                   .password = getenv("CP_TEST_PASSWORD"),
                                   .instance = "ship:1",
                                   .compression = CP_COMPRESS_ZSTD,
                                   .compression_level = 1,
                                   .connect_timeout_ms = 1000,
                                   .request_timeout_ms = 20000,
                                   .retry_min_ms = 20,
                                   .retry_max_ms = 250};
    const cp_batch_policy policy = {
        .rows = 5000, .max_rows = 100000, .bytes = 4 << 20, .max_bytes = 32 << 20, .interval_ns = 100000000};
    const uint64_t rows = strtoull(argv[3], NULL, 10);
    const uint32_t chunk_rows = (uint32_t)strtoul(argv[4], NULL, 10);
    const unsigned pause_us = (unsigned)strtoul(argv[5], NULL, 10);
    const uint32_t count = (uint32_t)argc - 6;
    static ship s;
    cp_error err = {0};
    cp_flusher *flusher = NULL;
    cp_table *tables[TABLES_MAX];
    row_maker makers[TABLES_MAX];
    uint64_t positions[TABLES_MAX] = {0};
    const cp_flush_events events = {.ctx = &s,
                                    .release = on_release,
                                    .attempt = on_attempt,
                                    .delivered = on_delivered,
                                    .progress = on_progress};
    fail_on(cp_flusher_create(&flusher, &config, &events, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        fail_on(cp_table_load(&tables[i], argv[6 + i], &err), &err);
        fail_on(cp_flusher_add_table(flusher, tables[i], &policy, 128, &err), &err);
        makers[i] = (row_maker){.table = tables[i], .random = i, .distinct = 200, .longest = 40};
    }
    fail_on(cp_flusher_start(flusher, -1, &err), &err);
    for (uint64_t done = 0; done < rows; done += chunk_rows) {
        for (uint32_t i = 0; i < count; i++)
            submit(flusher, &s, i, &makers[i], &positions[i], chunk_rows);
        usleep(pause_us);
    }
    cp_flusher_set_urgent(flusher, true);
    const uint64_t deadline = cp_boottime_ns() + TIMEOUT_S * (uint64_t)CP_NS_PER_S;
    while (!cp_flusher_idle(flusher) && cp_boottime_ns() < deadline)
        usleep(2000);
    const bool complete = report(&s, flusher, tables, makers, count);
    cp_flusher_stop(flusher, cp_boottime_ns());
    cp_flusher_free(flusher);
    for (uint32_t i = 0; i < count; i++)
        cp_table_free(tables[i]);
    return complete ? 0 : 1;
}
