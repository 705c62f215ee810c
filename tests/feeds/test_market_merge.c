/* Files with several captures each: segments follow each other in all files together, in order of time within. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "feeds/market_merge.h"

#define S INT64_C(1000000000)

static char path[64];

static const char *write_trades(const int64_t *times, int count, int which)
{
    snprintf(path, sizeof path, "/tmp/cp_merge_%d_%d.csv", (int)getpid(), which);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("recv_ts_ns,exch_ts_ms,venue,symbol,trade_id,price,qty,buyer_is_maker\n", file);
    for (int i = 0; i < count; i++) {
        if (i == 1)
            fputs("not a trade\n", file);
        fprintf(file, "%lld,1,v,s,%d,1,1,0\n", (long long)times[i], which * 100 + i);
    }
    assert_int_equal(fclose(file), 0);
    return path;
}

static void count_reject(void *ctx, const cp_error *err)
{
    (void)err;
    ++*(int *)ctx;
}

static void add(cp_market_merge *merge, const int64_t *times, int count, int which)
{
    cp_event_kind kind = CP_EVENT_L2;
    cp_error err = {0};
    assert_int_equal(
        cp_market_merge_add(merge, write_trades(times, count, which), CP_EVENT_KINDS, &kind, &err), CP_OK);
    assert_int_equal(kind, CP_EVENT_TRADE);
    unlink(path);
}

static void test_segments(void **state)
{
    (void)state;
    int rejects = 0;
    cp_error err = {0};
    cp_market_merge *merge = NULL;
    assert_int_equal(cp_market_merge_new(&merge, count_reject, &rejects, &err), CP_OK);
    const int64_t a[] = {100 * S, 300 * S, 10 * S, 30 * S};
    const int64_t b[] = {200 * S, 400 * S, 399 * S + S / 2,
                         20 * S}; /* half a second back is no new segment */
    add(merge, a, 4, 1);
    add(merge, b, 4, 2);
    const uint64_t expected[] = {100, 200, 101, 201, 202, 102, 203, 103};
    cp_event event;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(cp_market_merge_next(merge, &event, &err), 1);
        assert_int_equal(event.trade.trade_id, expected[i]);
    }
    assert_int_equal(cp_market_merge_next(merge, &event, &err), 0);
    assert_int_equal(rejects, 2);
    cp_market_merge_free(merge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_segments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
