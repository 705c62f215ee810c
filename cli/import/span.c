#include "cli/import/span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "shm/ack.h"
#include "shm/ring_file.h"
#include "shm/sigbus_guard.h"

static int boot_id(char out[CP_BOOT_ID], cp_error *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    FILE *file = fopen(path, "re");
    const bool read = file && fgets(out, CP_BOOT_ID, file) && strlen(out) == CP_BOOT_ID - 1;
    if (file)
        fclose(file);
    return read ? CP_OK : cp_error_set(err, CP_E_IO, "cannot read %s", path);
}

/* A span's place in the region, mapped. */
typedef struct place {
    bool region; /* there is one */
    cp_control control;
    cp_ring_map map;
    const cp_abi_table *entry;
    cp_abi_ack ack;
} place;

static void place_close(place *at)
{
    cp_ring_map_close(&at->map);
    cp_control_close(&at->control);
}

/* CP_OK, or CP_E_ABSENT when the ring is not there (any more). */
static int place_open(place *at, const char *region, const char *table, uint32_t slot, cp_error *err)
{
    memset(at, 0, sizeof *at);
    at->map.fd = -1;
    int rc = cp_control_open(&at->control, region, false, err);
    if (rc < 0)
        return rc;
    at->region = true;
    const int index = cp_control_find(&at->control, table);
    if (index < 0 || slot >= at->control.directory[index].slots) {
        place_close(at);
        return CP_E_ABSENT;
    }
    at->entry = &at->control.directory[index];
    cp_ack_read(cp_control_ack(&at->control, (uint32_t)index, slot), &at->ack);
    rc = cp_ring_map_open(&at->map, region, at->entry, slot, CP_RING_READ, err);
    if (rc < 0)
        place_close(at);
    return rc;
}

int cp_put_span_note(cp_put_span *span, const char *region, const char *table, uint32_t slot, cp_error *err)
{
    place at;
    int rc = boot_id(span->boot, err);
    if (rc == CP_OK)
        rc = place_open(&at, region, table, slot, err);
    if (rc < 0)
        return rc;
    snprintf(span->table, sizeof span->table, "%s", table);
    span->slot = slot;
    span->epoch = at.map.epoch;
    span->attach_count = at.map.header->attach_count;
    span->schema_hash = at.entry->schema_hash;
    span->first = at.map.hot->published;
    span->settled = false;
    place_close(&at);
    return CP_OK;
}

static int in_doubt(const cp_put_span *span, size_t rows, const char *why, cp_error *err)
{
    return cp_error_set(err, CP_E_UNSUPPORTED,
                        "an import was ended while it put %zu rows of table %s, and it cannot be told how "
                        "many are there: %s. "
                        "Look, then say --in-doubt=put (they are put again: some may arrive twice) or "
                        "--in-doubt=drop (they are "
                        "given up: some may be lost)",
                        rows, span->table, why);
}

/* The rows that end at or before the published position. */
static size_t rows_before(const cp_put_span *span, const cp_staged_rows *rows, uint64_t published,
                          uint64_t *end)
{
    size_t put = 0;
    *end = span->first;
    while (put < rows->count) {
        const uint64_t next = *end + cp_record_size_(rows->row[put].size);
        if (next - span->first > published - span->first)
            break;
        *end = next;
        put++;
    }
    return put;
}

/* Of `most` rows, those that are there for certain, when others may have put behind them: records before `standing` are
 * overwritten. Rows are put in order, so a record that is one of them proves all before it. 0 when none is proved. Runs
 * inside a SIGBUS guard. */
static size_t rows_proved(const cp_put_span *span, const cp_ring_map *map, const cp_staged_rows *rows,
                          size_t most, uint64_t standing, uint64_t *end)
{
    uint64_t at = span->first;
    size_t proved = 0;
    *end = span->first;
    for (size_t i = 0; i < most; i++) {
        const uint8_t *record = map->data + (at & (map->data_size - 1));
        const uint64_t next = at + cp_record_size_(rows->row[i].size);
        if ((int64_t)(at - standing) >= 0) {
            uint32_t size;
            memcpy(&size, record, sizeof size);
            if (size != rows->row[i].size ||
                memcmp(record + CP_RECORD_PREFIX, rows->bytes + rows->row[i].offset, size) != 0)
                break;
            proved = i + 1;
            *end = next;
        }
        at = next;
    }
    return proved;
}

static int ring_look(cp_put_span *span, const place *at, const cp_staged_rows *rows, size_t *put,
                     cp_error *err)
{
    if (!cp_sigbus_enter())
        return in_doubt(span, rows->count, "the ring's file was cut off", err);
    const uint64_t published = __atomic_load_n(&at->map.hot->published, __ATOMIC_ACQUIRE);
    const bool alone = at->map.header->attach_count == span->attach_count;
    /* Behind the published position a producer may be writing a row of any size. */
    const uint64_t standing = published + cp_record_size_(at->entry->row_max) - at->map.data_size;
    const bool all_stands = (int64_t)(span->first - standing) >= 0;
    *put = rows_before(span, rows, published, &span->end);
    if (!alone)
        *put = rows_proved(span, &at->map, rows, *put, standing, &span->end);
    cp_sigbus_leave();
    if (alone || all_stands || *put > 0)
        return CP_OK;
    return in_doubt(span, rows->count, "another producer has had the ring since, and has written over it",
                    err);
}

int cp_put_span_look(cp_put_span *span, const char *region, const cp_staged_rows *rows, size_t *put,
                     cp_error *err)
{
    char boot[CP_BOOT_ID];
    place at;
    int rc = boot_id(boot, err);
    if (rc < 0)
        return rc;
    if (strcmp(boot, span->boot) != 0)
        return in_doubt(span, rows->count, "the host was started anew since, and its shared memory is gone",
                        err);
    rc = place_open(&at, region, span->table, span->slot, err);
    if (rc == CP_E_ABSENT)
        return in_doubt(span, rows->count, "the ring is not there any more", err);
    if (rc < 0)
        return rc;
    rc = at.map.epoch == span->epoch ? ring_look(span, &at, rows, put, err)
                                     : in_doubt(span, rows->count, "the ring was replaced since", err);
    place_close(&at);
    return rc;
}

int cp_put_span_is_safe(const cp_put_span *span, const char *region, size_t rows, cp_error *err)
{
    char boot[CP_BOOT_ID];
    place at;
    int rc = boot_id(boot, err);
    if (rc < 0)
        return rc;
    if (strcmp(boot, span->boot) != 0)
        return in_doubt(span, rows, "the host was started anew before they were safe", err);
    rc = place_open(&at, region, span->table, span->slot, err);
    if (rc == CP_E_ABSENT)
        return at.region; /* a table is taken out of the region only when all its rows are delivered */
    if (rc < 0)
        return rc;
    /* So is a ring replaced. */
    rc = at.map.epoch != span->epoch ||
         (at.ack.epoch == span->epoch && (int64_t)(at.ack.durable - span->end) >= 0);
    place_close(&at);
    return rc;
}
