/* A bounded queue of chunk pointers between two threads: one pushes, one pops.
 *
 *        head (consumer) ──►┌──┬──┬──┬──┬──┐◄── tail (producer)
 *                           │c0│c1│c2│  │  │      both count up for ever; slot = count & mask
 *                           └──┴──┴──┴──┴──┘
 *
 * Each side owns one index, on a cache line of its own together with its last view of the other's; it looks
 * at the other's line only when its view says full (or empty). A push release-stores tail behind the pointer,
 * a pop acquire-loads it, so what the pusher wrote into the chunk is visible to the popper. Ownership of the
 * chunk moves with the pointer. Never blocks, never allocates after create. */
#ifndef CP_INGEST_CHUNK_QUEUE_H
#define CP_INGEST_CHUNK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/chunk.h"

typedef struct cp_chunk_queue cp_chunk_queue;

enum { CP_CHUNK_QUEUE_MAX = 1 << 20 };

/* A queue of capacity pointers: a power of two, 1 … CP_CHUNK_QUEUE_MAX. NULL when it is not, or out of
 * memory. */
cp_chunk_queue *cp_chunk_queue_create(uint32_t capacity);

/* Frees the queue, not the chunks in it. NULL is allowed. */
void cp_chunk_queue_free(cp_chunk_queue *queue);

/* Producer: appends chunk. False when full: the caller keeps it. */
bool cp_chunk_queue_push(cp_chunk_queue *queue, cp_chunk *chunk);

/* Consumer: takes the oldest, or NULL when empty. */
cp_chunk *cp_chunk_queue_pop(cp_chunk_queue *queue);

/* Consumer: looks at the index-th oldest (0 = the one that pop would give) without taking it, or NULL when
 * there are no more than index. */
cp_chunk *cp_chunk_queue_peek(cp_chunk_queue *queue, uint32_t index);

/* How many are queued; exact for the consumer as to what it may pop, a snapshot for everybody else. */
uint32_t cp_chunk_queue_size(const cp_chunk_queue *queue);

#endif
