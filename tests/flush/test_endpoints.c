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
#include <sys/stat.h>
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
    atomic_uint second_health;
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
    atomic_store(&f->second_health, (unsigned)views[1].health);
    atomic_store(&f->second_chosen, views[1].chosen);
}

static void on_held(void *ctx, const cp_span *span, bool settled)
{
    (void)ctx;
    assert_false(settled);
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
static void waits(fake_act end_of_first, unsigned long group, unsigned long other)
{
    const fake_step dies[] = {{.act = end_of_first}};
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
    waits(FAKE_DIES, 0, 0);       /* two servers, each with a MergeTree of its own */
    waits(FAKE_DIES, 7777, 8888); /* replicated, but not with each other */
    waits(FAKE_DIES, 0, 7777);
}

/* libcurl sends a request once more by itself when a kept connection ends without an answer, and says how that went: refused, though the
 * whole batch had gone out before. */
static void test_killed_with_a_batch(void **state)
{
    (void)state;
    waits(FAKE_KILLED, 0, 0);
}

/* An error that concerns all inserts: the batch goes to the second at once; though part of it may have been stored, to its replica. */
static void refuses_everything(const fake_step *step, unsigned long group)
{
    fixture *f = make(step, 1);
    fake_server_set_group(f->first, group);
    fake_server_set_group(f->second, group);
    start(f);
    FLUSH_WAIT_FOR(atomic_load(&f->second_health) ==
                   CP_ENDPOINT_HEALTHY); /* or there is nowhere else to go */
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

/* Begins with a quarantine directory of its own, and the second endpoint taking over when the first dies. */
static fixture *make_with_dir(const fake_step *steps, unsigned count, char *dir, uint64_t limit)
{
    assert_non_null(mkdtemp(dir));
    fixture *f = make(steps, count);
    f->sends.config.quarantine_dir = dir;
    f->sends.config.quarantine_limit = limit;
    return f;
}

/* The batch is set aside, and others do not wait with it: they go to the second endpoint. When the first answers, it gets its batch,
 * under the same token. restart: by another flusher, which finds it on disk. */
static void set_aside(bool restart)
{
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    fixture *f = make_with_dir(dies, 1, dir, 1 << 20);
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

/* There is no room to set it aside: it waits, and its table with it, until there is. */
static void test_no_room(void **state)
{
    (void)state;
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    fixture *f = make_with_dir(dies, 1, dir, 1024);
    start(f);
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(atomic_load(&f->second_chosen));
    flush_fixture_submit(&f->sends, 7);
    fake_server_set_away(f->first, false);
    flush_wait_delivered(&f->sends, 17);
    assert_int_equal(atomic_load(&f->sends.held), 0);
    assert_int_equal(fake_server_inserts(f->second) + fake_server_inserts(f->first), 3);
    assert_string_equal(fake_server_insert(f->first, 0).token, fake_server_insert(f->first, 1).token);
    end(f);
    flush_remove_all(dir);
}

/* A reload leaves the first one out while a batch is on its way there, which is never answered. It is set aside, and waits for the
 * first, though nothing else is left to be done there and only one endpoint is configured. */
static void test_set_aside_for_one_left_out(void **state)
{
    (void)state;
    static const fake_step held[] = {{.act = FAKE_HELD}};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    fixture *f = make_with_dir(held, 1, dir, 1 << 20);
    flush_fixture_start(&f->sends, DDL);
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(fake_server_inserts(f->first) == 1);
    cp_error err = {0};
    cp_sink_config without = f->sends.config;
    without.url = fake_server_url(f->second);
    without.others[0] = NULL;
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &without, &flush_eager, &err), CP_OK);
    fake_server_set_away(f->first, true);
    fake_server_let_go(f->first);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.held) == 10);
    flush_fixture_submit(&f->sends, 7);
    flush_wait_delivered(&f->sends, 7);
    fake_server_set_away(f->first, false);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.unheld) == 10);
    assert_int_equal(fake_server_inserts(f->second), 1);
    const unsigned last = fake_server_inserts(f->first) - 1;
    assert_string_equal(fake_server_insert(f->first, 0).token, fake_server_insert(f->first, last).token);
    end(f);
    flush_remove_all(dir);
}

static void file_touch(const char *dir, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void assert_there(const char *dir, const char *name, bool there)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(access(path, F_OK) == 0, there);
}

/* What a kill left half written goes at the start; what is not this table's, or no such file, stays. */
static void test_half_written(void **state)
{
    (void)state;
    static const char *const others[] = {"quotes.0123456789abcdef.held.newer",
                                         "quotes.b.123456789abcdef.held.new",
                                         "trades.0123456789abcdef.held.new", "quotes.held.new", "quotes."};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    char held[64];
    fixture *f = make_with_dir(NULL, 0, dir, 1 << 20);
    snprintf(held, sizeof held, "%s/held", dir);
    assert_int_equal(mkdir(held, 0700), 0);
    file_touch(held, "quotes.0123456789abcdef.held.new");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        file_touch(held, others[i]);
    start(f);
    assert_there(held, "quotes.0123456789abcdef.held.new", false);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_there(held, others[i], true);
    end(f);
    flush_remove_all(dir);
}

/* A batch goes in pieces, and its endpoint dies with the second of them: what is not settled is set aside, and goes on where it was,
 * under the tokens that it would have had. */
static void pieces_set_aside(bool restart)
{
    static const fake_step steps[] = {{.act = FAKE_REPLY,
                                       .status = 500,
                                       .headers = "X-ClickHouse-Exception-Code: 469\r\n",
                                       .body = "Code: 469. DB::Exception: Constraint `sound` is violated."},
                                      {.act = FAKE_OK},
                                      {.act = FAKE_DIES}};
    static const char *const tails[] = {"", "%2F0-5", "%2F5-3", "%2F5-3", "%2F8-2"};
    char dir[] = "/tmp/coldpath-held-XXXXXX";
    fixture *f = make_with_dir(steps, 3, dir, 1 << 20);
    start(f);
    f->sends.visit = NULL; /* of the rest */
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.batches) == 1);
    assert_int_equal(atomic_load(&f->sends.held), 5);
    assert_int_equal(atomic_load(&f->sends.delivered), 5);
    flush_fixture_submit(&f->sends, 7);
    flush_wait_delivered(&f->sends, 12);
    if (restart) {
        flush_fixture_stop(&f->sends);
        flush_fixture_start(&f->sends, DDL);
    }
    fake_server_set_away(f->first, false);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.unheld) == 5);
    assert_int_equal(fake_server_inserts(f->second), 1);
    assert_int_equal(fake_server_inserts(f->first), 5);
    const fake_insert whole = fake_server_insert(f->first, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_string_equal(fake_server_insert(f->first, i).token + strlen(whole.token), tails[i]);
    assert_int_equal(fake_server_insert(f->first, 2).body_hash, fake_server_insert(f->first, 3).body_hash);
    end(f);
    flush_remove_all(dir);
}

static void test_pieces_set_aside(void **state)
{
    (void)state;
    pieces_set_aside(false);
    pieces_set_aside(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_away_and_back),
        cmocka_unit_test(test_a_replica_takes_over),
        cmocka_unit_test(test_a_stranger_does_not),
        cmocka_unit_test(test_killed_with_a_batch),
        cmocka_unit_test(test_refuses_everything),
        cmocka_unit_test(test_set_aside),
        cmocka_unit_test(test_set_aside_and_restarted),
        cmocka_unit_test(test_set_aside_for_one_left_out),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_half_written),
        cmocka_unit_test(test_pieces_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
