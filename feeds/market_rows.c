#include "feeds/market_rows.h"

const cp_market_table cp_market_tables[CP_EVENT_KINDS] = {
    {L2_UPDATES_TABLE, L2_UPDATES_SCHEMA_HASH},
    {QUOTES_TABLE, QUOTES_SCHEMA_HASH},
    {TRADES_TABLE, TRADES_SCHEMA_HASH},
};

/* Venue and symbol; CP_MARKET_TAIL is enough for the longest. */
static uint32_t names_put(cp_tail tail, cp_ref *venue, cp_ref *symbol, const cp_event *event)
{
    cp_tail_put(&tail, venue, event->venue.text, event->venue.len);
    cp_tail_put(&tail, symbol, event->symbol.text, event->symbol.len);
    return tail.used;
}

static uint32_t l2_fill(l2_updates_row *row, uint32_t capacity, const cp_event *event)
{
    *row = (l2_updates_row){.recv_ts = event->recv_ts_ns,
                            .exch_ts = event->exch_ts_ms,
                            .exch_ts_is_null = !event->has_exch_ts,
                            .first_update_id = event->l2.first_update_id,
                            .final_update_id = event->l2.final_update_id,
                            .side = event->l2.side == 'B' ? L2_UPDATES_SIDE_B : L2_UPDATES_SIDE_A,
                            .price = event->l2.price,
                            .qty = event->l2.qty};
    return names_put(cp_tail_begin(row, sizeof *row, capacity), &row->venue, &row->symbol, event);
}

static uint32_t quote_fill(quotes_row *row, uint32_t capacity, const cp_event *event)
{
    *row = (quotes_row){.recv_ts = event->recv_ts_ns,
                        .exch_ts = event->exch_ts_ms,
                        .exch_ts_is_null = !event->has_exch_ts,
                        .update_id = event->quote.update_id,
                        .bid_px = event->quote.bid_px,
                        .bid_qty = event->quote.bid_qty,
                        .ask_px = event->quote.ask_px,
                        .ask_qty = event->quote.ask_qty};
    return names_put(cp_tail_begin(row, sizeof *row, capacity), &row->venue, &row->symbol, event);
}

static uint32_t trade_fill(trades_row *row, uint32_t capacity, const cp_event *event)
{
    *row = (trades_row){.recv_ts = event->recv_ts_ns,
                        .exch_ts = event->exch_ts_ms,
                        .trade_id = event->trade.trade_id,
                        .price = event->trade.price,
                        .qty = event->trade.qty,
                        .buyer_is_maker = event->trade.buyer_is_maker};
    return names_put(cp_tail_begin(row, sizeof *row, capacity), &row->venue, &row->symbol, event);
}

uint32_t cp_market_row_fill(cp_market_row *row, const cp_event *event)
{
    switch (event->kind) {
    case CP_EVENT_L2:
        return l2_fill(&row->l2.row, sizeof row->l2, event);
    case CP_EVENT_QUOTE:
        return quote_fill(&row->quote.row, sizeof row->quote, event);
    default:
        return trade_fill(&row->trade.row, sizeof row->trade, event);
    }
}
