/* The next batch is made while the last one waits for its answer: when it is full, once, of the rows that it would have had anyway; and
 * it is forgotten when those are taken away. The server holds its answers back until the test lets them go; how often a batch is
 * encoded is counted by standing in for cp_native_encode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_server.h"
#include "flush/flusher.h"
#include "flush/native.h"
#include "row_maker.h"

enum { SPANS = 64, WAIT_S = 30, FULL = 30, REQUEST_MS = 120 * 1000 };

static atomic_uint encoded;

int __real_cp_native_encode(cp_native *native, cp_arena *arena, cp_chunk *const *chunks, uint32_t count,
                            uint64_t most, cp_native_block *block);
int __wrap_cp_native_encode(cp_native *native, cp_arena *arena, cp_chunk *const *chunks, uint32_t count,
                            uint64_t most, cp_native_block *block);

int __wrap_cp_native_encode(cp_native *native, cp_arena *arena, cp_chunk *const *chunks, uint32_t count,
                            uint64_t most, cp_native_block *block)
{
    atomic_fetch_add(&encoded, 1);
    return __real_cp_native_encode(native, arena, chunks, count, most, block);
}

typedef struct fixture {
    fake_server *server;
    cp_flusher *flusher;
    cp_table *table;
    uint64_t position;
    uint64_t random;
    cp_span spans[SPANS]; /* delivered; count says how many */
    atomic_uint count;
    atomic_uint released;
    atomic_uint queued;
    atomic_uint to_shed; /* chunks that are to be dropped from the queue's head */
} fixture;

static void on_release(void *ctx, cp_chunk *chunk)
{
    fixture *f = ctx;
    chunk_free(chunk);
    atomic_fetch_add(&f->released, 1);
}

static bool on_shed(void *ctx, uint32_t table, const cp_chunk *chunk)
{
    fixture *f = ctx;
    (void)table;
    (void)chunk;
    if (atomic_load(&f->to_shed) == 0)
        return false;
    atomic_fetch_sub(&f->to_shed, 1);
    return true;
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    (void)ctx;
    (void)table;
    (void)attempt;
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    fixture *f = ctx;
    (void)table;
    assert_int_equal(batch->span_count, 1);
    const unsigned at = atomic_load(&f->count);
    assert_true(at < SPANS);
    f->spans[at] = batch->spans[0];
    atomic_store(&f->count, at + 1);
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued, uint64_t oldest)
{
    fixture *f = ctx;
    (void)table;
    (void)in_flight;
    (void)oldest;
    atomic_store(&f->queued, (unsigned)queued);
}

static const fake_step hold[] = {
    {NULL, FAKE_HELD, 0, NULL, NULL}, {NULL, FAKE_HELD, 0, NULL, NULL}, {NULL, FAKE_HELD, 0, NULL, NULL}};

static fixture *setup(unsigned held)
{
    static const char ddl[] =
        "CREATE TABLE quotes (id UInt32, name LowCardinality(String)) ENGINE = MergeTree ORDER BY id";
    fixture *f = calloc(1, sizeof *f);
    cp_error err = {0};
    assert_non_null(f);
    f->random = 42;
    f->server = fake_server_start(hold, held, "24.8.1.1", NULL);
    const cp_sink_config config = {.url = fake_server_url(f->server),
                                   .instance = "test:1",
                                   .compression = CP_COMPRESS_ZSTD,
                                   .compression_level = 1,
                                   .connect_timeout_ms = REQUEST_MS,
                                   .request_timeout_ms = REQUEST_MS,
                                   .retry_min_ms = 10,
                                   .retry_max_ms = 40};
    const cp_flush_events events = {.ctx = f,
                                    .release = on_release,
                                    .shed = on_shed,
                                    .attempt = on_attempt,
                                    .delivered = on_delivered,
                                    .progress = on_progress};
    const cp_batch_policy policy = {
        .rows = 1, .max_rows = FULL, .bytes = 1 << 20, .max_bytes = 16 << 20, .interval_ns = 1000000};
    if (cp_table_parse(&f->table, NULL, ddl, strlen(ddl), &err) < 0 ||
        cp_flusher_create(&f->flusher, &config, &events, &err) < 0 ||
        cp_flusher_add_table(f->flusher, f->table, &policy, 64, &err) < 0 ||
        cp_flusher_start(f->flusher, -1, &err) < 0)
        fail_msg("%s", err.text);
    atomic_store(&encoded, 0);
    return f;
}

static void teardown(fixture *f)
{
    cp_flusher_stop(f->flusher, cp_boottime_ns());
    cp_flusher_free(f->flusher);
    fake_server_stop(f->server);
    cp_table_free(f->table);
    free(f);
}

/* Returns where the rows begin. */
static uint64_t submit(fixture *f, uint32_t rows)
{
    const uint64_t begin = f->position;
    cp_chunk *chunk = chunk_make(1 << 16, rows + 1, 3, 9, begin);
    row_maker maker = {.table = f->table, .random = f->random++, .distinct = 10, .longest = 100};
    for (uint32_t i = 0; i < rows; i++)
        assert_true(row_make(&maker, chunk));
    chunk->first_seen_ns = cp_boottime_ns();
    f->position = chunk->end;
    assert_true(cp_flusher_submit(f->flusher, 0, chunk));
    cp_flusher_wake(f->flusher);
    return begin;
}

static void wait_for(const char *what, const atomic_uint *value, unsigned wanted)
{
    const uint64_t deadline = cp_boottime_ns() + WAIT_S * (uint64_t)CP_NS_PER_S;
    while (atomic_load(value) != wanted) {
        if (cp_boottime_ns() > deadline)
            fail_msg("%s: %u instead of %u", what, atomic_load(value), wanted);
        usleep(1000);
    }
}

static void wait_inserts(fixture *f, unsigned wanted)
{
    const uint64_t deadline = cp_boottime_ns() + WAIT_S * (uint64_t)CP_NS_PER_S;
    while (fake_server_inserts(f->server) < wanted && cp_boottime_ns() < deadline)
        usleep(1000);
    assert_int_equal(fake_server_inserts(f->server), wanted);
}

/* Ten rows are on their way, and their answer is held back. */
static void send_first(fixture *f)
{
    submit(f, 10);
    wait_inserts(f, 1);
    assert_int_equal(atomic_load(&encoded), 1);
}

static void assert_span(const fixture *f, unsigned index, uint64_t begin, uint64_t end, uint32_t rows)
{
    assert_int_equal(f->spans[index].begin, begin);
    assert_int_equal(f->spans[index].end, end);
    assert_int_equal(f->spans[index].rows, rows);
}

static void test_made_once(void **state)
{
    (void)state;
    fixture *f = setup(3);
    send_first(f);
    const uint64_t second = submit(f, 10);
    wait_for("queued", &f->queued, 10);
    submit(f, 10);
    wait_for("queued", &f->queued, 20); /* by now it has decided not to make one of ten */
    assert_int_equal(atomic_load(&encoded), 1);
    submit(f, 10);
    wait_for("encoded", &encoded, 2);
    assert_int_equal(fake_server_inserts(f->server), 1);
    const uint64_t third = submit(f, FULL);
    fake_server_let_go(f->server);
    wait_for("encoded", &encoded, 3); /* the third, while the second waits: in the memory of the first */
    wait_inserts(f, 2);
    assert_int_equal(atomic_load(&f->count), 1);
    const uint64_t fourth = submit(f, 1);
    fake_server_let_go(f->server);
    fake_server_let_go(f->server);
    wait_for("delivered", &f->count, 4);
    wait_for("released", &f->released, 6);
    assert_span(f, 1, second, third, FULL);
    assert_span(f, 2, third, fourth, FULL);
    assert_span(f, 3, fourth, f->position, 1);
    assert_int_equal(atomic_load(&encoded), 4);
    for (unsigned i = 1; i < 4; i++)
        assert_string_not_equal(fake_server_insert(f->server, i - 1).token,
                                fake_server_insert(f->server, i).token);
    teardown(f);
}

static void test_shed(void **state)
{
    (void)state;
    fixture *f = setup(1);
    send_first(f);
    submit(f, 10);
    const uint64_t kept = submit(f, 20);
    wait_for("encoded", &encoded, 2);
    atomic_store(&f->to_shed, 1);
    cp_flusher_wake(f->flusher);
    wait_for("released", &f->released, 1);
    const uint64_t last = submit(f, 10);
    wait_for("encoded", &encoded, 3);
    assert_int_equal(fake_server_inserts(f->server), 1);
    submit(f, 1);
    fake_server_let_go(f->server);
    wait_for("delivered", &f->count, 3);
    assert_true(last > kept);
    assert_int_equal(f->spans[1].begin, kept);
    assert_int_equal(f->spans[1].rows, FULL);
    assert_int_equal(f->spans[2].end, f->position);
    teardown(f);
}

/* Neither its rows nor its memory are lost when the flusher stops with a batch made. */
static void test_stop(void **state)
{
    (void)state;
    fixture *f = setup(1);
    send_first(f);
    submit(f, FULL);
    wait_for("encoded", &encoded, 2);
    cp_flusher_stop(f->flusher, cp_boottime_ns());
    assert_int_equal(atomic_load(&f->released), 2);
    assert_int_equal(atomic_load(&f->count), 0);
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once),
        cmocka_unit_test(test_shed),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
