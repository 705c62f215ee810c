#include "flush/ahead.h"

#include "base/clock.h"
#include "base/error.h"
#include "flush/delivery_private.h"

enum { TAKEN_LOOK_MS = 1 }; /* how often to look whether all of the body before is on its way */

int cp_ahead_map(cp_ahead *ahead, cp_delivery *const *deliveries, uint32_t count, cp_error *err)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!deliveries[i]->has_source && deliveries[i]->batch.body_capacity > bytes)
            bytes = deliveries[i]->batch.body_capacity;
    }
    cp_ahead_unmap(ahead);
    if (bytes && cp_batch_init(&ahead->batch, bytes) < 0)
        return cp_error_set(err, CP_E_NOMEM, "no %zu bytes of address space for a batch: lower max_bytes",
                            bytes);
    return CP_OK;
}

void cp_ahead_unmap(cp_ahead *ahead)
{
    cp_batch_destroy(&ahead->batch);
    ahead->batch.body_capacity = 0;
}

static bool is_user(const cp_ahead *ahead, const cp_delivery *delivery)
{
    return ahead && ahead->user == delivery;
}

static void batches_swap(cp_ahead *ahead, cp_delivery *delivery)
{
    const cp_batch batch = delivery->batch;
    delivery->batch = ahead->batch;
    ahead->batch = batch;
    delivery->in_ahead = !delivery->in_ahead;
}

/* Nothing more fits into the next batch. */
static bool next_is_full(const cp_delivery *delivery)
{
    return delivery->queued_rows >= delivery->policy.max_rows ||
           delivery->queued_bytes >= delivery->policy.max_bytes || delivery->seen >= CP_BATCH_CHUNKS ||
           delivery->seen >= delivery->queue_capacity;
}

static bool is_wanted(const cp_ahead *ahead, const cp_delivery *delivery)
{
    const cp_flush_events *events = delivery->env->events;
    return delivery->state == CP_DELIVERY_SENDING && !delivery->has_source &&
           (!ahead->user || ahead->user == delivery) && next_is_full(delivery) &&
           (!events->may_send || events->may_send(events->ctx, delivery->index));
}

uint64_t cp_ahead_step(cp_ahead *ahead, cp_delivery *const *deliveries, uint32_t count, uint64_t now_ns,
                       uint64_t next_ns)
{
    const uint64_t look_ns = now_ns + TAKEN_LOOK_MS * (uint64_t)CP_NS_PER_MS;
    for (uint32_t i = 0; i < count && ahead->chunks == 0; i++) {
        cp_delivery *delivery = deliveries[i];
        if (!is_wanted(ahead, delivery))
            continue;
        if (!cp_http_body_is_taken(delivery->exchange)) { /* who encodes does not send */
            next_ns = look_ns < next_ns ? look_ns : next_ns;
            continue;
        }
        cp_chunk **chunks = delivery->env->pointers;
        uint64_t lo;
        const uint32_t offered = cp_delivery_offer_(delivery, chunks, &lo);
        ahead->user = delivery;
        ahead->chunks = cp_delivery_encode_(delivery, &ahead->batch, chunks, offered, lo);
        return now_ns;
    }
    return next_ns;
}

uint32_t cp_ahead_take(cp_ahead *ahead, cp_delivery *delivery)
{
    if (!is_user(ahead, delivery) || ahead->chunks == 0)
        return 0;
    if (ahead->batch.zstd &&
        !cp_abilities_has_zstd(delivery->at->abilities)) { /* it goes to another server */
        cp_ahead_drop(ahead, delivery);
        return 0;
    }
    const uint32_t count = ahead->chunks;
    for (uint32_t i = 0; i < count; i++)
        delivery->chunks[i] = cp_chunk_queue_peek(delivery->queue, i);
    batches_swap(ahead, delivery);
    ahead->chunks = 0;
    return count;
}

void cp_ahead_drop(cp_ahead *ahead, const cp_delivery *delivery)
{
    if (!is_user(ahead, delivery))
        return;
    ahead->chunks = 0;
    cp_batch_clear(&ahead->batch);
}

void cp_ahead_end(cp_ahead *ahead, cp_delivery *delivery)
{
    if (!is_user(ahead, delivery) || ahead->chunks > 0)
        return;
    if (delivery->in_ahead)
        batches_swap(ahead, delivery);
    ahead->user = NULL;
}
