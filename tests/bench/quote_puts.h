/* The quotes that the producers of these benchmarks put again and again: a row of `quotes` for each of QUOTE_SYMBOLS symbols, made
 * once, so that a put is what is timed, and not what fills its row. */
#ifndef CP_TESTS_BENCH_QUOTE_PUTS_H
#define CP_TESTS_BENCH_QUOTE_PUTS_H

#include <coldpath/coldpath.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "rows/quotes.h"

enum { QUOTE_SYMBOLS = 64, QUOTE_TAIL = 16 };

typedef struct quote_put {
    quotes_row row;
    char tail[QUOTE_TAIL]; /* the symbol */
} quote_put;

static inline void quote_puts_make(quote_put *quotes)
{
    for (uint32_t i = 0; i < QUOTE_SYMBOLS; i++) {
        quote_put *quote = &quotes[i];
        const int length = snprintf(quote->tail, sizeof quote->tail, "SYM%uUSDT", i);
        quote->row.venue = (cp_ref){sizeof quote->row, 3};
        quote->row.symbol = (cp_ref){sizeof quote->row, (uint32_t)length};
        quote->row.exch_ts_is_null = true;
        quote->row.bid_px = INT64_C(1000000000) * (i + 1);
        quote->row.bid_qty = quote->row.ask_qty = 100000000;
    }
}

#endif
