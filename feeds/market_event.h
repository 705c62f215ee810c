/* One market event, of whichever source: a change of an order book's level, a best quote, or a trade. Prices
 * and quantities are exact: integers scaled by 10^8, as in the tables' Decimal(18, 8). */
#ifndef CP_FEEDS_MARKET_EVENT_H
#define CP_FEEDS_MARKET_EVENT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CP_NAME_MAX = 31,   /* bytes of a venue or symbol */
    CP_PRICE_SCALE = 8, /* decimal digits */
    CP_PRICE_ONE = 100 * 1000 * 1000
};

/* The largest magnitude of a Decimal(18, 8): 18 digits. */
#define CP_PRICE_MAX INT64_C(999999999999999999)

typedef enum cp_event_kind { CP_EVENT_L2, CP_EVENT_QUOTE, CP_EVENT_TRADE, CP_EVENT_KINDS } cp_event_kind;

typedef struct cp_event_name {
    uint8_t len;
    char text[CP_NAME_MAX];
} cp_event_name;

typedef struct cp_event {
    cp_event_kind kind;
    bool has_exch_ts;
    int64_t recv_ts_ns; /* since 1970, the receiver's clock */
    int64_t exch_ts_ms; /* since 1970, the exchange's clock, which need not agree */
    cp_event_name venue;
    cp_event_name symbol;
    union {
        struct {
            uint64_t first_update_id;
            uint64_t final_update_id;
            char side; /* 'B' or 'A' */
            int64_t price;
            int64_t qty; /* 0: the level is gone */
        } l2;
        struct {
            uint64_t update_id;
            int64_t bid_px;
            int64_t bid_qty;
            int64_t ask_px;
            int64_t ask_qty;
        } quote;
        struct {
            uint64_t trade_id;
            int64_t price;
            int64_t qty;
            bool buyer_is_maker;
        } trade;
    };
} cp_event;

#endif
