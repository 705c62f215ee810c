/* What a reload finds: every key by itself, live or not; a base that moves; tables that come, go or change; secrets by value. */
#include "recorder/config/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "recorder/config/key.h"

static char found[8192]; /* a line each, as it comes */

static void on_change(void *ctx, const char *path, bool live)
{
    (void)ctx;
    const size_t used = strlen(found);
    snprintf(found + used, sizeof found - used, "%s %s\n", live ? "live" : "restart", path);
}

static const char *compare(const cp_config *started, const cp_config *applied, const cp_config *fresh)
{
    found[0] = '\0';
    cp_config_compare(started, applied, fresh, on_change, NULL);
    return found;
}

static const char base_text[] =
    "namespace: demo\ntables:\n  quotes: {}\n  trades: {class: critical}\nclickhouse: {user: u}\n";

/* The difference that text, instead of the base, makes. */
static const char *changes(const char *text)
{
    cp_config *before = fixture_load_good(base_text);
    cp_config *after = fixture_load_good(text);
    compare(before, before, after);
    cp_config_free(after);
    cp_config_free(before);
    return found;
}

static void nothing_changed(void **state)
{
    (void)state;
    assert_string_equal(changes(base_text), "");
    /* Written otherwise, or what is the default anyway. */
    assert_string_equal(
        changes(
            "namespace: demo\nlog: {level: info}\nrecorder: {memory_limit: 131072KiB}\n"
            "clickhouse: {user: u, retry_min: 100000us, url: 'http://127.0.0.1:8123/'}\n"
            "tables:\n  trades: {class: critical, wal_limit: 4096MiB}\n  quotes: {flush: {rows: 5000}}\n"),
        "");
}

static void keys_are_live_or_not(void **state)
{
    (void)state;
    assert_string_equal(
        changes("namespace: demo\nlog: {level: debug}\nrecorder: {poll: busy, stop_timeout: 1s, "
                "memory_limit: 64MiB}\nwal: {keep: 1h}\nregion: {mode: 0660}\n"
                "clickhouse: {user: v, url: 'http://other:8123', database: d, retry_max: 1m}\n"
                "tables:\n  quotes: {}\n  trades: {class: critical}\n"),
        "restart region.mode\nlive recorder.poll\nrestart recorder.memory_limit\nlive recorder.stop_timeout\n"
        "live log.level\nlive clickhouse.url\nlive clickhouse.user\nrestart clickhouse.database\n"
        "live clickhouse.retry_max\nrestart wal.keep\n");
    assert_string_equal(
        changes("namespace: demo\nclickhouse: {user: u}\ntables:\n"
                "  quotes: {slots: 3, ring_size: 1MiB, flush: {rows: 7, bytes: 1MiB, interval: 1s}}\n"
                "  trades: {class: critical, flush: {max_rows: 1000, max_bytes: 8MiB}}\n"),
        "restart tables.quotes.ring_size\nrestart tables.quotes.slots\nlive tables.quotes.flush.rows\n"
        "live tables.quotes.flush.interval\nlive tables.quotes.flush.bytes\n"
        "live tables.trades.flush.max_rows\nlive tables.trades.flush.max_bytes\n");
}

static void tables_come_and_go(void **state)
{
    (void)state;
    assert_string_equal(
        changes("namespace: demo\nclickhouse: {user: u}\ntables:\n  quotes: {}\n  l2_updates: {}\n"),
        "restart tables.trades\nrestart tables.l2_updates\n");
    cp_config *before = fixture_load_good(base_text);
    fixture_write("other.sql", "CREATE TABLE quotes (a UInt64) ENGINE = MergeTree ORDER BY a", 0600);
    cp_config *after = fixture_load_good("namespace: demo\nclickhouse: {user: u}\ntables:\n"
                                         "  quotes: {ddl: other.sql}\n  trades: {class: critical}\n");
    assert_string_equal(compare(before, before, after), "restart tables.quotes.ddl\n");
    fixture_write("other.sql", "CREATE TABLE quotes (a UInt64, b UInt8) ENGINE = MergeTree ORDER BY a", 0600);
    cp_config *again = fixture_load_good("namespace: demo\nclickhouse: {user: u}\ntables:\n"
                                         "  quotes: {ddl: other.sql}\n  trades: {class: critical}\n");
    assert_string_equal(compare(after, after, again),
                        "restart tables.quotes.ddl\n"); /* the same file, other columns */
    cp_config_free(again);
    cp_config_free(after);
    cp_config_free(before);
}

/* Live keys against what holds, others against the start; a batch never over the memory of the start. */
static void the_base_moves(void **state)
{
    (void)state;
    cp_config *first = fixture_load_good(base_text);
    cp_config *second = fixture_load_good(
        "namespace: demo\nclickhouse: {user: v}\nwal: {keep: 1h}\ntables:\n"
        "  quotes: {flush: {max_bytes: 64MiB, bytes: 64MiB}}\n  trades: {class: critical}\n");
    static const char restarts[] = "restart wal.keep\nrestart tables.quotes.flush.max_bytes\n";
    assert_string_equal(compare(first, first, second),
                        "live clickhouse.user\nrestart wal.keep\nlive tables.quotes.flush.bytes\n"
                        "restart tables.quotes.flush.max_bytes\n");
    assert_string_equal(compare(first, second, second), restarts); /* still */
    assert_string_equal(
        compare(first, second, first),
        "live clickhouse.user\nlive tables.quotes.flush.bytes\nlive tables.quotes.flush.max_bytes\n");
    cp_batch_policy policy;
    assert_true(cp_config_batch_policy(first, 0, second, &policy));
    assert_int_equal(policy.max_bytes, 32 << 20);
    assert_int_equal(policy.bytes, 32 << 20);
    cp_config *third = fixture_load_good("namespace: demo\ntables: {trades: {flush: {max_bytes: 4MiB}}}\n");
    assert_false(cp_config_batch_policy(first, 0, third, &policy));
    assert_true(cp_config_batch_policy(first, 1, third, &policy));
    assert_int_equal(policy.max_bytes, 4 << 20);
    cp_config_free(third);
    cp_config_free(second);
    cp_config_free(first);
}

static void a_password_is_compared_by_value(void **state)
{
    (void)state;
    static const char text[] =
        "namespace: demo\nclickhouse: {user: u, password_file: secret}\ntables: {quotes: {}}\n";
    fixture_write("secret", "one\n", 0600);
    cp_config *before = fixture_load_good(text);
    cp_config *same = fixture_load_good(text);
    fixture_write("secret", "two\n", 0600);
    cp_config *after = fixture_load_good(text);
    assert_string_equal(compare(before, before, same), "");
    assert_string_equal(compare(before, before, after), "live clickhouse.password\n");
    cp_config_free(after);
    cp_config_free(same);
    cp_config_free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_changed, fixture_enter, fixture_leave),
        cmocka_unit_test_setup_teardown(keys_are_live_or_not, fixture_enter, fixture_leave),
        cmocka_unit_test_setup_teardown(tables_come_and_go, fixture_enter, fixture_leave),
        cmocka_unit_test_setup_teardown(the_base_moves, fixture_enter, fixture_leave),
        cmocka_unit_test_setup_teardown(a_password_is_compared_by_value, fixture_enter, fixture_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
