/* One column of the Native encoder: its constant bytes, its streams, and the loops that fill them from rows.
 *
 *     offsets     Array: where each row's elements end
 *     nulls       Nullable, unless LowCardinality: the flag map
 *     values      the values, or the keys of a LowCardinality column (u32 while encoding, narrowed at the end)
 *     dictionary  LowCardinality: the distinct values
 *
 * Used by native.c alone. */
#ifndef CP_FLUSH_NATIVE_COLUMN_H
#define CP_FLUSH_NATIVE_COLUMN_H

#include <coldpath/error.h>
#include <stdint.h>

#include "flush/arena.h"
#include "flush/dictionary.h"
#include "flush/leb128.h"
#include "ingest/chunk.h"
#include "schema/table.h"

enum {
    CP_NATIVE_STEP =
        256 /* rows per step: with 120-byte rows 30 KiB, the first-level cache of common machines */
};

/* The rows of one step. */
typedef struct cp_native_rows {
    const cp_chunk *chunk;
    const uint8_t *limit; /* end of the chunk's bytes: short strings may be read in words up to here */
    uint32_t first;       /* index in the chunk of rows[0] */
    uint32_t count;
    const uint8_t *rows[CP_NATIVE_STEP];
} cp_native_rows;

typedef struct cp_native_column {
    const cp_column *column;
    uint8_t *head; /* name, type, prefix */
    uint32_t head_size;
    uint32_t value_size; /* in the row */
    uint8_t *stamp;      /* what an empty String of the row stands for; NULL: itself */
    uint32_t stamp_length;
    cp_stream offsets;
    cp_stream nulls;
    cp_stream values;
    cp_dictionary dictionary;
    uint64_t elements;        /* Array: elements so far */
    uint32_t dictionary_size; /* set by finish: entries, 0 = no dictionary is sent */
    uint8_t dictionary_head[16];
    uint8_t keys_head[8];
} cp_native_column;

/* Prepares a column once. CP_E_NOMEM, CP_E_UNSUPPORTED. */
int cp_native_column_init(cp_native_column *column, const cp_column *declared, cp_error *err);

/* Starts a block. CP_E_TOO_BIG when the arena is full; likewise append. */
int cp_native_column_begin(cp_native_column *column, cp_arena *arena);

/* Appends the column's values of the rows of one step. */
int cp_native_column_append(cp_native_column *column, const cp_native_rows *step);

/* Ends a block: closes streams, narrows keys. Returns how many sections the column has at most. */
uint32_t cp_native_column_finish(cp_native_column *column);

/* Bytes that the row adds to the column at most. */
uint64_t cp_native_column_row_bytes(const cp_native_column *column, const uint8_t *row);

#endif
