/* Fuzz target: a ring's bytes. Sound records are made once; the input, in threes of bytes, is where and what to change in them, so that
 * most of what is tried gets past the first check. Whatever parses is encoded as a block for ClickHouse: nothing may be read outside of
 * its record. The first byte says whether the bytes end with what was published, and how many there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flush/native.h"
#include "ingest/record.h"
#include "schema/row.h"
#include "shm/ring_file.h"
#include "tests/fuzz/fuzz.h"

#define DDL                                                                                                  \
    "CREATE TABLE t (a Int64, s String, tag LowCardinality(String), n Nullable(Int32), l Array(UInt16), "    \
    "texts Array(String), maybe Array(Nullable(Int64)), side Enum8('buy' = 1, 'sell' = 2), b Bool, "         \
    "d Decimal(38, 8), id UUID) ENGINE = MergeTree ORDER BY a"

enum { DATA = 4096, RECORDS = 12, ROWS = DATA / 8, ROW_MAX = 1024, ARENA = 4 * 1024 * 1024 };

static cp_table *table;
static cp_native *native;
static cp_arena arena;
static _Alignas(8) uint8_t sound[DATA];
static uint64_t sound_size;

static void record_add(uint32_t number)
{
    static const char *const values[] = {"7",         "text", "tag", "-1", "[1, 2, 3]", "['x', 'yy', '']",
                                         "[1, NULL]", "sell", "1",   "1.5"};
    _Alignas(8) uint8_t bytes[ROW_MAX];
    cp_row row;
    cp_error err = {0};
    if (cp_row_begin(&row, table, bytes, sizeof bytes) < 0)
        abort();
    for (uint32_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if ((number + i) % 4 && cp_row_set_text(&row, i, values[i], strlen(values[i]), &err) < 0)
            abort();
    }
    if (cp_row_end(&row, &err) < 0 || sound_size + cp_record_size_(row.used) > DATA)
        abort();
    memcpy(sound + sound_size, &row.used, sizeof row.used);
    memcpy(sound + sound_size + CP_RECORD_HEADER, bytes, row.used);
    sound_size += cp_record_size_(row.used);
}

static void sound_make(void)
{
    cp_error err = {0};
    if (cp_table_parse(&table, NULL, DDL, strlen(DDL), &err) < 0 ||
        cp_native_create(&native, table, &err) < 0 || cp_arena_map(&arena, ARENA) < 0)
        abort();
    for (uint32_t i = 0; i < RECORDS; i++)
        record_add(i);
}

static void encode(cp_chunk *chunk)
{
    cp_native_block block;
    const int rc = cp_native_encode(native, &arena, &chunk, 1, ARENA, &block);
    if (rc == CP_OK ? block.rows != chunk->row_count : chunk->row_count > 0 && rc != CP_E_TOO_BIG)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!table)
        sound_make();
    if (size == 0)
        return 0;
    const uint64_t count = sound_size - (data[0] >> 1) * CP_RECORD_PREFIX % sound_size;
    /* Its own allocation, of that size: a sanitizer sees what is read behind it. */
    cp_chunk chunk = {
        .data = aligned_alloc(8, count), .row_at = malloc(ROWS * sizeof(uint32_t)), .begin = 1 << 20};
    if (!chunk.data || !chunk.row_at)
        abort();
    chunk.data_capacity = (uint32_t)count;
    chunk.row_capacity = ROWS;
    memcpy(chunk.data, sound, count);
    for (size_t i = 1; i + 2 < size; i += 3)
        chunk.data[((size_t)data[i] << 8 | data[i + 1]) % count] = data[i + 2];
    cp_error err = {0};
    uint64_t rows;
    (void)cp_ring_count_rows(chunk.data, DATA, 0, count, &rows);
    (void)cp_records_parse(&chunk, table, ROW_MAX, count, data[0] & 1, &err, &err);
    if (chunk.byte_count > count || chunk.row_count > chunk.row_capacity)
        abort();
    encode(&chunk);
    free(chunk.data);
    free(chunk.row_at);
    return 0;
}
