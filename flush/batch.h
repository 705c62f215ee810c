/* A frozen batch: what one POST carries, and what it answers for.
 *
 * The token names the exact rows: it is made from the recorder's instance, the table and a hash (XXH3, 128 bits) of the
 * spans (epoch, slot, begin, end), with no clock and no counter. So the same rows always get the same token, and other
 * rows never do; ClickHouse's deduplication rests on that. Once frozen, a batch changes no more until it is cleared.
 *
 * The body lies in a mapping of its own, which costs memory only where it was touched. One thread. */
#ifndef CP_FLUSH_BATCH_H
#define CP_FLUSH_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/flusher.h"

enum { CP_TOKEN_MAX = 512 };

typedef struct cp_batch {
    uint8_t *body;
    size_t body_capacity;
    size_t body_size;
    size_t body_touched; /* since the last trim */
    bool zstd;
    uint64_t plain_size; /* of the body before compression */
    uint64_t made_ns;    /* how long making it took */
    bool gaps;           /* chunks of a ring need not continue each other; stays */
    cp_lsn_range range;
    uint32_t rows;
    uint32_t span_count;
    cp_span spans[CP_MAX_TABLE_SLOTS];
    char token[CP_TOKEN_MAX];
} cp_batch;

/* An empty batch with room for body_capacity bytes. CP_E_NOMEM. */
int cp_batch_init(cp_batch *batch, size_t body_capacity);
void cp_batch_destroy(cp_batch *batch);

/* Forgets rows, spans and token. */
void cp_batch_clear(cp_batch *batch);

/* Adds a chunk's positions, joining them to a span that they continue, or follow if gaps are allowed. False when there is no span left for it. */
bool cp_batch_add_span(cp_batch *batch, const cp_chunk *chunk);

/* Makes the token from instance, table, and spans or, for a batch from a log, its range: within an instance an LSN names its
 * record. */
void cp_batch_make_token(cp_batch *batch, const char *instance, const char *table);

/* Gives back body memory beyond keep bytes; only of a cleared batch. */
void cp_batch_trim(cp_batch *batch, size_t keep);

#endif
