/* The breaker and the schedule: pure objects, each state and each turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "flush/breaker.h"
#include "flush/schedule.h"

static void test_opens_after_failures_in_a_row(void **state)
{
    (void)state;
    cp_breaker breaker = {0};
    for (int i = 0; i < CP_BREAKER_FAILURES - 1; i++)
        assert_false(cp_breaker_failed(&breaker, true));
    cp_breaker_answered(&breaker);
    for (int i = 0; i < CP_BREAKER_FAILURES - 1; i++)
        assert_false(cp_breaker_failed(&breaker, true));
    assert_int_equal(cp_breaker_room(&breaker, 0, 64), 64);
    assert_true(cp_breaker_failed(&breaker, true));
    assert_int_equal(breaker.state, CP_BREAKER_OPEN);
    assert_int_equal(cp_breaker_room(&breaker, 0, 64), 0);
    assert_false(cp_breaker_failed(&breaker, true)); /* those that were under way: it is open already */
}

static void test_opens_at_once_when_not_reached(void **state)
{
    (void)state;
    cp_breaker breaker = {0};
    assert_true(cp_breaker_failed(&breaker, false));
    assert_int_equal(breaker.state, CP_BREAKER_OPEN);
}

static void test_half_open(void **state)
{
    (void)state;
    cp_breaker breaker = {0};
    cp_breaker_failed(&breaker, false);
    cp_breaker_probed(&breaker, false);
    assert_int_equal(breaker.state, CP_BREAKER_OPEN);
    cp_breaker_probed(&breaker, true);
    assert_int_equal(breaker.state, CP_BREAKER_HALF_OPEN);
    assert_int_equal(cp_breaker_room(&breaker, 0, 64), 1);
    assert_int_equal(cp_breaker_room(&breaker, 1, 64), 0);
    assert_true(cp_breaker_failed(&breaker, true)); /* one failure is enough */
    cp_breaker_probed(&breaker, true);
    cp_breaker_answered(&breaker);
    assert_int_equal(breaker.state, CP_BREAKER_CLOSED);
    assert_int_equal(cp_breaker_room(&breaker, 3, 64), 61);
    cp_breaker_probed(&breaker, true); /* a probe for another reason changes nothing */
    assert_int_equal(breaker.state, CP_BREAKER_CLOSED);
}

static void test_critical_first(void **state)
{
    (void)state;
    cp_schedule *schedule = calloc(1, sizeof *schedule);
    assert_non_null(schedule);
    schedule->count = 3;
    schedule->critical[2] = true;
    assert_int_equal(cp_schedule_next(schedule), -1);
    for (uint32_t i = 0; i < 3; i++)
        cp_schedule_want(schedule, i, true);
    cp_schedule_served(schedule, 2, 1 << 30);
    cp_schedule_want(schedule, 2, true);
    assert_int_equal(cp_schedule_next(schedule), 2); /* whatever it has had */
    cp_schedule_want(schedule, 2, false);
    assert_int_equal(cp_schedule_next(schedule), 0);
    free(schedule);
}

/* Tables that always want to be served, with batches of different sizes, get the same number of bytes each. One that was idle
 * gets no more than its share when it comes back. */
static void test_fair(void **state)
{
    (void)state;
    enum { TABLES = 5, TURNS = 20000, LARGEST = 1000 };
    cp_schedule *schedule = calloc(1, sizeof *schedule);
    assert_non_null(schedule);
    uint64_t bytes[TABLES] = {0};
    schedule->count = TABLES;
    for (int turn = 0; turn < TURNS; turn++) {
        for (uint32_t i = 0; i < TABLES; i++)
            cp_schedule_want(schedule, i, i != 4 || turn >= TURNS / 2);
        const int table = cp_schedule_next(schedule);
        assert_in_range(table, 0, TABLES - 1);
        const uint64_t cost = 1 + (uint64_t)rand() % (LARGEST / (uint64_t)(table + 1));
        bytes[table] += cost;
        cp_schedule_served(schedule, (uint32_t)table, cost);
        if (turn == TURNS / 2 - 1) {
            for (int i = 0; i < 4; i++)
                assert_in_range(bytes[i], bytes[0] - 2 * LARGEST, bytes[0] + 2 * LARGEST);
            for (int i = 0; i < TABLES; i++)
                bytes[i] = 0;
        }
    }
    for (int i = 1; i < TABLES; i++)
        assert_in_range(bytes[i], bytes[0] - 3 * LARGEST, bytes[0] + 3 * LARGEST);
    free(schedule);
}

int main(void)
{
    const char *given = getenv("CP_SEED");
    const unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("CP_SEED=%u\n", seed);
    srand(seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row),
        cmocka_unit_test(test_opens_at_once_when_not_reached),
        cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_critical_first),
        cmocka_unit_test(test_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
