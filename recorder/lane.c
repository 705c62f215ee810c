#include "recorder/lane.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "shm/ack.h"
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

/* What the rings' acknowledgements become when the spans are delivered, in absolute numbers. */
static uint32_t spans_resolve(const cp_lane *lane, const cp_span *spans, uint32_t span_count,
                              cp_abi_intent_span resolved[CP_REGION_MAX_SLOTS])
{
    for (uint32_t i = 0; i < span_count; i++) {
        const cp_span *span = &spans[i];
        assert(span->slot < lane->entry->slots);
        const cp_abi_ack *state = &lane->states[span->slot];
        assert(span->begin == state->consumed && span->epoch == state->epoch);
        resolved[i] = (cp_abi_intent_span){
            .epoch = span->epoch,
            .begin = span->begin,
            .end = span->end,
            .consumed_rows = state->consumed_rows + span->rows + span->rejected,
            .delivered_rows = state->delivered_rows + span->rows,
            .rejected_rows = state->rejected_rows + span->rejected,
            .slot = span->slot,
            .rows = span->rows,
            .rejected = span->rejected,
        };
    }
    return span_count;
}

/* Moves the acknowledgements to where the spans say; harmless when it was done before. */
static void acks_move(cp_lane *lane, const cp_abi_intent_span *spans, uint32_t span_count)
{
    for (uint32_t i = 0; i < span_count; i++) {
        cp_abi_ack *state = &lane->states[spans[i].slot];
        cp_abi_ack *shared = &lane->acks[spans[i].slot];
        state->consumed = state->durable = state->delivered = spans[i].end;
        state->consumed_rows = spans[i].consumed_rows;
        state->delivered_rows = spans[i].delivered_rows;
        state->rejected_rows = spans[i].rejected_rows;
        state->quarantined = __atomic_load_n(&shared->quarantined, __ATOMIC_RELAXED);
        cp_ack_write(shared, state);
        cp_failpoint(CP_FP_LANE_ACKED);
    }
    uint64_t delivered = 0;
    uint64_t rejected = 0;
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        delivered += lane->states[slot].delivered_rows;
        rejected += lane->states[slot].rejected_rows;
    }
    gauge_set(&lane->counters->delivered_rows, delivered);
    gauge_set(&lane->counters->rejected_rows, rejected);
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

/* A ring that was quarantined is looked at once more by each new recorder. */
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

void cp_lane_init(cp_lane *lane, const cp_region_owner *region, uint32_t table)
{
    const cp_control *control = &region->control;
    lane->entry = &control->directory[table];
    lane->counters = &control->counters[table];
    lane->intent = &control->intents[table];
    lane->acks = cp_control_ack(control, table, 0);
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        cp_ack_read(&lane->acks[slot], &lane->states[slot]);
        if (lane->states[slot].quarantined != CP_RING_SOUND && ring_adds_up(lane, region, slot))
            lane->states[slot].quarantined = CP_RING_SOUND;
        cp_ack_write(&lane->acks[slot], &lane->states[slot]);
    }
    cp_abi_intent left;
    if (cp_intent_load(control, table, &left) && left.state == CP_INTENT_DELIVERED) {
        acks_move(lane, left.spans, left.span_count);
        cp_intent_end(lane->intent);
    }
    cp_lane_progress(lane, 0, 0, 0);
    gauge_set(&lane->counters->retry_at_ns, 0);
}

void cp_lane_prepare(cp_lane *lane, const cp_batch_intent *batch)
{
    cp_abi_intent_span spans[CP_REGION_MAX_SLOTS];
    const uint32_t count = spans_resolve(lane, batch->spans, batch->span_count, spans);
    cp_intent_begin(lane->intent, batch->token, batch->rows, spans, count);
    cp_failpoint(CP_FP_LANE_PREPARED);
}

void cp_lane_delivered(cp_lane *lane, const cp_span *spans, uint32_t span_count)
{
    cp_abi_intent_span resolved[CP_REGION_MAX_SLOTS];
    const uint32_t count = spans_resolve(lane, spans, span_count, resolved);
    /* A batch without a valid row was never sent, and has no intent yet. */
    if (__atomic_load_n(&lane->intent->state, __ATOMIC_RELAXED) == CP_INTENT_NONE)
        cp_intent_begin(lane->intent, "", 0, resolved, count);
    cp_intent_delivered(lane->intent);
    cp_failpoint(CP_FP_LANE_DELIVERED);
    acks_move(lane, resolved, count);
    cp_intent_end(lane->intent);
    cp_failpoint(CP_FP_LANE_ENDED);
}

void cp_lane_attempt(cp_lane *lane, const cp_attempt *attempt)
{
    cp_abi_counters *counters = lane->counters;
    counter_add(&counters->insert_attempts, 1);
    gauge_set(&counters->last_insert_duration_ns, attempt->duration_ns);
    gauge_set(&counters->retry_at_ns, attempt->retry_in_ns ? cp_boottime_ns() + attempt->retry_in_ns : 0);
    if (attempt->result == CP_ATTEMPT_OK) {
        counter_add(&counters->delivered_batches, 1);
        counter_add(&counters->delivered_body_bytes, attempt->body_bytes);
        gauge_set(&counters->last_insert_ns, cp_realtime_ns());
        return;
    }
    counter_add(attempt->result == CP_ATTEMPT_NET ? &counters->insert_errors_net
                                                  : &counters->insert_errors_server,
                1);
    __atomic_store_n(&counters->last_error_code, (uint32_t)attempt->server_code, __ATOMIC_RELAXED);
    snprintf(counters->last_error, sizeof counters->last_error, "%s", attempt->text);
}

void cp_lane_progress(cp_lane *lane, uint32_t in_flight, uint64_t queued, uint64_t oldest_seen_ns)
{
    gauge_set(&lane->counters->in_flight_rows, in_flight);
    gauge_set(&lane->counters->queued_rows, queued);
    gauge_set(&lane->counters->oldest_unshipped_ns, oldest_seen_ns);
}

void cp_lane_fault(cp_lane *lane, uint32_t slot, cp_ring_fault fault)
{
    __atomic_store_n(&lane->acks[slot].quarantined, (uint32_t)fault, __ATOMIC_RELAXED);
}
