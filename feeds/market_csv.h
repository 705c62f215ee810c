/* Market captures: CSV files of L2 updates, best quotes or trades, one kind a file, told by its header.
 *
 *   L2      recv_ts_ns,exch_ts_ms,venue,symbol,first_update_id,final_update_id,side,price,qty
 *   quotes  recv_ts_ns,exch_ts_ms,venue,symbol,update_id,bid_px,bid_qty,ask_px,ask_qty
 *   trades  recv_ts_ns,exch_ts_ms,venue,symbol,trade_id,price,qty,buyer_is_maker
 *
 * Columns may stand in any order, others are ignored. Parsing is strict: digits, at most eight decimals, side
 * B or A, 0 or 1; exch_ts_ms alone may be empty, and not in trades. */
#ifndef CP_FEEDS_MARKET_CSV_H
#define CP_FEEDS_MARKET_CSV_H

#include "feeds/csv_reader.h"
#include "feeds/market_event.h"

typedef struct cp_market_csv cp_market_csv;

/* Opens a capture. kind: what it must hold, or CP_EVENT_KINDS to tell it by the header. Errors as
 * cp_csv_reader_open; CP_E_SCHEMA names the columns that are missing. */
int cp_market_csv_open(cp_market_csv **out, const char *path, cp_event_kind kind, cp_error *err);

/* Reads the next event. Returns as cp_csv_reader_next; CP_E_PARSE says file:line:column and the value. */
int cp_market_csv_next(cp_market_csv *csv, cp_event *event, cp_error *err);

cp_event_kind cp_market_csv_kind(const cp_market_csv *csv);

void cp_market_csv_close(cp_market_csv *csv);

/* Parses a decimal like "-61800.25" into an integer scaled by 10^8, exactly. False when it is malformed, has
 * more than eight decimals that are not zero, or is out of range (CP_PRICE_MAX). */
bool cp_price_parse(const char *text, size_t len, int64_t *out);

#endif
