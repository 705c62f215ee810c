/* Golden bytes of the Native encoder, derived by hand from the format's description, and its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "flush/compress.h"
#include "flush/leb128.h"
#include "flush/native.h"
#include "row_maker.h"

enum { ARENA = 64 << 20 };

static cp_table *parse(const char *ddl)
{
    cp_table *table = NULL;
    cp_error err = {0};
    if (cp_table_parse(&table, NULL, ddl, strlen(ddl), &err) < 0)
        fail_msg("%s", err.text);
    return table;
}

static void expect(const cp_table *table, cp_chunk *const *chunks, uint32_t count, const void *bytes,
                   size_t size)
{
    cp_native *native = NULL;
    cp_arena arena;
    cp_native_block block;
    uint8_t body[4096];
    size_t got = 0;
    assert_int_equal(cp_native_create(&native, table, NULL), CP_OK);
    assert_int_equal(cp_arena_map(&arena, ARENA), CP_OK);
    for (unsigned again = 0; again < 2; again++) { /* an encoder is used many times */
        assert_int_equal(cp_native_encode(native, &arena, chunks, count, sizeof body, &block), CP_OK);
        assert_int_equal(cp_concat_block(&block, body, sizeof body, &got), CP_OK);
        assert_int_equal(got, block.bytes);
        assert_int_equal(got, size);
        assert_memory_equal(body, bytes, size);
    }
    assert_int_equal(cp_native_encode(native, &arena, chunks, count, size - 1, &block), CP_E_TOO_BIG);
    cp_native_free(native);
    cp_arena_unmap(&arena);
}

#define EXPECT(table, chunks, count, literal)                                                                \
    expect((table), (chunks), (count), (literal), sizeof(literal) - 1)

static void test_scalars_and_provenance(void **state)
{
    (void)state;
    cp_table *table =
        parse("CREATE TABLE t (a UInt16, u UUID, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64) "
              "ENGINE = MergeTree ORDER BY a");
    struct {
        uint16_t a;
        uint8_t uuid[16];
    } row = {0x0102, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    assert_int_equal(table->row_size, 24);
    uint8_t bytes[24] = {0};
    memcpy(bytes + table->columns[0].offset, &row.a, 2);
    memcpy(bytes + table->columns[1].offset, row.uuid, 16);
    cp_chunk *chunks[2] = {chunk_make(256, 4, 5, 0x11, 0x1000), chunk_make(256, 4, 6, 0x12, 0x20)};
    assert_true(chunk_add(chunks[0], bytes, sizeof bytes));
    assert_true(chunk_add(chunks[0], bytes, sizeof bytes));
    assert_true(chunk_add(chunks[1], bytes, sizeof bytes));
#define HALVES "\7\6\5\4\3\2\1\0\17\16\15\14\13\12\11\10"
    EXPECT(table, chunks, 2,
           "\5\3"
           "\1a\6UInt16\2\1\2\1\2\1"
           "\1u\4UUID" HALVES HALVES HALVES "\11_cp_epoch\6UInt64"
           "\x11\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\x12\0\0\0\0\0\0\0"
           "\10_cp_slot\6UInt16\5\0\5\0\6\0"
           "\14_cp_position\6UInt64"
           "\0\x10\0\0\0\0\0\0\x20\x10\0\0\0\0\0\0\x20\0\0\0\0\0\0\0");
    chunk_free(chunks[0]);
    chunk_free(chunks[1]);
    cp_table_free(table);
}

/* A row of a table of two String columns, given as texts; NULL: a NULL. */
static void add_strings(const cp_table *table, cp_chunk *chunk, const char *const texts[2])
{
    _Alignas(8) uint8_t row[4096] = {0};
    uint32_t used = table->row_size;
    for (uint32_t i = 0; i < 2; i++) {
        const cp_column *column = &table->columns[i];
        if (!texts[i]) {
            row[column->null_offset] = 1;
            memset(row + column->offset, 0xff, sizeof(cp_ref));
            continue;
        }
        const cp_ref ref = {used, (uint32_t)strlen(texts[i])};
        memcpy(row + column->offset, &ref, sizeof ref);
        memcpy(row + used, texts[i], ref.length);
        used += ref.length;
    }
    assert_true(chunk_add(chunk, row, used));
}

static void test_strings(void **state)
{
    (void)state;
    cp_table *table = parse("CREATE TABLE t (s String, n Nullable(String)) ENGINE = MergeTree ORDER BY s");
    cp_chunk *chunk = chunk_make(1024, 4, 0, 1, 0);
    add_strings(table, chunk, (const char *[]){"", NULL});
    add_strings(table, chunk, (const char *[]){"ab", ""});
    add_strings(table, chunk, (const char *[]){"c", "xyz"});
    EXPECT(table, &chunk, 1,
           "\2\3"
           "\1s\6String"
           "\0\2ab\1c"
           "\1n\20Nullable(String)"
           "\1\0\0"
           "\0\0\3xyz");
    chunk_free(chunk);
    cp_table_free(table);
}

static void test_low_cardinality(void **state)
{
    (void)state;
    cp_table *table = parse("CREATE TABLE t (s LowCardinality(String), n LowCardinality(Nullable(String))) "
                            "ENGINE = MergeTree ORDER BY s");
    cp_chunk *chunk = chunk_make(1024, 5, 0, 1, 0);
    add_strings(table, chunk, (const char *[]){"b", NULL});
    add_strings(table, chunk, (const char *[]){"a", "longer than eight"});
    add_strings(table, chunk, (const char *[]){"", ""});
    add_strings(table, chunk, (const char *[]){"b", "q"});
    add_strings(table, chunk, (const char *[]){"b", "longer than eight"});
    EXPECT(table, &chunk, 1,
           "\2\5"
           "\1s\26LowCardinality(String)\1\0\0\0\0\0\0\0"
           "\0\6\0\0\0\0\0\0" /* u8 keys, dictionary complete */
           "\3\0\0\0\0\0\0\0\0\1b\1a"
           "\5\0\0\0\0\0\0\0\1\2\0\1\1"
           "\1n\40LowCardinality(Nullable(String))\1\0\0\0\0\0\0\0"
           "\0\6\0\0\0\0\0\0"
           "\4\0\0\0\0\0\0\0\0\0\21longer than eight\1q"
           "\5\0\0\0\0\0\0\0\0\2\1\3\2");
    chunk_free(chunk);
    cp_table_free(table);
}

static void test_arrays(void **state)
{
    (void)state;
    cp_table *table = parse("CREATE TABLE t (a Array(Nullable(UInt16)), l Array(LowCardinality(String))) "
                            "ENGINE = MergeTree ORDER BY tuple()");
    _Alignas(8) uint8_t row[64] = {0};
    cp_chunk *chunk = chunk_make(1024, 4, 0, 1, 0);
    assert_true(chunk_add(chunk, row, table->row_size)); /* both empty */
    const cp_ref a = {16, 2};
    const cp_ref l = {24, 1};
    const cp_ref text = {32, 2};
    const uint16_t values[2] = {7, 0xffff};
    memcpy(row + table->columns[0].offset, &a, sizeof a);
    memcpy(row + table->columns[1].offset, &l, sizeof l);
    memcpy(row + 16, values, sizeof values);
    row[21] = 1; /* the second is NULL: what lies there is not sent */
    memcpy(row + 24, &text, sizeof text);
    row[32] = 'h';
    row[33] = 'i';
    assert_true(chunk_add(chunk, row, 34));
    EXPECT(table, &chunk, 1,
           "\2\2"
           "\1a\27Array(Nullable(UInt16))"
           "\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
           "\0\1"
           "\7\0\0\0"
           "\1l\35Array(LowCardinality(String))\1\0\0\0\0\0\0\0"
           "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
           "\0\6\0\0\0\0\0\0"
           "\2\0\0\0\0\0\0\0\0\2hi"
           "\1\0\0\0\0\0\0\0\1");
    chunk->row_count = 1; /* empty arrays alone: no dictionary at all */
    EXPECT(table, &chunk, 1,
           "\2\1"
           "\1a\27Array(Nullable(UInt16))\0\0\0\0\0\0\0\0"
           "\1l\35Array(LowCardinality(String))\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    chunk_free(chunk);
    cp_table_free(table);
}

static void test_leb128(void **state)
{
    (void)state;
    static const uint32_t values[] = {0,       1,       127,       128,       16383,     16384,
                                      2097151, 2097152, 268435455, 268435456, UINT32_MAX};
    uint8_t bytes[CP_LEB128_MAX];
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        const uint8_t *end = cp_leb128_put(bytes, values[i]);
        uint64_t back = 0;
        for (const uint8_t *at = bytes; at < end; at++)
            back |= (uint64_t)(*at & 0x7f) << (7 * (at - bytes));
        assert_int_equal(back, values[i]);
        assert_int_equal(end[-1] & 0x80, 0);
    }
    assert_int_equal(cp_leb128_put(bytes, UINT64_MAX) - bytes, 10);
}

/* One row whose 1000 array elements all name the same 100,000 bytes: too much for the arena is an error, not a crash,
 * and the row's true size is known. */
static void test_shared_bytes(void **state)
{
    (void)state;
    enum { ELEMENTS = 1000, TEXT = 100 * 1000 };
    cp_table *table = parse("CREATE TABLE t (a Array(String)) ENGINE = MergeTree ORDER BY tuple()");
    const uint32_t size = 8 + ELEMENTS * 8 + TEXT;
    uint8_t *row = calloc(1, size);
    assert_non_null(row);
    const cp_ref array = {8, ELEMENTS};
    const cp_ref text = {8 + ELEMENTS * 8, TEXT};
    memcpy(row, &array, sizeof array);
    for (unsigned i = 0; i < ELEMENTS; i++)
        memcpy(row + 8 + (size_t)i * 8, &text, sizeof text);
    cp_chunk *chunk = chunk_make(1 << 20, 4, 0, 1, 0);
    assert_true(chunk_add(chunk, row, size));
    cp_native *native = NULL;
    cp_arena arena;
    cp_native_block block;
    assert_int_equal(cp_native_create(&native, table, NULL), CP_OK);
    assert_int_equal(cp_arena_map(&arena, ARENA), CP_OK);
    assert_int_equal(cp_native_encode(native, &arena, &chunk, 1, SIZE_MAX, &block), CP_E_TOO_BIG);
    assert_true(cp_native_row_bytes(native, cp_chunk_row(chunk, 0)) > (uint64_t)ELEMENTS * TEXT);
    cp_native_free(native);
    cp_arena_unmap(&arena);
    chunk_free(chunk);
    free(row);
    cp_table_free(table);
}

/* What zstd makes of a block must decompress to the plain body. */
static void test_zstd(void **state)
{
    (void)state;
    cp_table *table =
        parse("CREATE TABLE t (id UInt32, s String, l LowCardinality(String), a Array(Float64)) "
              "ENGINE = MergeTree ORDER BY id");
    cp_chunk *chunk = chunk_make(8 << 20, 20000, 0, 1, 0);
    row_maker maker = {.table = table, .random = seed_of_run(), .distinct = 1000, .longest = 200};
    while (chunk->row_count < 20000 && row_make(&maker, chunk))
        ;
    cp_native *native = NULL;
    cp_arena arena;
    cp_native_block block;
    cp_compressor *compressor = NULL;
    assert_int_equal(cp_native_create(&native, table, NULL), CP_OK);
    assert_int_equal(cp_arena_map(&arena, ARENA), CP_OK);
    assert_int_equal(cp_compressor_create(&compressor, 1, false, NULL), CP_OK);
    assert_int_equal(cp_native_encode(native, &arena, &chunk, 1, SIZE_MAX, &block), CP_OK);
    const size_t bound = cp_compress_bound(block.bytes);
    uint8_t *plain = malloc(block.bytes);
    uint8_t *packed = malloc(bound);
    uint8_t *back = malloc(block.bytes);
    size_t plain_size = 0;
    size_t packed_size = 0;
    assert_int_equal(cp_concat_block(&block, plain, block.bytes, &plain_size), CP_OK);
    assert_int_equal(cp_concat_block(&block, plain, block.bytes - 1, &plain_size), CP_E_TOO_BIG);
    for (unsigned again = 0; again < 3; again++) {
        assert_int_equal(cp_compress_block(compressor, &block, packed, bound, &packed_size), CP_OK);
        assert_true(packed_size < block.bytes);
        assert_int_equal(ZSTD_decompress(back, block.bytes, packed, packed_size), block.bytes);
        assert_memory_equal(plain, back, block.bytes);
        assert_int_equal(cp_compress_block(compressor, &block, packed, packed_size / 2, &packed_size),
                         CP_E_TOO_BIG);
    }
    free(plain);
    free(packed);
    free(back);
    cp_compressor_free(compressor);
    cp_native_free(native);
    cp_arena_unmap(&arena);
    chunk_free(chunk);
    cp_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_and_provenance),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_low_cardinality),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_leb128),
        cmocka_unit_test(test_shared_bytes),
        cmocka_unit_test(test_zstd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
