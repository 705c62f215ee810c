#include "ingest/chunk_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "ingest/chunk_queue.h"

enum { POOL_MAX_CHUNKS = 1 << 16 };

struct cp_chunk_pool {
    cp_chunk *chunks;
    cp_chunk **idle; /* stack of free chunks, the drain thread's */
    uint32_t idle_count;
    uint32_t count;
    cp_chunk_queue *given; /* on their way back from the flusher */
    uint8_t *memory;
    size_t memory_size;
    uint64_t per_chunk;
    pthread_t toucher;
    bool touching; /* the thread was started */
    bool stop;     /* atomic */
};

static uint64_t align_page(uint64_t bytes)
{
    return (bytes + 4095) & ~(uint64_t)4095;
}

static uint32_t next_power_of_two(uint32_t value)
{
    uint32_t power = 1;
    while (power < value)
        power <<= 1;
    return power;
}

/* Has the kernel supply the pages, those first that are taken first; their content stays. What fails here is supplied at its
 * first use. */
static void *pool_touch(void *argument)
{
    cp_chunk_pool *pool = argument;
    for (uint32_t i = pool->count; i > 0 && !__atomic_load_n(&pool->stop, __ATOMIC_RELAXED); i--) {
#ifdef MADV_POPULATE_WRITE
        if (madvise(pool->memory + (i - 1) * pool->per_chunk, pool->per_chunk, MADV_POPULATE_WRITE) < 0)
            break;
#endif
    }
    return NULL;
}

static int pool_map(cp_chunk_pool *pool, uint64_t per_chunk, cp_error *err)
{
    pool->per_chunk = per_chunk;
    pool->memory_size = pool->count * per_chunk;
    pool->memory = mmap(NULL, pool->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool->memory == MAP_FAILED) {
        pool->memory = NULL;
        return cp_error_set(err, CP_E_NOMEM, "no memory for a chunk pool of %zu bytes", pool->memory_size);
    }
    return CP_OK;
}

static void pool_carve(cp_chunk_pool *pool, uint32_t data_bytes, uint32_t row_capacity, uint64_t per_chunk)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        uint8_t *base = pool->memory + i * per_chunk;
        cp_chunk *chunk = &pool->chunks[i];
        chunk->data = base;
        chunk->data_capacity = data_bytes;
        chunk->row_at = (uint32_t *)(void *)(base + align_page(data_bytes));
        chunk->row_capacity = row_capacity;
        pool->idle[pool->idle_count++] = chunk;
    }
}

int cp_chunk_pool_create(cp_chunk_pool **out, uint64_t memory_limit, uint32_t min_chunks, uint32_t data_bytes,
                         cp_error *err)
{
    *out = NULL;
    const uint32_t row_capacity = data_bytes / CP_CHUNK_MIN_RECORD;
    const uint64_t per_chunk = align_page(data_bytes) + align_page(row_capacity * sizeof(uint32_t));
    uint64_t count = memory_limit / per_chunk;
    if (count < min_chunks)
        return cp_error_set(
            err, CP_E_TOO_BIG,
            "memory_limit is %llu bytes, but these tables need at least %llu (%u chunks of %llu)",
            (unsigned long long)memory_limit, (unsigned long long)(min_chunks * per_chunk), min_chunks,
            (unsigned long long)per_chunk);
    if (count > POOL_MAX_CHUNKS)
        count = POOL_MAX_CHUNKS;
    cp_chunk_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a chunk pool");
    pool->count = (uint32_t)count;
    pool->chunks = calloc(count, sizeof *pool->chunks);
    pool->idle = calloc(count, sizeof(cp_chunk *));
    int rc = CP_OK;
    if (!pool->chunks || !pool->idle)
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for %llu chunks", (unsigned long long)count);
    if (rc == CP_OK && !(pool->given = cp_chunk_queue_create(next_power_of_two((uint32_t)count))))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for a queue of %llu chunks", (unsigned long long)count);
    if (rc == CP_OK)
        rc = pool_map(pool, per_chunk, err);
    if (rc < 0) {
        cp_chunk_pool_destroy(pool);
        return rc;
    }
    pool_carve(pool, data_bytes, row_capacity, per_chunk);
    pool->touching = pthread_create(&pool->toucher, NULL, pool_touch, pool) == 0;
    *out = pool;
    return CP_OK;
}

static void pool_collect(cp_chunk_pool *pool)
{
    cp_chunk *chunk;
    while ((chunk = cp_chunk_queue_pop(pool->given)))
        pool->idle[pool->idle_count++] = chunk;
}

cp_chunk *cp_chunk_pool_take(cp_chunk_pool *pool)
{
    if (pool->idle_count == 0)
        pool_collect(pool);
    return pool->idle_count ? pool->idle[--pool->idle_count] : NULL;
}

void cp_chunk_pool_untake(cp_chunk_pool *pool, cp_chunk *chunk)
{
    pool->idle[pool->idle_count++] = chunk;
}

void cp_chunk_pool_give(cp_chunk_pool *pool, cp_chunk *chunk)
{
    /* Cannot be full: the queue has room for every chunk there is. */
    (void)cp_chunk_queue_push(pool->given, chunk);
}

uint32_t cp_chunk_pool_count(const cp_chunk_pool *pool)
{
    return pool->count;
}

uint32_t cp_chunk_pool_free_count(cp_chunk_pool *pool)
{
    pool_collect(pool);
    return pool->idle_count;
}

void cp_chunk_pool_destroy(cp_chunk_pool *pool)
{
    if (!pool)
        return;
    if (pool->touching) {
        __atomic_store_n(&pool->stop, true, __ATOMIC_RELAXED);
        pthread_join(pool->toucher, NULL);
    }
    if (pool->memory)
        munmap(pool->memory, pool->memory_size);
    cp_chunk_queue_free(pool->given);
    free(pool->chunks);
    free(pool->idle);
    free(pool);
}
