/* The part of a delivery that takes up what a killed predecessor had under way: a batch, or a piece of one. */
#include <stdatomic.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "flush/delivery_private.h"

/* Books the settled rows that are in the quarantine. A row of the piece itself that is there says that the piece was refused. */
static void settled_book(cp_delivery *delivery, const cp_quarantine_list *list)
{
    const cp_pieces *pieces = &delivery->pieces;
    uint32_t row = 0;
    for (uint32_t i = 0; i < delivery->chunk_count; i++) {
        const cp_chunk *chunk = delivery->chunks[i];
        for (uint32_t at = 0; at < chunk->row_count; at++, row++) {
            if (row >= pieces->first + pieces->count)
                return;
            if (!cp_quarantine_list_has(list, chunk->epoch, chunk->slot, cp_chunk_row_position(chunk, at)))
                continue;
            if (row < pieces->first)
                cp_delivery_book_(delivery, chunk, 1);
            else
                delivery->late = "refused before the recorder was killed";
        }
    }
}

static int resume_piece(cp_delivery *delivery, cp_batch_piece piece, cp_error *err)
{
    const char *name = delivery->table->name;
    if (!cp_pieces_resume(&delivery->pieces, delivery->batch.rows, piece.first, piece.rows))
        return cp_error_set(err, CP_E_CORRUPT, "table %s: a batch of %u rows has no piece of %u rows from %u",
                            name, delivery->batch.rows, piece.rows, piece.first);
    delivery->encoded = false;
    delivery->sends = 1;
    if (!delivery->has_quarantine)
        return CP_OK;
    const unsigned anywhere = CP_QUARANTINE_ROWS | CP_QUARANTINE_RETRYING | CP_QUARANTINE_TRASH;
    const unsigned which = delivery->env->config->retrying ? (unsigned)CP_QUARANTINE_ROWS : anywhere;
    const int rc = cp_quarantine_load(&delivery->found, delivery->quarantine.dir, name, which, err);
    if (rc < 0)
        return rc;
    settled_book(delivery, &delivery->found);
    if (!delivery->late)
        cp_quarantine_list_free(&delivery->found);
    return CP_OK;
}

/* Ties the batch to the endpoint that may have it. When a single one is configured, it is taken for the same ClickHouse at another
 * address; among several nobody can say. */
static int resume_tie(cp_delivery *delivery, const cp_batch_left *left, cp_error *err)
{
    cp_endpoints *endpoints = delivery->env->endpoints;
    cp_endpoint *at = cp_endpoints_find(endpoints, left->endpoint);
    const bool gone = left->endpoint != 0 && !at;
    if (gone && endpoints->count > 1 && !cp_endpoints_is_abandoned(endpoints, left->endpoint))
        return cp_error_set(
            err, CP_E_CONFIG,
            "table %s: a batch of %u rows may have been stored at a ClickHouse endpoint that "
            "clickhouse.url does not name any more: name it again, if only as the last of the "
            "list, until the batch is delivered; or, when it will not come back, under "
            "clickhouse.abandoned",
            delivery->table->name, delivery->batch.rows);
    if (gone)
        cp_log(CP_LOG_WARN, "a batch that may have been stored goes to another endpoint than before",
               "table=%s rows=%u to=%s remedy=\"coldpath audit, once both are there\"", delivery->table->name,
               delivery->batch.rows, delivery->at->base);
    if (at) {
        delivery->at = at;
        (void)cp_delivery_url_head_(delivery);
    }
    delivery->tied = at != NULL;
    delivery->group = left->group;
    return CP_OK;
}

/* The whole batch is in doubt: encodes it. */
static int resume_whole(cp_delivery *delivery, cp_error *err)
{
    cp_native_block block;
    cp_batch *batch = &delivery->batch;
    int rc = cp_native_encode(delivery->native, delivery->env->arena, delivery->chunks, delivery->chunk_count,
                              delivery->encoded_max, &block);
    if (rc == CP_OK)
        rc = cp_concat_block(&block, batch->body, batch->body_capacity, &batch->body_size);
    batch->zstd = false; /* the server has not said yet what it understands */
    if (rc == CP_OK)
        return CP_OK;
    return cp_error_set(err, CP_E_TOO_BIG,
                        "table %s: a batch of %u rows that was under way does not fit: set flush.max_bytes "
                        "back to what it was until it is delivered",
                        delivery->table->name, batch->rows);
}

/* A predecessor died between setting the batch aside and settling it: it is under way, and nothing else. */
static void held_forget(const cp_delivery *delivery)
{
    char dir[CP_HELD_PATH];
    char path[CP_HELD_PATH];
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    if (delivery->env->held && cp_delivery_held_dir(delivery, dir) &&
        cp_held_path(path, dir, delivery->table->name, delivery->batch.token) &&
        cp_held_remove(path, dir, &err) < 0)
        cp_log(CP_LOG_ERROR, "a batch that is under way again cannot be removed from those set aside",
               "table=%s error=%s", delivery->table->name, cp_log_quote(quoted, sizeof quoted, err.text));
}

int cp_delivery_resume(cp_delivery *delivery, cp_chunk *const *chunks, uint32_t count,
                       const cp_batch_left *left, cp_error *err)
{
    cp_batch *batch = &delivery->batch;
    cp_batch_clear(batch);
    for (uint32_t i = 0; i < count; i++) {
        if (i == CP_BATCH_CHUNKS || !cp_batch_add_span(batch, chunks[i]))
            return cp_error_set(err, CP_E_INVAL, "table %s: a batch of more than %d spans",
                                delivery->table->name, CP_MAX_TABLE_SLOTS);
        batch->rows += chunks[i]->row_count;
        delivery->chunks[i] = chunks[i];
    }
    snprintf(batch->token, sizeof batch->token, "%s", left->token);
    batch->range = left->range;
    cp_delivery_batch_begin_(delivery, count);
    delivery->base = left->base;
    delivery->lent = true;
    cp_delivery_doubt_open_(delivery);
    int rc = resume_tie(delivery, left, err);
    if (rc == CP_OK)
        rc = left->piece.rows ? resume_piece(delivery, left->piece, err) : resume_whole(delivery, err);
    if (rc < 0) {
        cp_batch_clear(batch);
        delivery->state = CP_DELIVERY_IDLE;
        return rc;
    }
    held_forget(delivery);
    delivery->prepared = true;
    atomic_store_explicit(&delivery->busy, true, memory_order_release);
    return CP_OK;
}
