/* A flusher that runs is given another configuration: what was under way ends as it began, the next goes where and as the new one
 * says, and a configuration that cannot be taken changes nothing. Two fake servers, one table. */
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

enum { WAIT_S = 20, REQUEST_MS = 1500 };

static const cp_batch_policy eager = {
    .rows = 1, .max_rows = 100000, .bytes = 1 << 20, .max_bytes = 16 << 20, .interval_ns = 1000000};

typedef struct fixture {
    fake_server *old;
    fake_server *new;
    cp_flusher *flusher;
    cp_table *table;
    cp_sink_config config;
    uint64_t position;
    uint64_t made;
    atomic_ullong delivered; /* rows */
    atomic_uint attempts;
} fixture;

static void on_release(void *ctx, cp_chunk *chunk)
{
    (void)ctx;
    chunk_free(chunk);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    fixture *f = ctx;
    (void)table;
    (void)attempt;
    atomic_fetch_add(&f->attempts, 1);
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    fixture *f = ctx;
    (void)table;
    for (uint32_t i = 0; i < batch->span_count; i++)
        atomic_fetch_add(&f->delivered, batch->spans[i].rows);
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

static fixture *start(const fake_step *steps, unsigned count)
{
    fixture *f = calloc(1, sizeof *f);
    cp_error err = {0};
    assert_non_null(f);
    f->old = fake_server_start(steps, count, "24.8.1.1", NULL);
    f->new = fake_server_start(NULL, 0, "24.8.1.1", NULL);
    f->config = (cp_sink_config){.url = fake_server_url(f->old),
                                 .user = "writer",
                                 .password = "secret",
                                 .database = "market",
                                 .instance = "test:1",
                                 .compression = CP_COMPRESS_ZSTD,
                                 .compression_level = 1,
                                 .connect_timeout_ms = 500,
                                 .request_timeout_ms = REQUEST_MS,
                                 .retry_min_ms = 10,
                                 .retry_max_ms = 60000};
    const cp_flush_events events = {.ctx = f,
                                    .release = on_release,
                                    .attempt = on_attempt,
                                    .delivered = on_delivered,
                                    .progress = on_progress};
    if (cp_flusher_create(&f->flusher, &f->config, &events, &err) < 0 ||
        cp_table_parse(&f->table, NULL, DDL, strlen(DDL), &err) < 0 ||
        cp_flusher_add_table(f->flusher, f->table, &eager, 64, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(cp_flusher_configure(f->flusher, &f->config, &eager, &err), CP_E_INVAL); /* too early */
    assert_int_equal(cp_flusher_start(f->flusher, -1, &err), CP_OK);
    return f;
}

static void end(fixture *f)
{
    cp_flusher_stop(f->flusher, cp_boottime_ns());
    cp_flusher_free(f->flusher);
    fake_server_stop(f->old);
    fake_server_stop(f->new);
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

static void wait_delivered(fixture *f, uint64_t rows)
{
    const uint64_t deadline = cp_boottime_ns() + WAIT_S * (uint64_t)CP_NS_PER_S;
    while (atomic_load(&f->delivered) < rows && cp_boottime_ns() < deadline)
        usleep(2000);
    assert_int_equal(atomic_load(&f->delivered), rows);
}

static cp_sink_config moved(const fixture *f)
{
    cp_sink_config config = f->config;
    config.url = fake_server_url(f->new);
    config.user = "other";
    config.password = "word";
    config.compression = CP_COMPRESS_NONE;
    return config;
}

static void test_to_another_server(void **state)
{
    (void)state;
    fixture *f = start(NULL, 0);
    cp_error err = {0};
    submit(f, 10);
    wait_delivered(f, 10);
    const cp_sink_config config = moved(f);
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_OK);
    submit(f, 20);
    wait_delivered(f, 30);
    assert_int_equal(fake_server_inserts(f->old), 1);
    assert_int_equal(fake_server_inserts(f->new), 1);
    const fake_insert before = fake_server_insert(f->old, 0);
    const fake_insert after = fake_server_insert(f->new, 0);
    assert_string_equal(before.user, "writer");
    assert_string_equal(before.key, "secret");
    assert_true(before.zstd);
    assert_string_equal(after.user, "other");
    assert_string_equal(after.key, "word");
    assert_false(after.zstd);
    assert_non_null(strstr(after.target, "database=market"));
    assert_int_equal(cp_flusher_configure(f->flusher, &f->config, &eager, &err), CP_OK); /* and back */
    submit(f, 5);
    wait_delivered(f, 35);
    assert_int_equal(fake_server_inserts(f->old), 2);
    assert_string_equal(fake_server_insert(f->old, 1).key, "secret");
    end(f);
}

/* The old server has taken a batch and does not answer: it is not cut off, nor waited for by the reload. It may have stored the
 * batch, which therefore goes to the new one only when the old one is said not to come back. */
static void test_under_way(void **state)
{
    (void)state;
    static const fake_step silent[] = {{.act = FAKE_SILENT}};
    fixture *f = start(silent, 1);
    cp_error err = {0};
    submit(f, 10);
    while (fake_server_inserts(f->old) == 0)
        usleep(1000);
    const uint64_t begin = cp_boottime_ns();
    cp_sink_config config = moved(f);
    config.abandoned[0] = fake_server_url(f->old);
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_OK);
    assert_true(cp_boottime_ns() - begin < REQUEST_MS * (uint64_t)CP_NS_PER_MS / 2);
    wait_delivered(f, 10);
    assert_true(cp_boottime_ns() - begin > REQUEST_MS * (uint64_t)CP_NS_PER_MS / 2);
    assert_int_equal(fake_server_inserts(f->old), 1);
    assert_int_equal(fake_server_inserts(f->new), 1);
    assert_string_equal(fake_server_insert(f->old, 0).token, fake_server_insert(f->new, 0).token);
    assert_int_equal(fake_server_insert(f->old, 0).body_hash, fake_server_insert(f->new, 0).body_hash);
    end(f);
}

/* A batch that may have been stored at an endpoint keeps it: a configuration without it is refused, and says what to do. */
static void test_in_doubt(void **state)
{
    (void)state;
    static const fake_step silent[] = {{.act = FAKE_SILENT}};
    fixture *f = start(silent, 1);
    cp_error err = {0};
    cp_sink_config config = f->config;
    config.retry_min_ms = 60000; /* it is not sent again meanwhile */
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_OK);
    submit(f, 10);
    const uint64_t deadline = cp_boottime_ns() + WAIT_S * (uint64_t)CP_NS_PER_S;
    while (atomic_load(&f->attempts) == 0 && cp_boottime_ns() < deadline)
        usleep(1000);
    const cp_sink_config other = moved(f);
    assert_int_equal(cp_flusher_configure(f->flusher, &other, &eager, &err), CP_E_CONFIG);
    assert_non_null(strstr(err.text, fake_server_url(f->old)));
    assert_non_null(strstr(err.text, "clickhouse.abandoned"));
    config.others[0] = fake_server_url(f->new); /* another one beside it is no trouble */
    config.password = "mended";
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_OK);
    wait_delivered(f, 10); /* where it was sent */
    assert_int_equal(fake_server_inserts(f->old), 2);
    assert_int_equal(fake_server_inserts(f->new), 0);
    end(f);
}

/* A batch waits out a long pause after a refusal: another password ends the pause. */
static void test_a_pause_ends(void **state)
{
    (void)state;
    static const fake_step refused[] = {
        {.act = FAKE_REPLY,
         .status = 403,
         .headers = "X-ClickHouse-Exception-Code: 516\r\n",
         .body = "Code: 516. DB::Exception: writer: Authentication failed"},
    };
    fixture *f = start(refused, 1);
    cp_error err = {0};
    cp_sink_config config = f->config;
    config.retry_min_ms = 60000; /* from here on every pause is a minute */
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_OK);
    submit(f, 10);
    while (fake_server_inserts(f->old) == 0)
        usleep(1000);
    usleep(200000);
    assert_int_equal(fake_server_inserts(f->old), 1);
    config.password = "right";
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_OK);
    wait_delivered(f, 10);
    assert_string_equal(fake_server_insert(f->old, 1).key, "right");
    end(f);
}

static void test_refused(void **state)
{
    (void)state;
    static char long_word[2000];
    memset(long_word, 'x', sizeof long_word - 1);
    fixture *f = start(NULL, 0);
    cp_error err = {0};
    cp_sink_config config = moved(f);
    config.url = "ftp://nowhere";
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_E_INVAL);
    config = moved(f);
    config.password = long_word;
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &eager, &err), CP_E_NOMEM);
    config = moved(f);
    cp_batch_policy large = eager;
    large.max_bytes++;
    assert_int_equal(cp_flusher_configure(f->flusher, &config, &large, &err), CP_E_INVAL);
    submit(f, 10);
    wait_delivered(f, 10);
    assert_int_equal(fake_server_inserts(f->old), 1);
    assert_string_equal(fake_server_insert(f->old, 0).user, "writer");
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_another_server), cmocka_unit_test(test_under_way),
        cmocka_unit_test(test_in_doubt),          cmocka_unit_test(test_a_pause_ends),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
