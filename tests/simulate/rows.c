#include "tests/simulate/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flush/quarantine.h"
#include "shm/ack.h"
#include "tests/simulate/host.h"
#include "tests/simulate/life.h"

const sim_table sim_tables[SIM_TABLES] = {
    {"sim_orders", true, true, false},
    {"sim_fills", true, false, false},
    {"sim_quotes", false, true, true},
    {"sim_ticks", false, false, false},
};

sim_totals sim_total;

static sim_row *rows;
static uint32_t row_count;
static sim_ring *rings;
static uint32_t ring_count;

enum { RECENT = 100 };

static struct {
    uint32_t originals[RECENT];
    uint32_t count;
} recent[SIM_TABLES];

void sim_rows_begin(void)
{
    rows = calloc(SIM_ROWS, sizeof *rows);
    rings = calloc(SIM_RINGS, sizeof *rings);
    row_count = ring_count = 0;
    memset(&sim_total, 0, sizeof sim_total);
    memset(recent, 0, sizeof recent);
    if (!rows || !rings)
        abort();
}

void sim_rows_end(void)
{
    for (uint32_t i = 0; i < ring_count; i++)
        free(rings[i].rows);
    free(rings);
    free(rows);
}

/* ---- rings and rows ---- */

static sim_ring *ring_look(uint32_t table, uint32_t slot, uint64_t epoch)
{
    for (uint32_t i = ring_count; i-- > 0;) {
        if (rings[i].epoch == epoch && rings[i].table == table && rings[i].slot == slot)
            return &rings[i];
    }
    return NULL;
}

uint32_t sim_ring_find(uint32_t table, uint32_t slot, uint64_t epoch)
{
    const sim_ring *known = ring_look(table, slot, epoch);
    if (known)
        return (uint32_t)(known - rings);
    if (ring_count == SIM_RINGS)
        abort();
    rings[ring_count] = (sim_ring){.table = table, .slot = slot, .epoch = epoch};
    return ring_count++;
}

const sim_ring *sim_ring_of(uint32_t ring)
{
    return &rings[ring];
}

bool sim_rows_room(uint32_t more)
{
    return row_count + more <= SIM_ROWS && ring_count + SIM_TABLES * SIM_SLOTS <= SIM_RINGS;
}

uint32_t sim_rows_next(void)
{
    return row_count;
}

uint32_t sim_rows_recent(uint32_t table)
{
    const uint32_t most = recent[table].count < RECENT ? recent[table].count : RECENT;
    return most ? recent[table].originals[sim_pick(most)] : row_count;
}

void sim_row_put(uint32_t index, uint64_t position, bool poison, uint32_t original)
{
    sim_ring *ring = &rings[index];
    if (ring->count == ring->capacity) {
        ring->capacity = ring->capacity ? 2 * ring->capacity : 64;
        ring->rows = realloc(ring->rows, ring->capacity * sizeof *ring->rows);
        if (!ring->rows)
            abort();
    }
    ring->rows[ring->count++] = row_count;
    if (original == row_count)
        recent[ring->table].originals[recent[ring->table].count++ % RECENT] = original;
    else
        rows[original].repeated = true;
    sim_total.repeated += original != row_count;
    rows[row_count++] =
        (sim_row){.position = position, .ring = index, .poison = poison, .original = original};
    sim_total.put++;
}

const sim_row *sim_row_of(uint64_t number)
{
    return number < row_count ? &rows[number] : NULL;
}

/* Index of the ring's first row at or behind the position. */
static uint32_t ring_index(const sim_ring *ring, uint64_t position)
{
    uint32_t low = 0;
    uint32_t high = ring->count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (rows[ring->rows[middle]].position < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void row_name(char text[128], const sim_row *row)
{
    const sim_ring *ring = &rings[row->ring];
    snprintf(text, 128, "row %u of %s, slot %u, epoch %016llx, position %llu", (unsigned)(row - rows),
             sim_tables[ring->table].name, ring->slot, (unsigned long long)ring->epoch,
             (unsigned long long)row->position);
}

/* ---- stored, quarantined ---- */

static void order_check(sim_ring *ring, const sim_row *row)
{
    char name[128];
    const uint32_t index = ring_index(ring, row->position);
    const bool ahead = sim.went_ahead >> ring->table & 1;
    if (row->was_aside)
        return;
    /* What a killed recorder had on the wire, and its successor counted as dropped, may arrive at any time. */
    if (sim_tables[ring->table].sheds && index < ring->settled)
        return;
    uint32_t *last = ahead && index >= ring->ahead_last ? &ring->ahead_last : &ring->stored_last;
    if (index < *last) {
        row_name(name, row);
        sim_fail("out of order: %s is stored behind a later one", name);
    }
    *last = index + 1;
}

/* Of several rows with one key the first alone goes on. */
static void key_take(const sim_row *row, const char *name)
{
    sim_row *original = &rows[row->original];
    if (original->taken)
        sim_fail("another row has the same key: %s", name);
    original->taken = true;
}

void sim_row_stored(uint32_t table, uint64_t number, uint32_t store, uint32_t host)
{
    char name[128];
    sim_row *row = number < row_count ? &rows[number] : NULL;
    if (!row || rings[row->ring].table != table) {
        sim_fail("%s is given row %llu, which nobody put there", sim_tables[table].name,
                 (unsigned long long)number);
        return;
    }
    row_name(name, row);
    if (!row->stored && !row->quarantined)
        key_take(row, name);
    rings[row->ring].stored += !row->stored;
    row->store = (uint8_t)store;
    row->host = (uint8_t)host;
    row->stored_ns = sim.now_ns;
    if (row->doubtful) {
        row->stored = 1;
        return;
    }
    if (row->stored)
        sim_fail("twice: %s", name);
    if (row->quarantined)
        sim_fail("stored, and in the quarantine: %s", name);
    order_check(&rings[row->ring], row);
    row->stored++;
    sim_total.stored++;
}

/* The row at the stretch's begin, or NULL. */
static sim_row *row_look(const sim_stretch *at)
{
    const sim_ring *ring = ring_look(at->table, at->slot, at->epoch);
    const uint32_t index = ring ? ring_index(ring, at->begin) : 0;
    if (!ring || index == ring->count || rows[ring->rows[index]].position != at->begin)
        return NULL;
    return &rows[ring->rows[index]];
}

void sim_row_quarantined(uint32_t table, uint32_t slot, uint64_t epoch, uint64_t position)
{
    char name[128];
    sim_row *row = row_look(&(sim_stretch){table, slot, epoch, position, position});
    if (!row) {
        sim_fail("the quarantine of %s holds a row that nobody put: slot %u, epoch %016llx, position %llu",
                 sim_tables[table].name, slot, (unsigned long long)epoch, (unsigned long long)position);
        return;
    }
    row_name(name, row);
    if (row->stored && !row->doubtful)
        sim_fail("in the quarantine, and stored: %s", name);
    if (!row->quarantined && !row->stored)
        key_take(row, name);
    sim_total.quarantined += !row->quarantined;
    rings[row->ring].quarantined += !row->quarantined;
    row->quarantined = 1;
}

/* Reads a table's file: rows stand in it that a killed recorder wrote, and its successor found there and took for settled. */
static void quarantine_look(uint32_t table)
{
    cp_quarantine_list list = {0};
    cp_error err = {0};
    const char *name = sim_tables[table].name;
    if (cp_quarantine_load(&list, sim_life_quarantine(), name, CP_QUARANTINE_ROWS, &err) < 0)
        sim_fail("the quarantine of %s cannot be read: %s", name, err.text);
    for (uint64_t i = 0; i < list.count; i++)
        sim_row_quarantined(table, list.entries[i].slot, list.entries[i].epoch, list.entries[i].position);
    cp_quarantine_list_free(&list);
}

void sim_row_set_aside(const sim_stretch *at, bool aside)
{
    char name[128];
    sim_row *row = row_look(at);
    if (!row) {
        sim_fail("a row of %s is set aside that nobody put: slot %u, epoch %016llx, position %llu",
                 sim_tables[at->table].name, at->slot, (unsigned long long)at->epoch,
                 (unsigned long long)at->begin);
        return;
    }
    const sim_ring *ring = &rings[row->ring];
    row_name(name, row);
    sim_total.set_aside += aside && !row->aside;
    row->aside = aside;
    row->was_aside |= aside;
    if (aside || ring->gone || ring_index(ring, row->position) >= ring->settled || row->stored)
        return;
    quarantine_look(ring->table);
    if (!row->quarantined)
        sim_fail(
            "lost: the batch that was set aside is removed, and neither stored nor in the quarantine is %s",
            name);
}

uint64_t sim_rows_seen(const sim_stretch *of, uint32_t store, uint32_t host, uint64_t lag_ns)
{
    const sim_ring *ring = ring_look(of->table, of->slot, of->epoch);
    uint64_t seen = 0;
    for (uint32_t i = ring ? ring_index(ring, of->begin) : 0; ring && i < ring->count; i++) {
        const sim_row *row = &rows[ring->rows[i]];
        if (row->position >= of->end)
            break;
        seen += row->stored && row->store == store &&
                (row->host == host || row->stored_ns + lag_ns <= sim.now_ns);
    }
    return seen;
}

void sim_rows_order(const char *fields, bool ahead)
{
    for (uint32_t table = 0; table < SIM_TABLES; table++) {
        char field[64];
        snprintf(field, sizeof field, "table=%s", sim_tables[table].name);
        if (strncmp(fields, field, strlen(field)) != 0)
            continue;
        sim.went_ahead = ahead ? sim.went_ahead | 1u << table : sim.went_ahead & ~(1u << table);
        for (uint32_t i = 0; i < ring_count; i++) {
            sim_ring *ring = &rings[i];
            if (ring->table == table && ring->ahead_last > ring->stored_last)
                ring->stored_last = ring->ahead_last;
            if (ring->table == table)
                ring->ahead_last = 0;
        }
    }
}

/* ---- the region's word ---- */

static void settle(sim_ring *ring, uint64_t delivered)
{
    char name[128];
    for (; ring->settled < ring->count; ring->settled++) {
        const sim_row *row = &rows[ring->rows[ring->settled]];
        if ((int64_t)(delivered - row->position) <= 0)
            break;
        if (row->stored || row->quarantined)
            continue;
        if (row->poison || !sim_tables[ring->table].sheds)
            quarantine_look(ring->table);
        if (row->quarantined || row->aside || rows[row->original].repeated)
            continue;
        ring->missing++;
        row_name(name, row);
        if (!sim_tables[ring->table].sheds)
            sim_fail("lost: %s counts as settled, and is neither stored, set aside nor in the quarantine",
                     name);
    }
}

static void durable_note(sim_ring *ring, uint64_t durable)
{
    for (; ring->durable < ring->count; ring->durable++) {
        sim_row *row = &rows[ring->rows[ring->durable]];
        if ((int64_t)(durable - row->position) <= 0)
            break;
        row->durable = true;
    }
}

/* What is missing of a ring is what the region counts as left out or dropped; of that, what was in doubt may have arrived. */
static void shed_check(const sim_ring *ring, const cp_abi_ack *ack)
{
    const uint64_t shed = ack->suppressed_rows + ack->dropped_rows;
    if (ring->missing > shed || ring->missing + ack->doubtful_rows + ring->again < shed)
        sim_fail("of %s, slot %u, %llu rows are missing; counted are %llu suppressed, %llu dropped (%llu in "
                 "doubt)",
                 sim_tables[ring->table].name, ring->slot, (unsigned long long)ring->missing,
                 (unsigned long long)ack->suppressed_rows, (unsigned long long)ack->dropped_rows,
                 (unsigned long long)ack->doubtful_rows);
}

/* The table's acknowledgement; a remade region may have it elsewhere. */
static const cp_abi_ack *ack_of(const cp_control *control, uint32_t table, uint32_t slot)
{
    return cp_control_ack(control, (uint32_t)cp_control_find(control, sim_tables[table].name), slot);
}

static void ack_check(sim_ring *ring, const cp_abi_ack *ack)
{
    const char *table = sim_tables[ring->table].name;
    const uint64_t end = ring->count ? rows[ring->rows[ring->count - 1]].position + 1 : 0;
    if ((int64_t)(ack->consumed - ring->ack.consumed) < 0 ||
        (int64_t)(ack->delivered - ring->ack.delivered) < 0 ||
        (int64_t)(ack->durable - ring->ack.durable) < 0)
        sim_fail("%s, slot %u: an acknowledgement went back", table, ring->slot);
    if ((int64_t)(ack->delivered - ack->consumed) > 0)
        sim_fail("%s, slot %u: delivered is beyond consumed", table, ring->slot);
    if (ring->count && (int64_t)(ack->consumed - end) > 64 * 1024)
        sim_fail("%s, slot %u: consumed is beyond what was put", table, ring->slot);
    if (ack->fault)
        sim_fail("%s, slot %u: a sound ring counts as broken", table, ring->slot);
    settle(ring, ack->delivered);
    if (ack->delivered_rows > ring->stored)
        sim_fail("%s, slot %u: %llu rows count as delivered, and %u are stored", table, ring->slot,
                 (unsigned long long)ack->delivered_rows, ring->stored);
    if (ack->quarantined_rows > ring->quarantined)
        quarantine_look(ring->table);
    if (ack->quarantined_rows > ring->quarantined)
        sim_fail("%s, slot %u: %llu rows count as quarantined, and %u are", table, ring->slot,
                 (unsigned long long)ack->quarantined_rows, ring->quarantined);
    if (ack->delivered == ack->consumed)
        shed_check(ring, ack);
    if (sim_tables[ring->table].critical)
        durable_note(ring, ack->durable);
    ring->ack = *ack;
}

void sim_rows_check(const cp_control *control)
{
    for (uint32_t table = 0; table < SIM_TABLES; table++) {
        for (uint32_t slot = 0; slot < SIM_SLOTS; slot++) {
            const cp_abi_ack *ack = ack_of(control, table, slot);
            sim_ring *ring = ring_look(table, slot, ack->epoch);
            if (!ring || ack->sequence % 2 != 0 || ack->sequence == ring->ack.sequence)
                continue; /* not known, being written, or as it was */
            ack_check(ring, ack);
        }
    }
}

const sim_ring *sim_rows_unsettled(const cp_control *control)
{
    for (uint32_t table = 0; table < SIM_TABLES; table++) {
        for (uint32_t slot = 0; slot < SIM_SLOTS; slot++) {
            const cp_abi_ack *ack = ack_of(control, table, slot);
            const sim_ring *ring = ring_look(table, slot, ack->epoch);
            if (ring && ring->settled < ring->count)
                return ring;
        }
    }
    return NULL;
}

static void span_doubt(uint32_t table, const cp_abi_intent_span *span, uint64_t consumed)
{
    sim_ring *ring = ring_look(table, span->slot, span->epoch);
    for (uint32_t i = ring ? ring_index(ring, span->begin) : 0; ring && i < ring->count; i++) {
        sim_row *row = &rows[ring->rows[i]];
        if (row->position >= span->end)
            break;
        ring->again += !row->doubtful && (int64_t)(row->position - consumed) >= 0;
        row->doubtful = true;
    }
}

void sim_rows_recorder_died(const cp_control *control)
{
    for (uint32_t table = 0; table < SIM_TABLES; table++) {
        const cp_abi_intent *intent = &control->intents[cp_control_find(control, sim_tables[table].name)];
        bool early = false;
        if (!sim_tables[table].sheds || intent->state != CP_INTENT_SENDING)
            continue;
        for (uint32_t i = 0; i < intent->span_count; i++)
            early |= ack_of(control, table, intent->spans[i].slot)->consumed != intent->spans[i].begin;
        for (uint32_t i = 0; early && i < intent->span_count; i++)
            span_doubt(table, &intent->spans[i], ack_of(control, table, intent->spans[i].slot)->consumed);
    }
}

void sim_rows_host_died(void)
{
    for (uint32_t i = 0; i < ring_count; i++)
        rings[i].gone = true;
    memset(recent, 0, sizeof recent);
}

/* ---- the end ---- */

static void row_check(const sim_row *row)
{
    const sim_ring *ring = &rings[row->ring];
    char name[128];
    if (row->stored || row->quarantined)
        return;
    sim_total.missing++;
    row_name(name, row);
    if (rows[row->original].taken)
        return;
    if (row->aside)
        sim_fail("still set aside: %s", name);
    if (sim_tables[ring->table].sheds || (ring->gone && !row->durable))
        return;
    sim_trace("lost: %s", name);
    sim_fail("lost: %s%s", name, row->durable ? ", which was durable" : "");
}

static void ledger_check(const sim_ring *ring, const cp_abi_ack *ack)
{
    if (ack->consumed_rows != ring->count || cp_ack_settled_rows(ack) != ring->count)
        sim_fail("the account of %s, slot %u does not balance: %u put, %llu consumed, %llu settled",
                 sim_tables[ring->table].name, ring->slot, ring->count,
                 (unsigned long long)ack->consumed_rows, (unsigned long long)cp_ack_settled_rows(ack));
    shed_check(ring, ack);
    if (ack->held_rows)
        sim_fail("of %s, slot %u, %llu rows count as set aside, and none are", sim_tables[ring->table].name,
                 ring->slot, (unsigned long long)ack->held_rows);
    if (!sim_tables[ring->table].sheds &&
        (ack->delivered_rows != ring->stored || ack->quarantined_rows != ring->quarantined))
        sim_fail("of %s, slot %u, %llu rows count as delivered, and %u are stored; %llu count as "
                 "quarantined, and %u are",
                 sim_tables[ring->table].name, ring->slot, (unsigned long long)ack->delivered_rows,
                 ring->stored, (unsigned long long)ack->quarantined_rows, ring->quarantined);
}

void sim_rows_check_end(const cp_control *control)
{
    for (uint32_t table = 0; table < SIM_TABLES; table++)
        quarantine_look(table);
    for (uint32_t i = 0; i < row_count; i++)
        row_check(&rows[i]);
    for (uint32_t table = 0; table < SIM_TABLES; table++) {
        for (uint32_t slot = 0; slot < SIM_SLOTS; slot++) {
            cp_abi_ack ack;
            cp_ack_read(ack_of(control, table, slot), &ack);
            const sim_ring *ring = ring_look(table, slot, ack.epoch);
            if (ring)
                ledger_check(ring, &ack);
        }
    }
}
