/* How often the same event is said: bursts, windows, what was left out, and events that push each other out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/log_limit.h"

static const uint64_t window = CP_LOG_WINDOW_S * (uint64_t)CP_NS_PER_S;

static cp_log_limit limit;

static int setup(void **state)
{
    (void)state;
    memset(&limit, 0, sizeof limit);
    return 0;
}

static uint32_t said(uint64_t key, uint64_t now, uint32_t times)
{
    uint32_t lines = 0;
    uint32_t left_out;
    for (uint32_t i = 0; i < times; i++)
        lines += cp_log_limit_take(&limit, key, now, &left_out);
    return lines;
}

static void test_a_burst_then_none(void **state)
{
    (void)state;
    uint32_t left_out = 99;
    assert_true(cp_log_limit_take(&limit, 7, 1, &left_out));
    assert_int_equal(left_out, 0);
    assert_int_equal(said(7, 2, 1000), CP_LOG_BURST - 1);
    assert_int_equal(said(7, window, 5), 0);
    assert_true(cp_log_limit_take(&limit, 7, window + 1, &left_out));
    assert_int_equal(left_out, 1000 - CP_LOG_BURST + 1 + 5);
    assert_true(cp_log_limit_take(&limit, 7, window + 2, &left_out));
    assert_int_equal(left_out, 0);
}

static void test_events_are_apart(void **state)
{
    (void)state;
    assert_int_equal(said(1, 1, 100), CP_LOG_BURST);
    assert_int_equal(said(0, 1, 100), CP_LOG_BURST); /* 0 is a key as any other */
    assert_int_equal(said(2, 1, 1), 1);
    assert_int_equal(said(1, 1, 1), 0);
}

/* More events than there are places: the one that was quiet longest is forgotten, and may speak again. */
static void test_the_quietest_makes_room(void **state)
{
    (void)state;
    uint64_t now = 1;
    for (uint64_t key = 0; key < CP_LOG_EVENTS; key++)
        assert_int_equal(said(key, now++, CP_LOG_BURST), CP_LOG_BURST);
    assert_int_equal(said(0, now++, 1), 0); /* 1 is the quietest now */
    assert_int_equal(said(CP_LOG_EVENTS, now++, 1), 1);
    assert_int_equal(said(0, now++, 1), 0);
    assert_int_equal(said(2, now++, 1), 0);
    assert_int_equal(said(1, now, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_burst_then_none, setup),
        cmocka_unit_test_setup(test_events_are_apart, setup),
        cmocka_unit_test_setup(test_the_quietest_makes_room, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
