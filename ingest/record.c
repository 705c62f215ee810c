#include "ingest/record.h"

#include <coldpath/coldpath.h>
#include <string.h>

#include "base/error.h"
#include "schema/row.h"

/* Counts a bad row and describes the first. Apart from record_index, which then has no cp_error of its own: to clear its
 * text for each row cost the drain three times what the rest of the row does. */
static __attribute__((cold, noinline)) void record_reject(cp_chunk *chunk, const cp_table *table, uint64_t at,
                                                          uint32_t size, cp_error *rejected)
{
    cp_error reason = {0};
    if (chunk->rejected++ > 0)
        return;
    (void)cp_row_check(table, chunk->data + at + CP_RECORD_HEADER, size, &reason);
    cp_error_set(rejected, CP_E_CORRUPT, "row at position %llu: %s", (unsigned long long)(chunk->begin + at),
                 reason.text);
}

/* Adds the record at `at` to the index, or to the rejected. */
static void record_index(cp_chunk *chunk, const cp_table *table, uint64_t at, uint32_t size,
                         cp_error *rejected)
{
    if (cp_row_check(table, chunk->data + at + CP_RECORD_HEADER, size, NULL) == CP_OK)
        chunk->row_at[chunk->row_count++] = (uint32_t)at + CP_RECORD_HEADER;
    else
        record_reject(chunk, table, at, size, rejected);
}

cp_parse_result cp_records_parse(cp_chunk *chunk, const cp_table *table, uint32_t row_max, uint64_t copied,
                                 bool last, cp_error *rejected, cp_error *broken)
{
    cp_parse_result result = CP_PARSE_WHOLE;
    uint64_t at = 0;
    chunk->row_count = 0;
    chunk->rejected = 0;
    while (at < copied && chunk->row_count < chunk->row_capacity) {
        uint32_t size;
        memcpy(&size, chunk->data + at, sizeof size);
        const uint64_t need = cp_record_size_(size);
        if (size == 0 || size > row_max || (need > copied - at && last)) {
            cp_error_set(broken, CP_E_CORRUPT, "a record at position %llu says it has %u bytes",
                         (unsigned long long)(chunk->begin + at), size);
            result = CP_PARSE_BROKEN;
            break;
        }
        if (need > copied - at) {
            result = CP_PARSE_PARTIAL;
            break;
        }
        record_index(chunk, table, at, size, rejected);
        at += need;
    }
    chunk->byte_count = (uint32_t)at;
    chunk->end = chunk->begin + at;
    return result;
}
