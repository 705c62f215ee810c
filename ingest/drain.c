#include "ingest/drain.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "ingest/record.h"
#include "shm/ack.h"
#include "shm/sigbus_guard.h"

enum { PRESSING_PERMILLE = 500 };

typedef struct drain_ring {
    cp_ring_reader reader;
    const cp_abi_ack *ack;
    uint64_t published; /* when last looked at */
    bool pressing;      /* more than half full when last looked at */
    uint64_t seen_ns;   /* when the oldest row behind the cursor was first seen; 0 = none */
    uint64_t bare_ns;   /* when nothing was behind the cursor: what came after was put after; 0 = not known */
    uint32_t slot;
    bool open;
} drain_ring;

typedef struct drain_lane {
    const cp_table *table;
    const cp_abi_table *entry;
    cp_abi_counters *counters;
    drain_ring *rings;
    uint64_t interval_ns; /* atomic */
    uint32_t reserve;     /* chunks that it can always get, */
    uint32_t kept_back;   /*   the last so many of which are scarce */
    uint32_t held;        /* chunks that it has; atomic */
} drain_lane;

struct cp_drain {
    cp_drain_events events;
    cp_chunk_pool *pool;
    drain_lane *lanes;
    drain_ring *rings;
    uint32_t lane_count;
    uint32_t ring_count;
    uint32_t reserved; /* chunks that lanes may still ask for out of their reserves, all together; atomic */
    bool urgent;       /* atomic */
};

/* ---- making -------------------------------------------------------------------------------------------- */

static int ring_open(cp_drain *drain, const cp_region_owner *region, uint32_t table, uint32_t slot,
                     cp_error *err)
{
    drain_lane *lane = &drain->lanes[table];
    drain_ring *ring = &lane->rings[slot];
    cp_abi_ack ack;
    ring->slot = slot;
    ring->ack = cp_control_ack(&region->control, table, slot);
    cp_ack_read(ring->ack, &ack);
    cp_error reason = {0};
    const int rc = cp_ring_reader_open(&ring->reader, region->dir, lane->entry, slot, &ack, &reason);
    if (rc < 0) {
        if (err)
            *err = reason;
        return cp_error_prefix(err, "slot %u of table %s", slot, lane->entry->name);
    }
    ring->open = true;
    if (ring->reader.fault != CP_RING_SOUND)
        drain->events.fault(drain->events.ctx, table, slot, ring->reader.fault, reason.text);
    return CP_OK;
}

static int drain_allocate(cp_drain *drain, const cp_region_owner *region, uint64_t memory_limit,
                          cp_error *err)
{
    const cp_control *control = &region->control;
    uint32_t data_bytes = CP_CHUNK_BYTES;
    for (uint32_t i = 0; i < control->table_count; i++) {
        const uint64_t record = cp_record_size_(control->directory[i].row_max);
        if (record > data_bytes)
            data_bytes = (uint32_t)record;
    }
    drain->lane_count = control->table_count;
    drain->ring_count = control->ring_count;
    drain->lanes = calloc(drain->lane_count + 1u, sizeof *drain->lanes);
    drain->rings = calloc(drain->ring_count + 1u, sizeof *drain->rings);
    if (!drain->lanes || !drain->rings)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u rings", drain->ring_count);
    return cp_chunk_pool_create(&drain->pool, memory_limit, CP_DRAIN_RESERVE * (drain->lane_count + 1u),
                                data_bytes, err);
}

int cp_drain_create(cp_drain **out, const cp_region_owner *region, const cp_table *const *tables,
                    const uint64_t *interval_ns, uint64_t memory_limit, const cp_drain_events *events,
                    cp_error *err)
{
    *out = NULL;
    cp_drain *drain = calloc(1, sizeof *drain);
    if (!drain)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the drain");
    drain->events = *events;
    int rc = drain_allocate(drain, region, memory_limit, err);
    for (uint32_t i = 0; rc == CP_OK && i < drain->lane_count; i++) {
        drain_lane *lane = &drain->lanes[i];
        lane->table = tables[i];
        lane->entry = &region->control.directory[i];
        lane->counters = &region->control.counters[i];
        lane->interval_ns = interval_ns[i];
        lane->reserve = CP_DRAIN_RESERVE;
        drain->reserved += lane->reserve;
        lane->rings = &drain->rings[lane->entry->first_ring];
        for (uint32_t slot = 0; rc == CP_OK && slot < lane->entry->slots; slot++)
            rc = ring_open(drain, region, i, slot, err);
    }
    if (rc < 0) {
        cp_drain_free(drain);
        return rc;
    }
    *out = drain;
    return CP_OK;
}

void cp_drain_set_interval(cp_drain *drain, uint32_t table, uint64_t interval_ns)
{
    __atomic_store_n(&drain->lanes[table].interval_ns, interval_ns, __ATOMIC_RELAXED);
}

void cp_drain_start_at(cp_drain *drain, uint32_t table, uint32_t slot, uint64_t position)
{
    drain->lanes[table].rings[slot].reader.cursor = position;
}

void cp_drain_free(cp_drain *drain)
{
    if (!drain)
        return;
    for (uint32_t i = 0; drain->rings && i < drain->ring_count; i++) {
        if (drain->rings[i].open)
            cp_ring_reader_close(&drain->rings[i].reader);
    }
    cp_chunk_pool_destroy(drain->pool);
    free(drain->lanes);
    free(drain->rings);
    free(drain);
}

/* ---- chunks -------------------------------------------------------------------------------------------- */

static uint32_t lane_holds(const drain_lane *lane)
{
    return __atomic_load_n(&lane->held, __ATOMIC_ACQUIRE);
}

/* The drain thread takes chunks, the flusher's gives them back. Whoever changes `held` learns what it was, and so the sum over all lanes
 * of what is left of their reserves is kept without counting it again. On the way it may be too large, never too small. */
static void lane_hold(cp_drain *drain, drain_lane *lane)
{
    if (__atomic_fetch_add(&lane->held, 1, __ATOMIC_ACQ_REL) < lane->reserve)
        __atomic_fetch_sub(&drain->reserved, 1, __ATOMIC_ACQ_REL);
}

static void lane_let_go(cp_drain *drain, drain_lane *lane)
{
    __atomic_fetch_add(&drain->reserved, 1, __ATOMIC_ACQ_REL);
    if (__atomic_fetch_sub(&lane->held, 1, __ATOMIC_ACQ_REL) > lane->reserve)
        __atomic_fetch_sub(&drain->reserved, 1, __ATOMIC_ACQ_REL);
}

/* Chunks that the lane can get now. `reserved` is read last: what is given back meanwhile may be missed, never taken from others. */
static uint32_t lane_can_get(const cp_drain *drain, const drain_lane *lane)
{
    const uint32_t held = lane_holds(lane);
    const uint32_t own = held < lane->reserve ? lane->reserve - held : 0;
    const uint32_t idle = cp_chunk_pool_free_count(drain->pool);
    const uint32_t reserved = __atomic_load_n(&drain->reserved, __ATOMIC_ACQUIRE);
    const uint32_t others = reserved > own ? reserved - own : 0;
    const uint32_t open = idle > others ? idle - others : 0;
    return own > open ? own : open;
}

static cp_chunk *lane_take_chunk(cp_drain *drain, drain_lane *lane)
{
    const uint32_t left = lane_can_get(drain, lane);
    cp_chunk *chunk = left > 0 ? cp_chunk_pool_take(drain->pool) : NULL;
    if (!chunk)
        return NULL;
    chunk->scarce = left <= lane->kept_back;
    lane_hold(drain, lane);
    return chunk;
}

/* Gives one back that was not handed on. */
static void lane_untake_chunk(cp_drain *drain, drain_lane *lane, cp_chunk *chunk)
{
    lane_let_go(drain, lane);
    cp_chunk_pool_untake(drain->pool, chunk);
}

int cp_drain_keep_back(cp_drain *drain, uint32_t table, uint32_t chunks, cp_error *err)
{
    uint32_t reserves = CP_DRAIN_RESERVE;
    drain_lane *lane = &drain->lanes[table];
    drain->reserved += CP_DRAIN_RESERVE + chunks - lane->reserve;
    lane->kept_back = chunks;
    lane->reserve = CP_DRAIN_RESERVE + chunks;
    for (uint32_t i = 0; i < drain->lane_count; i++)
        reserves += drain->lanes[i].reserve;
    if (reserves <= cp_chunk_pool_count(drain->pool))
        return CP_OK;
    return cp_error_set(
        err, CP_E_TOO_BIG,
        "recorder.memory_limit holds %u chunks, but these tables need at least %u: raise it, or "
        "give tables with suppress or conflate fewer slots (each takes a chunk)",
        cp_chunk_pool_count(drain->pool), reserves);
}

void cp_drain_release(cp_drain *drain, cp_chunk *chunk)
{
    drain_lane *lane = &drain->lanes[chunk->table];
    lane_let_go(drain, lane);
    cp_chunk_pool_give(drain->pool, chunk);
}

/* Thousandths of a ring between two positions. */
static uint32_t ring_part(const drain_lane *lane, uint64_t from, uint64_t to)
{
    const uint64_t part = (to - from) / (lane->entry->ring_size / 1000);
    return part < UINT32_MAX ? (uint32_t)part : UINT32_MAX;
}

void cp_drain_usage_read(cp_drain *drain, uint32_t table, cp_drain_usage *usage)
{
    const drain_lane *lane = &drain->lanes[table];
    *usage = (cp_drain_usage){0};
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        const drain_ring *ring = &lane->rings[slot];
        if (ring->reader.fault != CP_RING_SOUND || ring->published == 0)
            continue;
        const uint32_t full =
            ring_part(lane, __atomic_load_n(&ring->ack->consumed, __ATOMIC_RELAXED), ring->published);
        const uint32_t kept =
            ring_part(lane, __atomic_load_n(&ring->ack->delivered, __ATOMIC_RELAXED), ring->published);
        usage->ring = full > usage->ring ? full : usage->ring;
        usage->kept = kept > usage->kept ? kept : usage->kept;
    }
    const uint32_t held = lane_holds(lane);
    const uint32_t more = lane_can_get(drain, lane);
    usage->chunks = held + (more > lane->kept_back ? more - lane->kept_back : 0);
    usage->pool = usage->chunks ? held * 1000 / usage->chunks : 0;
}

uint32_t cp_drain_held(const cp_drain *drain, uint32_t table)
{
    return lane_holds(&drain->lanes[table]);
}

uint32_t cp_drain_chunk_count(const cp_drain *drain)
{
    return cp_chunk_pool_count(drain->pool);
}

uint32_t cp_drain_chunks_free(cp_drain *drain)
{
    return cp_chunk_pool_free_count(drain->pool);
}

void cp_drain_set_urgent(cp_drain *drain, bool urgent)
{
    __atomic_store_n(&drain->urgent, urgent, __ATOMIC_RELEASE);
}

bool cp_drain_is_urgent(const cp_drain *drain)
{
    return __atomic_load_n(&drain->urgent, __ATOMIC_ACQUIRE);
}

/* ---- a turn -------------------------------------------------------------------------------------------- */

static void ring_break(cp_drain *drain, uint32_t table, drain_ring *ring, cp_ring_fault fault,
                       const char *reason)
{
    ring->reader.fault = fault;
    drain->events.fault(drain->events.ctx, table, ring->slot, fault, reason);
}

/* The two functions that touch the producer's file; false when it was truncated under us. */
static bool ring_pending(drain_ring *ring, uint64_t *pending)
{
    if (!cp_sigbus_enter())
        return false;
    *pending = cp_ring_reader_pending(&ring->reader);
    cp_sigbus_leave();
    return true;
}

static bool ring_copy(drain_ring *ring, cp_chunk *chunk, uint64_t pending, uint64_t *copied)
{
    if (!cp_sigbus_enter())
        return false;
    *copied = cp_ring_reader_copy(&ring->reader, chunk->data, chunk->data_capacity, pending);
    cp_sigbus_leave();
    return true;
}

static bool ring_is_due(const cp_drain *drain, const drain_lane *lane, drain_ring *ring, uint64_t pending,
                        uint64_t now)
{
    if (ring->seen_ns == 0)
        ring->seen_ns = now;
    const uint64_t kept =
        ring->reader.cursor + pending - __atomic_load_n(&ring->ack->consumed, __ATOMIC_RELAXED);
    const uint32_t permille = (uint32_t)(kept * 1000 / lane->entry->ring_size);
    ring->pressing = permille > PRESSING_PERMILLE;
    if (permille > lane->counters->peak_usage_permille)
        lane->counters->peak_usage_permille = permille;
    return pending >= CP_DRAIN_LUMP || pending >= lane->entry->ring_size / 4 ||
           now - ring->seen_ns >= __atomic_load_n(&lane->interval_ns, __ATOMIC_RELAXED) ||
           __atomic_load_n(&drain->urgent, __ATOMIC_ACQUIRE);
}

/* Fills a chunk from the ring; false when the file was truncated under us. */
static bool chunk_fill(drain_lane *lane, drain_ring *ring, uint32_t table, cp_chunk *chunk, uint64_t pending,
                       cp_parse_result *result, cp_error *rejected, cp_error *broken)
{
    uint64_t copied = 0;
    if (!ring_copy(ring, chunk, pending, &copied))
        return false;
    chunk->table = (uint16_t)table;
    chunk->slot = (uint16_t)ring->slot;
    chunk->epoch = ring->reader.map.epoch;
    chunk->begin = ring->reader.cursor;
    chunk->first_seen_ns = ring->seen_ns;
    chunk->put_after_ns = ring->bare_ns;
    chunk->pressing = ring->pressing;
    chunk->packed = false;
    *result = cp_records_parse(chunk, lane->table, ring->reader.row_max, copied, copied == pending, rejected,
                               broken);
    return true;
}

/* Hands one chunk of at most `pending` bytes on. Returns the bytes it took, 0 when that has to wait or the
 * ring is broken. What precedes a broken record is still delivered. */
static uint64_t ring_drain_chunk(cp_drain *drain, uint32_t table, drain_ring *ring, uint64_t pending)
{
    drain_lane *lane = &drain->lanes[table];
    cp_parse_result result = CP_PARSE_WHOLE;
    cp_error rejected_why = {0};
    cp_error broken_why = {0};
    cp_chunk *chunk = lane_take_chunk(drain, lane);
    if (!chunk) {
        lane->counters->pool_waits++;
        return 0;
    }
    if (!chunk_fill(lane, ring, table, chunk, pending, &result, &rejected_why, &broken_why)) {
        lane_untake_chunk(drain, lane, chunk);
        ring_break(drain, table, ring, CP_RING_TRUNCATED, "the ring file was truncated");
        return 0;
    }
    cp_failpoint(CP_FP_DRAIN_COPIED);
    const uint64_t taken = chunk->byte_count;
    const uint32_t rows = chunk->row_count;
    const uint32_t rejected = chunk->rejected;
    const cp_submit_result submitted =
        taken > 0 ? drain->events.submit(drain->events.ctx, table, chunk) : CP_SUBMIT_COPIED;
    cp_failpoint(CP_FP_DRAIN_SUBMITTED);
    if (submitted != CP_SUBMIT_TAKEN)
        lane_untake_chunk(drain, lane, chunk);
    if (submitted == CP_SUBMIT_REFUSED) {
        lane->counters->pool_waits++;
        return 0;
    }
    ring->reader.cursor += taken;
    lane->counters->drained_rows += rows;
    lane->counters->drained_bytes += taken;
    if (rejected)
        drain->events.rejected(drain->events.ctx, table, ring->slot, rejected, rejected_why.text);
    if (result == CP_PARSE_BROKEN) {
        ring_break(drain, table, ring, CP_RING_BAD_RECORD, broken_why.text);
        return 0;
    }
    return taken;
}

static uint32_t ring_visit(cp_drain *drain, uint32_t table, drain_ring *ring, uint64_t now)
{
    uint64_t pending = 0;
    if (!ring_pending(ring, &pending)) {
        ring_break(drain, table, ring, CP_RING_TRUNCATED, "the ring file was truncated");
        return 0;
    }
    if (ring->reader.fault != CP_RING_SOUND) {
        drain->events.fault(drain->events.ctx, table, ring->slot, ring->reader.fault,
                            "its published position cannot be");
        return 0;
    }
    ring->published = ring->reader.cursor + pending;
    if (pending == 0) {
        ring->seen_ns = 0;
        ring->bare_ns = now;
        return 0;
    }
    if (!ring_is_due(drain, &drain->lanes[table], ring, pending, now))
        return 0;
    uint32_t chunks = 0;
    while (pending > 0 && chunks < CP_DRAIN_VISIT_CHUNKS) {
        const uint64_t taken = ring_drain_chunk(drain, table, ring, pending);
        if (taken == 0)
            return chunks;
        pending -= taken;
        chunks++;
    }
    ring->seen_ns = pending ? now : 0;
    if (pending == 0)
        ring->bare_ns = now;
    return chunks;
}

uint32_t cp_drain_turn(cp_drain *drain, uint64_t now_ns)
{
    uint32_t chunks = 0;
    for (uint32_t t = 0; t < drain->lane_count; t++) {
        const drain_lane *lane = &drain->lanes[t];
        for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
            drain_ring *ring = &lane->rings[slot];
            if (ring->reader.fault == CP_RING_SOUND)
                chunks += ring_visit(drain, t, ring, now_ns);
        }
    }
    return chunks;
}

/* ---- looking from outside -------------------------------------------------------------------------------------- */

bool cp_drain_published(const cp_drain *drain, uint32_t ring, uint64_t *position)
{
    const cp_ring_reader *reader = &drain->rings[ring].reader;
    if (!drain->rings[ring].open || reader->map.fd < 0 || !cp_sigbus_enter())
        return false;
    *position = __atomic_load_n(&reader->map.hot->published, __ATOMIC_ACQUIRE);
    cp_sigbus_leave();
    return true;
}

uint64_t cp_drain_rows_from(const cp_drain *drain, uint32_t ring, uint64_t from)
{
    const cp_ring_map *map = &drain->rings[ring].reader.map;
    uint64_t to = 0;
    uint64_t rows = 0;
    if (!cp_drain_published(drain, ring, &to) || !cp_sigbus_enter())
        return 0;
    cp_ring_count_rows(map->data, map->data_size, from, to, &rows);
    cp_sigbus_leave();
    return rows;
}
