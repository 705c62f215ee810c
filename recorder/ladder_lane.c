#include "recorder/ladder_lane.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

enum {
    LOOK_EVERY_NS = 2 * CP_NS_PER_MS, /* at the load: a ring of some MiB takes longer to fill */
    REASON_ROOM = 128
};
static const uint64_t tell_every_ns = CP_NS_PER_S; /* which rows were dropped */

typedef struct slot_state {
    bool suspended;           /* rows of the ring are at risk */
    cp_lane_range suppressed; /* since the rung changed last */
} slot_state;

struct cp_ladder_lane {
    cp_ladder_env env;
    const char *name;
    uint32_t table;
    uint32_t slots;
    uint64_t batch_interval_ns;
    cp_lane *lane;
    uint32_t *published_level; /* in the control file */
    uint32_t *forced;          /* likewise: the main thread writes, the drain's reads */
    cp_conflater *conflater;   /* NULL: without a key there is nothing to thin out by */
    cp_ladder ladder;
    uint64_t looked_ns;
    uint64_t told_ns;
    uint32_t suspended_count;
    uint32_t drops_seen;
    bool keys_used; /* the conflater remembers some */
    bool retired;
    slot_state states[CP_REGION_MAX_SLOTS];
    /* shared with the flusher's thread, atomic */
    uint64_t failing_since; /* boot-time clock; 0: the last insert succeeded */
    uint32_t keep_chunks;   /* dropping goes on while the table holds more */
    bool dropping;
    uint32_t drops;
    bool drops_lock; /* of the next */
    cp_lane_range dropped[CP_REGION_MAX_SLOTS];
};

/* ---- telling --------------------------------------------------------------------------------------------------- */

static void tell_range(const cp_ladder_lane *ladder_lane, const char *event, uint32_t slot,
                       const cp_lane_range *range, const char *reason)
{
    const uint32_t level = ladder_lane->ladder.level;
    const cp_event row = {.table = ladder_lane->name,
                          .event = event,
                          .level_from = level,
                          .level_to = level,
                          .slot = slot,
                          .epoch = ladder_lane->lane->states[slot].epoch,
                          .position_from = range->begin,
                          .position_to = range->end,
                          .rows = range->rows,
                          .reason = reason};
    cp_event_ring_put(ladder_lane->env.events, &row);
}

static void range_join(cp_lane_range *range, uint64_t begin, uint64_t end, uint64_t rows)
{
    if (range->end == range->begin)
        range->begin = begin;
    range->end = end;
    range->rows += rows;
}

static void tell_suppressed(cp_ladder_lane *ladder_lane)
{
    for (uint32_t slot = 0; slot < ladder_lane->slots; slot++) {
        cp_lane_range *range = &ladder_lane->states[slot].suppressed;
        if (range->rows > 0) {
            cp_log(CP_LOG_WARN, "rows suppressed",
                   "table=%s slot=%u position_from=%llu position_to=%llu rows=%llu "
                   "remedy=\"coldpath status: what holds rows up; or a larger ring_size\"",
                   ladder_lane->name, slot, (unsigned long long)range->begin, (unsigned long long)range->end,
                   (unsigned long long)range->rows);
            tell_range(ladder_lane, "suppressed", slot, range,
                       "rows that say nothing new, or were not the latest");
        }
        *range = (cp_lane_range){0};
    }
}

static void drops_lock(cp_ladder_lane *ladder_lane)
{
    while (__atomic_test_and_set(&ladder_lane->drops_lock, __ATOMIC_ACQUIRE))
        ;
}

static void drops_unlock(cp_ladder_lane *ladder_lane)
{
    __atomic_clear(&ladder_lane->drops_lock, __ATOMIC_RELEASE);
}

static void tell_dropped(cp_ladder_lane *ladder_lane)
{
    for (uint32_t slot = 0; slot < ladder_lane->slots; slot++) {
        drops_lock(ladder_lane);
        const cp_lane_range range = ladder_lane->dropped[slot];
        ladder_lane->dropped[slot] = (cp_lane_range){0};
        drops_unlock(ladder_lane);
        if (range.end == range.begin)
            continue;
        cp_log(CP_LOG_WARN, "oldest rows dropped",
               "table=%s slot=%u position_from=%llu position_to=%llu rows=%llu "
               "remedy=\"coldpath status: what holds rows up; or larger ring_size and memory_limit\"",
               ladder_lane->name, slot, (unsigned long long)range.begin, (unsigned long long)range.end,
               (unsigned long long)range.rows);
        tell_range(ladder_lane, "dropped", slot, &range, "the oldest that waited; no room for newer ones");
    }
}

/* What a recorder that was killed, or this one at its end, lost. */
static void tell_lost(cp_ladder_lane *ladder_lane)
{
    for (uint32_t slot = 0; slot < ladder_lane->slots; slot++) {
        cp_lane_range *range = &ladder_lane->lane->lost[slot];
        if (range->end != range->begin)
            tell_range(ladder_lane, "lost", slot, range,
                       "taken out early, and not delivered before the recorder's end");
        *range = (cp_lane_range){0};
    }
}

static void tell_level(cp_ladder_lane *ladder_lane, cp_rung before, const cp_load *load)
{
    const cp_rung level = ladder_lane->ladder.level;
    char reason[REASON_ROOM];
    snprintf(reason, sizeof reason, "%sring %u %%, pool %u %%, inserts failing for %llu s",
             __atomic_load_n(ladder_lane->forced, __ATOMIC_RELAXED) ? "by coldpath degrade; " : "",
             load->ring / 10, load->pool / 10, (unsigned long long)(load->outage_ns / CP_NS_PER_S));
    cp_log(CP_LOG_WARN, level > before ? "pressure: a rung up" : "pressure: a rung down",
           "table=%s from=%s to=%s level=%u reason=\"%s\" remedy=\"coldpath status: what holds rows up\"",
           ladder_lane->name, cp_rung_name(before), cp_rung_name(level), level, reason);
    const cp_event row = {.table = ladder_lane->name,
                          .event = "level",
                          .level_from = before,
                          .level_to = level,
                          .reason = reason};
    cp_event_ring_put(ladder_lane->env.events, &row);
}

static bool rung_is_enabled(const cp_ladder_lane *ladder_lane, uint32_t rung)
{
    return rung == CP_RUNG_NONE || (rung < CP_RUNG_COUNT && ladder_lane->ladder.policy.rungs[rung].enabled);
}

/* A rung that somebody chose outlives the recorder, as long as the configuration has it. */
static void forced_check(cp_ladder_lane *ladder_lane)
{
    const uint32_t forced = *ladder_lane->forced;
    if (forced == 0)
        return;
    if (!rung_is_enabled(ladder_lane, forced - 1)) {
        __atomic_store_n(ladder_lane->forced, 0, __ATOMIC_RELAXED);
        return;
    }
    cp_log(CP_LOG_WARN, "the table is held on a rung of its pressure ladder",
           "table=%s level=%s remedy=\"coldpath degrade %s auto\"", ladder_lane->name,
           cp_rung_name(forced - 1), ladder_lane->name);
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

int cp_ladder_lane_create(cp_ladder_lane **out, const cp_ladder_env *env, uint32_t table, cp_lane *lane,
                          cp_error *err)
{
    const cp_table_config *config = &env->config->tables[table];
    const cp_pressure_config *pressure = &config->pressure;
    cp_ladder_lane *ladder_lane = calloc(1, sizeof *ladder_lane);
    *out = ladder_lane;
    if (!ladder_lane)
        return cp_error_set(err, CP_E_NOMEM, "no memory for table %s", config->name);
    ladder_lane->env = *env;
    ladder_lane->name = config->name;
    ladder_lane->table = table;
    ladder_lane->slots = lane->entry->slots;
    ladder_lane->batch_interval_ns = config->batch.interval_ns;
    ladder_lane->lane = lane;
    ladder_lane->published_level = &env->region->control.pressure[table].level;
    __atomic_store_n(ladder_lane->published_level, 0, __ATOMIC_RELAXED);
    ladder_lane->forced = &env->region->control.pressure[table].forced;
    cp_ladder_init(&ladder_lane->ladder, &pressure->ladder);
    const bool thins =
        pressure->ladder.rungs[CP_RUNG_SUPPRESS].enabled || pressure->ladder.rungs[CP_RUNG_CONFLATE].enabled;
    int rc = thins ? cp_conflater_create(&ladder_lane->conflater, config->table, ladder_lane->slots,
                                         &pressure->key, &pressure->value, pressure->max_keys, err)
                   : CP_OK;
    if (rc == CP_OK && thins) /* a window per slot, and one to copy into */
        rc = cp_drain_keep_back(env->drain, table, ladder_lane->slots + 1, err);
    if (rc == CP_OK)
        tell_lost(ladder_lane);
    forced_check(ladder_lane);
    return rc;
}

void cp_ladder_lane_free(cp_ladder_lane *ladder_lane)
{
    if (!ladder_lane)
        return;
    cp_conflater_free(ladder_lane->conflater);
    free(ladder_lane);
}

/* ---- early release --------------------------------------------------------------------------------------------- */

static void slot_take_early(cp_ladder_lane *ladder_lane, uint32_t slot, uint64_t suppressed)
{
    slot_state *state = &ladder_lane->states[slot];
    uint64_t from;
    if (!cp_lane_take_early(ladder_lane->lane, slot, suppressed, &from) || state->suspended)
        return;
    state->suspended = true;
    ladder_lane->suspended_count++;
    cp_log(CP_LOG_WARN, "rows are taken out early",
           "table=%s slot=%u from_position=%llu reason=pressure consequence=\"until they are delivered, a "
           "kill of "
           "the recorder loses the rows behind this position\" remedy=\"coldpath status: what holds rows up; "
           "or a larger ring_size\"",
           ladder_lane->name, slot, (unsigned long long)from);
    tell_range(ladder_lane, "early_release_began", slot, &(cp_lane_range){from, from, 0},
               "rows behind this position are lost if the recorder is killed, until they are delivered");
}

static void slot_look_restored(cp_ladder_lane *ladder_lane, uint32_t slot)
{
    slot_state *state = &ladder_lane->states[slot];
    const cp_abi_ack *ack = &ladder_lane->lane->acks[slot];
    const uint64_t consumed = __atomic_load_n(&ack->consumed, __ATOMIC_ACQUIRE);
    const uint64_t delivered = __atomic_load_n(&ack->delivered, __ATOMIC_ACQUIRE);
    if (!state->suspended || (int64_t)(consumed - delivered) > 0)
        return;
    state->suspended = false;
    ladder_lane->suspended_count--;
    cp_log(CP_LOG_INFO, "every row taken out early is delivered", "table=%s slot=%u position=%llu",
           ladder_lane->name, slot, (unsigned long long)delivered);
    tell_range(ladder_lane, "early_release_ended", slot, &(cp_lane_range){delivered, delivered, 0},
               "what becomes of every row before this position is decided");
}

/* ---- chunks ---------------------------------------------------------------------------------------------------- */

/* False when the flusher has no room for the slot's window. */
static bool window_hand_on(cp_ladder_lane *ladder_lane, uint32_t slot)
{
    cp_chunk *chunk = cp_conflater_finish(ladder_lane->conflater, slot);
    if (chunk && !cp_flusher_submit(ladder_lane->env.flusher, ladder_lane->table, chunk))
        return false;
    cp_conflater_forget(ladder_lane->conflater, slot);
    return true;
}

static cp_submit_result submit_whole(cp_ladder_lane *ladder_lane, cp_chunk *chunk, const cp_lane_taken *after)
{
    const uint32_t slot = chunk->slot;
    /* The last chunks are for windows: what rungs 1 and 2 leave of further rows finds room when nothing else does. */
    if (ladder_lane->conflater && (chunk->scarce || !window_hand_on(ladder_lane, slot)))
        return CP_SUBMIT_REFUSED;
    if (!cp_flusher_submit(ladder_lane->env.flusher, ladder_lane->table, chunk))
        return CP_SUBMIT_REFUSED;
    ladder_lane->lane->taken[slot] = *after; /* the chunk is the flusher's */
    if (ladder_lane->ladder.early)
        slot_take_early(ladder_lane, slot, 0);
    return CP_SUBMIT_TAKEN;
}

/* Books what rows up to end came to: suppressed ones are among them, or before begin. */
static void slot_suppressed(cp_ladder_lane *ladder_lane, uint32_t slot, uint64_t begin, uint64_t end,
                            uint64_t suppressed)
{
    range_join(&ladder_lane->states[slot].suppressed, begin, end, suppressed);
    slot_take_early(ladder_lane, slot, suppressed);
}

/* Puts the chunk into its slot's window, handing that on when it is full; CP_WINDOW_FULL when that is not possible. */
static cp_window_result window_add(cp_ladder_lane *ladder_lane, cp_chunk *chunk, bool conflate,
                                   uint64_t *suppressed)
{
    const uint64_t now_ns = cp_boottime_ns();
    const uint64_t interval_ns = ladder_lane->ladder.interval_ns;
    const cp_window_result result =
        cp_conflater_add(ladder_lane->conflater, chunk, conflate, interval_ns, now_ns, suppressed);
    if (result != CP_WINDOW_FULL || chunk->scarce || !window_hand_on(ladder_lane, chunk->slot))
        return result;
    return cp_conflater_add(ladder_lane->conflater, chunk, conflate, interval_ns, now_ns, suppressed);
}

static cp_submit_result submit_thinned(cp_ladder_lane *ladder_lane, cp_chunk *chunk,
                                       const cp_lane_taken *after)
{
    const uint32_t slot = chunk->slot;
    const uint64_t begin = chunk->begin;
    const uint32_t drops = __atomic_load_n(&ladder_lane->drops, __ATOMIC_ACQUIRE);
    const cp_rung_policy *rungs = ladder_lane->ladder.policy.rungs;
    const bool conflate = ladder_lane->ladder.level >= CP_RUNG_CONFLATE && rungs[CP_RUNG_CONFLATE].enabled;
    if (drops != ladder_lane->drops_seen)
        cp_conflater_mistrust(ladder_lane->conflater); /* what stood for later rows may be gone */
    ladder_lane->drops_seen = drops;
    ladder_lane->keys_used = true;
    const uint64_t left_out =
        cp_conflater_thin(ladder_lane->conflater, chunk, rungs[CP_RUNG_SUPPRESS].enabled, conflate);
    uint64_t suppressed = 0;
    const cp_window_result result = window_add(ladder_lane, chunk, conflate, &suppressed);
    if (result == CP_WINDOW_FULL) {
        cp_conflater_mistrust(ladder_lane->conflater); /* the chunk comes again */
        slot_suppressed(ladder_lane, slot, begin, begin, suppressed);
        return CP_SUBMIT_REFUSED;
    }
    ladder_lane->lane->taken[slot] = *after;
    slot_suppressed(ladder_lane, slot, begin, after->position, suppressed + left_out);
    __atomic_store_n(&ladder_lane->lane->counters->unkeyed_rows, cp_conflater_unkeyed(ladder_lane->conflater),
                     __ATOMIC_RELAXED);
    return result == CP_WINDOW_OPENED ? CP_SUBMIT_TAKEN : CP_SUBMIT_COPIED;
}

cp_submit_result cp_ladder_lane_submit(cp_ladder_lane *ladder_lane, cp_chunk *chunk)
{
    const cp_lane_taken *taken = &ladder_lane->lane->taken[chunk->slot];
    const cp_lane_taken after = {chunk->end, taken->rows + chunk->row_count + chunk->rejected};
    const uint64_t put_after_ns = chunk->put_after_ns;
    const uint32_t slot = chunk->slot;
    const cp_submit_result result = ladder_lane->conflater && ladder_lane->ladder.level > CP_RUNG_NONE
                                        ? submit_thinned(ladder_lane, chunk, &after)
                                        : submit_whole(ladder_lane, chunk, &after);
    if (result != CP_SUBMIT_REFUSED)
        cp_lane_drained(ladder_lane->lane, slot, after.position, put_after_ns);
    return result;
}

/* A window travels on when it is wanted: nothing waits before it, and it has gathered for the interval. While ClickHouse is away
 * it goes on gathering. */
static bool window_is_due(const cp_ladder_lane *ladder_lane, uint64_t opened_ns, uint64_t now_ns)
{
    const cp_ladder *ladder = &ladder_lane->ladder;
    const uint64_t interval =
        ladder->level >= CP_RUNG_CONFLATE ? ladder->interval_ns : ladder_lane->batch_interval_ns;
    return ladder->level == CP_RUNG_NONE || cp_drain_is_urgent(ladder_lane->env.drain) ||
           (now_ns - opened_ns >= interval &&
            __atomic_load_n(&ladder_lane->lane->counters->queued_rows, __ATOMIC_RELAXED) == 0);
}

static void windows_step(cp_ladder_lane *ladder_lane, uint64_t now_ns)
{
    bool any = false;
    for (uint32_t slot = 0; slot < ladder_lane->slots; slot++) {
        if (!cp_conflater_holds(ladder_lane->conflater, slot))
            continue;
        if (window_is_due(ladder_lane, cp_conflater_opened_ns(ladder_lane->conflater, slot), now_ns))
            any |= !window_hand_on(ladder_lane, slot);
        else
            any = true;
    }
    if (any || ladder_lane->ladder.level > CP_RUNG_NONE)
        return;
    cp_conflater_clear(ladder_lane->conflater);
    ladder_lane->keys_used = false;
}

/* ---- the ladder ------------------------------------------------------------------------------------------------ */

static uint64_t outage_of(const cp_ladder_lane *ladder_lane, uint64_t now_ns)
{
    const uint64_t since = __atomic_load_n(&ladder_lane->failing_since, __ATOMIC_RELAXED);
    return since && now_ns > since ? now_ns - since : 0;
}

static void level_changed(cp_ladder_lane *ladder_lane, cp_rung before, const cp_load *load)
{
    cp_abi_counters *counters = ladder_lane->lane->counters;
    __atomic_store_n(ladder_lane->published_level, (uint32_t)ladder_lane->ladder.level, __ATOMIC_RELAXED);
    __atomic_store_n(&counters->pressure_changes, counters->pressure_changes + 1, __ATOMIC_RELAXED);
    tell_suppressed(ladder_lane);
    tell_dropped(ladder_lane);
    tell_level(ladder_lane, before, load);
}

static void level_time_add(const cp_ladder_lane *ladder_lane, uint64_t span_ns)
{
    const cp_rung level = ladder_lane->ladder.level;
    if (level == CP_RUNG_NONE)
        return;
    uint64_t *time = &ladder_lane->lane->counters->pressure_ns[level - CP_RUNG_SUPPRESS];
    __atomic_store_n(time, *time + span_ns, __ATOMIC_RELAXED);
}

static void early_step(cp_ladder_lane *ladder_lane, bool was_early)
{
    const bool early = ladder_lane->ladder.early;
    for (uint32_t slot = 0; slot < ladder_lane->slots; slot++) {
        if (early && !was_early)
            slot_take_early(ladder_lane, slot, 0);
        else if (!early && ladder_lane->suspended_count)
            slot_look_restored(ladder_lane, slot);
    }
}

/* Tells the flusher's thread how much may be kept. */
static void drops_step(cp_ladder_lane *ladder_lane, const cp_drain_usage *usage, uint64_t now_ns)
{
    const cp_rung_policy *rung = &ladder_lane->ladder.policy.rungs[CP_RUNG_DROP];
    const bool dropping = ladder_lane->ladder.level == CP_RUNG_DROP;
    const uint32_t keep = usage->chunks * rung->pool_down / 1000;
    __atomic_store_n(&ladder_lane->keep_chunks, keep, __ATOMIC_RELAXED);
    __atomic_store_n(&ladder_lane->dropping, dropping, __ATOMIC_RELAXED);
    if (dropping && usage->pool >= rung->pool_up)
        cp_flusher_wake(ladder_lane->env.flusher);
    if (now_ns - ladder_lane->told_ns >= tell_every_ns) {
        ladder_lane->told_ns = now_ns;
        tell_dropped(ladder_lane);
    }
}

static bool level_step(cp_ladder_lane *ladder_lane, const cp_load *load, uint64_t now_ns)
{
    const uint32_t forced = __atomic_load_n(ladder_lane->forced, __ATOMIC_RELAXED);
    return forced ? cp_ladder_hold(&ladder_lane->ladder, (cp_rung)(forced - 1), load, now_ns)
                  : cp_ladder_step(&ladder_lane->ladder, load, now_ns);
}

void cp_ladder_lane_step(cp_ladder_lane *ladder_lane, uint64_t now_ns)
{
    const uint64_t span_ns = now_ns - ladder_lane->looked_ns;
    if (span_ns < LOOK_EVERY_NS)
        return;
    cp_drain_usage usage;
    cp_drain_usage_read(ladder_lane->env.drain, ladder_lane->table, &usage);
    const cp_load load = {usage.ring, usage.kept, usage.pool, outage_of(ladder_lane, now_ns)};
    const cp_rung before = ladder_lane->ladder.level;
    const bool was_early = ladder_lane->ladder.early;
    level_time_add(ladder_lane, span_ns);
    ladder_lane->looked_ns = now_ns;
    if (!ladder_lane->retired && level_step(ladder_lane, &load, now_ns))
        level_changed(ladder_lane, before, &load);
    early_step(ladder_lane, was_early);
    drops_step(ladder_lane, &usage, now_ns);
    if (ladder_lane->keys_used)
        windows_step(ladder_lane, now_ns);
}

void cp_ladder_lane_retire(cp_ladder_lane *ladder_lane)
{
    const cp_rung before = ladder_lane->ladder.level;
    ladder_lane->retired = true;
    ladder_lane->ladder.early = false;
    ladder_lane->ladder.level = CP_RUNG_NONE;
    if (before != CP_RUNG_NONE)
        level_changed(ladder_lane, before, &(cp_load){0});
}

uint64_t cp_ladder_lane_end(cp_ladder_lane *ladder_lane)
{
    const uint64_t rows = cp_lane_book_lost(ladder_lane->lane);
    tell_suppressed(ladder_lane);
    tell_dropped(ladder_lane);
    tell_lost(ladder_lane);
    __atomic_store_n(ladder_lane->published_level, 0, __ATOMIC_RELAXED);
    return rows;
}

/* ---- the main thread ------------------------------------------------------------------------------------------- */

int cp_ladder_lane_force(cp_ladder_lane *ladder_lane, uint32_t rung, bool *changed, cp_error *err)
{
    const uint32_t forced = rung == CP_RUNG_COUNT ? 0 : rung + 1;
    if (forced && !rung_is_enabled(ladder_lane, rung))
        return cp_error_set(
            err, CP_E_INVAL,
            "table %s has no rung %s: its pressure.rungs in the configuration would have to name it",
            ladder_lane->name, cp_rung_name(rung));
    *changed = __atomic_exchange_n(ladder_lane->forced, forced, __ATOMIC_RELAXED) != forced;
    return CP_OK;
}

/* ---- flusher's thread ------------------------------------------------------------------------------------------- */

void cp_ladder_lane_attempt(cp_ladder_lane *ladder_lane, const cp_attempt *attempt)
{
    const uint64_t since = __atomic_load_n(&ladder_lane->failing_since, __ATOMIC_RELAXED);
    const uint64_t now = attempt->result == CP_ATTEMPT_OK ? 0 : since ? since : cp_boottime_ns();
    __atomic_store_n(&ladder_lane->failing_since, now, __ATOMIC_RELAXED);
}

bool cp_ladder_lane_shed(cp_ladder_lane *ladder_lane, const cp_chunk *chunk)
{
    if (!__atomic_load_n(&ladder_lane->dropping, __ATOMIC_RELAXED) ||
        cp_drain_held(ladder_lane->env.drain, ladder_lane->table) <=
            __atomic_load_n(&ladder_lane->keep_chunks, __ATOMIC_RELAXED) ||
        !cp_lane_drop(ladder_lane->lane, chunk))
        return false;
    drops_lock(ladder_lane);
    range_join(&ladder_lane->dropped[chunk->slot], chunk->begin, chunk->end, chunk->row_count);
    drops_unlock(ladder_lane);
    __atomic_fetch_add(&ladder_lane->drops, 1, __ATOMIC_RELEASE);
    return true;
}
