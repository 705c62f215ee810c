/* The encoder: chunks of one table become one block in ClickHouse's Native format.
 *
 *     chunks ──► 256 rows at a time, column after column ──► streams in the arena ──► list of sections
 *
 *     block    varuint columns, varuint rows, then per column:
 *     column   string name, string type, [LowCardinality: i64 1], body
 *     body     [Array: u64 cumulative ends] [Nullable: u8 map] values, or for LowCardinality
 *              u64 0x600|width, u64 dictionary size, values, u64 rows, keys
 *
 * (ClickHouse docs, "Native format"; SerializationLowCardinality.cpp for the dictionary.) The rows of one step lie in
 * the first-level cache while the columns take their share of them, and what varies by type is decided once per column
 * and step, not per value. Nothing is concatenated: the result is a list of sections, for compression or writev.
 *
 * Rows must have passed cp_row_check: offsets and lengths are trusted. Strings of one row may still share bytes, so a
 * block can come out larger than its rows; the arena and limit bound it. One thread per encoder; encoders may share an
 * arena in turn. */
#ifndef CP_FLUSH_NATIVE_H
#define CP_FLUSH_NATIVE_H

#include <coldpath/error.h>
#include <stddef.h>
#include <stdint.h>

#include "flush/arena.h"
#include "ingest/chunk.h"
#include "schema/table.h"

typedef struct cp_section {
    const uint8_t *data;
    size_t size;
} cp_section;

/* An encoded block; valid until the arena is reset or the encoder used again. */
typedef struct cp_native_block {
    const cp_section *sections;
    uint32_t section_count;
    uint32_t rows;
    uint64_t bytes; /* sum over the sections */
} cp_native_block;

typedef struct cp_native cp_native;

/* An encoder for table, which must outlive it. CP_E_NOMEM; CP_E_UNSUPPORTED names a column whose type has no Native form
 * here. */
int cp_native_create(cp_native **out, const cp_table *table, cp_error *err);
void cp_native_free(cp_native *native);

/* From here on rows that are empty in the column of this name are sent with text. Only for a LowCardinality(String) that is
 * neither Nullable nor an Array; without such a column, or with text NULL, nothing changes. CP_E_NOMEM. */
int cp_native_stamp(cp_native *native, const char *column, const char *text);

/* Encodes the valid rows of count chunks, in order, as one block.
 *   arena  is reset first
 *   limit  bytes that the block may have
 * CP_E_TOO_BIG when arena or limit do not hold it (take fewer chunks); CP_E_INVAL when there is no row. */
int cp_native_encode(cp_native *native, cp_arena *arena, cp_chunk *const *chunks, uint32_t count,
                     uint64_t limit, cp_native_block *block);

/* Bytes that one row adds to a block at most, dictionaries aside: what tells a row whose strings share bytes. */
uint64_t cp_native_row_bytes(const cp_native *native, const uint8_t *row);

#endif
