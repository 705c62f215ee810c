/* Market events as typed rows of l2_updates, quotes and trades. */
#ifndef CP_FEEDS_MARKET_ROWS_H
#define CP_FEEDS_MARKET_ROWS_H

#include "feeds/market_event.h"
#include "rows/l2_updates.h"
#include "rows/quotes.h"
#include "rows/trades.h"

enum { CP_MARKET_TAIL = 2 * CP_NAME_MAX + 2 }; /* venue and symbol */

typedef union cp_market_row {
    struct {
        l2_updates_row row;
        uint8_t tail[CP_MARKET_TAIL];
    } l2;
    struct {
        quotes_row row;
        uint8_t tail[CP_MARKET_TAIL];
    } quote;
    struct {
        trades_row row;
        uint8_t tail[CP_MARKET_TAIL];
    } trade;
} cp_market_row;

typedef struct cp_market_table {
    const char *name;
    uint64_t schema_hash;
} cp_market_table;

/* The table of each kind of event. */
extern const cp_market_table cp_market_tables[CP_EVENT_KINDS];

/* Fills row from an event. Returns its size with the tail. */
uint32_t cp_market_row_fill(cp_market_row *row, const cp_event *event);

#endif
