#include "ingest/row_hash.h"

#include <coldpath/coldpath.h>
#include <string.h>

enum { GATHER_ROOM = 512 }; /* bytes of columns before they are folded into their hash */

typedef struct gather {
    size_t used;
    uint8_t bytes[GATHER_ROOM];
} gather;

static void gather_fold(gather *to)
{
    const XXH128_hash_t hash = XXH3_128bits(to->bytes, to->used);
    memcpy(to->bytes, &hash, sizeof hash);
    to->used = sizeof hash;
}

static void gather_add(gather *to, const void *bytes, size_t size)
{
    XXH128_hash_t hash;
    if (size > GATHER_ROOM / 2) {
        hash = XXH3_128bits(bytes, size);
        bytes = &hash;
        size = sizeof hash;
    }
    if (to->used + size > GATHER_ROOM)
        gather_fold(to);
    memcpy(to->bytes + to->used, bytes, size);
    to->used += size;
}

/* The row has been checked: its references lie inside. */
static void gather_column(gather *to, const cp_column *column, const uint8_t *row)
{
    cp_ref ref;
    if (column->type.nullable) {
        gather_add(to, row + column->null_offset, 1);
        if (row[column->null_offset])
            return;
    }
    if (column->type.kind != CP_STRING) {
        gather_add(to, row + column->offset, column->type.value_size);
        return;
    }
    memcpy(&ref, row + column->offset, sizeof ref);
    gather_add(to, &ref.length, sizeof ref.length);
    if (ref.length)
        gather_add(to, row + ref.offset, ref.length);
}

XXH128_hash_t cp_row_hash(const cp_table *table, const cp_column_list *list, uint32_t salt,
                          const uint8_t *row)
{
    gather all;
    all.used = 0;
    gather_add(&all, &salt, sizeof salt);
    for (uint32_t i = 0; i < list->count; i++)
        gather_column(&all, &table->columns[list->columns[i]], row);
    return XXH3_128bits(all.bytes, all.used);
}
