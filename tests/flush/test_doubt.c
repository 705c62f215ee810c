/* What a delivery makes of a batch in doubt: a scripted server loses the reply, or refuses the retry, and says how many of the rows
 * it holds. And the question and its answer by themselves. */
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

#include "base/log.h"
#include "fake_server.h"
#include "flush/doubt.h"
#include "flush/quarantine.h"
#include "flush_fixture.h"

enum { ROWS = 8 };

static const char *const ddl =
    "CREATE TABLE orders (id UInt32, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64) "
    "ENGINE = MergeTree ORDER BY id";

typedef struct fixture {
    flush_fixture sends;
    fake_server *server;
    char quarantine[64];
} fixture;

/* Sends ROWS rows to a server with that script. */
static fixture *send_rows(const fake_step *steps, unsigned step_count, const fake_count *counts,
                          unsigned count_count, uint64_t quarantine_limit)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->quarantine, sizeof f->quarantine, "/tmp/coldpath-doubt-XXXXXX");
    assert_non_null(mkdtemp(f->quarantine));
    f->server = fake_server_start(steps, step_count, "26.7.1.1", NULL);
    fake_server_set_counts(f->server, counts, count_count);
    f->sends.config = (cp_sink_config){.url = fake_server_url(f->server),
                                       .database = "market",
                                       .instance = "test:1",
                                       .connect_timeout_ms = 500,
                                       .request_timeout_ms = 300,
                                       .retry_min_ms = 5,
                                       .retry_max_ms = 20,
                                       .quarantine_dir = f->quarantine,
                                       .quarantine_limit = quarantine_limit};
    flush_fixture_start(&f->sends, ddl);
    flush_fixture_submit(&f->sends, ROWS);
    return f;
}

/* Likewise, until they are settled. */
static fixture *deliver(const fake_step *steps, unsigned step_count, const fake_count *counts,
                        unsigned count_count)
{
    fixture *f = send_rows(steps, step_count, counts, count_count, 1 << 20);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.batches) > 0);
    assert_int_equal(atomic_load(&f->sends.batches), 1);
    assert_int_equal(atomic_load(&f->sends.delivered) + atomic_load(&f->sends.quarantined), ROWS);
    return f;
}

static void teardown(fixture *f)
{
    flush_fixture_stop(&f->sends);
    fake_server_stop(f->server);
    flush_remove_all(f->quarantine);
    free(f);
}

/* The tokens of the inserts that came, from the hash on: what follows the batch's token. */
static void assert_tokens(fixture *f, const char *const *tails, unsigned count)
{
    const fake_insert first = fake_server_insert(f->server, 0);
    const size_t length = strlen(first.token);
    assert_int_equal(fake_server_inserts(f->server), count);
    for (unsigned i = 0; i < count; i++) {
        const fake_insert seen = fake_server_insert(f->server, i);
        assert_memory_equal(seen.token, first.token, length);
        assert_string_equal(seen.token + length, tails[i]);
    }
}

#define LOST                                                                                                 \
    {                                                                                                        \
        .act = FAKE_SILENT                                                                                   \
    }
#define REFUSED                                                                                              \
    {                                                                                                        \
        NULL, FAKE_REPLY, 500, "X-ClickHouse-Exception-Code: 469\r\n",                                       \
            "Code: 469. DB::Exception: Constraint `sound` is violated. (VIOLATED_CONSTRAINT)\n"              \
    }

static void test_stored(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {{1, "8\t8\n"}};
    fixture *f = deliver(steps, 1, counts, 1);
    assert_tokens(f, (const char *[]){""}, 1); /* not sent again */
    assert_int_equal(fake_server_counted(f->server), 1);
    teardown(f);
}

static void test_not_stored(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {{1, "0\t0\n"}, {1, "8\t8\n"}};
    fixture *f = deliver(steps, 1, counts, 2);
    assert_tokens(f, (const char *[]){"", ""}, 2);
    assert_int_equal(fake_server_counted(f->server), 2);
    teardown(f);
}

static void test_not_in_doubt(void **state)
{
    (void)state;
    fixture *f = deliver(NULL, 0, NULL, 0);
    assert_int_equal(fake_server_counted(f->server), 0);
    teardown(f);
}

/* The token is known, the rows are not there, twice; answers that are none in between. */
static void test_token_without_rows(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {
        {1, "0\t0\n"}, {1, "0\t0\nsurprise"}, {1, "0"}, {2, "0\t0\n"}, {1, "8\t8\n"}};
    fixture *f = deliver(steps, 1, counts, 5);
    assert_tokens(f, (const char *[]){"", "", "%2Fagain-1", "%2Fagain-2"}, 4);
    teardown(f);
}

/* Somebody deletes what arrives: there is an end, and it does not say that they were delivered. */
static void test_rows_vanish(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {{1, "0\t0\n"}};
    fixture *f = deliver(steps, 1, counts, 1);
    assert_tokens(f, (const char *[]){"", "", "%2Fagain-1", "%2Fagain-2", "%2Fagain-3"}, 5);
    assert_int_equal(f->sends.quarantined, ROWS);
    cp_quarantine_list list;
    cp_error err = {0};
    assert_int_equal(cp_quarantine_load(&list, f->quarantine, "orders", CP_QUARANTINE_ROWS, &err), CP_OK);
    assert_int_equal(list.count, ROWS);
    cp_quarantine_list_free(&list);
    teardown(f);
}

/* Likewise, and the quarantine has no room: they wait, parked, and count as nothing. */
static void test_rows_vanish_without_room(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {{1, "0\t0\n"}};
    fixture *f = send_rows(steps, 1, counts, 1, 64);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.parked) >= 2);
    assert_int_equal(atomic_load(&f->sends.batches), 0);
    assert_int_equal(fake_server_inserts(f->server), 5);
    cp_error err = {0};
    f->sends.config.quarantine_limit = 1 << 20;
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &f->sends.config, &flush_eager, &err), CP_OK);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.quarantined) == ROWS);
    assert_int_equal(atomic_load(&f->sends.delivered), 0);
    assert_int_equal(fake_server_inserts(f->server), 5);
    teardown(f);
}

/* The last two rows are missing. */
static void test_some_missing(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {{2, "6\t6\n"},  /* before, after */
                                        {1, "4\t4\n"},  /* rows 0 to 3 */
                                        {1, "2\t2\n"},  /* 4 to 7 */
                                        {1, "2\t2\n"},  /* 4, 5 */
                                        {1, "0\t0\n"}}; /* 6, 7 */
    fixture *f = deliver(steps, 1, counts, 5);
    assert_tokens(f, (const char *[]){"", "", "%2F6-2"}, 3);
    assert_int_equal(fake_server_counted(f->server), 6);
    teardown(f);
}

static void test_refused_but_stored(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST, REFUSED};
    static const fake_count counts[] = {{1, "0\t0\n"}, {1, "8\t8\n"}};
    fixture *f = deliver(steps, 2, counts, 2);
    assert_tokens(f, (const char *[]){"", ""}, 2);
    assert_int_equal(f->sends.quarantined, 0);
    teardown(f);
}

/* Refused, and not there: said twice, sent once more, and then it goes in pieces. */
static void test_refused(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST, REFUSED, REFUSED, REFUSED};
    static const fake_count counts[] = {{1, "0\t0\n"}};
    fixture *f = deliver(steps, 4, counts, 1);
    const fake_insert third = fake_server_insert(f->server, 3);
    assert_non_null(strstr(third.token, "%2F0-4"));
    assert_int_equal(f->sends.quarantined, 0); /* the pieces are taken */
    teardown(f);
}

static void test_cannot_count(void **state)
{
    (void)state;
    static const fake_step steps[] = {LOST};
    static const fake_count counts[] = {{1, "Code: 497. DB::Exception: not enough privileges\n"}};
    fixture *f = deliver(steps, 1, counts, 1);
    assert_tokens(f, (const char *[]){"", ""}, 2);
    teardown(f);
}

static void test_read(void **state)
{
    (void)state;
    cp_doubt_count count;
    assert_true(cp_doubt_read("18446744073709551615\t3\n", &count));
    assert_true(count.held == UINT64_MAX && count.distinct == 3);
    static const char *const bad[] = {"",
                                      "\n",
                                      "1",
                                      "1\n",
                                      "1\t2\n",
                                      "2\t1",
                                      "2\t1\n\n",
                                      "+2\t1\n",
                                      " 2\t1\n",
                                      "2\t-1\n",
                                      "2 1\n",
                                      "2\t1\r\n",
                                      "18446744073709551616\t1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cp_doubt_read(bad[i], &count));
}

static void test_sql(void **state)
{
    (void)state;
    cp_table *table = flush_table_parse(ddl);
    cp_span spans[CP_MAX_TABLE_SLOTS];
    for (unsigned i = 0; i < CP_MAX_TABLE_SLOTS; i++)
        spans[i] = (cp_span){.slot = UINT16_MAX, .epoch = UINT64_MAX, .begin = UINT64_MAX, .end = UINT64_MAX};
    const size_t room = cp_doubt_sql_room(table, "mar`ket");
    char *sql = malloc(room);
    assert_non_null(sql);
    assert_true(cp_doubt_sql(sql, room, table, "mar`ket", spans, CP_MAX_TABLE_SLOTS));
    assert_true(strlen(sql) < room);
    assert_non_null(strstr(sql, "FROM `mar\\`ket`.`orders` WHERE (_cp_epoch = 18446744073709551615 AND"));
    assert_string_equal(sql + strlen(sql) - 20, " FORMAT TabSeparated");
    assert_false(cp_doubt_sql(sql, room - 1, table, "mar`ket", spans, 1));
    assert_false(cp_doubt_sql(sql, room, table, "mar`ket", spans, 0));
    free(sql);
    assert_true(cp_doubt_countable(table));
    cp_table_free(table);
    static const char *const others[] = {
        "CREATE TABLE t (id UInt32, _cp_epoch UInt64, _cp_slot UInt16) ENGINE = MergeTree ORDER BY id",
        "CREATE TABLE t (id DateTime, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64) ENGINE = "
        "MergeTree "
        "ORDER BY id TTL id + INTERVAL 1 DAY"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        table = flush_table_parse(others[i]);
        assert_false(cp_doubt_countable(table));
        cp_table_free(table);
    }
}

int main(void)
{
    cp_log_set_level(CP_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored),       cmocka_unit_test(test_not_stored),
        cmocka_unit_test(test_not_in_doubt), cmocka_unit_test(test_token_without_rows),
        cmocka_unit_test(test_rows_vanish),  cmocka_unit_test(test_rows_vanish_without_room),
        cmocka_unit_test(test_some_missing), cmocka_unit_test(test_refused_but_stored),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_cannot_count),
        cmocka_unit_test(test_read),         cmocka_unit_test(test_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
