/* Made-up data: the same for the same seed, plausible, and marked as made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "feeds/market_synthetic.h"

enum { EVENTS = 200000 };

static void test_deterministic(void **state)
{
    (void)state;
    cp_synthetic a;
    cp_synthetic b;
    cp_synthetic other;
    bool differs = false;
    cp_synthetic_init(&a, 7, 1000, 1000);
    cp_synthetic_init(&b, 7, 1000, 1000);
    cp_synthetic_init(&other, 8, 1000, 1000);
    for (int i = 0; i < 1000; i++) {
        cp_event x;
        cp_event y;
        cp_event z;
        memset(&x, 0, sizeof x);
        memset(&y, 0, sizeof y);
        memset(&z, 0, sizeof z);
        cp_synthetic_next(&a, &x);
        cp_synthetic_next(&b, &y);
        cp_synthetic_next(&other, &z);
        assert_memory_equal(&x, &y, sizeof x);
        assert_int_equal(x.recv_ts_ns, 1000 + INT64_C(1000000) * i);
        differs = differs || memcmp(&x, &z, sizeof x) != 0;
    }
    assert_true(differs);
}

static void test_plausible(void **state)
{
    (void)state;
    cp_synthetic synthetic;
    int kinds[CP_EVENT_KINDS] = {0};
    uint64_t last_trade = 0;
    cp_synthetic_init(&synthetic, 1, INT64_C(1700000000000000000), 1e6);
    for (int i = 0; i < EVENTS; i++) {
        cp_event event;
        cp_synthetic_next(&synthetic, &event);
        kinds[event.kind]++;
        assert_memory_equal(event.venue.text, "synthetic", event.venue.len);
        if (event.kind == CP_EVENT_QUOTE) {
            assert_true(event.quote.bid_px > 0 && event.quote.bid_px < event.quote.ask_px);
            assert_true(event.quote.bid_qty > 0 && event.quote.ask_qty > 0);
        } else if (event.kind == CP_EVENT_TRADE) {
            assert_true(event.trade.trade_id > last_trade && event.trade.price > 0 && event.trade.qty > 0);
            last_trade = event.trade.trade_id;
        } else {
            assert_true(event.l2.price > 0 && event.l2.price <= CP_PRICE_MAX && event.l2.qty >= 0);
            assert_true(event.l2.first_update_id <= event.l2.final_update_id);
            assert_true(event.l2.side == 'B' || event.l2.side == 'A');
        }
    }
    assert_in_range(kinds[CP_EVENT_L2], EVENTS * 81 / 100, EVENTS * 85 / 100);
    assert_in_range(kinds[CP_EVENT_QUOTE], EVENTS * 12 / 100, EVENTS * 14 / 100);
    assert_in_range(kinds[CP_EVENT_TRADE], EVENTS * 3 / 100, EVENTS * 5 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_deterministic),
                                       cmocka_unit_test(test_plausible)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
