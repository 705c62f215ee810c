#include "ingest/chunk_queue.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

struct cp_chunk_queue {
    alignas(CACHE_LINE) _Atomic uint64_t tail; /* pushed so far; written by the producer */
    uint64_t head_seen;                        /* the producer's last view of head */
    alignas(CACHE_LINE) _Atomic uint64_t head; /* popped so far; written by the consumer */
    uint64_t tail_seen;                        /* the consumer's last view of tail */
    alignas(CACHE_LINE) uint64_t mask;
    cp_chunk *slots[];
};

cp_chunk_queue *cp_chunk_queue_create(uint32_t capacity)
{
    if (capacity == 0 || capacity > CP_CHUNK_QUEUE_MAX || (capacity & (capacity - 1)) != 0)
        return NULL;
    const size_t bytes = sizeof(cp_chunk_queue) + capacity * sizeof(cp_chunk *);
    cp_chunk_queue *queue = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!queue)
        return NULL;
    memset(queue, 0, bytes);
    queue->mask = capacity - 1;
    return queue;
}

void cp_chunk_queue_free(cp_chunk_queue *queue)
{
    free(queue);
}

bool cp_chunk_queue_push(cp_chunk_queue *queue, cp_chunk *chunk)
{
    const uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (tail - queue->head_seen > queue->mask) {
        queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
        if (tail - queue->head_seen > queue->mask)
            return false;
    }
    queue->slots[tail & queue->mask] = chunk;
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
    return true;
}

cp_chunk *cp_chunk_queue_peek(cp_chunk_queue *queue, uint32_t index)
{
    const uint64_t at = atomic_load_explicit(&queue->head, memory_order_relaxed) + index;
    if (at >= queue->tail_seen) {
        queue->tail_seen = atomic_load_explicit(&queue->tail, memory_order_acquire);
        if (at >= queue->tail_seen)
            return NULL;
    }
    return queue->slots[at & queue->mask];
}

cp_chunk *cp_chunk_queue_pop(cp_chunk_queue *queue)
{
    cp_chunk *chunk = cp_chunk_queue_peek(queue, 0);
    if (chunk) {
        const uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
        atomic_store_explicit(&queue->head, head + 1, memory_order_release);
    }
    return chunk;
}

uint32_t cp_chunk_queue_size(const cp_chunk_queue *queue)
{
    /* head first: tail can only have grown since, so the difference is never negative. */
    const uint64_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    const uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
    const uint64_t size = tail - head;
    return (uint32_t)(size <= queue->mask ? size : queue->mask + 1);
}
