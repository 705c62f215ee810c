/* The part of a delivery that makes batches: takes chunks, encodes them, and makes the body of the insert. */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "flush/ahead.h"
#include "flush/delivery_private.h"

enum { ALIAS_FACTOR = 4 }; /* a row that encodes to more than this times its size shares its bytes */

uint32_t cp_delivery_offer_(cp_delivery *delivery, cp_chunk **chunks, uint64_t *lo)
{
    *lo = 0;
    if (delivery->has_source) {
        cp_chunk *const *lent = NULL;
        const uint32_t count = delivery->source.take(delivery->source.ctx, &lent, lo);
        for (uint32_t i = 0; i < count; i++)
            chunks[i] = lent[i];
        return count;
    }
    uint64_t rows = 0;
    uint64_t bytes = 0;
    uint32_t count = 0;
    while (count < delivery->seen && count < CP_BATCH_CHUNKS) {
        cp_chunk *chunk = cp_chunk_queue_peek(delivery->queue, count);
        rows += chunk->row_count;
        bytes += chunk->byte_count;
        if (count > 0 && (rows > delivery->policy.max_rows || bytes > delivery->policy.max_bytes))
            break;
        chunks[count++] = chunk;
    }
    return count;
}

/* Makes the first `most` of the offered chunks the batch's, as far as its spans reach. */
static uint32_t batch_pick(cp_batch *batch, cp_chunk *const *chunks, uint32_t most, uint64_t lo)
{
    uint32_t count = 0;
    cp_batch_clear(batch);
    while (count < most && cp_batch_add_span(batch, chunks[count]))
        batch->rows += chunks[count++]->row_count;
    if (lo)
        batch->range = (cp_lsn_range){lo, lo + count - 1};
    return count;
}

/* Some rows name the same bytes over and over, which no honest producer does. */
uint32_t cp_delivery_drop_aliases_(cp_delivery *delivery, cp_chunk *chunk)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        const uint64_t size = (uint64_t)cp_chunk_row_size(chunk, i) + CP_RECORD_HEADER;
        if (cp_native_row_bytes(delivery->native, cp_chunk_row(chunk, i)) <= size * ALIAS_FACTOR)
            chunk->row_at[kept++] = chunk->row_at[i];
    }
    const uint32_t dropped = chunk->row_count - kept;
    chunk->rejected += dropped;
    chunk->row_count = kept;
    return dropped;
}

/* One chunk alone does not fit: such rows are counted as rejected. */
static void chunk_drop_aliases(cp_delivery *delivery, cp_chunk *chunk)
{
    const uint32_t dropped = cp_delivery_drop_aliases_(delivery, chunk);
    if (!delivery->has_source)
        delivery->queued_rows -= dropped;
    cp_log(CP_LOG_ERROR, "rows whose strings overlap are rejected",
           "table=%s slot=%u rows=%u remedy=\"its producer writes them: coldpath status names it\"",
           delivery->table->name, chunk->slot, dropped);
}

int cp_delivery_body_make_(cp_delivery *delivery, cp_batch *batch, const cp_native_block *block)
{
    const cp_delivery_env *env = delivery->env;
    const uint64_t began = cp_boottime_ns();
    batch->plain_size = block->bytes;
    batch->zstd = env->compressor && cp_abilities_has_zstd(delivery->at->abilities) &&
                  cp_compressor_wants(env->compressor, block->bytes);
    if (batch->zstd) {
        const int rc =
            cp_compress_block(env->compressor, block, batch->body, batch->body_capacity, &batch->body_size);
        batch->made_ns = cp_boottime_ns() - began;
        if (rc == CP_OK)
            return CP_OK;
        cp_log(CP_LOG_ERROR, "zstd failed, sending plain", "table=%s consequence=\"more bytes are sent\"",
               delivery->table->name);
        batch->zstd = false;
    }
    const int rc = cp_concat_block(block, batch->body, batch->body_capacity, &batch->body_size);
    batch->made_ns = cp_boottime_ns() - began;
    return rc;
}

uint32_t cp_delivery_encode_(cp_delivery *delivery, cp_batch *batch, cp_chunk *const *chunks,
                             uint32_t offered, uint64_t lo)
{
    uint32_t most = offered;
    for (;;) {
        const uint32_t count = batch_pick(batch, chunks, most, lo);
        cp_batch_make_token(batch, delivery->env->config->instance, delivery->table->name);
        if (batch->rows == 0)
            return count;
        cp_native_block block;
        int rc = cp_native_encode(delivery->native, delivery->env->arena, chunks, count,
                                  delivery->encoded_max, &block);
        if (rc == CP_OK)
            rc = cp_delivery_body_make_(delivery, batch, &block);
        if (rc == CP_OK)
            return count;
        if (count > 1)
            most = count / 2;
        else
            chunk_drop_aliases(delivery, chunks[0]);
    }
}

uint32_t cp_delivery_cut_(cp_delivery *delivery)
{
    uint64_t lo;
    const uint32_t made = cp_ahead_take(delivery->env->ahead, delivery);
    const uint32_t offered = made ? made : cp_delivery_offer_(delivery, delivery->chunks, &lo);
    if (offered == 0)
        return 0;
    atomic_store_explicit(&delivery->busy, true, memory_order_release);
    return made ? made : cp_delivery_encode_(delivery, &delivery->batch, delivery->chunks, offered, lo);
}
