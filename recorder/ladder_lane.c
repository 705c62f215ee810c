#include "recorder/ladder_lane.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

enum { LOOK_EVERY_NS = 2 * CP_NS_PER_MS }; /* at the load: a ring of some MiB takes longer to fill */

struct cp_ladder_lane {
    const char *name;
    uint32_t table;
    cp_lane *lane;
    cp_flusher *flusher;
    cp_ladder ladder;
    uint64_t looked_ns;
    uint64_t failing_since; /* boot-time clock, 0: the last insert succeeded; atomic, the flusher's */
    bool suspended[CP_REGION_MAX_SLOTS]; /* rows of that ring are at risk */
    uint32_t suspended_count;
};

int cp_ladder_lane_create(cp_ladder_lane **out, const cp_config *config, uint32_t table, cp_lane *lane,
                          cp_flusher *flusher, cp_error *err)
{
    cp_ladder_lane *ladder_lane = calloc(1, sizeof *ladder_lane);
    *out = ladder_lane;
    if (!ladder_lane)
        return cp_error_set(err, CP_E_NOMEM, "no memory for table %s", config->tables[table].name);
    ladder_lane->name = config->tables[table].name;
    ladder_lane->table = table;
    ladder_lane->lane = lane;
    ladder_lane->flusher = flusher;
    cp_ladder_init(&ladder_lane->ladder, &config->tables[table].ladder);
    return CP_OK;
}

void cp_ladder_lane_free(cp_ladder_lane *ladder_lane)
{
    free(ladder_lane);
}

/* ---- early release --------------------------------------------------------------------------------------------- */

static void slot_take_early(cp_ladder_lane *ladder_lane, uint32_t slot, uint64_t suppressed)
{
    uint64_t from;
    if (!cp_lane_take_early(ladder_lane->lane, slot, suppressed, &from) || ladder_lane->suspended[slot])
        return;
    ladder_lane->suspended[slot] = true;
    ladder_lane->suspended_count++;
    cp_log(CP_LOG_WARN, "rows are taken out early",
           "table=%s slot=%u from_position=%llu reason=pressure consequence=\"until they are delivered, a "
           "kill of "
           "the recorder loses the rows behind this position\"",
           ladder_lane->name, slot, (unsigned long long)from);
}

static void slot_look_restored(cp_ladder_lane *ladder_lane, uint32_t slot)
{
    const cp_abi_ack *ack = &ladder_lane->lane->acks[slot];
    const uint64_t consumed = __atomic_load_n(&ack->consumed, __ATOMIC_ACQUIRE);
    const uint64_t delivered = __atomic_load_n(&ack->delivered, __ATOMIC_ACQUIRE);
    if (!ladder_lane->suspended[slot] || (int64_t)(consumed - delivered) > 0)
        return;
    ladder_lane->suspended[slot] = false;
    ladder_lane->suspended_count--;
    cp_log(CP_LOG_INFO, "every row taken out early is delivered", "table=%s slot=%u position=%llu",
           ladder_lane->name, slot, (unsigned long long)delivered);
}

/* ---- drain thread ---------------------------------------------------------------------------------------------- */

cp_submit_result cp_ladder_lane_submit(cp_ladder_lane *ladder_lane, cp_chunk *chunk)
{
    cp_lane_taken *taken = &ladder_lane->lane->taken[chunk->slot];
    const uint32_t slot = chunk->slot;
    const cp_lane_taken after = {chunk->end, taken->rows + chunk->row_count + chunk->rejected};
    if (!cp_flusher_submit(ladder_lane->flusher, ladder_lane->table, chunk))
        return CP_SUBMIT_REFUSED;
    *taken = after; /* the chunk is the flusher's */
    if (ladder_lane->ladder.early)
        slot_take_early(ladder_lane, slot, 0);
    return CP_SUBMIT_TAKEN;
}

static uint64_t outage_of(const cp_ladder_lane *ladder_lane, uint64_t now_ns)
{
    const uint64_t since = __atomic_load_n(&ladder_lane->failing_since, __ATOMIC_RELAXED);
    return since && now_ns > since ? now_ns - since : 0;
}

void cp_ladder_lane_step(cp_ladder_lane *ladder_lane, cp_drain *drain, uint64_t now_ns)
{
    if (now_ns - ladder_lane->looked_ns < LOOK_EVERY_NS)
        return;
    ladder_lane->looked_ns = now_ns;
    cp_drain_usage usage;
    cp_drain_usage_read(drain, ladder_lane->table, &usage);
    const cp_load load = {usage.ring, usage.kept, usage.pool, outage_of(ladder_lane, now_ns)};
    const bool was_early = ladder_lane->ladder.early;
    (void)cp_ladder_step(&ladder_lane->ladder, &load, now_ns);
    const bool early = ladder_lane->ladder.early;
    for (uint32_t slot = 0; slot < ladder_lane->lane->entry->slots; slot++) {
        if (early && !was_early)
            slot_take_early(ladder_lane, slot, 0);
        else if (!early && ladder_lane->suspended_count)
            slot_look_restored(ladder_lane, slot);
    }
}

/* ---- flusher's thread ------------------------------------------------------------------------------------------- */

void cp_ladder_lane_attempt(cp_ladder_lane *ladder_lane, const cp_attempt *attempt)
{
    const uint64_t since = __atomic_load_n(&ladder_lane->failing_since, __ATOMIC_RELAXED);
    const uint64_t now = attempt->result == CP_ATTEMPT_OK ? 0 : since ? since : cp_boottime_ns();
    __atomic_store_n(&ladder_lane->failing_since, now, __ATOMIC_RELAXED);
}
