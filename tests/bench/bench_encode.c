/* How fast obf_universe rows become a Native block, and a zstd body, beside the memcpy of the same rows in the same run.
 *
 *     bench_encode [DDL file] [rows] [seconds]          prints one line per measure: ns and rows per second
 *
 * Absolute figures mean nothing on a shared machine; the ratio to the floor does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flush/compress.h"
#include "flush/native.h"
#include "row_maker.h"

enum { CHUNK_BYTES = 512 * 1024, CHUNKS_MAX = 4096 };

static void report(const char *what, uint64_t ns, uint64_t rows, uint64_t bytes)
{
    printf("%-14s %8.1f ns/row %12.0f rows/s %8.1f bytes/row\n", what, (double)ns / (double)rows,
           (double)rows * 1e9 / (double)ns, (double)bytes / (double)rows);
}

typedef struct bench {
    cp_chunk *chunks[CHUNKS_MAX];
    uint32_t count;
    uint64_t rows;
    uint64_t bytes;
    uint8_t *copy;
    cp_native *native;
    cp_compressor *compressor;
    cp_arena arena;
    uint8_t *body;
    size_t body_room;
} bench;

static uint64_t run_copy(bench *b)
{
    uint8_t *to = b->copy;
    for (uint32_t i = 0; i < b->count; i++) {
        memcpy(to, b->chunks[i]->data, b->chunks[i]->byte_count);
        to += b->chunks[i]->byte_count;
    }
    __asm__ volatile("" ::"r"(b->copy) : "memory");
    return b->bytes;
}

static uint64_t run_encode(bench *b)
{
    cp_native_block block;
    if (cp_native_encode(b->native, &b->arena, b->chunks, b->count, SIZE_MAX, &block) < 0)
        abort();
    return block.bytes;
}

static uint64_t run_zstd(bench *b)
{
    cp_native_block block;
    size_t size = 0;
    if (cp_native_encode(b->native, &b->arena, b->chunks, b->count, SIZE_MAX, &block) < 0 ||
        cp_compress_block(b->compressor, &block, b->body, b->body_room, &size) < 0)
        abort();
    return size;
}

/* The fastest of the rounds that fit the time. */
static void measure(bench *b, const char *what, uint64_t (*run)(bench *b), double seconds)
{
    uint64_t best = UINT64_MAX;
    uint64_t bytes = 0;
    const uint64_t end = cp_boottime_ns() + (uint64_t)(seconds * CP_NS_PER_S);
    do {
        const uint64_t before = cp_boottime_ns();
        bytes = run(b);
        const uint64_t took = cp_boottime_ns() - before;
        best = took < best ? took : best;
    } while (cp_boottime_ns() < end);
    report(what, best, b->rows, bytes);
}

int main(int argc, char **argv)
{
    const char *ddl = argc > 1 ? argv[1] : "schema/ddl/dolphin/obf_universe.sql";
    const uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    const double seconds = argc > 3 ? strtod(argv[3], NULL) : 1;
    static bench b;
    cp_error err = {0};
    cp_table *table = NULL;
    if (cp_table_load(&table, ddl, &err) < 0 || cp_native_create(&b.native, table, &err) < 0 ||
        cp_compressor_create(&b.compressor, 1, false, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    row_maker maker = {.table = table, .random = 1, .distinct = 300, .longest = 64};
    for (b.count = 0; b.rows < rows && b.count < CHUNKS_MAX; b.count++) {
        cp_chunk *chunk = chunk_make(CHUNK_BYTES, CHUNK_BYTES / 16, 0, 1, 0);
        while (b.rows + chunk->row_count < rows && row_make(&maker, chunk))
            ;
        b.rows += chunk->row_count;
        b.bytes += chunk->byte_count;
        b.chunks[b.count] = chunk;
    }
    b.body_room = cp_compress_bound(4 * b.bytes + (1 << 20));
    b.copy = malloc(b.bytes + 1);
    b.body = malloc(b.body_room);
    if (!b.copy || !b.body || cp_arena_map(&b.arena, 8 * b.bytes + (64 << 20)) < 0)
        return 1;
    measure(&b, "memcpy", run_copy, seconds);
    measure(&b, "encode", run_encode, seconds);
    measure(&b, "encode+zstd1", run_zstd, seconds);
    measure(&b, "memcpy", run_copy, seconds);
    for (uint32_t i = 0; i < b.count; i++)
        chunk_free(b.chunks[i]);
    free(b.copy);
    free(b.body);
    cp_arena_unmap(&b.arena);
    cp_native_free(b.native);
    cp_compressor_free(b.compressor);
    cp_table_free(table);
    return 0;
}
