#include "feeds/market_synthetic.h"

#include <string.h>

#include "base/clock.h"

static const struct {
    const char *name;
    int64_t tick;  /* scaled by 10^8 */
    int64_t start; /* mid price, in ticks */
    int64_t lot;   /* scaled by 10^8 */
} symbols[CP_SYNTHETIC_SYMBOLS] = {
    {"BTCUSDT", CP_PRICE_ONE / 10, 617512, CP_PRICE_ONE / 1000},
    {"ETHUSDT", CP_PRICE_ONE / 100, 268431, CP_PRICE_ONE / 1000},
    {"SOLUSDT", CP_PRICE_ONE / 100, 15527, CP_PRICE_ONE / 100},
    {"BNBUSDT", CP_PRICE_ONE / 100, 51276, CP_PRICE_ONE / 100},
    {"XRPUSDT", CP_PRICE_ONE / 10000, 6043, CP_PRICE_ONE / 10},
    {"DOGEUSDT", CP_PRICE_ONE / 100000, 10381, CP_PRICE_ONE},
};

enum {
    EXCHANGE_LATENCY_MS = 12,
    L2_SHARE = 83, /* of a hundred events */
    QUOTE_SHARE = 13,
    DEPTH = 50,        /* levels either side that book updates touch */
    REMOVED_SHARE = 30 /* of a hundred book updates: the level goes away */
};

/* splitmix64 (Steele, Lea, Flood 2014): one addition and two multiplications a number, any seed will do. */
static uint64_t random_next(cp_synthetic *synthetic)
{
    uint64_t z = synthetic->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t random_below(cp_synthetic *synthetic, int64_t bound)
{
    return (int64_t)(random_next(synthetic) % (uint64_t)bound);
}

void cp_synthetic_init(cp_synthetic *synthetic, uint64_t seed, int64_t start_ns, double rate)
{
    *synthetic = (cp_synthetic){.random = seed, .now_ns = start_ns, .update_id = 1, .trade_id = 1};
    const double step = 1e9 / rate;
    synthetic->step_ns = step < 1 ? 1 : step > 1e15 ? INT64_C(1000000000000000) : (int64_t)step;
    for (int i = 0; i < CP_SYNTHETIC_SYMBOLS; i++)
        synthetic->mid[i] = symbols[i].start;
}

static void name_set(cp_event_name *name, const char *text)
{
    name->len = (uint8_t)strlen(text);
    memcpy(name->text, text, name->len);
}

static int64_t random_qty(cp_synthetic *synthetic, int symbol)
{
    return symbols[symbol].lot * (1 + random_below(synthetic, 1 + random_below(synthetic, 5000)));
}

static void mid_walk(cp_synthetic *synthetic, int symbol)
{
    int64_t *mid = &synthetic->mid[symbol];
    *mid += random_below(synthetic, 3) - 1;
    if (*mid < symbols[symbol].start / 2 || *mid > symbols[symbol].start * 2)
        *mid = symbols[symbol].start;
}

static void l2_make(cp_synthetic *synthetic, int symbol, cp_event *event)
{
    const bool bid = random_below(synthetic, 2) == 0;
    const int64_t away = 1 + random_below(synthetic, DEPTH);
    const int64_t level = synthetic->mid[symbol] + (bid ? -away : away);
    event->kind = CP_EVENT_L2;
    event->l2.first_update_id = synthetic->update_id;
    synthetic->update_id += (uint64_t)random_below(synthetic, 4);
    event->l2.final_update_id = synthetic->update_id++;
    event->l2.side = bid ? 'B' : 'A';
    event->l2.price = level * symbols[symbol].tick;
    event->l2.qty = random_below(synthetic, 100) < REMOVED_SHARE ? 0 : random_qty(synthetic, symbol);
}

static void quote_make(cp_synthetic *synthetic, int symbol, cp_event *event)
{
    mid_walk(synthetic, symbol);
    event->kind = CP_EVENT_QUOTE;
    event->quote.update_id = synthetic->update_id++;
    event->quote.bid_px = (synthetic->mid[symbol] - 1) * symbols[symbol].tick;
    event->quote.ask_px = (synthetic->mid[symbol] + random_below(synthetic, 2)) * symbols[symbol].tick;
    event->quote.bid_qty = random_qty(synthetic, symbol);
    event->quote.ask_qty = random_qty(synthetic, symbol);
}

static void trade_make(cp_synthetic *synthetic, int symbol, cp_event *event)
{
    event->kind = CP_EVENT_TRADE;
    event->trade.trade_id = synthetic->trade_id++;
    event->trade.buyer_is_maker = random_below(synthetic, 2) == 0;
    event->trade.price = (synthetic->mid[symbol] - event->trade.buyer_is_maker) * symbols[symbol].tick;
    event->trade.qty = random_qty(synthetic, symbol);
}

void cp_synthetic_next(cp_synthetic *synthetic, cp_event *event)
{
    const int symbol = (int)random_below(synthetic, CP_SYNTHETIC_SYMBOLS);
    const int64_t share = random_below(synthetic, 100);
    event->recv_ts_ns = synthetic->now_ns;
    event->has_exch_ts = true;
    event->exch_ts_ms = synthetic->now_ns / CP_NS_PER_MS - EXCHANGE_LATENCY_MS;
    synthetic->now_ns += synthetic->step_ns;
    name_set(&event->venue, "synthetic");
    name_set(&event->symbol, symbols[symbol].name);
    if (share < L2_SHARE)
        l2_make(synthetic, symbol, event);
    else if (share < L2_SHARE + QUOTE_SHARE)
        quote_make(synthetic, symbol, event);
    else
        trade_make(synthetic, symbol, event);
}
