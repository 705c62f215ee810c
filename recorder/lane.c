#include "recorder/lane.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "shm/ack.h"
#include "shm/histogram.h"
#include "shm/ring_file.h"
#include "shm/sigbus_guard.h"

static void gauge_set(uint64_t *gauge, uint64_t value)
{
    __atomic_store_n(gauge, value, __ATOMIC_RELAXED);
}

/* One writer: a relaxed load and store, which a reader never sees torn. */
static void counter_add(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, *counter + value, __ATOMIC_RELAXED);
}

/* Held for a few dozen instructions, and by two threads at most. */
static void lane_lock(cp_lane *lane)
{
    while (__atomic_test_and_set(&lane->lock, __ATOMIC_ACQUIRE))
        ;
}

static void lane_unlock(cp_lane *lane)
{
    __atomic_clear(&lane->lock, __ATOMIC_RELEASE);
}

static void ack_publish(cp_lane *lane, uint32_t slot)
{
    lane->states[slot].fault = __atomic_load_n(&lane->acks[slot].fault, __ATOMIC_RELAXED);
    cp_ack_write(&lane->acks[slot], &lane->states[slot]);
}

/* The one of a ring; a new one says what its acknowledgement does, and ends where it begins. */
static cp_abi_intent_span *span_of_ring(const cp_lane *lane, const cp_span *span,
                                        cp_abi_intent_span resolved[CP_REGION_MAX_SLOTS], uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (resolved[i].slot == span->slot)
            return &resolved[i];
    }
    const cp_abi_ack *state = &lane->states[span->slot];
    resolved[*count] = (cp_abi_intent_span){
        .epoch = span->epoch,
        .begin = span->begin,
        .consumed_rows = lane->logged ? 0 : cp_ack_settled_rows(state),
        .delivered_rows = state->delivered_rows,
        .rejected_rows = state->rejected_rows,
        .quarantined_rows = state->quarantined_rows,
        .held_rows = state->held_rows,
        .slot = span->slot,
    };
    return &resolved[(*count)++];
}

/* What the rings' acknowledgements become when the spans are delivered, in absolute numbers: one for each ring, though it has
 * several spans when repair gave up what was between them. Of a log, spans of rings that are no more are left out: nobody
 * waits for them. Once a lossy span is delivered, all before its end is settled. */
static uint32_t spans_resolve(cp_lane *lane, const cp_batch_intent *batch,
                              cp_abi_intent_span resolved[CP_REGION_MAX_SLOTS])
{
    uint32_t count = 0;
    lane_lock(lane);
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const cp_span *span = &batch->spans[i];
        if (lane->logged &&
            (span->slot >= lane->entry->slots || span->epoch != lane->states[span->slot].epoch))
            continue;
        assert(span->slot < lane->entry->slots && span->epoch == lane->states[span->slot].epoch);
        assert(lane->logged || (int64_t)(span->begin - lane->states[span->slot].delivered) >= 0);
        cp_abi_intent_span *ring = span_of_ring(lane, span, resolved, &count);
        ring->end = span->end;
        ring->consumed_rows += lane->logged ? 0 : span->rows + span->rejected;
        ring->delivered_rows += span->rows - span->quarantined - span->held;
        ring->held_rows += span->held;
        ring->rejected_rows += span->rejected;
        ring->quarantined_rows += span->quarantined;
        ring->rows += span->rows;
        ring->rejected += span->rejected;
        ring->quarantined += span->quarantined;
    }
    lane_unlock(lane);
    return count;
}

/* Rows that a log sends again, because its checkpoint was lost, are in the account already: of a ring no more are settled than
 * were consumed. */
static void logged_recount(const cp_lane *lane, cp_abi_intent_span *spans, uint32_t span_count)
{
    for (uint32_t i = 0; i < span_count; i++) {
        cp_abi_intent_span *span = &spans[i];
        const cp_abi_ack *state = &lane->states[span->slot];
        cp_abi_ack settled = *state;
        settled.delivered_rows = span->delivered_rows;
        settled.rejected_rows = span->rejected_rows;
        settled.quarantined_rows = span->quarantined_rows;
        settled.held_rows = span->held_rows;
        const int64_t excess = (int64_t)(cp_ack_settled_rows(&settled) - state->consumed_rows);
        const uint64_t added = span->delivered_rows - state->delivered_rows;
        const uint64_t rejected = span->rejected_rows - state->rejected_rows;
        if (excess <= 0)
            continue;
        const uint64_t most = (uint64_t)excess < added + rejected ? (uint64_t)excess : added + rejected;
        span->delivered_rows -= most < added ? most : added;
        span->rejected_rows -= most > added ? most - added : 0;
    }
}

/* The delivered position says that everything before it arrived; rows that went ahead of a backlog move it later. */
static void logged_ack_move(cp_lane *lane, const cp_abi_intent_span *span)
{
    cp_abi_ack *state = &lane->states[span->slot];
    cp_lane_reach(lane, span->slot, span->end);
    if (span->begin == state->delivered)
        state->delivered = span->end;
    state->delivered_rows = span->delivered_rows;
    state->rejected_rows = span->rejected_rows;
    state->quarantined_rows = span->quarantined_rows;
    state->held_rows = span->held_rows;
}

/* Rows dropped behind what is delivered are decided as well. */
static void dropped_pass(cp_lane *lane, uint32_t slot)
{
    cp_lane_range *dropped = &lane->dropped[slot];
    if (dropped->end == dropped->begin || lane->states[slot].delivered != dropped->begin)
        return;
    lane->states[slot].durable = lane->states[slot].delivered = dropped->end;
    *dropped = (cp_lane_range){0};
}

static void ack_move(cp_lane *lane, const cp_abi_intent_span *span)
{
    cp_abi_ack *state = &lane->states[span->slot];
    if ((int64_t)(span->end - state->consumed) > 0) { /* not taken out early */
        state->consumed = span->end;
        state->consumed_rows = span->consumed_rows;
    }
    state->durable = state->delivered = span->end;
    state->delivered_rows = span->delivered_rows;
    state->rejected_rows = span->rejected_rows;
    state->quarantined_rows = span->quarantined_rows;
    state->held_rows = span->held_rows;
    dropped_pass(lane, span->slot);
}

/* ---- how long it takes ------------------------------------------------------------------------------------------- */

void cp_lane_drained(cp_lane *lane, uint32_t slot, uint64_t end, uint64_t put_after_ns)
{
    cp_lane_sample *sample = &lane->samples[slot];
    if (put_after_ns == 0)
        return;
    cp_histogram_add(&lane->latency->put_drained_us, (cp_boottime_ns() - put_after_ns) / CP_NS_PER_US);
    if (__atomic_load_n(&sample->end, __ATOMIC_ACQUIRE) != 0)
        return;
    sample->put_after_ns = put_after_ns;
    __atomic_store_n(&sample->end, end, __ATOMIC_RELEASE);
}

static void sample_delivered(cp_lane *lane, uint32_t slot)
{
    cp_lane_sample *sample = &lane->samples[slot];
    const uint64_t end = __atomic_load_n(&sample->end, __ATOMIC_ACQUIRE);
    if (end == 0 || (int64_t)(lane->states[slot].delivered - end) < 0)
        return;
    cp_histogram_add(&lane->latency->put_delivered_us,
                     (cp_boottime_ns() - sample->put_after_ns) / CP_NS_PER_US);
    __atomic_store_n(&sample->end, 0, __ATOMIC_RELEASE);
}

/* ---- acknowledging ---------------------------------------------------------------------------------------------- */

static void delivered_count(cp_lane *lane)
{
    uint64_t delivered = 0;
    uint64_t rejected = 0;
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        delivered += lane->states[slot].delivered_rows;
        rejected += lane->states[slot].rejected_rows;
    }
    gauge_set(&lane->counters->delivered_rows, delivered);
    gauge_set(&lane->counters->rejected_rows, rejected);
}

/* Moves the acknowledgements to where the spans say; harmless when it was done before. */
static void acks_move(cp_lane *lane, const cp_abi_intent_span *spans, uint32_t span_count)
{
    for (uint32_t i = 0; i < span_count; i++) {
        lane_lock(lane);
        if (lane->logged)
            logged_ack_move(lane, &spans[i]);
        else
            ack_move(lane, &spans[i]);
        ack_publish(lane, spans[i].slot);
        lane_unlock(lane);
        sample_delivered(lane, spans[i].slot);
        cp_failpoint(CP_FP_LANE_ACKED);
    }
    delivered_count(lane);
}

/* Of a logged lane the log's checkpoint decides what was under way; only a begun acknowledgement is finished here. */
static bool intent_left(const cp_lane *lane, const cp_control *control, cp_abi_intent *left)
{
    if (lane->logged && __atomic_load_n(&lane->intent->state, __ATOMIC_ACQUIRE) != CP_INTENT_DELIVERED)
        return false;
    return cp_intent_load(control, lane->index, left) && left->state == CP_INTENT_DELIVERED;
}

/* A recorder killed in the middle of an acknowledgement may have stored the new row count with the old position. The record at
 * the position knows: it carries the low half of its row number. */
static bool row_number_at(const cp_ring_map *map, uint64_t position, uint32_t *number)
{
    if (!cp_sigbus_enter())
        return false;
    const bool known = __atomic_load_n(&map->hot->published, __ATOMIC_ACQUIRE) != position;
    memcpy(number, map->data + (position & (map->data_size - 1)) + sizeof *number, sizeof *number);
    cp_sigbus_leave();
    return known;
}

static void mend_count(const cp_lane *lane, const cp_region_owner *region, uint32_t slot, cp_abi_ack *state)
{
    cp_ring_map map;
    uint32_t number = 0;
    if (cp_ring_map_open(&map, region->dir, lane->entry, slot, CP_RING_READ, NULL) < 0)
        return;
    if (row_number_at(&map, state->consumed, &number)) /* the nearest count with that low half */
        state->consumed_rows += (uint64_t)(int64_t)(int32_t)(number - (uint32_t)state->consumed_rows);
    cp_ring_map_close(&map);
}

static bool records_add_up(const cp_ring_map *map, uint64_t from)
{
    uint64_t rows;
    if (!cp_sigbus_enter())
        return false;
    const uint64_t published = __atomic_load_n(&map->hot->published, __ATOMIC_ACQUIRE);
    const bool sound = cp_ring_count_rows(map->data, map->data_size, from, published, &rows);
    cp_sigbus_leave();
    return sound;
}

/* A broken ring is looked at once more by each new recorder. */
static bool ring_adds_up(const cp_lane *lane, const cp_region_owner *region, uint32_t slot)
{
    cp_ring_map map;
    if (cp_ring_map_open(&map, region->dir, lane->entry, slot, CP_RING_READ, NULL) < 0)
        return false;
    const bool sound =
        map.epoch == lane->states[slot].epoch && records_add_up(&map, lane->states[slot].consumed);
    cp_ring_map_close(&map);
    return sound;
}

/* ---- rows taken out early --------------------------------------------------------------------------------------- */

/* The batch under way held rows that were taken out early: whoever finds it cannot read them again. */
static bool early_intent_is_open(const cp_lane *lane)
{
    const cp_abi_intent *intent = lane->intent;
    if (lane->logged || __atomic_load_n(&intent->state, __ATOMIC_ACQUIRE) != CP_INTENT_SENDING)
        return false;
    for (uint32_t i = 0; i < intent->span_count && i < CP_REGION_MAX_SLOTS; i++) {
        const cp_abi_intent_span *span = &intent->spans[i];
        if (span->slot < lane->entry->slots && span->epoch == lane->states[span->slot].epoch &&
            (int64_t)(lane->states[span->slot].consumed - span->begin) > 0)
            return true;
    }
    return false;
}

/* The difference is the rows' own in all but one case: a recorder killed in the middle of taking rows out may have counted
 * suppressed ones of a span that is still in the ring, and comes again. Those are too many when less is open than what was taken
 * out and under way, which may be nothing. */
static uint64_t ack_book_lost(cp_abi_ack *state, uint64_t in_doubt, uint64_t taken_in_doubt)
{
    int64_t open = (int64_t)(state->consumed_rows - cp_ack_settled_rows(state));
    if (open < (int64_t)taken_in_doubt && state->suppressed_rows >= taken_in_doubt - (uint64_t)open) {
        state->suppressed_rows -= taken_in_doubt - (uint64_t)open;
        open = (int64_t)taken_in_doubt;
    }
    const uint64_t lost = open > 0 ? (uint64_t)open : 0;
    state->dropped_rows += lost;
    state->doubtful_rows += in_doubt < lost ? in_doubt : lost;
    state->delivered = state->durable = state->consumed;
    return lost;
}

/* Rows of a ring that were under way: in spans that were taken out up to there. */
static uint64_t rows_in_intent(const cp_lane *lane, uint32_t slot, uint64_t taken)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < lane->intent->span_count && i < CP_REGION_MAX_SLOTS; i++) {
        const cp_abi_intent_span *span = &lane->intent->spans[i];
        rows += span->slot == slot && (int64_t)(taken - span->end) >= 0 ? span->rows : 0;
    }
    return rows;
}

static void loss_tell(const cp_lane *lane, uint32_t slot, uint64_t in_doubt)
{
    const cp_lane_range *lost = &lane->lost[slot];
    if (lost->end == lost->begin && lost->rows == 0)
        return; /* a count was mended */
    cp_log(CP_LOG_ERROR, "rows taken out early are lost",
           "table=%s slot=%u position_from=%llu position_to=%llu rows=%llu counted=dropped in_doubt=%llu "
           "remedy=\"larger ring_size, so that pressure takes none out early; class critical loses none\"%s",
           lane->entry->name, slot, (unsigned long long)lost->begin, (unsigned long long)lost->end,
           (unsigned long long)lost->rows, (unsigned long long)in_doubt,
           in_doubt ? " meaning=\"so many were in a batch under way, and may have arrived\"" : "");
}

uint64_t cp_lane_book_lost(cp_lane *lane)
{
    const bool is_open = early_intent_is_open(lane);
    uint64_t lost = 0;
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        cp_abi_ack *state = &lane->states[slot];
        /* Half an acknowledgement may have the counts without the position, or dropped rows' position without their count. */
        if (state->consumed == state->delivered && state->consumed_rows == cp_ack_settled_rows(state))
            continue;
        const uint64_t from = state->delivered;
        const uint64_t in_doubt = is_open ? rows_in_intent(lane, slot, from + INT64_MAX) : 0;
        const uint64_t taken_in_doubt = is_open ? rows_in_intent(lane, slot, state->consumed) : 0;
        const uint64_t rows = ack_book_lost(state, in_doubt, taken_in_doubt);
        lost += rows;
        lane->lost[slot] = (cp_lane_range){from, state->delivered, rows};
        loss_tell(lane, slot, in_doubt);
        ack_publish(lane, slot);
    }
    if (is_open)
        cp_intent_end(lane->intent);
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        const cp_abi_ack *state = &lane->states[slot];
        lane->taken[slot] = (cp_lane_taken){state->consumed, state->consumed_rows};
    }
    return lost;
}

bool cp_lane_drop(cp_lane *lane, const cp_chunk *chunk)
{
    cp_abi_ack *state = &lane->states[chunk->slot];
    cp_lane_range *dropped = &lane->dropped[chunk->slot];
    lane_lock(lane);
    const bool taken = (int64_t)(state->consumed - chunk->end) >= 0;
    if (taken) {
        state->dropped_rows += chunk->row_count;
        state->rejected_rows += chunk->rejected;
        if (dropped->end == dropped->begin)
            dropped->begin = dropped->end = chunk->begin;
        assert(dropped->end == chunk->begin);
        dropped->end = chunk->end;
        dropped_pass(lane, chunk->slot);
        ack_publish(lane, chunk->slot);
    }
    lane_unlock(lane);
    return taken;
}

bool cp_lane_take_early(cp_lane *lane, uint32_t slot, uint64_t suppressed, uint64_t *from)
{
    cp_abi_ack *state = &lane->states[slot];
    const cp_lane_taken *taken = &lane->taken[slot];
    lane_lock(lane);
    const bool ahead = (int64_t)(taken->position - state->consumed) > 0;
    *from = state->delivered;
    if (ahead) {
        state->consumed = taken->position;
        state->consumed_rows = taken->rows;
    }
    state->suppressed_rows += suppressed;
    if (ahead || suppressed)
        ack_publish(lane, slot);
    lane_unlock(lane);
    return ahead;
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

void cp_lane_init(cp_lane *lane, const cp_region_owner *region, uint32_t table, bool logged)
{
    const cp_control *control = &region->control;
    lane->index = table;
    lane->logged = logged;
    lane->entry = &control->directory[table];
    lane->counters = &control->counters[table];
    lane->measures = &control->measures[table];
    lane->latency = &control->latency[table];
    lane->intent = &control->intents[table];
    lane->acks = cp_control_ack(control, table, 0);
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        if (!cp_ack_read(&lane->acks[slot], &lane->states[slot]))
            mend_count(lane, region, slot, &lane->states[slot]);
        if (lane->states[slot].fault != CP_RING_SOUND && ring_adds_up(lane, region, slot))
            lane->states[slot].fault = CP_RING_SOUND;
        cp_ack_write(&lane->acks[slot], &lane->states[slot]);
        lane->reached[slot] = lane->states[slot].delivered;
    }
    cp_abi_intent left;
    if (!early_intent_is_open(lane) && intent_left(lane, control, &left)) {
        acks_move(lane, left.spans, left.span_count);
        cp_intent_end(lane->intent);
    }
    if (!logged)
        (void)cp_lane_book_lost(lane);
    cp_lane_progress(lane, 0, 0, 0);
    gauge_set(&lane->counters->retry_at_ns, 0);
    gauge_set(&lane->counters->parked_since_ns, 0);
}

/* The batch that stands in the intent: a later piece of it, or it is sent elsewhere. */
static bool is_under_way(const cp_lane *lane, const cp_batch_intent *batch)
{
    return __atomic_load_n(&lane->intent->state, __ATOMIC_RELAXED) == CP_INTENT_SENDING &&
           strncmp(lane->intent->token, batch->token, sizeof lane->intent->token) == 0;
}

void cp_lane_prepare(cp_lane *lane, const cp_batch_intent *batch)
{
    cp_intent_aim(lane->intent, batch->endpoint, batch->group);
    if (is_under_way(lane, batch)) {
        cp_intent_piece(lane->intent, batch->piece.first, batch->piece.rows);
        cp_failpoint(CP_FP_PIECE_PREPARED);
        return;
    }
    cp_abi_intent_span spans[CP_REGION_MAX_SLOTS];
    const uint32_t count = spans_resolve(lane, batch, spans);
    cp_intent_begin(lane->intent, batch->token, batch->rows, spans, count);
    cp_failpoint(CP_FP_LANE_PREPARED);
}

void cp_lane_delivered(cp_lane *lane, const cp_batch_intent *batch)
{
    cp_abi_intent_span resolved[CP_REGION_MAX_SLOTS];
    const uint32_t count = spans_resolve(lane, batch, resolved);
    if (lane->logged) {
        lane_lock(lane);
        logged_recount(lane, resolved, count);
        lane_unlock(lane);
    }
    /* A batch without a valid row was never sent, and has no intent yet; one out of a log that was taken up may have none. */
    if (cp_intent_is_open(lane->intent) || lane->logged)
        cp_intent_begin(lane->intent, batch->token, batch->rows, resolved, count);
    else
        cp_intent_recount(lane->intent, resolved, count);
    cp_intent_delivered(lane->intent);
    cp_failpoint(CP_FP_LANE_DELIVERED);
    acks_move(lane, resolved, count);
    cp_intent_end(lane->intent);
    cp_failpoint(CP_FP_LANE_ENDED);
}

/* Rows of each ring in batches that are set aside, and in such that were settled since. */
typedef struct lane_held {
    const cp_lane *lane;
    uint64_t rows[CP_REGION_MAX_SLOTS];
    uint64_t settled[CP_REGION_MAX_SLOTS];
    uint64_t refused[CP_REGION_MAX_SLOTS]; /* of those, in the quarantine */
} lane_held;

void cp_lane_unheld(cp_lane *lane, const cp_batch_intent *batch)
{
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const cp_span *span = &batch->spans[i];
        if (span->slot >= lane->entry->slots || span->epoch != lane->states[span->slot].epoch)
            continue; /* of a ring that is no more: nobody waits for it */
        lane_lock(lane);
        cp_abi_ack *state = &lane->states[span->slot];
        const uint64_t rows = span->rows < state->held_rows ? span->rows : state->held_rows;
        const uint64_t quarantined = span->quarantined < rows ? span->quarantined : rows;
        state->held_rows -= rows;
        state->quarantined_rows += quarantined;
        state->delivered_rows += rows - quarantined;
        ack_publish(lane, span->slot);
        lane_unlock(lane);
    }
    delivered_count(lane);
}

static void held_add(void *ctx, const cp_span *span, bool settled)
{
    lane_held *held = ctx;
    if (span->slot >= held->lane->entry->slots || span->epoch != held->lane->states[span->slot].epoch)
        return;
    (settled ? held->settled : held->rows)[span->slot] += span->rows;
    held->refused[span->slot] += span->quarantined;
}

/* Counts what was settled, and the account has as set aside still. Returns the rows that are set aside though no file has them. */
static uint64_t held_count(cp_lane *lane, const lane_held *held)
{
    uint64_t missing = 0;
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        cp_abi_ack *state = &lane->states[slot];
        const uint64_t over = state->held_rows > held->rows[slot] ? state->held_rows - held->rows[slot] : 0;
        const uint64_t settled = over < held->settled[slot] ? over : held->settled[slot];
        missing += over - settled;
        if (settled == 0)
            continue;
        const uint64_t refused = settled < held->refused[slot] ? settled : held->refused[slot];
        state->held_rows -= settled;
        state->quarantined_rows += refused;
        state->delivered_rows += settled - refused;
        ack_publish(lane, slot);
    }
    return missing;
}

int cp_lane_count_held(cp_lane *lane, cp_flusher *flusher, cp_error *err)
{
    lane_held held = {.lane = lane};
    cp_error found = {0};
    char quoted[CP_ERROR_TEXT + 64];
    const int rc = cp_flusher_held(flusher, lane->index, held_add, &held, &found);
    if (rc == CP_E_CONFIG) {
        *err = found;
        return rc;
    }
    const uint64_t missing = held_count(lane, &held);
    cp_flusher_held_counted(flusher, lane->index);
    if (missing > 0 && rc != CP_E_CORRUPT)
        cp_log(CP_LOG_ERROR, "rows that were set aside are not there, and stay counted",
               "table=%s rows=%lu error=%s remedy=\"set quarantine.dir to what it was, or move its held/ to "
               "where it is now\"",
               lane->entry->name, (unsigned long)missing,
               cp_log_quote(quoted, sizeof quoted, rc < 0 ? found.text : "no file has them"));
    return CP_OK;
}

/* ---- logged lanes ---------------------------------------------------------------------------------------------- */

void cp_lane_durable(cp_lane *lane, uint32_t slot, uint64_t epoch, uint64_t end, uint32_t rows,
                     uint32_t rejected)
{
    cp_abi_ack *state = &lane->states[slot];
    if (state->epoch != epoch)
        return;
    lane_lock(lane);
    state->consumed = state->durable = end;
    state->consumed_rows += rows + rejected;
    ack_publish(lane, slot);
    lane_unlock(lane);
}

void cp_lane_catch_up(cp_lane *lane, const cp_region_owner *region, uint32_t slot, uint64_t end)
{
    cp_abi_ack *state = &lane->states[slot];
    cp_ring_map map;
    uint64_t rows = 0;
    if ((int64_t)(end - state->consumed) <= 0 ||
        cp_ring_map_open(&map, region->dir, lane->entry, slot, CP_RING_READ, NULL) < 0)
        return;
    if (cp_sigbus_enter()) {
        cp_ring_count_rows(map.data, map.data_size, state->consumed, end, &rows);
        cp_sigbus_leave();
    }
    cp_ring_map_close(&map);
    state->consumed = state->durable = end;
    state->consumed_rows += rows;
    ack_publish(lane, slot);
}

void cp_lane_all_delivered(cp_lane *lane)
{
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        lane->states[slot].delivered = lane->reached[slot] = lane->states[slot].consumed;
        ack_publish(lane, slot);
    }
}

bool cp_lane_was_counted(const cp_lane *lane, const char *token)
{
    return __atomic_load_n(&lane->intent->state, __ATOMIC_RELAXED) == CP_INTENT_ENDED && token[0] &&
           strncmp(lane->intent->token, token, sizeof lane->intent->token) == 0;
}

void cp_lane_give_up(cp_lane *lane, uint32_t slot, uint64_t rows)
{
    lane->states[slot].given_up_rows += rows;
    ack_publish(lane, slot);
}

void cp_lane_logged_delivered(cp_lane *lane, const cp_batch_intent *batch, bool all)
{
    if (!cp_lane_was_counted(lane, batch->token))
        cp_lane_delivered(lane, batch);
    for (uint32_t slot = 0; all && slot < lane->entry->slots; slot++) {
        lane_lock(lane);
        if ((int64_t)(lane->reached[slot] - lane->states[slot].delivered) > 0) {
            lane->states[slot].delivered = lane->reached[slot];
            ack_publish(lane, slot);
        }
        lane_unlock(lane);
    }
}

void cp_lane_reach(cp_lane *lane, uint32_t slot, uint64_t end)
{
    if ((int64_t)(end - lane->reached[slot]) > 0)
        lane->reached[slot] = end;
}

uint64_t cp_lane_undelivered(cp_lane *lane)
{
    uint64_t rows = 0;
    lane_lock(lane);
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        const cp_abi_ack *state = &lane->states[slot];
        rows += state->consumed_rows - cp_ack_settled_rows(state);
    }
    lane_unlock(lane);
    return rows;
}

/* ---- what the flusher tells ------------------------------------------------------------------------------------ */

void cp_lane_attempt(cp_lane *lane, const cp_attempt *attempt)
{
    cp_abi_counters *counters = lane->counters;
    counter_add(&counters->insert_attempts, 1);
    gauge_set(&counters->last_insert_duration_ns, attempt->duration_ns);
    gauge_set(&counters->retry_at_ns, attempt->retry_in_ns ? cp_boottime_ns() + attempt->retry_in_ns : 0);
    if (attempt->number > 0 && attempt->parked != (counters->parked_since_ns != 0))
        gauge_set(&counters->parked_since_ns, attempt->parked ? cp_realtime_ns() : 0);
    if (attempt->result == CP_ATTEMPT_OK) {
        counter_add(&counters->delivered_batches, 1);
        counter_add(&counters->delivered_body_bytes, attempt->body_bytes);
        gauge_set(&counters->last_insert_ns, cp_realtime_ns());
        cp_histogram_add(&lane->measures->insert_us, attempt->duration_ns / CP_NS_PER_US);
        cp_histogram_add(&lane->measures->batch_rows, attempt->rows);
        return;
    }
    counter_add(attempt->result == CP_ATTEMPT_NET ? &counters->insert_errors_net
                                                  : &counters->insert_errors_server,
                1);
    __atomic_store_n(&counters->last_error_code, (uint32_t)attempt->server_code, __ATOMIC_RELAXED);
    const int room = (int)(sizeof counters->last_error - strlen(attempt->remedy) - 1);
    snprintf(counters->last_error, sizeof counters->last_error, "%.*s%s", room, attempt->text,
             attempt->remedy);
}

void cp_lane_progress(cp_lane *lane, uint32_t in_flight, uint64_t queued, uint64_t oldest_seen_ns)
{
    gauge_set(&lane->counters->in_flight_rows, in_flight);
    gauge_set(&lane->counters->queued_rows, queued);
    gauge_set(&lane->counters->oldest_unshipped_ns, oldest_seen_ns);
}

void cp_lane_log_size(cp_lane *lane, uint64_t bytes, uint64_t limit, uint32_t state)
{
    gauge_set(&lane->measures->log_bytes, bytes);
    gauge_set(&lane->measures->log_limit, limit);
    __atomic_store_n(&lane->measures->log_state, state, __ATOMIC_RELAXED);
}

void cp_lane_fault(cp_lane *lane, uint32_t slot, cp_ring_fault fault)
{
    __atomic_store_n(&lane->acks[slot].fault, (uint32_t)fault, __ATOMIC_RELAXED);
}
