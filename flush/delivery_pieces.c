/* The part of a delivery that goes on where a batch was refused: pieces of its rows, and the quarantine. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "flush/delivery_private.h"
#include "flush/held_sender.h"

enum { TOKEN_PIECE = 32 }; /* room for what follows a batch's token */

/* Rows [first, first + count) of the batch as chunks: whole ones as they are, the outer two perhaps as views. */
typedef struct piece_rows {
    cp_chunk *const *chunks; /* pointers into the delivery's chunks, or what the source lends */
    uint32_t count;          /* of them */
    uint32_t index;          /* of the first in the batch */
    cp_chunk views[2];
} piece_rows;

/* The span that the chunk is part of. */
static cp_span *span_of_chunk(cp_batch *batch, const cp_chunk *chunk)
{
    for (uint32_t i = 0; i < batch->span_count; i++) {
        cp_span *span = &batch->spans[i];
        if (span->slot == chunk->slot && span->epoch == chunk->epoch &&
            chunk->begin - span->begin < span->end - span->begin)
            return span;
    }
    return NULL;
}

void cp_delivery_token_(const cp_delivery *delivery, char token[CP_TOKEN_MAX])
{
    const cp_pieces *pieces = &delivery->pieces;
    char piece[TOKEN_PIECE] = "";
    char again[TOKEN_PIECE] = "";
    if (cp_pieces_in_use(pieces))
        snprintf(piece, sizeof piece, "/%u-%u", delivery->base + pieces->first, pieces->count);
    if (delivery->doubt.fresh > 0)
        snprintf(again, sizeof again, "/again-%u", delivery->doubt.fresh);
    snprintf(token, CP_TOKEN_MAX, "%.*s%s%s", CP_TOKEN_MAX - 2 * TOKEN_PIECE, delivery->batch.token, piece,
             again);
}

/* The chunk that holds row, which becomes the row's index in it. */
static uint32_t chunk_of_row(const cp_delivery *delivery, uint32_t *row)
{
    uint32_t i = 0;
    while (*row >= delivery->chunk_rows[i])
        *row -= delivery->chunk_rows[i++];
    return i;
}

/* Records of the log once more, as they were when the batch was cut. */
static bool chunks_again(cp_delivery *delivery, piece_rows *rows, cp_error *err)
{
    const cp_batch_source *source = &delivery->source;
    const uint64_t lo = delivery->batch.range.lo + rows->index;
    const uint32_t got = source->again(source->ctx, lo, lo + rows->count - 1, &rows->chunks, err);
    if (got != rows->count) {
        if (err->code == CP_OK)
            cp_error_set(err, CP_E_CORRUPT, "records %lu to %lu cannot be read again", (unsigned long)lo,
                         (unsigned long)(lo + rows->count - 1));
        return false;
    }
    for (uint32_t i = 0; i < got; i++) {
        if (rows->chunks[i]->row_count != delivery->chunk_rows[rows->index + i])
            cp_delivery_drop_aliases_(delivery, rows->chunks[i]);
        if (rows->chunks[i]->row_count != delivery->chunk_rows[rows->index + i]) {
            cp_error_set(err, CP_E_CORRUPT, "record %lu holds other rows than before",
                         (unsigned long)(lo + i));
            return false;
        }
    }
    return true;
}

/* Leaves out the first `skip` rows of a chunk and keeps `keep`. */
static cp_chunk chunk_view(const cp_chunk *chunk, uint32_t skip, uint32_t keep)
{
    cp_chunk view = *chunk;
    view.row_at += skip;
    view.row_count = keep;
    return view;
}

/* Finds rows of the batch, as pointers in env->pointers. */
static bool rows_find(cp_delivery *delivery, uint32_t first, uint32_t row_count, piece_rows *rows,
                      cp_error *err)
{
    uint32_t skip = first;
    uint32_t last = first + row_count - 1;
    rows->index = chunk_of_row(delivery, &skip);
    const uint32_t last_index = chunk_of_row(delivery, &last);
    rows->count = last_index - rows->index + 1;
    rows->chunks = delivery->chunks + rows->index;
    if (delivery->has_source && !chunks_again(delivery, rows, err))
        return false;
    cp_chunk **to = delivery->env->pointers;
    memcpy(to, rows->chunks, rows->count * sizeof(cp_chunk *));
    const uint32_t end = last + 1;
    const uint32_t first_keep = (rows->count == 1 ? end : to[0]->row_count) - skip;
    rows->views[0] = chunk_view(to[0], skip, first_keep);
    rows->views[1] = chunk_view(to[rows->count - 1], 0, end);
    to[rows->count - 1] = &rows->views[1];
    to[0] = &rows->views[0];
    rows->chunks = to;
    return true;
}

static bool piece_find(cp_delivery *delivery, piece_rows *rows, cp_error *err)
{
    return rows_find(delivery, delivery->pieces.first, delivery->pieces.count, rows, err);
}

/* The batch's chunks in the order of its spans, in env->pointers. */
static void chunks_sort(cp_delivery *delivery, cp_chunk *const *chunks)
{
    const cp_batch *batch = &delivery->batch;
    cp_chunk **sorted = delivery->env->pointers;
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->span_count; i++) {
        for (uint32_t c = 0; c < delivery->chunk_count; c++) {
            if (span_of_chunk(&delivery->batch, chunks[c]) == &batch->spans[i])
                sorted[count++] = chunks[c];
        }
    }
    assert(count == delivery->chunk_count);
}

void cp_delivery_pieces_start_(cp_delivery *delivery)
{
    if (cp_pieces_in_use(&delivery->pieces) || delivery->has_source || delivery->batch.span_count == 1)
        return;
    chunks_sort(delivery, delivery->chunks);
    for (uint32_t i = 0; i < delivery->chunk_count; i++) {
        delivery->chunks[i] = delivery->env->pointers[i];
        delivery->chunk_rows[i] = delivery->chunks[i]->row_count;
    }
}

/* What of the batch is not settled. A batch that goes whole is put into the order of its spans, as when it goes in pieces. */
static bool rest_find(cp_delivery *delivery, piece_rows *rows, cp_error *err)
{
    const cp_pieces *pieces = &delivery->pieces;
    if (cp_pieces_in_use(pieces))
        return rows_find(delivery, pieces->first, pieces->rows - pieces->first, rows, err);
    *rows = (piece_rows){.chunks = delivery->chunks, .count = delivery->chunk_count};
    if (delivery->has_source && !chunks_again(delivery, rows, err))
        return false;
    chunks_sort(delivery, rows->chunks);
    rows->chunks = delivery->env->pointers;
    return true;
}

int cp_delivery_rest_write_(cp_delivery *delivery, const char *path, const char *dir, cp_held_header *header,
                            cp_error *err)
{
    const cp_pieces *pieces = &delivery->pieces;
    const cp_table *table = delivery->table;
    piece_rows rows;
    *header = (cp_held_header){.endpoint = delivery->at->id,
                               .schema_hash = table->schema_hash,
                               .rows = delivery->batch.rows - pieces->first,
                               .piece_rows = pieces->count,
                               .base = delivery->base + pieces->first};
    snprintf(header->table, sizeof header->table, "%s", table->name);
    snprintf(header->token, sizeof header->token, "%s", delivery->batch.token);
    if (!rest_find(delivery, &rows, err))
        return err->code;
    const uint64_t size = cp_held_size(rows.chunks, rows.count);
    int rc = cp_held_sender_room(delivery->env->held, delivery->index, size, delivery->quarantine.limit, err);
    if (rc == CP_OK)
        rc = cp_held_write(path, dir, header, rows.chunks, rows.count, err);
    for (uint32_t i = 0; rc == CP_OK && i < rows.count; i++) {
        cp_span *span = span_of_chunk(&delivery->batch, rows.chunks[i]);
        assert(span); /* the batch was made of them */
        span->held += rows.chunks[i]->row_count;
    }
    return rc;
}

bool cp_delivery_piece_encode_(cp_delivery *delivery, cp_error *err)
{
    piece_rows rows;
    cp_native_block block;
    if (!piece_find(delivery, &rows, err))
        return false;
    cp_delivery_doubt_spans_(delivery, rows.chunks, rows.count);
    int rc = cp_native_encode(delivery->native, delivery->env->arena, rows.chunks, rows.count,
                              delivery->encoded_max, &block);
    if (rc == CP_OK)
        rc = cp_delivery_body_make_(delivery, &delivery->batch, &block);
    if (rc < 0)
        cp_error_set(err, rc, "a piece of %u rows: %s", delivery->pieces.count, cp_strerror(rc));
    return rc == CP_OK;
}

void cp_delivery_book_(cp_delivery *delivery, const cp_chunk *chunk, uint32_t rows)
{
    cp_span *span = span_of_chunk(&delivery->batch, chunk);
    if (span)
        span->quarantined += rows;
    delivery->quarantined += rows;
}

static int rows_write(cp_delivery *delivery, const piece_rows *rows, int code, const char *message,
                      cp_error *err)
{
    cp_quarantine_row row = {
        .schema_hash = delivery->table->schema_hash,
        .refused_ns = cp_realtime_ns(),
        .code = code,
        .together = delivery->pieces.count,
        .message = message,
    };
    int rc = CP_OK;
    for (uint32_t i = 0; i < rows->count; i++) {
        const cp_chunk *chunk = rows->chunks[i];
        row.epoch = chunk->epoch;
        row.slot = chunk->slot;
        for (uint32_t at = 0; rc == CP_OK && at < chunk->row_count; at++) {
            row.position = cp_chunk_row_position(chunk, at);
            if (cp_quarantine_list_has(&delivery->found, row.epoch, row.slot, row.position))
                continue;
            row.bytes = cp_chunk_row(chunk, at);
            row.size = cp_chunk_row_size(chunk, at);
            rc = cp_quarantine_add(&delivery->quarantine, &row, err);
            cp_failpoint(CP_FP_QUARANTINE_ADDED);
        }
    }
    return rc;
}

int cp_delivery_quarantine_(cp_delivery *delivery, int code, const char *message, cp_error *err)
{
    piece_rows rows;
    if (!piece_find(delivery, &rows, err))
        return err->code;
    int rc = cp_quarantine_begin(&delivery->quarantine, err);
    if (rc < 0)
        return rc;
    rc = rows_write(delivery, &rows, code, message, err);
    if (rc < 0) {
        cp_quarantine_abort(&delivery->quarantine);
        return rc;
    }
    rc = cp_quarantine_commit(&delivery->quarantine, err);
    cp_failpoint(CP_FP_QUARANTINE_DONE);
    for (uint32_t i = 0; rc == CP_OK && i < rows.count; i++)
        cp_delivery_book_(delivery, rows.chunks[i], rows.chunks[i]->row_count);
    return rc;
}
