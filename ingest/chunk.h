/* The chunk: a private, validated copy of a span of one ring. It is the one thing that travels up the tower: the drain
 * makes it, delivery (or the log, then delivery) consumes it, and nobody needs to know who made it.
 *
 * Chunks come from a pool that is allocated at start; none is ever made or freed while running. One thread owns a chunk
 * at a time; ownership moves with the pointer through a cp_chunk_queue. */
#ifndef CP_INGEST_CHUNK_H
#define CP_INGEST_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cp_chunk {
    uint16_t table;         /* index of the table in the region's directory */
    uint16_t slot;          /* producer slot of that table */
    uint32_t row_count;     /* valid rows */
    uint64_t epoch;         /* of the ring */
    uint64_t begin;         /* ring positions [begin, end) that the copy covers, */
    uint64_t end;           /*   rejected rows included */
    bool pressing;          /* its ring is filling up: do not wait for a larger batch */
    bool scarce;            /* one of the last that its table can have (cp_drain_keep_back) */
    bool packed;            /* rows were left out; where one lay stands in the second word of its header, */
                            /*   counted in CP_RECORD_ALIGN from begin */
    uint64_t first_seen_ns; /* boot-time clock: when the recorder first saw the oldest of these rows */
    uint64_t put_after_ns;  /* boot-time clock: none of these rows was put before it; 0: not known */
    uint32_t rejected;      /* rows in the span that failed validation and are not in row_at */
    uint32_t byte_count;    /* bytes used in data */
    uint32_t data_capacity;
    uint32_t row_capacity;
    uint8_t *data;    /* records, as they lay in the ring unless packed: 8-byte header, row, padding to 8 */
    uint32_t *row_at; /* offset in data of each valid row (behind its record header) */
} cp_chunk;

enum { CP_RECORD_HEADER = 8, CP_RECORD_ALIGN = 8 };

/* The row's first byte, 8-byte aligned. */
static inline const uint8_t *cp_chunk_row(const cp_chunk *chunk, uint32_t index)
{
    return chunk->data + chunk->row_at[index];
}

/* The row's size in bytes with its tail: the first word of the record header. */
static inline uint32_t cp_chunk_row_size(const cp_chunk *chunk, uint32_t index)
{
    return *(const uint32_t *)(const void *)(chunk->data + chunk->row_at[index] - CP_RECORD_HEADER);
}

/* The ring position of the row's record: with epoch and slot it is unique for every row ever put. */
static inline uint64_t cp_chunk_row_position(const cp_chunk *chunk, uint32_t index)
{
    if (!chunk->packed)
        return chunk->begin + chunk->row_at[index] - CP_RECORD_HEADER;
    const uint32_t units =
        *(const uint32_t *)(const void *)(chunk->data + chunk->row_at[index] - sizeof units);
    return chunk->begin + (uint64_t)units * CP_RECORD_ALIGN;
}

#endif
