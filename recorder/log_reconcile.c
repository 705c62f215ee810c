#include "recorder/log_reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wal/reader.h"

typedef struct reconciling {
    const cp_lane *lane;
    const cp_abi_intent *batch; /* under way; NULL: none */
    uint64_t delivered;         /* LSN */
    cp_wal_intent intent;       /* hi 0: no record of the batch was found */
    uint64_t rows;              /* found of it */
} reconciling;

/* The region's intent, when it names a batch that was under way. */
static const cp_abi_intent *batch_under_way(const cp_lane *lane)
{
    const cp_abi_intent *intent = lane->intent;
    const bool sending = __atomic_load_n(&intent->state, __ATOMIC_ACQUIRE) == CP_INTENT_SENDING;
    return sending && intent->span_count <= CP_REGION_MAX_SLOTS &&
                   strnlen(intent->token, sizeof intent->token) < CP_WAL_TOKEN
               ? intent
               : NULL;
}

static bool chunk_is_delivered(const cp_lane *lane, const cp_chunk *chunk)
{
    if (chunk->byte_count == 0) /* stands in place of one that repair gave up */
        return true;
    return chunk->slot < lane->entry->slots && chunk->epoch == lane->states[chunk->slot].epoch &&
           (int64_t)(lane->states[chunk->slot].delivered - chunk->end) >= 0;
}

static bool chunk_is_of(const cp_abi_intent *batch, const cp_chunk *chunk)
{
    for (uint32_t i = 0; batch && i < batch->span_count; i++) {
        const cp_abi_intent_span *span = &batch->spans[i];
        if (chunk->slot == span->slot && chunk->epoch == span->epoch &&
            (int64_t)(chunk->begin - span->begin) >= 0 && (int64_t)(span->end - chunk->end) >= 0)
            return true;
    }
    return false;
}

/* False when the region knows nothing of the record. */
static bool chunk_note(reconciling *found, const cp_chunk *chunk, uint64_t lsn)
{
    if (found->intent.hi == 0 && chunk_is_delivered(found->lane, chunk)) {
        found->delivered = lsn;
        return true;
    }
    if (!chunk_is_of(found->batch, chunk))
        return false;
    if (found->intent.hi == 0)
        found->intent.lo = lsn;
    found->intent.hi = lsn;
    found->rows += chunk->row_count;
    return true;
}

static int checkpoint_make(cp_wal *wal, reconciling *found, cp_error *err)
{
    const cp_abi_intent *batch = found->batch;
    const bool whole = batch && found->intent.hi != 0 && found->rows == batch->rows;
    if (whole) {
        found->intent.rows = batch->rows;
        found->intent.piece_first = batch->piece_first;
        found->intent.piece_rows = batch->piece_rows;
        found->intent.endpoint = batch->endpoint;
        found->intent.group = batch->group;
        memcpy(found->intent.token, batch->token,
               strlen(batch->token)); /* short enough: see batch_under_way */
    }
    if (!whole && found->delivered == cp_wal_delivered(wal))
        return CP_OK;
    return cp_wal_checkpoint_write(wal, found->delivered, &found->intent, whole, err);
}

int cp_log_reconcile(cp_wal *wal, const cp_lane *lane, const cp_chunk *into, cp_error *err)
{
    cp_wal_reader *reader = NULL;
    reconciling *found = calloc(1, sizeof *found);
    if (!found)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a checkpoint");
    found->lane = lane;
    found->batch = batch_under_way(lane);
    found->delivered = cp_wal_delivered(wal);
    int rc = cp_wal_reader_create(&reader, wal, found->delivered + 1, err);
    bool known = true;
    while (rc == CP_OK && known) {
        cp_chunk chunk = *into;
        uint64_t lsn = 0;
        rc = cp_wal_reader_next(reader, &chunk, &lsn, err);
        known = rc == CP_OK && chunk_note(found, &chunk, lsn);
    }
    cp_wal_reader_free(reader);
    if (rc == CP_OK || rc == CP_E_ABSENT) /* the log's end */
        rc = checkpoint_make(wal, found, err);
    free(found);
    return rc;
}
