/* A flusher with two endpoints, fake servers: where batches go when the first one is away, dies with a batch, refuses everything,
 * comes back; and that a batch which it may have stored goes to a replica of the same table, or waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_server.h"
#include "flush/flusher.h"
#include "row_maker.h"

#define DDL "CREATE TABLE quotes (id UInt32, name LowCardinality(String)) ENGINE = MergeTree ORDER BY id"

enum { WAIT_S = 20 };

static const cp_batch_policy eager = {
    .rows = 1, .max_rows = 100000, .bytes = 1 << 20, .max_bytes = 16 << 20, .interval_ns = 1000000};

typedef struct fixture {
    fake_server *first;
    fake_server *second;
    cp_flusher *flusher;
    cp_table *table;
    cp_sink_config config;
    uint64_t position;
    uint64_t made;
    atomic_ullong delivered; /* rows */
    atomic_ulong endpoint;   /* of the last intent */
    atomic_ulong group;
    atomic_ullong held;   /* rows: set aside, */
    atomic_ullong unheld; /*   and settled since */
    atomic_ullong shown;  /* of the first endpoint */
    atomic_uint first_health;
    atomic_bool second_chosen;
} fixture;

static void on_release(void *ctx, cp_chunk *chunk)
{
    (void)ctx;
    chunk_free(chunk);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    (void)ctx;
    (void)table;
    (void)attempt;
}

static bool on_prepare(void *ctx, uint32_t table, const cp_batch_intent *intent)
{
    fixture *f = ctx;
    (void)table;
    atomic_store(&f->endpoint, intent->endpoint);
    atomic_store(&f->group, intent->group);
    return true;
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    fixture *f = ctx;
    (void)table;
    for (uint32_t i = 0; i < batch->span_count; i++) {
        atomic_fetch_add(&f->delivered, batch->spans[i].rows - batch->spans[i].held);
        atomic_fetch_add(&f->held, batch->spans[i].held);
    }
}

static void on_unheld(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    fixture *f = ctx;
    (void)table;
    for (uint32_t i = 0; i < batch->span_count; i++)
        atomic_fetch_add(&f->unheld, batch->spans[i].rows);
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

static void on_endpoints(void *ctx, const cp_endpoint_view *views, uint32_t count)
{
    fixture *f = ctx;
    assert_int_equal(count, 2);
    assert_string_equal(views[0].url, fake_server_url(f->first));
    assert_true(views[0].chosen != views[1].chosen);
    assert_true((views[0].health == CP_ENDPOINT_DOWN) == (views[0].reason[0] != '\0'));
    atomic_store(&f->shown, views[0].held_rows);
    atomic_store(&f->first_health, (unsigned)views[0].health);
    atomic_store(&f->second_chosen, views[1].chosen);
}

static void on_held(void *ctx, const cp_span *span)
{
    (void)ctx;
    assert_int_equal(span->rows, 10);
}

static fixture *make(const fake_step *steps, unsigned count)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->first = fake_server_start(steps, count, "24.8.1.1", NULL);
    f->second = fake_server_start(NULL, 0, "24.8.1.1", NULL);
    f->config = (cp_sink_config){.url = fake_server_url(f->first),
                                 .others = {fake_server_url(f->second)},
                                 .failback_ns = 300 * CP_NS_PER_MS,
                                 .database = "market",
                                 .instance = "test:1",
                                 .connect_timeout_ms = 2000,
                                 .request_timeout_ms = 10000,
                                 .retry_min_ms = 20,
                                 .retry_max_ms = 200};
    return f;
}

static void start(fixture *f)
{
    cp_error err = {0};
    const cp_flush_events events = {.ctx = f,
                                    .prepare = on_prepare,
                                    .release = on_release,
                                    .attempt = on_attempt,
                                    .delivered = on_delivered,
                                    .unheld = on_unheld,
                                    .endpoints = on_endpoints,
                                    .progress = on_progress};
    if (cp_flusher_create(&f->flusher, &f->config, &events, &err) < 0 ||
        cp_table_parse(&f->table, NULL, DDL, strlen(DDL), &err) < 0 ||
        cp_flusher_add_table(f->flusher, f->table, &eager, 64, &err) < 0)
        fail_msg("%s", err.text);
    (void)cp_flusher_held(f->flusher, 0, on_held, f, &err);
    if (cp_flusher_start(f->flusher, -1, &err) < 0)
        fail_msg("%s", err.text);
}

static void end(fixture *f)
{
    cp_flusher_stop(f->flusher, cp_boottime_ns());
    cp_flusher_free(f->flusher);
    fake_server_stop(f->first);
    fake_server_stop(f->second);
    cp_table_free(f->table);
    free(f);
}

static void submit(fixture *f, uint32_t rows)
{
    cp_chunk *chunk = chunk_make(1 << 20, rows + 1, 3, 9, f->position);
    row_maker maker = {.table = f->table, .random = ++f->made, .distinct = 10, .longest = 100};
    for (uint32_t i = 0; i < rows; i++)
        assert_true(row_make(&maker, chunk));
    chunk->first_seen_ns = cp_boottime_ns();
    f->position = chunk->end;
    assert_true(cp_flusher_submit(f->flusher, 0, chunk));
    cp_flusher_wake(f->flusher);
}

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        const uint64_t deadline = cp_boottime_ns() + WAIT_S * (uint64_t)CP_NS_PER_S;                         \
        while (!(condition) && cp_boottime_ns() < deadline)                                                  \
            usleep(2000);                                                                                    \
        assert_true(condition);                                                                              \
    } while (0)

static void wait_delivered(fixture *f, uint64_t rows)
{
    WAIT_FOR(atomic_load(&f->delivered) >= rows);
    assert_int_equal(atomic_load(&f->delivered), rows);
}

/* Nothing was sent when the first one was found away: everything goes to the second, and back when the first has been up. */
static void test_away_and_back(void **state)
{
    (void)state;
    fixture *f = make(NULL, 0);
    fake_server_set_away(f->first, true);
    start(f);
    submit(f, 10);
    wait_delivered(f, 10);
    assert_int_equal(fake_server_inserts(f->first), 0);
    assert_int_equal(fake_server_inserts(f->second), 1);
    WAIT_FOR(atomic_load(&f->first_health) == CP_ENDPOINT_DOWN && atomic_load(&f->second_chosen));
    fake_server_set_away(f->first, false);
    WAIT_FOR(!atomic_load(&f->second_chosen));
    submit(f, 5);
    wait_delivered(f, 15);
    assert_int_equal(fake_server_inserts(f->first), 1);
    assert_int_equal(fake_server_inserts(f->second), 1);
    WAIT_FOR(atomic_load(&f->first_health) == CP_ENDPOINT_HEALTHY);
    end(f);
}

/* The first one takes a batch and dies. Its replica knows the token. */
static void test_a_replica_takes_over(void **state)
{
    (void)state;
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    fixture *f = make(dies, 1);
    fake_server_set_group(f->first, 7777);
    fake_server_set_group(f->second, 7777);
    start(f);
    submit(f, 10);
    wait_delivered(f, 10);
    const fake_insert before = fake_server_insert(f->first, 0);
    const fake_insert after = fake_server_insert(f->second, 0);
    assert_string_equal(before.token, after.token);
    assert_int_equal(before.body_hash, after.body_hash);
    assert_int_equal(atomic_load(&f->group), 7777);
    end(f);
}

/* The second one is no replica of it: the batch waits for the first, and goes there alone. */
static void waits(unsigned long group, unsigned long other)
{
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    fixture *f = make(dies, 1);
    fake_server_set_group(f->first, group);
    fake_server_set_group(f->second, other);
    start(f);
    submit(f, 10);
    WAIT_FOR(atomic_load(&f->second_chosen));
    assert_int_equal(atomic_load(&f->delivered), 0);
    fake_server_set_away(f->first, false);
    wait_delivered(f, 10);
    assert_int_equal(fake_server_inserts(f->first), 2);
    assert_int_equal(fake_server_inserts(f->second), 0);
    const fake_insert before = fake_server_insert(f->first, 0);
    const fake_insert after = fake_server_insert(f->first, 1);
    assert_string_equal(before.token, after.token);
    end(f);
}

static void test_a_stranger_does_not(void **state)
{
    (void)state;
    waits(0, 0);       /* two servers, each with a MergeTree of its own */
    waits(7777, 8888); /* replicated, but not with each other */
    waits(0, 7777);
}

/* An error that concerns all inserts: the batch goes to the second at once; though part of it may have been stored, to its replica. */
static void refuses_everything(const fake_step *step, unsigned long group)
{
    fixture *f = make(step, 1);
    fake_server_set_group(f->first, group);
    fake_server_set_group(f->second, group);
    start(f);
    submit(f, 10);
    wait_delivered(f, 10);
    assert_int_equal(fake_server_inserts(f->first), 1);
    assert_int_equal(fake_server_inserts(f->second), 1);
    const fake_insert refused = fake_server_insert(f->first, 0);
    const fake_insert taken = fake_server_insert(f->second, 0);
    assert_string_equal(refused.token, taken.token);
    WAIT_FOR(!atomic_load(&f->second_chosen)); /* it is tried again */
    submit(f, 10);
    wait_delivered(f, 20);
    assert_int_equal(fake_server_inserts(f->first), 2);
    end(f);
}

static void test_refuses_everything(void **state)
{
    (void)state;
    static const fake_step profile = {.act = FAKE_REPLY,
                                      .status = 500,
                                      .headers = "X-ClickHouse-Exception-Code: 164\r\n",
                                      .body =
                                          "Code: 164. DB::Exception: Cannot execute query in readonly mode"};
    static const fake_step replica = {.act = FAKE_REPLY,
                                      .status = 500,
                                      .headers = "X-ClickHouse-Exception-Code: 242\r\n",
                                      .body = "Code: 242. DB::Exception: Table is in readonly mode"};
    refuses_everything(&profile, 0);
    refuses_everything(&replica, 7777);
}

static void remove_all(const char *dir)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* The batch is set aside, and others do not wait with it: they go to the second endpoint. When the first answers, it gets its batch,
 * under the same token. restart: by another flusher, which finds it on disk. */
static void set_aside(bool restart)
{
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    assert_non_null(mkdtemp(dir));
    fixture *f = make(dies, 1);
    f->config.quarantine_dir = dir;
    f->config.quarantine_limit = 1 << 20;
    start(f);
    submit(f, 10);
    WAIT_FOR(atomic_load(&f->held) == 10);
    submit(f, 7);
    wait_delivered(f, 7);
    assert_int_equal(fake_server_inserts(f->second), 1);
    WAIT_FOR(atomic_load(&f->shown) == 10);
    cp_error err = {0};
    cp_sink_config without = f->config;
    without.url = fake_server_url(f->second);
    without.others[0] = NULL;
    assert_int_equal(cp_flusher_configure(f->flusher, &without, &eager, &err), CP_E_CONFIG);
    assert_non_null(strstr(err.text, fake_server_url(f->first)));
    if (restart) {
        cp_flusher_stop(f->flusher, cp_boottime_ns());
        cp_flusher_free(f->flusher);
        cp_table_free(f->table);
        start(f);
    }
    fake_server_set_away(f->first, false);
    WAIT_FOR(atomic_load(&f->unheld) == 10);
    WAIT_FOR(atomic_load(&f->shown) == 0);
    assert_int_equal(atomic_load(&f->delivered), 7);
    assert_int_equal(fake_server_inserts(f->first), 2);
    assert_int_equal(fake_server_inserts(f->second), 1);
    const fake_insert before = fake_server_insert(f->first, 0);
    const fake_insert after = fake_server_insert(f->first, 1);
    assert_string_equal(before.token, after.token);
    assert_int_equal(before.body_hash, after.body_hash); /* plain: the same rows */
    end(f);
    char held[64];
    snprintf(held, sizeof held, "%s/held", dir);
    assert_int_equal(rmdir(held), 0); /* nothing is left in it */
    remove_all(dir);
}

static void test_set_aside(void **state)
{
    (void)state;
    set_aside(false);
}

static void test_set_aside_and_restarted(void **state)
{
    (void)state;
    set_aside(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_away_and_back),       cmocka_unit_test(test_a_replica_takes_over),
        cmocka_unit_test(test_a_stranger_does_not), cmocka_unit_test(test_refuses_everything),
        cmocka_unit_test(test_set_aside),           cmocka_unit_test(test_set_aside_and_restarted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
