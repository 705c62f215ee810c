/* Made-up market data, for machines without captures: a random walk of a few symbols' mid prices, with book updates,
 * quotes and trades around them in about the proportions of a real venue (83 : 13 : 4). The venue is "synthetic" in
 * every row, so that nobody takes it for real. The same seed gives the same events. */
#ifndef CP_FEEDS_MARKET_SYNTHETIC_H
#define CP_FEEDS_MARKET_SYNTHETIC_H

#include "feeds/market_event.h"

enum { CP_SYNTHETIC_SYMBOLS = 6 };

typedef struct cp_synthetic {
    uint64_t random;
    int64_t now_ns;
    int64_t step_ns; /* between events, on average */
    uint64_t update_id;
    uint64_t trade_id;
    int64_t mid[CP_SYNTHETIC_SYMBOLS]; /* in ticks of the symbol */
} cp_synthetic;

/* start_ns: time of the first event, since 1970; rate: events per second of their own time, > 0. */
void cp_synthetic_init(cp_synthetic *synthetic, uint64_t seed, int64_t start_ns, double rate);

/* Makes the next event. */
void cp_synthetic_next(cp_synthetic *synthetic, cp_event *event);

#endif
