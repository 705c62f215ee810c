#include "tests/wal/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "tests/wal/sim_disk.h"

enum { ROW_MOST = 500, SMALL_CHUNK = 264, LEAST_RECORD = 16 };

void test_chunk_alloc(cp_chunk *chunk, uint32_t bytes)
{
    memset(chunk, 0, sizeof *chunk);
    chunk->data = calloc(1, bytes);
    chunk->row_at = calloc(bytes / LEAST_RECORD, sizeof *chunk->row_at);
    if (!chunk->data || !chunk->row_at)
        abort();
    chunk->data_capacity = bytes;
    chunk->row_capacity = bytes / LEAST_RECORD;
}

void test_chunk_free(cp_chunk *chunk)
{
    free(chunk->data);
    free(chunk->row_at);
}

void test_chunk_make(cp_chunk *chunk, uint64_t seed, uint16_t slot, uint64_t epoch, uint64_t begin,
                     uint32_t bytes)
{
    sim_rng rng = {seed};
    /* Many small and alike, so that frames of different lives line up. */
    const uint64_t total = sim_chance(&rng, 700)
                               ? SMALL_CHUNK
                               : LEAST_RECORD + sim_below(&rng, bytes - ROW_MOST - 2 * LEAST_RECORD);
    uint32_t at = 0;
    chunk->row_count = 0;
    chunk->rejected = 0;
    while (at < total) {
        const uint32_t size = 1 + (uint32_t)sim_below(&rng, total - at < ROW_MOST ? total - at : ROW_MOST);
        const uint32_t step =
            (size + CP_RECORD_HEADER + CP_RECORD_ALIGN - 1) / CP_RECORD_ALIGN * CP_RECORD_ALIGN;
        memset(chunk->data + at, 0, step);
        memcpy(chunk->data + at, &size, sizeof size);
        for (uint32_t i = 0; i < size; i++)
            chunk->data[at + CP_RECORD_HEADER + i] = (uint8_t)sim_random(&rng);
        if (sim_chance(&rng, 30))
            chunk->rejected++;
        else
            chunk->row_at[chunk->row_count++] = at + CP_RECORD_HEADER;
        at += step;
    }
    chunk->byte_count = at;
    chunk->slot = slot;
    chunk->epoch = epoch;
    chunk->begin = begin;
    chunk->end = begin + at;
    chunk->first_seen_ns = 1;
}

bool test_chunk_equal(const cp_chunk *a, const cp_chunk *b)
{
    return a->slot == b->slot && a->epoch == b->epoch && a->begin == b->begin && a->end == b->end &&
           a->row_count == b->row_count && a->rejected == b->rejected && a->byte_count == b->byte_count &&
           memcmp(a->row_at, b->row_at, a->row_count * sizeof *a->row_at) == 0 &&
           memcmp(a->data, b->data, a->byte_count) == 0;
}
