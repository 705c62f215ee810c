/* Strict parsing of captures: exact decimals, every bad field named by file, line and column, good rows untouched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feeds/market_csv.h"

static const char l2_header[] =
    "recv_ts_ns,exch_ts_ms,venue,symbol,first_update_id,final_update_id,side,price,qty\n";

static cp_market_csv *open_text(const char *text, cp_event_kind kind, int expected, cp_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/cp_market_%d.csv", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    cp_market_csv *csv = NULL;
    assert_int_equal(cp_market_csv_open(&csv, path, kind, err), expected);
    unlink(path);
    return csv;
}

static void expect_price(const char *text, bool ok, int64_t expected)
{
    int64_t value = 0;
    if (cp_price_parse(text, strlen(text), &value) != ok)
        fail_msg("'%s' should %sparse", text, ok ? "" : "not ");
    if (ok && value != expected)
        fail_msg("'%s' gives %" PRId64, text, value);
}

static void test_prices(void **state)
{
    (void)state;
    expect_price("0", true, 0);
    expect_price("-0.1", true, -10000000);
    expect_price("61800.20", true, INT64_C(6180020000000));
    expect_price("0.00000001", true, 1);
    expect_price("1.100000000000", true, 110000000);
    expect_price("9999999999.99999999", true, CP_PRICE_MAX);
    expect_price("-9999999999.99999999", true, -CP_PRICE_MAX);
    expect_price("10000000000", false, 0);
    expect_price("0.000000001", false, 0);
    static const char *const bad[] = {"",    "-",   ".5",   "5.",  "1.2.3", "1e5", " 1",
                                      "1 ",  "+1",  "--1",  "0x1", "nan",   "1,0", "99999999999999999999999",
                                      "1-2", "1.-", "\xff", "NaN", "-.1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_price(bad[i], false, 0);
}

/* Any number of the range, printed and parsed, is itself. */
static void test_prices_random(void **state)
{
    (void)state;
    const char *given = getenv("CP_SEED");
    const unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    print_message("CP_SEED=%u\n", seed);
    srandom(seed);
    for (int i = 0; i < 100000; i++) {
        const int64_t bits = (int64_t)random() << 31 ^ random();
        const int64_t value = (bits % (CP_PRICE_MAX + 1)) >> (random() % 60);
        char text[64];
        snprintf(text, sizeof text, "%s%" PRId64 ".%08" PRId64, i % 2 ? "-" : "", value / CP_PRICE_ONE,
                 value % CP_PRICE_ONE);
        expect_price(text, true, i % 2 ? -value : value);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    cp_error err = {0};
    cp_event event;
    cp_market_csv *csv =
        open_text("symbol,venue,recv_ts_ns,exch_ts_ms,update_id,bid_px,bid_qty,ask_px,ask_qty,more\r\n"
                  "BTCUSDT,spot,17,,18446744073709551615,1.5,2,1.75,3,x\r\n",
                  CP_EVENT_KINDS, CP_OK, &err);
    assert_int_equal(cp_market_csv_kind(csv), CP_EVENT_QUOTE);
    assert_int_equal(cp_market_csv_next(csv, &event, &err), 1);
    assert_int_equal(event.kind, CP_EVENT_QUOTE);
    assert_int_equal(event.recv_ts_ns, 17);
    assert_false(event.has_exch_ts);
    assert_true(event.quote.update_id == UINT64_MAX);
    assert_int_equal(event.quote.ask_px, 175000000);
    assert_int_equal(event.symbol.len, 7);
    assert_memory_equal(event.symbol.text, "BTCUSDT", 7);
    assert_int_equal(cp_market_csv_next(csv, &event, &err), 0);
    cp_market_csv_close(csv);
    csv = open_text("recv_ts_ns,exch_ts_ms,venue,symbol,trade_id,price,qty,buyer_is_maker\n1,2,v,s,3,4,5,1\n",
                    CP_EVENT_KINDS, CP_OK, &err);
    assert_int_equal(cp_market_csv_next(csv, &event, &err), 1);
    assert_true(event.trade.buyer_is_maker);
    assert_int_equal(event.exch_ts_ms, 2);
    cp_market_csv_close(csv);
}

static void test_header(void **state)
{
    (void)state;
    cp_error err = {0};
    open_text("", CP_EVENT_KINDS, CP_E_PARSE, &err);
    open_text("a,b,c\n1,2,3\n", CP_EVENT_KINDS, CP_E_SCHEMA, &err);
    open_text(l2_header, CP_EVENT_TRADE, CP_E_SCHEMA, &err);
    assert_non_null(strstr(err.text, "trade_id"));
}

/* One bad line each, between good ones. */
static void test_bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *place; /* of the message, behind "file:line" */
    } cases[] = {
        {"x,2,usdm,BTC,3,4,B,1,1", ":1: recv_ts_ns:"},
        {"-1,2,usdm,BTC,3,4,B,1,1", ":1: recv_ts_ns:"},
        {"1,99999999999999999999,usdm,BTC,3,4,B,1,1", ":3: exch_ts_ms:"},
        {"1,2,,BTC,3,4,B,1,1", ":5: venue:"},
        {"1,2,usdm,BTC,18446744073709551616,4,B,1,1", ":14: first_update_id:"},
        {"1,2,usdm,BTC,3,4,C,1,1", ":18: side:"},
        {"1,2,usdm,BTC,3,4,BA,1,1", ":18: side:"},
        {"1,2,usdm,BTC,3,4,B,1.2.3,1", ":20: price: \"1.2.3\""},
        {"1,2,usdm,BTC,3,4,B,1,", ":22: qty:"},
        {"1,2,usdm,BTC,3,4,B", ": 7 fields where 9"},
        {"1,2,usdm,BTC,3,4,B,1,1,1", ": 10 fields where 9"},
        {"\x01\xff\xfe rubbish", ": 1 fields where 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        const char *good = "1,2,usdm,BTC,3,4,A,5,0.000\n";
        snprintf(text, sizeof text, "%s%s%s\n%s", l2_header, good, cases[i].line, good);
        cp_error err = {0};
        cp_event event;
        cp_market_csv *csv = open_text(text, CP_EVENT_L2, CP_OK, &err);
        assert_int_equal(cp_market_csv_next(csv, &event, &err), 1);
        assert_int_equal(cp_market_csv_next(csv, &event, &err), CP_E_PARSE);
        char expected[128];
        snprintf(expected, sizeof expected, ".csv:3%s", cases[i].place);
        if (!strstr(err.text, expected))
            fail_msg("'%s' lacks '%s'", err.text, expected);
        assert_int_equal(cp_market_csv_next(csv, &event, &err), 1);
        assert_int_equal(event.l2.side, 'A');
        assert_int_equal(event.l2.qty, 0);
        assert_int_equal(cp_market_csv_next(csv, &event, &err), 0);
        cp_market_csv_close(csv);
    }
}

static void test_half_line(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof text, "%s1,2,usdm,BT", l2_header);
    cp_error err = {0};
    cp_event event;
    cp_market_csv *csv = open_text(text, CP_EVENT_L2, CP_OK, &err);
    assert_int_equal(cp_market_csv_next(csv, &event, &err), CP_E_PARSE);
    assert_non_null(strstr(err.text, "was it cut?"));
    assert_int_equal(cp_market_csv_next(csv, &event, &err), 0);
    cp_market_csv_close(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prices), cmocka_unit_test(test_prices_random), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_header), cmocka_unit_test(test_bad_lines),     cmocka_unit_test(test_half_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
