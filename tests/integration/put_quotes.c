/* Puts quotes for tests of pressure: put_quotes REGION SECONDS ROWS_PER_SECOND [ROWS], 0 rows a second meaning flat out, and never
 * waits: a row that finds its ring full is not put. Every TRADE_EVERY-th row a trade is put too, where the region has such a
 * table; trades wait for room.
 *
 * update_id counts the rows that were put; a symbol's prices change with every STEPS-th of its rows. Prints one JSON line:
 * {"quotes": put, "refused": …, "trades": put, "ns_p50": of a put that was not refused, "ns_p999": …,
 * "levels": [puts that saw each rung of the ladder], "last": {symbol: bid_px of its last row in units of 1e-8, …}}. */
#include <coldpath/coldpath.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "rows/quotes.h"
#include "rows/trades.h"

enum {
    SYMBOLS = 200,
    STEPS = 4,
    TRADE_EVERY = 50,
    BURST = 32,
    LEVELS = 4,
    BUCKETS = 100000, /* of 10 ns: puts up to a millisecond are told apart */
    BUCKET_NS = 10
};

typedef struct quote_put {
    quotes_row row;
    char tail[32];
} quote_put;

typedef struct trade_put {
    trades_row row;
    char tail[32];
} trade_put;

typedef struct maker {
    cp_ring *quotes;
    cp_ring *trades; /* NULL: no such table */
    quote_put quote[SYMBOLS];
    int64_t last[SYMBOLS];
    uint64_t steps[SYMBOLS];
    uint64_t put;
    uint64_t tried;
    uint64_t trades_put;
    uint64_t levels[LEVELS];
    uint32_t times[BUCKETS];
} maker;

static maker the_maker;

static void quotes_make(maker *m)
{
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        quote_put *put = &m->quote[i];
        cp_tail tail = cp_tail_begin(put, sizeof put->row, sizeof *put);
        char name[16];
        const int length = snprintf(name, sizeof name, "S%03u", i);
        put->row.recv_ts = (int64_t)cp_realtime_ns();
        cp_tail_put(&tail, &put->row.venue, "test", 4);
        cp_tail_put(&tail, &put->row.symbol, name, (uint32_t)length);
    }
}

static void trade_put_one(maker *m)
{
    trade_put put = {.row = {.recv_ts = (int64_t)cp_realtime_ns(), .trade_id = m->trades_put}};
    cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
    cp_tail_put(&tail, &put.row.symbol, "S", 1);
    cp_tail_put(&tail, &put.row.venue, "test", 4);
    m->trades_put += cp_put_wait(m->trades, &put, tail.used, 60 * (uint64_t)CP_NS_PER_S) == CP_OK;
}

static void quote_put_one(maker *m)
{
    const uint32_t symbol = (uint32_t)(m->tried++ % SYMBOLS);
    quote_put *put = &m->quote[symbol];
    const uint32_t bytes = (uint32_t)(sizeof put->row + put->row.venue.length + put->row.symbol.length);
    put->row.update_id = m->put;
    put->row.bid_px = (int64_t)(m->steps[symbol] / STEPS + 1) * 100000000;
    put->row.ask_px = put->row.bid_px + 1;
    const uint64_t begin = cp_boottime_ns();
    const int rc = cp_put(m->quotes, put, bytes);
    const uint64_t took = (cp_boottime_ns() - begin) / BUCKET_NS;
    if (rc != CP_OK)
        return;
    const uint32_t level = cp_pressure(m->quotes);
    m->times[took < BUCKETS ? took : BUCKETS - 1]++;
    m->levels[level < LEVELS ? level : LEVELS - 1]++;
    m->last[symbol] = put->row.bid_px;
    m->steps[symbol]++;
    m->put++;
}

/* Sleeps until the n-th row is due. */
static void pace(uint64_t start_ns, uint64_t number, uint64_t rate)
{
    const uint64_t due = start_ns + number * CP_NS_PER_S / rate;
    const uint64_t now = cp_boottime_ns();
    if (due > now) {
        const struct timespec time = {.tv_sec = 0,
                                      .tv_nsec = (long)(due - now < CP_NS_PER_S ? due - now : 999999999)};
        nanosleep(&time, NULL);
    }
}

static uint64_t quantile_ns(const maker *m, uint64_t permille)
{
    uint64_t seen = 0;
    uint32_t i = 0;
    while (i < BUCKETS - 1 && (seen += m->times[i]) * 1000 < m->put * permille)
        i++;
    return (uint64_t)i * BUCKET_NS;
}

static void report(const maker *m)
{
    printf("{\"quotes\": %llu, \"refused\": %llu, \"trades\": %llu, \"ns_p50\": %llu, \"ns_p999\": %llu, "
           "\"levels\": [%llu, %llu, %llu, %llu], \"last\": {",
           (unsigned long long)m->put, (unsigned long long)(m->tried - m->put),
           (unsigned long long)m->trades_put, (unsigned long long)quantile_ns(m, 500),
           (unsigned long long)quantile_ns(m, 999), (unsigned long long)m->levels[0],
           (unsigned long long)m->levels[1], (unsigned long long)m->levels[2],
           (unsigned long long)m->levels[3]);
    for (uint32_t i = 0; i < SYMBOLS; i++)
        printf("%s\"S%03u\": %lld", i ? ", " : "", i, (long long)m->last[i]);
    printf("}}\n");
}

int main(int argc, char **argv)
{
    maker *m = &the_maker;
    cp_region *region;
    cp_error err;
    if (argc < 4) {
        fprintf(stderr, "usage: put_quotes REGION SECONDS ROWS_PER_SECOND [ROWS]\n");
        return 64;
    }
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&m->quotes, region, QUOTES_TABLE, QUOTES_SCHEMA_HASH, "put_quotes", &err) < 0 ||
        (cp_region_find_table(region, TRADES_TABLE) &&
         cp_ring_open(&m->trades, region, TRADES_TABLE, TRADES_SCHEMA_HASH, "put_quotes", &err) < 0)) {
        fprintf(stderr, "put_quotes: %s\n", err.text);
        return 69;
    }
    const uint64_t rate = strtoull(argv[3], NULL, 10);
    const uint64_t most = argc > 4 ? strtoull(argv[4], NULL, 10) : UINT64_MAX;
    const uint64_t start = cp_boottime_ns();
    const uint64_t end = start + strtoull(argv[2], NULL, 10) * CP_NS_PER_S;
    quotes_make(m);
    while (cp_boottime_ns() < end && m->put < most) {
        for (int i = 0; i < BURST; i++) {
            quote_put_one(m);
            if (m->trades && m->tried % TRADE_EVERY == 0)
                trade_put_one(m);
        }
        if (rate)
            pace(start, m->tried, rate);
    }
    report(m);
    cp_ring_close(m->quotes);
    cp_ring_close(m->trades);
    cp_detach(region);
    return 0;
}
