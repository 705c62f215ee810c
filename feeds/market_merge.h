/* Several captures as one stream, ordered by the time of receipt.
 *
 * A file may hold captures one after the other, so that the time goes back where the next begins. Each such
 * step begins a new segment; segments are merged with each other, file by file:
 *
 *      L2      [ segment 0 ········ ][ segment 1 ··· ]
 *      quotes  [ segment 0 ···· ]    [ segment 1 ······ ]        0 of all files, then 1 of all files
 *      trades  [ segment 0 ··  ]     [ segment 1 · ]
 */
#ifndef CP_FEEDS_MARKET_MERGE_H
#define CP_FEEDS_MARKET_MERGE_H

#include "feeds/market_csv.h"

enum {
    CP_MERGE_FILES = 16,
    CP_MERGE_REORDER_NS =
        1000 * 1000 * 1000 /* a smaller step back is disorder within a capture, not a new one */
};

/* Told about every rejected line. */
typedef void cp_merge_reject(void *ctx, const cp_error *err);

typedef struct cp_market_merge cp_market_merge;

int cp_market_merge_new(cp_market_merge **out, cp_merge_reject *reject, void *ctx, cp_error *err);

/* Adds a capture, as cp_market_csv_open. The kind found is stored in *kind (if not NULL). */
int cp_market_merge_add(cp_market_merge *merge, const char *path, cp_event_kind wanted, cp_event_kind *kind,
                        cp_error *err);

/* The next event. Returns 1, 0 at the end of all, or CP_E_IO, CP_E_CORRUPT, CP_E_NOMEM. */
int cp_market_merge_next(cp_market_merge *merge, cp_event *event, cp_error *err);

void cp_market_merge_free(cp_market_merge *merge);

#endif
