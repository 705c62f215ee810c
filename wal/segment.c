#include "wal/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cp_wal_segments_init(cp_wal_segments *segments, uint32_t capacity)
{
    segments->items = calloc(capacity, sizeof *segments->items);
    segments->capacity = capacity;
    segments->count = 0;
    return segments->items ? CP_OK : CP_E_NOMEM;
}

void cp_wal_segments_destroy(cp_wal_segments *segments)
{
    free(segments->items);
    segments->items = NULL;
}

cp_wal_segment *cp_wal_segments_add(cp_wal_segments *segments, uint32_t slot)
{
    if (segments->count == segments->capacity)
        return NULL;
    cp_wal_segment *segment = &segments->items[segments->count++];
    memset(segment, 0, sizeof *segment);
    segment->slot = slot;
    return segment;
}

void cp_wal_segments_remove(cp_wal_segments *segments, cp_wal_segment *segment)
{
    *segment = segments->items[--segments->count];
}

cp_wal_segment *cp_wal_segments_by_id(const cp_wal_segments *segments, uint64_t id)
{
    for (uint32_t i = 0; i < segments->count; i++) {
        if (segments->items[i].origin.id == id && id != 0)
            return &segments->items[i];
    }
    return NULL;
}

cp_wal_segment *cp_wal_segments_by_slot(const cp_wal_segments *segments, uint32_t slot)
{
    for (uint32_t i = 0; i < segments->count; i++) {
        if (segments->items[i].slot == slot)
            return &segments->items[i];
    }
    return NULL;
}

cp_wal_segment *cp_wal_segments_by_lsn(const cp_wal_segments *segments, uint64_t lsn)
{
    for (uint32_t i = 0; i < segments->count; i++) {
        cp_wal_segment *segment = &segments->items[i];
        if (lsn < segment->origin.base_lsn)
            continue;
        if (segment->state == CP_SEGMENT_ACTIVE ||
            (segment->state == CP_SEGMENT_SEALED && lsn <= segment->end_lsn))
            return segment;
    }
    return NULL;
}

cp_wal_segment *cp_wal_segments_first(const cp_wal_segments *segments, cp_wal_segment_state state)
{
    cp_wal_segment *first = NULL;
    for (uint32_t i = 0; i < segments->count; i++) {
        cp_wal_segment *segment = &segments->items[i];
        if (segment->state == state && (!first || segment->slot < first->slot))
            first = segment;
    }
    return first;
}

cp_wal_segment *cp_wal_segments_oldest(const cp_wal_segments *segments, cp_wal_segment_state state)
{
    cp_wal_segment *oldest = NULL;
    for (uint32_t i = 0; i < segments->count; i++) {
        cp_wal_segment *segment = &segments->items[i];
        if (segment->state == state && (!oldest || segment->origin.id < oldest->origin.id))
            oldest = segment;
    }
    return oldest;
}

uint32_t cp_wal_segments_count(const cp_wal_segments *segments, cp_wal_segment_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < segments->count; i++)
        count += segments->items[i].state == state;
    return count;
}

uint64_t cp_wal_segments_bytes(const cp_wal_segments *segments)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < segments->count; i++)
        bytes += segments->items[i].file_size;
    return bytes;
}

void cp_wal_segment_name(char out[CP_WAL_SEGMENT_NAME], uint32_t slot)
{
    snprintf(out, CP_WAL_SEGMENT_NAME, "%06u.seg", slot % 1000000);
}

bool cp_wal_segment_name_parse(const char *name, uint32_t *slot)
{
    uint32_t number = 0;
    for (int i = 0; i < 6; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(name[i] - '0');
    }
    *slot = number;
    return strcmp(name + 6, ".seg") == 0;
}
