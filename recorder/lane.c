#include "recorder/lane.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "shm/ack.h"

static void gauge_set(uint64_t *gauge, uint64_t value)
{
    __atomic_store_n(gauge, value, __ATOMIC_RELAXED);
}

/* One writer: a relaxed load and store, which a reader never sees torn. */
static void counter_add(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, *counter + value, __ATOMIC_RELAXED);
}

void cp_lane_init(cp_lane *lane, const cp_control *control, uint32_t table)
{
    lane->entry = &control->directory[table];
    lane->counters = &control->counters[table];
    lane->acks = cp_control_ack(control, table, 0);
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        cp_ack_read(&lane->acks[slot], &lane->states[slot]);
        lane->states[slot].quarantined = CP_RING_SOUND; /* looked at afresh by each recorder */
        cp_ack_write(&lane->acks[slot], &lane->states[slot]);
    }
    cp_lane_progress(lane, 0, 0, 0);
    gauge_set(&lane->counters->retry_at_ns, 0);
}

void cp_lane_delivered(cp_lane *lane, const cp_span *spans, uint32_t span_count)
{
    for (uint32_t i = 0; i < span_count; i++) {
        const cp_span *span = &spans[i];
        assert(span->slot < lane->entry->slots);
        cp_abi_ack *state = &lane->states[span->slot];
        assert(span->begin == state->consumed && span->epoch == state->epoch);
        state->consumed = span->end;
        state->durable = span->end;
        state->delivered = span->end;
        state->consumed_rows += span->rows + span->rejected;
        state->delivered_rows += span->rows;
        state->rejected_rows += span->rejected;
        state->quarantined = __atomic_load_n(&lane->acks[span->slot].quarantined, __ATOMIC_RELAXED);
        cp_ack_write(&lane->acks[span->slot], state);
        counter_add(&lane->counters->delivered_rows, span->rows);
        counter_add(&lane->counters->rejected_rows, span->rejected);
    }
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
