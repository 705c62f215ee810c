#include "cli/bench/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/row_source.h"
#include "schema/row.h"

enum {
    CHUNK_BYTES = 512 * 1024,
    CHUNK_ROWS = CHUNK_BYTES / 16,
    SYMBOLS = 542,
    SYMBOL_ROOM = 16,
    ROUND_MS = 500, /* each symbol twice a second */
    CHUNKS_FIRST = 64
};

static const char synthetic_ddl[] =
    "CREATE TABLE book_features (ts DateTime64(3, 'UTC'), symbol LowCardinality(String), spread_bps Float32, "
    "depth_1pct_usd Float64, depth_quality Float32, fill_probability Float32, imbalance Float32, best_bid "
    "Float64, "
    "best_ask Float64, n_bid_levels UInt8, n_ask_levels UInt8) ENGINE = MergeTree ORDER BY (symbol, ts)";

static cp_chunk *chunk_create(void)
{
    cp_chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        return NULL;
    *chunk = (cp_chunk){.epoch = 1,
                        .data = malloc(CHUNK_BYTES),
                        .row_at = calloc(CHUNK_ROWS, sizeof *chunk->row_at),
                        .data_capacity = CHUNK_BYTES,
                        .row_capacity = CHUNK_ROWS};
    return chunk;
}

static void chunk_free(cp_chunk *chunk)
{
    free(chunk->data);
    free(chunk->row_at);
    free(chunk);
}

static cp_chunk *chunk_next(cp_bench_rows *rows)
{
    const uint32_t count = rows->chunk_count;
    if (count == 0 || (count >= CHUNKS_FIRST && (count & (count - 1)) == 0)) {
        const size_t room = count ? 2 * (size_t)count : CHUNKS_FIRST;
        cp_chunk **chunks = realloc((void *)rows->chunks, room * sizeof(cp_chunk *));
        if (!chunks)
            return NULL;
        rows->chunks = chunks;
    }
    cp_chunk *chunk = chunk_create();
    if (chunk && (!chunk->data || !chunk->row_at)) {
        chunk_free(chunk);
        return NULL;
    }
    if (chunk) {
        chunk->begin = chunk->end = count ? rows->chunks[count - 1]->end : 0;
        rows->chunks[rows->chunk_count++] = chunk;
    }
    return chunk;
}

/* As a record, the way cp_put leaves it in the ring. */
static int row_add(cp_bench_rows *rows, const void *row, uint32_t size, cp_error *err)
{
    const uint32_t record =
        (size + CP_RECORD_HEADER + CP_RECORD_ALIGN - 1) / CP_RECORD_ALIGN * CP_RECORD_ALIGN;
    if (record > CHUNK_BYTES)
        return cp_error_set(err, CP_E_TOO_BIG, "row %u has %u bytes; bench encode takes at most %d",
                            rows->row_count + 1, size, CHUNK_BYTES - CP_RECORD_HEADER);
    cp_chunk *chunk = rows->chunk_count ? rows->chunks[rows->chunk_count - 1] : NULL;
    if (!chunk || chunk->row_count == CHUNK_ROWS || record > CHUNK_BYTES - chunk->byte_count)
        chunk = chunk_next(rows);
    if (!chunk)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u rows", rows->row_count + 1);
    uint8_t *to = chunk->data + chunk->byte_count;
    memset(to, 0, record);
    memcpy(to, &size, sizeof size);
    memcpy(to + CP_RECORD_HEADER, row, size);
    chunk->row_at[chunk->row_count++] = chunk->byte_count + CP_RECORD_HEADER;
    chunk->byte_count += record;
    chunk->end += record;
    rows->bytes += record;
    rows->row_count++;
    rows->largest = size > rows->largest ? size : rows->largest;
    return CP_OK;
}

/* ---- synthetic rows -------------------------------------------------------------------------------------------- */

/* The row's struct, as `coldpath schema gen` lays it out for synthetic_ddl; offsets are taken from the table. */
static void set(const cp_table *table, uint8_t *row, uint32_t column, const void *value)
{
    memcpy(row + table->columns[column].offset, value, table->columns[column].type.value_size);
}

static void set_float(const cp_table *table, uint8_t *row, uint32_t column, double value)
{
    const float narrow = (float)value;
    if (table->columns[column].type.kind == CP_FLOAT32)
        set(table, row, column, &narrow);
    else
        set(table, row, column, &value);
}

static uint32_t synthetic_row(const cp_table *table, uint8_t *row, double *bids, uint32_t number)
{
    enum { TS, SYMBOL, SPREAD, DEPTH, QUALITY, FILL, IMBALANCE, BID, ASK, BID_LEVELS, ASK_LEVELS };
    const uint32_t symbol = number % SYMBOLS;
    const uint64_t noise = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 24;
    const int64_t ts = INT64_C(1767225600000) + (int64_t)number / SYMBOLS * ROUND_MS + symbol % ROUND_MS;
    const uint8_t bid_levels = (uint8_t)(noise % 20);
    const uint8_t ask_levels = (uint8_t)(noise % 19);
    memset(row, 0, table->row_size);
    const int length = snprintf((char *)row + table->row_size, SYMBOL_ROOM, "SYM%uUSDT", symbol);
    const cp_ref ref = {.offset = table->row_size, .length = (uint32_t)length};
    bids[symbol] += ((double)(noise & 0xff) - 127.5) * 1e-4;
    set(table, row, TS, &ts);
    set(table, row, SYMBOL, &ref);
    set_float(table, row, SPREAD, 2.0 + (double)(noise >> 8 & 7) * 0.25);
    set_float(table, row, DEPTH, 1e5 + (double)(noise & 0xfff));
    set_float(table, row, QUALITY, (double)(noise & 0x3ff) / 1024.0);
    set_float(table, row, FILL, (double)(noise >> 10 & 0x3ff) / 1024.0);
    set_float(table, row, IMBALANCE, (double)(noise & 0x7f) / 64.0 - 1.0);
    set_float(table, row, BID, 10.0 + symbol + bids[symbol]);
    set_float(table, row, ASK, (10.0 + symbol + bids[symbol]) * 1.0002);
    set(table, row, BID_LEVELS, &bid_levels);
    set(table, row, ASK_LEVELS, &ask_levels);
    return table->row_size + (uint32_t)length;
}

int cp_bench_rows_synthetic(cp_bench_rows *rows, uint32_t count, cp_error *err)
{
    double bids[SYMBOLS] = {0};
    _Alignas(16) uint8_t row[256];
    memset(rows, 0, sizeof *rows);
    int rc = cp_table_parse(&rows->table, "bench", synthetic_ddl, sizeof synthetic_ddl - 1, err);
    for (uint32_t i = 0; rc == CP_OK && i < count; i++)
        rc = row_add(rows, row, synthetic_row(rows->table, row, bids, i), err);
    return rc;
}

/* ---- rows of a file -------------------------------------------------------------------------------------------- */

int cp_bench_rows_read(cp_bench_rows *rows, const char *ddl, const char *data, uint32_t count, cp_error *err)
{
    memset(rows, 0, sizeof *rows);
    cp_row_source *source = NULL;
    const cp_row_source_options options = {.path = data, .format = cp_format_of_path(data), .header = true};
    uint8_t *buffer = aligned_alloc(64, CP_MAX_ROW);
    int rc =
        buffer ? cp_table_load(&rows->table, ddl, err) : cp_error_set(err, CP_E_NOMEM, "no memory for a row");
    if (rc == CP_OK)
        rc = cp_row_source_open(&source, &options, rows->table, err);
    while (rc == CP_OK && rows->row_count < count) {
        cp_row row;
        const int got = cp_row_source_next(source, &row, buffer, CP_MAX_ROW, err);
        if (got <= 0) {
            rc = got;
            break;
        }
        rc = row_add(rows, row.bytes, row.used, err);
    }
    if (rc == CP_OK && rows->row_count == 0)
        rc = cp_error_set(err, CP_E_INVAL, "%s has no row", data);
    cp_row_source_close(source);
    free(buffer);
    return rc;
}

void cp_bench_rows_free(cp_bench_rows *rows)
{
    for (uint32_t i = 0; i < rows->chunk_count; i++)
        chunk_free(rows->chunks[i]);
    free(rows->chunks);
    cp_table_free(rows->table);
}
