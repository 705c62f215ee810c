/* Batches allocate nothing: malloc and its like are counted, libzstd's calls included, while batches are encoded and
 * compressed; and a batch that is made again is the same, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* order matters for cmocka */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/rows.h"
#include "flush/compress.h"

enum { ROWS = 50000, BATCHES = 5 };

/* glibc's own, under the names that it exports for this purpose. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static uint64_t allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations++;
    return __libc_realloc(memory, size);
}

typedef struct maker {
    cp_bench_rows rows;
    cp_native *native;
    cp_compressor *compressor;
    cp_arena arena;
    uint8_t *body;
    size_t room;
} maker;

static size_t make(maker *m)
{
    cp_native_block block;
    size_t size = 0;
    assert_int_equal(
        cp_native_encode(m->native, &m->arena, m->rows.chunks, m->rows.chunk_count, SIZE_MAX, &block), CP_OK);
    assert_int_equal(block.rows, ROWS);
    assert_int_equal(cp_compress_block(m->compressor, &block, m->body, m->room, &size), CP_OK);
    return size;
}

static void test_no_allocation(void **state)
{
    (void)state;
    maker m = {0};
    cp_error err = {0};
    assert_int_equal(cp_bench_rows_synthetic(&m.rows, ROWS, &err), CP_OK);
    assert_int_equal(m.rows.row_count, ROWS);
    assert_int_equal(cp_native_create(&m.native, m.rows.table, &err), CP_OK);
    assert_int_equal(cp_compressor_create(&m.compressor, 1, false, &err), CP_OK);
    assert_int_equal(cp_arena_map(&m.arena, 8 * m.rows.bytes + (64 << 20)), CP_OK);
    m.room = cp_compress_bound(8 * m.rows.bytes);
    m.body = malloc(m.room);
    uint8_t *first = malloc(m.room);
    assert_non_null(m.body);
    assert_non_null(first);
    const uint64_t counted = allocations;
    assert_true(counted > 0); /* the counters above are really those that are called */
    const size_t size = make(&m);
    memcpy(first, m.body, size);
    for (int i = 1; i < BATCHES; i++) {
        assert_int_equal(make(&m), size);
        assert_memory_equal(m.body, first, size);
    }
    assert_int_equal(allocations, counted);
    free(first);
    free(m.body);
    cp_arena_unmap(&m.arena);
    cp_compressor_free(m.compressor);
    cp_native_free(m.native);
    cp_bench_rows_free(&m.rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
