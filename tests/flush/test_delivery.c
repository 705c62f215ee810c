/* Delivery against a server that misbehaves by script: what is sent again, when it counts as delivered, and that one
 * table's trouble is its own. */
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
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_server.h"
#include "flush/flusher.h"
#include "flush/query.h"
#include "row_maker.h"

enum { TABLES = 2, SPANS = 1024, ATTEMPTS = 1024, WAIT_S = 20 };

/* Everything the events said. */
typedef struct record {
    pthread_mutex_t lock;
    unsigned span_count[TABLES];
    cp_span spans[TABLES][SPANS];
    unsigned attempt_count;
    cp_attempt attempts[ATTEMPTS];
    char texts[ATTEMPTS][128];
    unsigned released;
    uint64_t in_flight;
    uint64_t queued;
} record;

typedef struct fixture {
    record rec;
    fake_server *server;
    cp_flusher *flusher;
    cp_table *tables[TABLES];
    uint64_t position[TABLES];
    uint64_t random;
} fixture;

static void on_release(void *ctx, cp_chunk *chunk)
{
    record *rec = ctx;
    pthread_mutex_lock(&rec->lock);
    rec->released++;
    pthread_mutex_unlock(&rec->lock);
    chunk_free(chunk);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    (void)table;
    record *rec = ctx;
    pthread_mutex_lock(&rec->lock);
    if (rec->attempt_count < ATTEMPTS) {
        rec->attempts[rec->attempt_count] = *attempt;
        snprintf(rec->texts[rec->attempt_count], sizeof rec->texts[0], "%s", attempt->text);
        rec->attempt_count++;
    }
    pthread_mutex_unlock(&rec->lock);
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    record *rec = ctx;
    pthread_mutex_lock(&rec->lock);
    for (uint32_t i = 0; i < batch->span_count && rec->span_count[table] < SPANS; i++)
        rec->spans[table][rec->span_count[table]++] = batch->spans[i];
    pthread_mutex_unlock(&rec->lock);
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued,
                        uint64_t oldest_seen_ns)
{
    (void)table;
    (void)oldest_seen_ns;
    record *rec = ctx;
    pthread_mutex_lock(&rec->lock);
    rec->in_flight = in_flight;
    rec->queued = queued;
    pthread_mutex_unlock(&rec->lock);
}

static cp_table *table_parse(const char *name)
{
    char ddl[256];
    cp_table *table = NULL;
    cp_error err = {0};
    snprintf(ddl, sizeof ddl,
             "CREATE TABLE %s (id UInt32, price Float64, name LowCardinality(String), note Nullable(String)) "
             "ENGINE = "
             "MergeTree ORDER BY id",
             name);
    if (cp_table_parse(&table, NULL, ddl, strlen(ddl), &err) < 0)
        fail_msg("%s", err.text);
    return table;
}

static void start(fixture *f, const char *url, uint32_t request_timeout_ms, const cp_batch_policy *policy)
{
    const cp_sink_config config = {
        .url = url,
        .user = "writer",
        .password = "secret",
        .database = "market",
        .instance = "test:1",
        .compression = CP_COMPRESS_ZSTD,
        .compression_level = 1,
        .connect_timeout_ms = 500,
        .request_timeout_ms = request_timeout_ms,
        .retry_min_ms = 10,
        .retry_max_ms = 40,
    };
    const cp_flush_events events = {.ctx = &f->rec,
                                    .release = on_release,
                                    .attempt = on_attempt,
                                    .delivered = on_delivered,
                                    .progress = on_progress};
    static const char *const names[TABLES] = {"quotes", "trades"};
    cp_error err = {0};
    if (cp_flusher_create(&f->flusher, &config, &events, &err) < 0)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < TABLES; i++) {
        f->tables[i] = table_parse(names[i]);
        assert_int_equal(cp_flusher_add_table(f->flusher, f->tables[i], policy, 64, &err), (int)CP_OK);
    }
    assert_int_equal(cp_flusher_start(f->flusher, -1, &err), CP_OK);
}

static const cp_batch_policy eager = {
    .rows = 1, .max_rows = 100000, .bytes = 1 << 20, .max_bytes = 16 << 20, .interval_ns = 1000000};

static fixture *setup(const fake_step *steps, unsigned count, uint32_t request_timeout_ms)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pthread_mutex_init(&f->rec.lock, NULL);
    f->random = 42;
    f->server = fake_server_start(steps, count, "24.8.1.1", NULL);
    start(f, fake_server_url(f->server), request_timeout_ms, &eager);
    return f;
}

static void teardown(fixture *f)
{
    cp_flusher_stop(f->flusher, cp_boottime_ns());
    cp_flusher_free(f->flusher);
    if (f->server)
        fake_server_stop(f->server);
    for (uint32_t i = 0; i < TABLES; i++)
        cp_table_free(f->tables[i]);
    pthread_mutex_destroy(&f->rec.lock);
    free(f);
}

/* Submits a chunk of random rows, with `rejected` more that were not valid. Returns its end. */
static uint64_t submit(fixture *f, uint32_t table, uint32_t rows, uint32_t rejected)
{
    cp_chunk *chunk = chunk_make(1 << 20, rows + 1, 3, 9, f->position[table]);
    row_maker maker = {.table = f->tables[table], .random = f->random++, .distinct = 10, .longest = 100};
    for (uint32_t i = 0; i < rows; i++)
        assert_true(row_make(&maker, chunk));
    chunk->rejected = rejected;
    chunk->end += (uint64_t)rejected * 16;
    chunk->first_seen_ns = cp_boottime_ns();
    f->position[table] = chunk->end;
    const uint64_t end = chunk->end;
    assert_true(cp_flusher_submit(f->flusher, table, chunk));
    cp_flusher_wake(f->flusher);
    return end;
}

static bool wait_until(bool (*condition)(fixture *f, uint64_t arg), fixture *f, uint64_t arg)
{
    const uint64_t deadline = cp_boottime_ns() + WAIT_S * (uint64_t)CP_NS_PER_S;
    while (cp_boottime_ns() < deadline) {
        pthread_mutex_lock(&f->rec.lock);
        const bool met = condition(f, arg);
        pthread_mutex_unlock(&f->rec.lock);
        if (met)
            return true;
        usleep(2000);
    }
    return false;
}

static bool delivered_to(fixture *f, uint64_t end)
{
    const unsigned count = f->rec.span_count[0];
    return count > 0 && f->rec.spans[0][count - 1].end == end;
}

/* A batch's chunks are released behind the event that says it is delivered. */
static bool released(fixture *f, uint64_t count)
{
    return f->rec.released == count;
}

static bool delivered_other(fixture *f, uint64_t end)
{
    const unsigned count = f->rec.span_count[1];
    return count > 0 && f->rec.spans[1][count - 1].end == end;
}

static bool attempted(fixture *f, uint64_t count)
{
    return f->rec.attempt_count >= count;
}

/* All INSERTs so far must be the same request. */
static void assert_same_requests(fixture *f, unsigned count)
{
    assert_int_equal(fake_server_inserts(f->server), count);
    const fake_insert first = fake_server_insert(f->server, 0);
    assert_true(first.body_size > 0);
    assert_true(first.token[0] != '\0');
    for (unsigned i = 1; i < count; i++) {
        const fake_insert again = fake_server_insert(f->server, i);
        assert_string_equal(first.token, again.token);
        assert_int_equal(first.body_hash, again.body_hash);
        assert_int_equal(first.body_size, again.body_size);
        assert_string_equal(first.target, again.target);
    }
}

static void test_plain(void **state)
{
    (void)state;
    fixture *f = setup(NULL, 0, 5000);
    const uint64_t end = submit(f, 0, 100, 0);
    assert_true(wait_until(delivered_to, f, end));
    const fake_insert seen = fake_server_insert(f->server, 0);
    assert_string_equal(seen.user, "writer");
    assert_string_equal(seen.key, "secret");
    assert_true(seen.zstd);
    assert_null(strstr(seen.target, "secret"));
    assert_non_null(strstr(seen.target, "database=market"));
    assert_non_null(strstr(seen.target,
                           "&async_insert=0&insert_deduplicate=1&insert_deduplication_token=test%3A1%3A"
                           "quotes%3A"));
    assert_null(strstr(seen.target, "max_insert_threads")); /* not among the server's settings */
    assert_non_null(
        strstr(seen.target,
               "INSERT%20INTO%20%60quotes%60%20%28%60id%60%2C%60price%60%2C%60name%60%2C%60note%60%29"));
    assert_int_equal(f->rec.spans[0][0].rows, 100);
    assert_int_equal(f->rec.spans[0][0].slot, 3);
    assert_int_equal(f->rec.spans[0][0].epoch, 9);
    assert_int_equal(f->rec.spans[0][0].begin, 0);
    assert_int_equal(cp_flusher_guarantee(f->flusher, 0), CP_EXACTLY_ONCE);
    assert_int_equal(cp_flusher_guarantee(f->flusher, 1), CP_GUARANTEE_UNKNOWN);
    while (!cp_flusher_idle(f->flusher))
        usleep(1000);
    assert_int_equal(f->rec.in_flight, 0);
    teardown(f);
}

/* Each bad answer is followed by good ones; the batch must come again unchanged and count as delivered once. */
static void resend(const fake_step *bad, uint32_t request_timeout_ms, cp_attempt_result result)
{
    fixture *f = setup(bad, 1, request_timeout_ms);
    const uint64_t end = submit(f, 0, 50, 0);
    assert_true(wait_until(delivered_to, f, end));
    assert_same_requests(f, 2);
    assert_int_equal(f->rec.span_count[0], 1);
    assert_int_equal(f->rec.attempt_count, 2);
    assert_int_equal(f->rec.attempts[0].result, result);
    assert_int_equal(f->rec.attempts[0].number, 1);
    assert_true(f->rec.attempts[0].retry_in_ns > 0);
    assert_true(f->rec.texts[0][0] != '\0');
    assert_int_equal(f->rec.attempts[1].result, CP_ATTEMPT_OK);
    assert_int_equal(f->rec.attempts[1].number, 2);
    assert_int_equal(f->rec.attempts[1].rows, 50);
    teardown(f);
}

static void test_server_error(void **state)
{
    (void)state;
    resend(&(fake_step){NULL, FAKE_REPLY, 500, "X-ClickHouse-Exception-Code: 241\r\n",
                        "Code: 241. DB::Exception: mem\n"},
           5000, CP_ATTEMPT_SERVER);
}

static void test_exception_header_with_200(void **state)
{
    (void)state;
    resend(&(fake_step){NULL, FAKE_REPLY, 200, "X-ClickHouse-Exception-Code: 252\r\n", NULL}, 5000,
           CP_ATTEMPT_SERVER);
}

static void test_body_with_200(void **state)
{
    (void)state;
    resend(&(fake_step){NULL, FAKE_REPLY, 200, NULL, "surprise"}, 5000, CP_ATTEMPT_NET);
}

static void test_error_text_with_200(void **state)
{
    (void)state;
    resend(&(fake_step){NULL, FAKE_REPLY, 200, NULL,
                        "Code: 60. DB::Exception: Table market.quotes does not exist"},
           5000, CP_ATTEMPT_SERVER);
}

static void test_redirect(void **state)
{
    (void)state;
    resend(&(fake_step){NULL, FAKE_REPLY, 302, "Location: /elsewhere\r\n", NULL}, 5000, CP_ATTEMPT_SERVER);
}

static void test_huge_error(void **state)
{
    (void)state;
    const size_t size = 100000;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'e', size - 1);
    text[size - 1] = '\0';
    resend(&(fake_step){NULL, FAKE_REPLY, 500, NULL, text}, 5000, CP_ATTEMPT_NET);
    free(text);
}

/* libcurl itself sends a request again, on a new connection, when a kept-alive one dies under it: so the first reset is
 * not seen as an attempt, but the second is. All three requests must be the same. */
static void test_reset(void **state)
{
    (void)state;
    static const fake_step resets[] = {{.act = FAKE_RESET}, {.act = FAKE_RESET}};
    fixture *f = setup(resets, 2, 5000);
    assert_true(wait_until(delivered_to, f, submit(f, 0, 50, 0)));
    assert_same_requests(f, 3);
    assert_int_equal(f->rec.span_count[0], 1);
    assert_int_equal(f->rec.attempt_count, 2);
    assert_int_equal(f->rec.attempts[0].result, CP_ATTEMPT_NET);
    assert_int_equal(f->rec.attempts[1].result, CP_ATTEMPT_OK);
    teardown(f);
}

static void test_silence(void **state)
{
    (void)state;
    resend(&(fake_step){.act = FAKE_SILENT}, 300, CP_ATTEMPT_NET);
}

static void test_drip(void **state)
{
    (void)state;
    resend(&(fake_step){.act = FAKE_DRIP}, 300, CP_ATTEMPT_NET);
}

/* A port that refuses: rows wait, the reason is told, and they arrive once somebody listens there. */
static void test_refused(void **state)
{
    (void)state;
    fake_server *server = fake_server_start(NULL, 0, "24.8.1.1", NULL);
    char url[64];
    snprintf(url, sizeof url, "%s", fake_server_url(server));
    fake_server_stop(server);
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pthread_mutex_init(&f->rec.lock, NULL);
    start(f, url, 1000, &eager);
    submit(f, 0, 10, 0);
    assert_true(wait_until(attempted, f, 2));
    assert_int_equal(f->rec.attempts[0].result, CP_ATTEMPT_NET);
    assert_int_equal(f->rec.attempts[0].number, 0);
    assert_int_equal(f->rec.attempts[0].rows, 10);
    assert_int_equal(f->rec.span_count[0], 0);
    assert_false(cp_flusher_idle(f->flusher));
    teardown(f); /* releases what waits: ASan would see a chunk left over */
}

/* A failing table must not hold up the other one. */
static void test_isolation(void **state)
{
    (void)state;
    fake_step steps[60];
    for (unsigned i = 0; i < 60; i++)
        steps[i] =
            (fake_step){"quotes", FAKE_REPLY, 404, "X-ClickHouse-Exception-Code: 60\r\n",
                        "Code: 60. DB::Exception: Table market.quotes does not exist. (UNKNOWN_TABLE)\n"};
    steps[0] = (fake_step){"quotes", FAKE_SILENT, 0, NULL, NULL};
    fixture *f = setup(steps, 60, 400);
    submit(f, 0, 10, 0);
    for (unsigned i = 0; i < 20; i++) {
        const uint64_t before = cp_boottime_ns();
        assert_true(wait_until(delivered_other, f, submit(f, 1, 10, 0)));
        assert_true(cp_boottime_ns() - before < 2 * (uint64_t)CP_NS_PER_S);
        usleep(20 * 1000);
    }
    assert_int_equal(f->rec.span_count[0], 0);
    assert_false(cp_flusher_idle(f->flusher));
    teardown(f);
}

/* An insert that fails where a probe succeeds (a profile forbids a setting): seen to again with pauses, not in a loop. */
static void test_forbidden_setting(void **state)
{
    (void)state;
    fake_step steps[64];
    for (unsigned i = 0; i < 64; i++)
        steps[i] =
            (fake_step){"quotes", FAKE_REPLY, 500, "X-ClickHouse-Exception-Code: 452\r\n", "Code: 452."};
    fixture *f = setup(steps, 64, 5000);
    submit(f, 0, 10, 0);
    usleep(500 * 1000);
    assert_true(fake_server_inserts(f->server) < 20); /* waits of about 10, 20, 40, 80, 160 … ms */
    assert_true(wait_until(attempted, f, 3));
    assert_int_equal(f->rec.span_count[0], 0);
    teardown(f);
}

/* Rows that all failed validation are reported in their turn, without a request. */
static void test_nothing_valid(void **state)
{
    (void)state;
    fixture *f = setup(NULL, 0, 5000);
    const uint64_t end = submit(f, 0, 0, 5);
    assert_true(wait_until(delivered_to, f, end));
    assert_int_equal(f->rec.spans[0][0].rejected, 5);
    assert_int_equal(f->rec.spans[0][0].rows, 0);
    assert_int_equal(fake_server_inserts(f->server), 0);
    assert_int_equal(f->rec.attempt_count, 0);
    teardown(f);
}

/* Order, completeness and tokens over many batches with errors in between. */
static void test_many(void **state)
{
    (void)state;
    fake_step steps[40];
    for (unsigned i = 0; i < 40; i++) {
        steps[i] = (fake_step){.act = FAKE_OK};
        if (i % 3 == 1)
            steps[i] = (fake_step){NULL, FAKE_REPLY, 503, NULL, "busy"};
        if (i % 7 == 2)
            steps[i].act = FAKE_RESET;
    }
    fixture *f = setup(steps, 40, 5000);
    uint64_t end = 0;
    uint64_t rows = 0;
    for (unsigned i = 0; i < 50; i++) {
        const uint32_t count = (uint32_t)(random_next(&f->random) % 40);
        end = submit(f, 0, count, i % 5 == 0);
        rows += count;
        usleep(1000);
    }
    assert_true(wait_until(delivered_to, f, end));
    uint64_t at = 0;
    uint64_t delivered = 0;
    for (unsigned i = 0; i < f->rec.span_count[0]; i++) {
        assert_int_equal(f->rec.spans[0][i].begin, at);
        at = f->rec.spans[0][i].end;
        delivered += f->rec.spans[0][i].rows;
    }
    assert_int_equal(at, end);
    assert_int_equal(delivered, rows);
    assert_true(wait_until(released, f, 50));
    for (unsigned i = 1; i < fake_server_inserts(f->server); i++) {
        const fake_insert a = fake_server_insert(f->server, i - 1);
        const fake_insert b = fake_server_insert(f->server, i);
        assert_int_equal(strcmp(a.token, b.token) == 0, a.body_hash == b.body_hash);
    }
    teardown(f);
}

/* Without urgency a batch waits for its rows or its interval. */
static void test_batching(void **state)
{
    (void)state;
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pthread_mutex_init(&f->rec.lock, NULL);
    f->server = fake_server_start(NULL, 0, "24.8.1.1", NULL);
    const cp_batch_policy patient = {.rows = 100,
                                     .max_rows = 150,
                                     .bytes = 1 << 20,
                                     .max_bytes = 16 << 20,
                                     .interval_ns = 3600 * (uint64_t)CP_NS_PER_S};
    start(f, fake_server_url(f->server), 5000, &patient);
    for (unsigned i = 0; i < 3; i++)
        submit(f, 0, 30, 0);
    usleep(300 * 1000);
    assert_int_equal(fake_server_inserts(f->server), 0);
    uint64_t end = submit(f, 0, 30, 0);
    assert_true(wait_until(delivered_to, f, end));
    assert_int_equal(f->rec.span_count[0], 1); /* neighbours of one ring are one span */
    assert_int_equal(f->rec.spans[0][0].rows, 120);
    end = submit(f, 0, 1, 0);
    cp_flusher_set_urgent(f->flusher, true);
    assert_true(wait_until(delivered_to, f, end));
    assert_int_equal(f->rec.spans[0][1].rows, 1);
    teardown(f);
}

/* A server from before deduplication tokens and zstd: neither may be sent, and the guarantee says so. */
static void test_old_server(void **state)
{
    (void)state;
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pthread_mutex_init(&f->rec.lock, NULL);
    f->server = fake_server_start(NULL, 0, "18.16.1", "max_insert_block_size\n");
    start(f, fake_server_url(f->server), 5000, &eager);
    assert_true(wait_until(delivered_to, f, submit(f, 0, 5, 0)));
    const fake_insert seen = fake_server_insert(f->server, 0);
    assert_false(seen.zstd);
    assert_string_equal(seen.token, "");
    assert_non_null(strstr(seen.target, "&max_insert_block_size=1048449"));
    assert_null(strstr(seen.target, "async_insert"));
    assert_int_equal(cp_flusher_guarantee(f->flusher, 0), CP_AT_LEAST_ONCE);
    teardown(f);
}

/* A stop with a batch that the server never answers: given up at the deadline, never reported delivered. */
static void test_stop_deadline(void **state)
{
    (void)state;
    static const fake_step silent = {.act = FAKE_SILENT};
    fixture *f = setup(&silent, 1, 60000);
    submit(f, 0, 5, 0);
    while (fake_server_inserts(f->server) == 0)
        usleep(1000);
    submit(f, 0, 5, 0);
    const uint64_t before = cp_boottime_ns();
    cp_flusher_stop(f->flusher, before + 300 * (uint64_t)CP_NS_PER_MS);
    const uint64_t took = cp_boottime_ns() - before;
    assert_true(took >= 290 * (uint64_t)CP_NS_PER_MS && took < 3 * (uint64_t)CP_NS_PER_S);
    assert_int_equal(f->rec.span_count[0], 0);
    assert_true(wait_until(released, f, 2));
    teardown(f);
}

/* Idle threads must cost next to nothing. */
static void test_idle_cost(void **state)
{
    (void)state;
    fixture *f = setup(NULL, 0, 5000);
    assert_true(wait_until(delivered_to, f, submit(f, 0, 5, 0)));
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    sleep(1);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const int64_t used = (after.tv_sec - before.tv_sec) * 1000000000 + (after.tv_nsec - before.tv_nsec);
    assert_true(used < CP_NS_PER_S / 10); /* the fake server's threads included, on any machine */
    teardown(f);
}

static int collect(void *ctx, const void *data, size_t size)
{
    char *text = ctx;
    strncat(text, data, size);
    return 0;
}

static void test_query(void **state)
{
    (void)state;
    fake_server *server = fake_server_start(NULL, 0, "24.8.1.1", NULL);
    cp_sink_config config = {
        .url = fake_server_url(server), .connect_timeout_ms = 500, .request_timeout_ms = 2000};
    char text[4096] = "";
    cp_error err = {0};
    assert_int_equal(cp_query_run(&config, NULL, "SELECT version()", collect, text, &err), CP_OK);
    assert_non_null(strstr(text, "24.8.1.1\n"));
    char url[64];
    snprintf(url, sizeof url, "%s", fake_server_url(server));
    fake_server_stop(server);
    config.url = url;
    assert_int_equal(cp_query_run(&config, NULL, "SELECT 1", NULL, NULL, &err), CP_E_NET);
    assert_non_null(strstr(err.text, "is ClickHouse running there?"));
    config.url = "ftp://127.0.0.1";
    assert_int_equal(cp_query_run(&config, NULL, "SELECT 1", NULL, NULL, &err), CP_E_INVAL);
    config.url = "http://me:secret@127.0.0.1";
    assert_int_equal(cp_query_run(&config, NULL, "SELECT 1", NULL, NULL, &err), CP_E_INVAL);
    assert_null(strstr(err.text, "secret"));
    config.url = "http://127.0.0.1:8123/path";
    assert_int_equal(cp_query_run(&config, NULL, "SELECT 1", NULL, NULL, &err), CP_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_server_error),
        cmocka_unit_test(test_exception_header_with_200),
        cmocka_unit_test(test_body_with_200),
        cmocka_unit_test(test_error_text_with_200),
        cmocka_unit_test(test_redirect),
        cmocka_unit_test(test_huge_error),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_drip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_isolation),
        cmocka_unit_test(test_forbidden_setting),
        cmocka_unit_test(test_nothing_valid),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_batching),
        cmocka_unit_test(test_old_server),
        cmocka_unit_test(test_stop_deadline),
        cmocka_unit_test(test_idle_cost),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
