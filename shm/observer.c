#include "shm/observer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "shm/lock.h"
#include "shm/region.h"
#include "shm/sigbus_guard.h"

enum { LOOK_TRIES = 4 }; /* at a ring that the recorder gives back while we count it */

static int observer_allocate(cp_observer *observer, cp_error *err)
{
    const cp_control *control = &observer->control;
    observer->maps = calloc(control->ring_count + 1u, sizeof *observer->maps);
    for (uint32_t i = 0; observer->maps && i < control->ring_count; i++)
        observer->maps[i].fd = -1; /* 0 is somebody else's */
    observer->rings = calloc(control->ring_count + 1u, sizeof *observer->rings);
    observer->tables = calloc(control->table_count + 1u, sizeof *observer->tables);
    if (!observer->maps || !observer->rings || !observer->tables)
        return cp_error_set(err, CP_E_NOMEM, "no memory to look at %u rings", control->ring_count);
    return CP_OK;
}

int cp_observer_open(cp_observer *observer, const char *dir, cp_error *err)
{
    memset(observer, 0, sizeof *observer);
    snprintf(observer->dir, sizeof observer->dir, "%s", dir);
    int rc = cp_control_open(&observer->control, dir, false, err);
    if (rc == CP_OK)
        rc = observer_allocate(observer, err);
    if (rc < 0) {
        cp_observer_close(observer);
        return rc;
    }
    for (uint32_t t = 0; t < observer->control.table_count; t++) {
        const cp_abi_table *entry = &observer->control.directory[t];
        observer->tables[t].entry = entry;
        observer->tables[t].rings = &observer->rings[entry->first_ring];
        for (uint32_t slot = 0; slot < entry->slots; slot++)
            (void)cp_ring_map_open(&observer->maps[entry->first_ring + slot], dir, entry, slot, CP_RING_READ,
                                   NULL);
    }
    return CP_OK;
}

void cp_observer_close(cp_observer *observer)
{
    for (uint32_t i = 0; observer->maps && i < observer->control.ring_count; i++) {
        if (observer->maps[i].fd >= 0)
            cp_ring_map_close(&observer->maps[i]);
    }
    free(observer->maps);
    free(observer->rings);
    free(observer->tables);
    cp_control_close(&observer->control);
    memset(observer, 0, sizeof *observer);
}

/* Counts the rows in a ring, record by record. The acknowledgement may move meanwhile; then we count again. */
static void ring_count(const cp_ring_map *map, const cp_abi_ack *ack, cp_ring_view *view)
{
    for (int i = 0; i < LOOK_TRIES; i++) {
        cp_ack_read(ack, &view->ack);
        view->published = __atomic_load_n(&map->hot->published, __ATOMIC_ACQUIRE);
        view->counted = cp_ring_count_rows(map->data, map->data_size, view->ack.consumed, view->published,
                                           &view->rows_in_ring);
        cp_abi_ack again;
        cp_ack_read(ack, &again);
        if (again.consumed == view->ack.consumed)
            break;
        view->counted = false;
    }
    view->producer_rows = __atomic_load_n(&map->hot->rows, __ATOMIC_RELAXED);
    view->rows = view->counted ? view->ack.consumed_rows + view->rows_in_ring : view->producer_rows;
}

/* What the producer says of its rows: at most one behind, when it was killed between its two stores. Never goes back. */
static void ring_glance(const cp_ring_map *map, const cp_abi_ack *ack, cp_ring_view *view)
{
    cp_ack_read(ack, &view->ack);
    view->published = __atomic_load_n(&map->hot->published, __ATOMIC_ACQUIRE);
    view->producer_rows = __atomic_load_n(&map->hot->rows, __ATOMIC_RELAXED);
    view->rows =
        view->producer_rows > view->ack.consumed_rows ? view->producer_rows : view->ack.consumed_rows;
    view->rows_in_ring = view->rows - view->ack.consumed_rows;
    view->counted = true;
}

static void ring_look(const cp_ring_map *map, const cp_abi_ack *ack, bool glance, cp_ring_view *view)
{
    view->live = cp_lock_held(map->fd);
    view->pid = map->header->pid;
    memcpy(view->producer, map->header->producer, sizeof view->producer);
    view->producer[sizeof view->producer - 1] = '\0';
    view->full = __atomic_load_n(&map->counters->full, __ATOMIC_RELAXED);
    view->too_big = __atomic_load_n(&map->counters->too_big, __ATOMIC_RELAXED);
    (glance ? ring_glance : ring_count)(map, ack, view);
    view->readable = true;
}

/* The same inside a SIGBUS guard; false, and a zeroed view, when the file is not there or was truncated. */
static bool ring_look_guarded(const cp_ring_map *map, const cp_abi_ack *ack, bool glance, cp_ring_view *view)
{
    memset(view, 0, sizeof *view);
    if (map->fd < 0)
        return false;
    if (cp_sigbus_enter()) {
        ring_look(map, ack, glance, view);
        cp_sigbus_leave();
        return true;
    }
    memset(view, 0, sizeof *view);
    return false;
}

static void table_add_ring(cp_table_view *table, const cp_ring_view *ring)
{
    const uint64_t used = ring->published - ring->ack.consumed;
    const uint64_t size = table->entry->ring_size;
    const uint32_t permille = used > size ? 1000u : (uint32_t)(used * 1000 / size);
    table->producers += ring->live;
    table->produced += ring->rows;
    table->in_ring += ring->rows_in_ring;
    table->delivered += ring->ack.delivered_rows;
    table->rejected += ring->ack.rejected_rows;
    table->suppressed += ring->ack.suppressed_rows;
    table->dropped += ring->ack.dropped_rows;
    table->doubtful += ring->ack.doubtful_rows;
    table->quarantined += ring->ack.quarantined_rows;
    table->held += ring->ack.held_rows;
    table->given_up += ring->ack.given_up_rows;
    *(table->entry->critical ? &table->in_log : &table->at_risk) +=
        ring->ack.consumed_rows - cp_ack_settled_rows(&ring->ack);
    table->full += ring->full;
    table->too_big += ring->too_big;
    table->broken_rings += ring->ack.fault != CP_RING_SOUND;
    if (permille > table->usage_permille)
        table->usage_permille = permille;
}

/* Three counts made by three parties agree: the recorder's acknowledgements, the records in the ring, and the
 * producer's own. The last may be one behind when the producer was killed between its two stores, and means
 * nothing while it goes on putting. */
static bool ring_balances(const cp_ring_view *ring)
{
    const uint64_t settled = cp_ack_settled_rows(&ring->ack);
    const bool producer_agrees = ring->live || ring->rows - ring->producer_rows <= 1;
    const bool all_settled = ring->ack.consumed == ring->ack.delivered;
    return ring->readable && ring->counted && producer_agrees &&
           (all_settled ? ring->ack.consumed_rows == settled : ring->ack.consumed_rows >= settled);
}

/* Maps a ring that was not there at the last look, or was made anew since. */
static void ring_follow(const cp_observer *observer, const cp_abi_table *entry, uint32_t slot)
{
    cp_ring_map *map = &observer->maps[entry->first_ring + slot];
    cp_abi_ack ack;
    cp_ack_read(&observer->control.acks[entry->first_ring + slot], &ack);
    if (map->fd >= 0 && ack.epoch != 0 && ack.epoch != map->epoch)
        cp_ring_map_close(map);
    if (map->fd < 0)
        (void)cp_ring_map_open(map, observer->dir, entry, slot, CP_RING_READ, NULL);
}

static void table_look(const cp_observer *observer, uint32_t index)
{
    cp_table_view *table = &observer->tables[index];
    const cp_abi_table *entry = table->entry;
    *table = (cp_table_view){.entry = entry, .rings = table->rings, .balanced = true};
    table->counters = observer->control.counters[index];
    table->counters.last_error[sizeof table->counters.last_error - 1] = '\0';
    table->pressure = observer->control.pressure[index].level;
    table->forced = observer->control.pressure[index].forced;
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        const cp_ring_map *map = &observer->maps[entry->first_ring + slot];
        cp_ring_view *ring = &table->rings[slot];
        ring_follow(observer, entry, slot);
        if (!ring_look_guarded(map, cp_control_ack(&observer->control, index, slot), observer->glance,
                               ring)) {
            cp_ack_read(cp_control_ack(&observer->control, index, slot), &ring->ack);
            ring->rows = ring->ack.consumed_rows;
        }
        table->balanced = table->balanced && (observer->glance || ring_balances(ring));
        table_add_ring(table, ring);
    }
}

int cp_observer_look(cp_observer *observer)
{
    if (cp_control_state(&observer->control) == CP_RECORDER_RETIRED)
        return CP_E_RETIRED;
    observer->recorder_alive = cp_region_is_owned(observer->dir);
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        table_look(observer, i);
    return CP_OK;
}
