/* The chunk pool: all chunks there will ever be, allocated at start. Their pages are touched by a thread of its own, which ends
 * when it has: a recorder that starts again does not wait for a hundred megabytes of zeros before it takes the first row.
 *
 * The drain thread takes chunks; the flusher's thread gives them back through a queue. So take and give are each for
 * one thread. */
#ifndef CP_INGEST_CHUNK_POOL_H
#define CP_INGEST_CHUNK_POOL_H

#include <coldpath/error.h>

#include "ingest/chunk.h"

enum {
    CP_CHUNK_BYTES = 512 * 1024, /* ring bytes per chunk: large enough that per-chunk work is noise */
    CP_CHUNK_MIN_RECORD =
        32 /* a chunk indexes up to CP_CHUNK_BYTES / this many rows; smaller rows make it end early */
};

typedef struct cp_chunk_pool cp_chunk_pool;

/* Takes at most memory_limit bytes, but at least min_chunks chunks: CP_E_TOO_BIG when they do not fit, saying what would
 * be needed. data_bytes ≥ the largest record. CP_E_NOMEM. */
int cp_chunk_pool_create(cp_chunk_pool **out, uint64_t memory_limit, uint32_t min_chunks, uint32_t data_bytes,
                         cp_error *err);

/* A free chunk, fields undefined but data, row_at and capacities; NULL when all are in use. The drain thread's. */
cp_chunk *cp_chunk_pool_take(cp_chunk_pool *pool);

/* Gives a chunk back that was taken and not handed on. The drain thread's. */
void cp_chunk_pool_untake(cp_chunk_pool *pool, cp_chunk *chunk);

/* Gives a chunk back. The flusher's thread. */
void cp_chunk_pool_give(cp_chunk_pool *pool, cp_chunk *chunk);

/* Chunks in the pool, and chunks free as the drain thread sees it. */
uint32_t cp_chunk_pool_count(const cp_chunk_pool *pool);
uint32_t cp_chunk_pool_free_count(cp_chunk_pool *pool);

void cp_chunk_pool_destroy(cp_chunk_pool *pool);

#endif
