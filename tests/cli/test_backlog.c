/* Rates and time left of a table that is behind, from made-up snapshots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/backlog.h"

static cp_abi_table entry;
static cp_table_view table;
static cp_observer observer;
static cp_backlog_mark mark;

static int setup(void **state)
{
    (void)state;
    memset(&entry, 0, sizeof entry);
    snprintf(entry.name, sizeof entry.name, "t");
    entry.critical = 1;
    table = (cp_table_view){.entry = &entry, .produced = 1000000, .delivered = 100000, .in_log = 900000};
    observer = (cp_observer){.tables = &table, .recorder_alive = true};
    observer.control.table_count = 1;
    return 0;
}

static cp_backlog judge(double seconds)
{
    cp_backlog backlog;
    cp_backlog_judge(&mark, &observer, 0, mark.at_ns + (uint64_t)(seconds * CP_NS_PER_S), &backlog);
    return backlog;
}

static void test_shrinks(void **state)
{
    (void)state;
    cp_backlog_note(&mark, &observer);
    assert_true(mark.any);
    assert_true(cp_backlog_stands(&mark, &observer));
    table.counters.retry_at_ns = 1; /* nothing moves until then */
    assert_false(cp_backlog_stands(&mark, &observer));
    table.counters.retry_at_ns = 0;
    table.produced += 10000;
    table.delivered += 110000;
    table.in_log -= 100000;
    assert_false(cp_backlog_stands(&mark, &observer));
    const cp_backlog backlog = judge(0.5);
    assert_true(backlog.behind);
    assert_int_equal(backlog.rows, 800000);
    assert_float_equal(backlog.put_per_s, 20000, 1);
    assert_float_equal(backlog.delivered_per_s, 220000, 1);
    assert_float_equal(backlog.seconds_left, 4, 0.01);
}

static void test_does_not_shrink(void **state)
{
    (void)state;
    cp_backlog_note(&mark, &observer);
    assert_true(judge(0.3).seconds_left < 0);
    table.produced += 2000;
    table.delivered += 2000;
    assert_true(judge(0.3).seconds_left < 0);
    table.delivered += 1;
    assert_true(judge(0.3).seconds_left > 0);
    assert_true(judge(0).seconds_left < 0); /* no second look */
    table.produced = 5;                     /* made anew meanwhile */
    table.delivered = 3;
    const cp_backlog backlog = judge(0.3);
    assert_float_equal(backlog.put_per_s, 0, 0);
    assert_float_equal(backlog.delivered_per_s, 0, 0);
}

static void test_nothing_to_tell(void **state)
{
    (void)state;
    table.in_log = CP_BACKLOG_ROWS - 1;
    cp_backlog_note(&mark, &observer);
    assert_false(mark.any);
    assert_false(judge(0.3).behind);
    table.in_log = CP_BACKLOG_ROWS;
    cp_backlog_note(&mark, &observer);
    assert_true(mark.any);
    assert_true(judge(0.3).behind);
    observer.recorder_alive = false; /* nobody works on it: no second look */
    cp_backlog_note(&mark, &observer);
    assert_false(mark.any);
    assert_true(judge(0).behind);
    entry.critical = 0;
    assert_false(judge(0.3).behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_shrinks, setup),
        cmocka_unit_test_setup(test_does_not_shrink, setup),
        cmocka_unit_test_setup(test_nothing_to_tell, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
