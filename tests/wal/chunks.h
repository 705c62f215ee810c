/* Chunks for tests, their content following from a seed. */
#ifndef COLDPATH_TESTS_WAL_CHUNKS_H
#define COLDPATH_TESTS_WAL_CHUNKS_H

#include <stdbool.h>

#include "ingest/chunk.h"

enum { TEST_CHUNK = 6064 };

void test_chunk_alloc(cp_chunk *chunk, uint32_t bytes);
void test_chunk_free(cp_chunk *chunk);

/* A chunk of a few rows, of at most `bytes`: many of them small and of one size, now and then with a rejected row. */
void test_chunk_make(cp_chunk *chunk, uint64_t seed, uint16_t slot, uint64_t epoch, uint64_t begin,
                     uint32_t bytes);

bool test_chunk_equal(const cp_chunk *a, const cp_chunk *b);

#endif
