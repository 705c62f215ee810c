/* Random rows of any table, as records of a chunk and, independently, as ClickHouse's TSV. */
#ifndef CP_TESTS_FLUSH_ROW_MAKER_H
#define CP_TESTS_FLUSH_ROW_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/chunk.h"
#include "schema/table.h"

typedef struct row_maker {
    const cp_table *table;
    uint64_t random;
    uint32_t distinct; /* values of LowCardinality columns */
    uint32_t longest;  /* string, bytes; a few are this long */
    char *tsv;         /* NULL until the first row, if with_tsv */
    size_t tsv_size;
    size_t tsv_capacity;
    bool with_tsv;
    uint64_t rows;
} row_maker;

/* A chunk with room for bytes and rows; ends the test when out of memory. */
cp_chunk *chunk_make(uint32_t bytes, uint32_t rows, uint16_t slot, uint64_t epoch, uint64_t begin);
void chunk_free(cp_chunk *chunk);

/* Appends a finished row as a record. False when the chunk is full. */
bool chunk_add(cp_chunk *chunk, const void *row, uint32_t size);

/* Appends a random row to chunk; column "id", if there is one, counts rows. False when it does not fit. */
bool row_make(row_maker *maker, cp_chunk *chunk);

/* The seed of this run: CP_SEED, or one from the clock; printed. */
uint64_t seed_of_run(void);

/* Next pseudo-random number. */
uint64_t random_next(uint64_t *state);

#endif
