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

#include "fake_server.h"
#include "flush_fixture.h"

#define DDL "CREATE TABLE quotes (id UInt32, name LowCardinality(String)) ENGINE = MergeTree ORDER BY id"

typedef struct fixture {
    flush_fixture sends;
    fake_server *first;
    fake_server *second;
    atomic_ullong shown; /* held rows of the first endpoint */
    atomic_uint first_health;
    atomic_bool second_chosen;
} fixture;

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
    f->sends.config = (cp_sink_config){.url = fake_server_url(f->first),
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
    f->sends.endpoints = on_endpoints;
    f->sends.visit = on_held;
    flush_fixture_start(&f->sends, DDL);
}

static void end(fixture *f)
{
    flush_fixture_stop(&f->sends);
    fake_server_stop(f->first);
    fake_server_stop(f->second);
    free(f);
}

/* Nothing was sent when the first one was found away: everything goes to the second, and back when the first has been up. */
static void test_away_and_back(void **state)
{
    (void)state;
    fixture *f = make(NULL, 0);
    fake_server_set_away(f->first, true);
    start(f);
    flush_fixture_submit(&f->sends, 10);
    flush_wait_delivered(&f->sends, 10);
    assert_int_equal(fake_server_inserts(f->first), 0);
    assert_int_equal(fake_server_inserts(f->second), 1);
    FLUSH_WAIT_FOR(atomic_load(&f->first_health) == CP_ENDPOINT_DOWN && atomic_load(&f->second_chosen));
    fake_server_set_away(f->first, false);
    FLUSH_WAIT_FOR(!atomic_load(&f->second_chosen));
    flush_fixture_submit(&f->sends, 5);
    flush_wait_delivered(&f->sends, 15);
    assert_int_equal(fake_server_inserts(f->first), 1);
    assert_int_equal(fake_server_inserts(f->second), 1);
    FLUSH_WAIT_FOR(atomic_load(&f->first_health) == CP_ENDPOINT_HEALTHY);
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
    flush_fixture_submit(&f->sends, 10);
    flush_wait_delivered(&f->sends, 10);
    const fake_insert before = fake_server_insert(f->first, 0);
    const fake_insert after = fake_server_insert(f->second, 0);
    assert_string_equal(before.token, after.token);
    assert_int_equal(before.body_hash, after.body_hash);
    assert_int_equal(atomic_load(&f->sends.group), 7777);
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
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(atomic_load(&f->second_chosen));
    assert_int_equal(atomic_load(&f->sends.delivered), 0);
    fake_server_set_away(f->first, false);
    flush_wait_delivered(&f->sends, 10);
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
    flush_fixture_submit(&f->sends, 10);
    flush_wait_delivered(&f->sends, 10);
    assert_int_equal(fake_server_inserts(f->first), 1);
    assert_int_equal(fake_server_inserts(f->second), 1);
    const fake_insert refused = fake_server_insert(f->first, 0);
    const fake_insert taken = fake_server_insert(f->second, 0);
    assert_string_equal(refused.token, taken.token);
    FLUSH_WAIT_FOR(!atomic_load(&f->second_chosen)); /* it is tried again */
    flush_fixture_submit(&f->sends, 10);
    flush_wait_delivered(&f->sends, 20);
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

/* The batch is set aside, and others do not wait with it: they go to the second endpoint. When the first answers, it gets its batch,
 * under the same token. restart: by another flusher, which finds it on disk. */
static void set_aside(bool restart)
{
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    assert_non_null(mkdtemp(dir));
    fixture *f = make(dies, 1);
    f->sends.config.quarantine_dir = dir;
    f->sends.config.quarantine_limit = 1 << 20;
    start(f);
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.held) == 10);
    flush_fixture_submit(&f->sends, 7);
    flush_wait_delivered(&f->sends, 7);
    assert_int_equal(fake_server_inserts(f->second), 1);
    FLUSH_WAIT_FOR(atomic_load(&f->shown) == 10);
    cp_error err = {0};
    cp_sink_config without = f->sends.config;
    without.url = fake_server_url(f->second);
    without.others[0] = NULL;
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &without, &flush_eager, &err), CP_E_CONFIG);
    assert_non_null(strstr(err.text, fake_server_url(f->first)));
    if (restart) {
        flush_fixture_stop(&f->sends);
        start(f);
    }
    fake_server_set_away(f->first, false);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.unheld) == 10);
    FLUSH_WAIT_FOR(atomic_load(&f->shown) == 0);
    assert_int_equal(atomic_load(&f->sends.delivered), 7);
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
    flush_remove_all(dir);
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
