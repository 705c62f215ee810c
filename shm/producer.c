/* The producer library: the slow half of <coldpath/coldpath.h>. What is on the hot path is inline in the
 * header; here are attaching, taking a slot, and waiting.
 *
 * Taking over a slot: positions go on where the last producer left them. Its row count may be one behind its
 * published position, if it was killed between the two stores; so the new producer counts the rows that are
 * still in the ring and adds them to what the recorder has acknowledged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "shm/ack.h"
#include "shm/control.h"
#include "shm/lock.h"
#include "shm/region.h"
#include "shm/ring_file.h"

#define CP_DEFAULT_REGION_ROOT "/dev/shm/coldpath"

enum {
    PUT_WAIT_MIN_NS = 50 * CP_NS_PER_US, /* first nap on a full ring; doubles up to the next */
    PUT_WAIT_MAX_NS = 1 * CP_NS_PER_MS,
    WAIT_POLL_NS = 100 * CP_NS_PER_US
};

struct cp_region {
    cp_control control;
    cp_table **tables;
    char dir[CP_MAX_REGION_PATH];
};

struct cp_ring_private {
    cp_ring_map map;
    const cp_region *region;
    const cp_abi_ack *ack;
    uint32_t slot;
    uint64_t full;
    uint64_t too_big;
};

/* ---- region -------------------------------------------------------------------------------------------- */

static int region_resolve(cp_region *region, const char *path, cp_error *err)
{
    if (!path || !*path)
        return cp_error_set(err, CP_E_INVAL, "the region's path is empty");
    const char *root = getenv("COLDPATH_REGION_DIR");
    const int used = strchr(path, '/') ? snprintf(region->dir, sizeof region->dir, "%s", path)
                                       : snprintf(region->dir, sizeof region->dir, "%s/%s",
                                                  root && *root ? root : CP_DEFAULT_REGION_ROOT, path);
    if (used >= (int)sizeof region->dir)
        return cp_error_set(err, CP_E_INVAL, "the region's path is longer than %d bytes", CP_MAX_REGION_PATH);
    return CP_OK;
}

static int region_parse_tables(cp_region *region, cp_error *err)
{
    const uint32_t count = region->control.table_count;
    region->tables = calloc(count + 1u, sizeof(void *));
    if (!region->tables)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u table descriptors", count);
    for (uint32_t i = 0; i < count; i++) {
        const int rc = cp_control_parse_table(&region->control, i, &region->tables[i], err);
        if (rc < 0)
            return rc;
    }
    return CP_OK;
}

int cp_attach(cp_region **out, const char *path, cp_error *err)
{
    *out = NULL;
    cp_region *region = calloc(1, sizeof *region);
    if (!region)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a region");
    int rc = region_resolve(region, path, err);
    if (rc == CP_OK)
        rc = cp_control_open(&region->control, region->dir, false, err);
    if (rc == CP_OK)
        rc = region_parse_tables(region, err);
    if (rc < 0) {
        cp_detach(region);
        return rc;
    }
    *out = region;
    return CP_OK;
}

void cp_detach(cp_region *region)
{
    if (!region)
        return;
    if (region->tables) {
        for (uint32_t i = 0; i < region->control.table_count; i++)
            cp_table_free(region->tables[i]);
        free(region->tables);
    }
    cp_control_close(&region->control);
    free(region);
}

bool cp_region_recorder_alive(const cp_region *region)
{
    return cp_region_is_owned(region->dir);
}

bool cp_region_in_place(const cp_region *region)
{
    return cp_control_in_place(&region->control, region->dir);
}

uint32_t cp_region_table_count(const cp_region *region)
{
    return region->control.table_count;
}

const struct cp_table *cp_region_table(const cp_region *region, uint32_t index)
{
    return index < region->control.table_count ? region->tables[index] : NULL;
}

const struct cp_table *cp_region_find_table(const cp_region *region, const char *name)
{
    const int index = cp_control_find(&region->control, name);
    return index < 0 ? NULL : region->tables[index];
}

/* ---- taking a slot ------------------------------------------------------------------------------------- */

static int table_unknown(const cp_region *region, const char *name, cp_error *err)
{
    char list[400] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < region->control.table_count && used < sizeof list - 1; i++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 region->control.directory[i].name);
    }
    return cp_error_set(err, CP_E_ABSENT, "no table '%s' in %s; it has %s", name, region->dir,
                        *list ? list : "none");
}

/* Names who holds the slots, for CP_E_BUSY. */
static void describe_holders(const cp_region *region, const cp_abi_table *table, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t slot = 0; slot < table->slots && used < size - 1; slot++) {
        cp_ring_map map;
        cp_abi_ring header;
        if (cp_ring_map_open(&map, region->dir, table, slot, CP_RING_READ, NULL) < 0)
            continue;
        if (pread(map.fd, &header, sizeof header, 0) == (ssize_t)sizeof header)
            used += (size_t)snprintf(text + used, size - used, "%s%.*s (pid %u)", used ? ", " : "",
                                     CP_ABI_PRODUCER_NAME - 1, header.producer, header.pid);
        cp_ring_map_close(&map);
    }
}

/* Goes on where the slot's last producer ended. */
static int ring_resume(cp_ring *ring, const char *table, uint32_t slot, cp_error *err)
{
    struct cp_ring_private *priv = ring->priv;
    cp_abi_ack ack;
    const bool consistent = cp_ack_read(priv->ack, &ack);
    uint64_t rows = 0;
    ring->write = priv->map.hot->published;
    if (!cp_ring_count_rows(priv->map.data, priv->map.data_size, ack.consumed, ring->write, &rows))
        return cp_error_set(err, CP_E_CORRUPT, "slot %u of table %s holds bytes that are no rows", slot,
                            table);
    /* A recorder killed in the middle of an acknowledgement leaves its counts in doubt: then the last producer's. */
    ring->rows = consistent ? ack.consumed_rows + rows : priv->map.hot->rows;
    ring->limit = ack.consumed + priv->map.data_size;
    ring->hot = priv->map.hot;
    ring->data = priv->map.data;
    ring->mask = priv->map.data_size - 1;
    __atomic_store_n(&ring->hot->rows, ring->rows, __ATOMIC_RELAXED);
    priv->full = priv->map.counters->full;
    priv->too_big = priv->map.counters->too_big;
    return CP_OK;
}

/* Maps the first slot that is free and sound. The reason of the last failure stays in err. */
static int ring_take_slot(const cp_region *region, uint32_t table, cp_ring *ring, cp_error *err)
{
    struct cp_ring_private *priv = ring->priv;
    const cp_abi_table *entry = &region->control.directory[table];
    int rc = CP_E_BUSY;
    bool any_busy = false;
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        priv->ack = cp_control_ack(&region->control, table, slot);
        if (__atomic_load_n(&priv->ack->fault, __ATOMIC_RELAXED) != CP_RING_SOUND)
            continue;
        rc = cp_ring_map_open(&priv->map, region->dir, entry, slot, CP_RING_WRITE, err);
        if (rc == CP_OK && priv->map.epoch != __atomic_load_n(&priv->ack->epoch, __ATOMIC_ACQUIRE)) {
            cp_ring_map_close(&priv->map);
            rc = cp_control_state(&region->control) == CP_RECORDER_RETIRED
                     ? cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; attach again",
                                    region->dir)
                     : cp_error_set(err, CP_E_CORRUPT, "slot %u of table %s was replaced by hand", slot,
                                    entry->name);
        }
        if (rc == CP_OK && (rc = ring_resume(ring, entry->name, slot, err)) == CP_OK) {
            priv->slot = slot;
            ring->pressure = &region->control.pressure[table].level;
            return CP_OK;
        }
        cp_ring_map_close(&priv->map);
        if (rc == CP_E_PERM || rc == CP_E_NOMEM || rc == CP_E_RETIRED)
            return rc;
        any_busy = any_busy || rc == CP_E_BUSY;
    }
    if (any_busy) {
        char holders[600];
        describe_holders(region, entry, holders, sizeof holders);
        return cp_error_set(err, CP_E_BUSY,
                            "all %u producer slots of table %s are taken: %s; raise `slots` of the table",
                            entry->slots, entry->name, holders);
    }
    if (rc == CP_E_BUSY)
        return cp_error_set(err, CP_E_BUSY,
                            "the rings of all slots of table %s are broken: `coldpath status` says why",
                            entry->name);
    return rc;
}

static void ring_sign(cp_ring_map *map, const char *producer)
{
    cp_abi_ring *header = map->header;
    header->pid = (uint32_t)getpid();
    header->attach_count++;
    header->attached_ns = cp_realtime_ns();
    memset(header->producer, 0, sizeof header->producer);
    snprintf(header->producer, sizeof header->producer, "%s",
             producer ? producer : program_invocation_short_name);
}

/* The entry whose rows the program was built for: the named one, or a version of the same table (the hash is of the
 * table's name in ClickHouse, too); -1 when the region has no such. */
static int version_find(const cp_control *control, int named, uint64_t schema_hash)
{
    if (schema_hash == 0 || schema_hash == control->directory[named].schema_hash)
        return named;
    for (uint32_t i = 0; i < control->table_count; i++) {
        if (control->directory[i].schema_hash == schema_hash)
            return (int)i;
    }
    return -1;
}

int cp_ring_open(cp_ring **out, cp_region *region, const char *table, uint64_t schema_hash,
                 const char *producer, cp_error *err)
{
    *out = NULL;
    const int named = cp_control_find(&region->control, table);
    if (named < 0)
        return table_unknown(region, table, err);
    const int index = version_find(&region->control, named, schema_hash);
    const cp_abi_table *entry = &region->control.directory[named];
    if (index < 0)
        return cp_error_set(
            err, CP_E_SCHEMA,
            "table %s has other columns in the region (schema hash %016llx) than this program was built "
            "with (%016llx): configure its form as a version (version_of), or generate its header anew with "
            "`coldpath schema gen %s`, and compare with "
            "`coldpath schema show %s`",
            table, (unsigned long long)entry->schema_hash, (unsigned long long)schema_hash, table, table);
    cp_ring *ring = NULL;
    struct cp_ring_private *priv = NULL;
    if (posix_memalign((void **)&ring, CP_CACHE_LINE, sizeof *ring) != 0 ||
        !(priv = calloc(1, sizeof *priv))) {
        free(ring);
        return cp_error_set(err, CP_E_NOMEM, "no memory for a ring");
    }
    memset(ring, 0, sizeof *ring);
    ring->priv = priv;
    ring->row_max = region->control.directory[index].row_max;
    priv->region = region;
    priv->map.fd = -1;
    const int rc = ring_take_slot(region, (uint32_t)index, ring, err);
    if (rc < 0) {
        cp_ring_close(ring);
        return rc;
    }
    ring_sign(&priv->map, producer);
    *out = ring;
    return CP_OK;
}

void cp_ring_close(cp_ring *ring)
{
    if (!ring)
        return;
    cp_ring_map_close(&ring->priv->map);
    free(ring->priv);
    free(ring);
}

/* ---- the slow half of put ------------------------------------------------------------------------------ */

static bool region_retired(const cp_ring *ring)
{
    return cp_control_state(&ring->priv->region->control) == CP_RECORDER_RETIRED;
}

/* Looks at the recorder's position again, and claims if there is room now. */
static void *claim_again(cp_ring *ring, uint32_t bytes)
{
    struct cp_ring_private *priv = ring->priv;
    const uint64_t need = cp_record_size_(bytes);
    ring->limit = __atomic_load_n(&priv->ack->consumed, __ATOMIC_ACQUIRE) + priv->map.data_size;
    return need > ring->limit - ring->write ? NULL : cp_claim_at_(ring, bytes, need);
}

void *cp_claim_slow_(cp_ring *ring, uint32_t bytes)
{
    struct cp_ring_private *priv = ring->priv;
    if (bytes == 0)
        return NULL;
    if (bytes > ring->row_max) {
        __atomic_store_n(&priv->map.counters->too_big, ++priv->too_big, __ATOMIC_RELAXED);
        return NULL;
    }
    void *row = claim_again(ring, bytes);
    if (!row && !region_retired(ring)) /* else it is put again into the new region's ring */
        __atomic_store_n(&priv->map.counters->full, ++priv->full, __ATOMIC_RELAXED);
    return row;
}

int cp_claim_refusal(const cp_ring *ring, uint32_t bytes)
{
    if (bytes == 0)
        return CP_E_INVAL;
    if (bytes > ring->row_max)
        return CP_E_TOO_BIG;
    return region_retired(ring) ? CP_E_RETIRED : CP_FULL;
}

static void nap(uint64_t ns)
{
    const struct timespec time = {.tv_sec = 0, .tv_nsec = (long)ns};
    nanosleep(&time, NULL);
}

int cp_put_wait(cp_ring *ring, const void *row, uint32_t bytes, uint64_t timeout_ns)
{
    const int rc = cp_put(ring, row, bytes);
    if (rc != CP_FULL)
        return rc;
    const uint64_t start = cp_boottime_ns();
    uint64_t step = PUT_WAIT_MIN_NS;
    void *to;
    while (!(to = claim_again(ring, bytes))) {
        if (region_retired(ring))
            return CP_E_RETIRED;
        if (cp_boottime_ns() - start >= timeout_ns)
            return CP_E_TIMEOUT;
        nap(step);
        step = step * 2 < PUT_WAIT_MAX_NS ? step * 2 : PUT_WAIT_MAX_NS;
    }
    memcpy(to, row, bytes);
    cp_commit(ring);
    return CP_OK;
}

/* ---- following ----------------------------------------------------------------------------------------- */

uint64_t cp_position(const cp_ring *ring, cp_stage stage)
{
    const cp_abi_ack *ack = ring->priv->ack;
    switch (stage) {
    case CP_CONSUMED:
        return __atomic_load_n(&ack->consumed, __ATOMIC_ACQUIRE);
    case CP_DURABLE:
        return __atomic_load_n(&ack->durable, __ATOMIC_ACQUIRE);
    case CP_DELIVERED:
    default:
        return __atomic_load_n(&ack->delivered, __ATOMIC_ACQUIRE);
    }
}

int cp_wait(const cp_ring *ring, cp_stage stage, uint64_t position, uint64_t timeout_ns)
{
    const uint64_t start = cp_boottime_ns();
    while ((int64_t)(cp_position(ring, stage) - position) < 0) {
        if (region_retired(ring))
            return CP_E_RETIRED;
        if (cp_boottime_ns() - start >= timeout_ns)
            return CP_E_TIMEOUT;
        nap(WAIT_POLL_NS);
    }
    return CP_OK;
}

void cp_ring_get_stats(const cp_ring *ring, cp_ring_stats *stats)
{
    const struct cp_ring_private *priv = ring->priv;
    cp_abi_ack ack;
    cp_ack_read(priv->ack, &ack);
    *stats = (cp_ring_stats){
        .rows = ring->rows,
        .written = ring->write,
        .consumed = ack.consumed,
        .delivered = ack.delivered,
        .delivered_rows = ack.delivered_rows,
        .full = priv->full,
        .too_big = priv->too_big,
        .capacity = priv->map.data_size,
        .slot = priv->slot,
        .epoch = priv->map.epoch,
    };
}
