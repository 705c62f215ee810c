/* What makes status say "not well": judged on made-up snapshots of a running recorder with one table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "monitor/health.h"

static cp_abi_control header;
static cp_abi_table entry;
static cp_table_view table;
static cp_observer observer;
static cp_abi_measures measures;

static int setup(void **state)
{
    (void)state;
    memset(&header, 0, sizeof header);
    memset(&entry, 0, sizeof entry);
    header.state = CP_RECORDER_RUNNING;
    header.heartbeat_ns = cp_boottime_ns();
    header.sink_state = CP_SINK_HEALTHY;
    snprintf(entry.name, sizeof entry.name, "t");
    table = (cp_table_view){.entry = &entry, .balanced = true, .producers = 1};
    observer = (cp_observer){.tables = &table, .recorder_alive = true};
    observer.control.header = &header;
    observer.control.table_count = 1;
    return 0;
}

static void check(const cp_refusals *before, const char *reason)
{
    cp_health health;
    cp_health_judge(&observer, before, &health);
    if (reason ? health.sound || !strstr(health.reasons[0], reason) : !health.sound)
        fail_msg("'%s' expected, got '%s'", reason ? reason : "",
                 health.reason_count ? health.reasons[0] : "");
}

/* Refusals of the past are no illness; growing ones are. */
static void test_refusals(void **state)
{
    (void)state;
    cp_refusals before;
    cp_refusals_note(&before, &observer);
    assert_false(before.any);
    check(&before, NULL);
    table.full = 1000;
    cp_refusals_note(&before, &observer);
    assert_true(before.any);
    check(&before, NULL);
    table.full = 1003;
    check(&before, "t: rings are full and refuse rows: 3 times within a moment, 1003 in all");
    table.full = 2; /* the ring was made anew between the looks */
    check(&before, NULL);
}

static void test_usage(void **state)
{
    (void)state;
    cp_refusals before;
    cp_refusals_note(&before, &observer);
    table.usage_permille = CP_HEALTH_USAGE_PERMILLE - 1;
    check(&before, NULL);
    table.usage_permille = CP_HEALTH_USAGE_PERMILLE;
    check(&before, "90 % full");
}

static void test_others(void **state)
{
    (void)state;
    cp_refusals before;
    cp_refusals_note(&before, &observer);
    table.balanced = false;
    check(&before, "does not balance");
    setup(NULL);
    table.broken_rings = 1;
    check(&before, "1 rings broke the protocol");
    setup(NULL);
    header.sink_state = CP_SINK_DOWN;
    check(&before, "does not answer inserts");
    snprintf(header.sink_error, sizeof header.sink_error, "no such host");
    check(&before, "ClickHouse does not answer: no such host");
    setup(NULL);
    header.heartbeat_ns -= (uint64_t)CP_HEALTH_STALE_MS * CP_NS_PER_MS + CP_NS_PER_S;
    check(&before, "heartbeat");
}

/* A log that takes no rows is said while a recorder runs; of one that is gone, that it is gone comes first. */
static void test_log(void **state)
{
    (void)state;
    cp_refusals before;
    cp_refusals_note(&before, &observer);
    memset(&measures, 0, sizeof measures);
    measures.log_bytes = 63u << 20;
    measures.log_limit = 64u << 20;
    observer.control.measures = &measures;
    check(&before, NULL);
    measures.log_state = CP_LOG_TAKES_ROWS;
    check(&before, NULL);
    measures.log_state = CP_LOG_STALLED;
    check(&before,
          "t: its log takes no rows, they stay in their rings: it is at its limit (63 MiB of 64 MiB): bring "
          "ClickHouse back");
    measures.log_bytes = 16u << 20;
    check(&before, "its disk is full (16 MiB of 64 MiB): free room");
    measures.log_state = CP_LOG_FAILING;
    check(&before, "t: its log cannot be written");
    observer.recorder_alive = false;
    check(&before, "no recorder runs");
}

/* What an operator did, and may have forgotten. */
static void test_steering(void **state)
{
    (void)state;
    cp_refusals before;
    cp_refusals_note(&before, &observer);
    table.counters.paused_since_ns = cp_realtime_ns() - 61 * (uint64_t)CP_NS_PER_S;
    check(&before, "t: paused for 1 min, its rows wait: coldpath resume t");
    table.counters.paused_since_ns = UINT64_MAX; /* a clock that was set back */
    check(&before, "t: paused for 0 min");
    table.counters.paused_since_ns = 0;
    table.forced = 1; /* held where nothing is shed: full rings speak for themselves */
    check(&before, NULL);
    table.counters.paused_since_ns = cp_realtime_ns();
    header.heartbeat_ns -= (uint64_t)CP_HEALTH_STALE_MS * CP_NS_PER_MS + CP_NS_PER_S;
    check(&before, "heartbeat"); /* comes first: nobody obeys a resume now */
    setup(NULL);
    table.forced = 3;
    check(&before, "t: held on rung 2 of its pressure ladder, rows are shed: coldpath degrade t auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_log, setup),      cmocka_unit_test_setup(test_refusals, setup),
        cmocka_unit_test_setup(test_usage, setup),    cmocka_unit_test_setup(test_others, setup),
        cmocka_unit_test_setup(test_steering, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
