/* The Native encoder against the engine itself: random rows of every type go in as Native, the same values as TSV that
 * the engine parses by itself; then both tables must agree in every column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "flush/compress.h"
#include "flush/native.h"
#include "row_maker.h"

static const char *const kinds[] = {
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float32",
    "Float64",
    "Bool",
    "Date",
    "Date32",
    "DateTime",
    "DateTime('Etc/GMT-9')",
    "DateTime64(0, 'UTC')",
    "DateTime64(3, 'UTC')",
    "DateTime64(6, 'Etc/GMT-9')",
    "DateTime64(9, 'UTC')",
    "String",
    "FixedString(1)",
    "FixedString(5)",
    "FixedString(16)",
    "Enum8('a' = -128, 'it\\'s' = 0, 'tab\\t' = 1, '' = 127)",
    "Enum16('low' = -32768, 'zero' = 0, 'high' = 32767)",
    "UUID",
    "Decimal(1, 0)",
    "Decimal(9, 2)",
    "Decimal(18, 6)",
    "Decimal(18, 18)",
    "Decimal(38, 10)",
    "IPv4",
    "IPv6",
};

static const char *const forms[] = {"%s", "Nullable(%s)", "Array(%s)", "Array(Nullable(%s))"};

static const char *const low_cardinality[] = {
    "LowCardinality(String)",
    "LowCardinality(Nullable(String))",
    "Array(LowCardinality(String))",
    "Array(LowCardinality(Nullable(String)))",
};

enum {
    KINDS = sizeof kinds / sizeof kinds[0],
    FORMS = sizeof forms / sizeof forms[0],
    LOWS = sizeof low_cardinality / sizeof low_cardinality[0],
    DDL_ROOM = 64 * 1024,
    SQL_ROOM = 256 * 1024
};

static bool have_engine;

/* A CREATE TABLE with an id, the provenance columns, the LowCardinality forms, and each other type with a chance of
 * one in `thin`. */
static char *ddl_make(const char *name, uint64_t seed, unsigned thin)
{
    char *ddl = malloc(DDL_ROOM);
    assert_non_null(ddl);
    int used =
        snprintf(ddl, DDL_ROOM,
                 "CREATE TABLE %s (id UInt32, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64", name);
    for (unsigned i = 0; i < LOWS; i++)
        used += snprintf(ddl + used, DDL_ROOM - (size_t)used, ", low%u %s", i, low_cardinality[i]);
    for (unsigned i = 0; i < KINDS * FORMS; i++) {
        if (random_next(&seed) % thin != 0)
            continue;
        char type[256];
        const char *form = forms[i % FORMS];
        const char *hole = strstr(form, "%s");
        snprintf(type, sizeof type, "%.*s%s%s", (int)(hole - form), form, kinds[i / FORMS], hole + 2);
        used += snprintf(ddl + used, DDL_ROOM - (size_t)used, ", c%u %s", i, type);
    }
    snprintf(ddl + used, DDL_ROOM - (size_t)used, ") ENGINE = MergeTree ORDER BY id");
    return ddl;
}

static cp_table *table_create(const char *ddl)
{
    cp_table *table = NULL;
    cp_error err = {0};
    if (cp_table_parse(&table, NULL, ddl, strlen(ddl), &err) < 0)
        fail_msg("%s", err.text);
    if (have_engine) {
        char drop[100];
        snprintf(drop, sizeof drop, "DROP TABLE IF EXISTS %s SYNC", table->name);
        free(engine_query(drop, NULL));
        free(engine_query(ddl, NULL));
    }
    return table;
}

/* One line per column: hash over all rows. */
static char *hashes(const cp_table *table, const char *from)
{
    char *sql = malloc(SQL_ROOM);
    assert_non_null(sql);
    size_t used = (size_t)snprintf(sql, SQL_ROOM, "SELECT arrayJoin([concat('rows ', toString(count()))");
    for (uint32_t i = 0; i < table->column_count; i++)
        used += (size_t)snprintf(sql + used, SQL_ROOM - used,
                                 ", concat('%s ', toString(sum(cityHash64(id, formatRow('TSV', %s)))))",
                                 table->columns[i].name, table->columns[i].name);
    snprintf(sql + used, SQL_ROOM - used, "]) FROM %s", from);
    char *result = engine_query(sql, NULL);
    free(sql);
    return result;
}

static void compare(const cp_table *table, const char *a, const char *b)
{
    char *left = hashes(table, a);
    char *right = hashes(table, b);
    char *at = left;
    char *bt = right;
    unsigned wrong = 0;
    while (*at && *bt) {
        const size_t an = strcspn(at, "\n");
        const size_t bn = strcspn(bt, "\n");
        if (an != bn || memcmp(at, bt, an) != 0) {
            wrong++;
            fprintf(stderr, "Native: %.*s\nTSV:    %.*s\n", (int)an, at, (int)bn, bt);
        }
        at += an + (at[an] == '\n');
        bt += bn + (bt[bn] == '\n');
    }
    assert_int_equal(wrong, 0);
    assert_string_equal(left, right);
    free(left);
    free(right);
}

static void insert(const char *table, const char *format, const void *data, size_t size)
{
    char *error = engine_insert(table, format, data, size);
    if (error)
        fail_msg("INSERT INTO %s FORMAT %s: %.1500s", table, format, error);
}

typedef struct block_shape {
    uint32_t rows;
    uint32_t distinct;
    unsigned thin;
    uint32_t longest;
    uint32_t chunk_bytes;
} block_shape;

static void round_trip(const block_shape *shape, uint64_t seed)
{
    char *ddl = ddl_make("native", seed, shape->thin);
    char *ddl_tsv = ddl_make("tsv", seed, shape->thin);
    cp_table *table = table_create(ddl);
    cp_table *table_tsv = table_create(ddl_tsv);
    row_maker maker = {.table = table,
                       .random = seed,
                       .distinct = shape->distinct,
                       .longest = shape->longest,
                       .with_tsv = true};
    cp_chunk *chunks[4096];
    uint32_t count = 0;
    uint64_t position = 1000;
    while (maker.rows < shape->rows) {
        assert_true(count < 4096);
        cp_chunk *chunk =
            chunk_make(shape->chunk_bytes, shape->rows, (uint16_t)(count % 3), 7 + count % 2, position);
        while (maker.rows < shape->rows && row_make(&maker, chunk))
            ;
        assert_true(chunk->row_count > 0);
        position = chunk->end;
        chunks[count++] = chunk;
    }
    cp_native *native = NULL;
    cp_arena arena;
    cp_native_block block;
    const size_t room = (size_t)1 << 30;
    assert_int_equal(cp_native_create(&native, table, NULL), CP_OK);
    assert_int_equal(cp_arena_map(&arena, room), CP_OK);
    assert_int_equal(cp_native_encode(native, &arena, chunks, count, room, &block), CP_OK);
    assert_int_equal(block.rows, shape->rows);
    uint8_t *body = malloc(block.bytes);
    size_t size = 0;
    assert_non_null(body);
    assert_int_equal(cp_concat_block(&block, body, block.bytes, &size), CP_OK);
    assert_int_equal(size, block.bytes);
    if (have_engine) {
        insert("native", "Native", body, size);
        insert("tsv", "TSV", maker.tsv, maker.tsv_size);
        compare(table, "native", "tsv");
    }
    free(body);
    cp_native_free(native);
    cp_arena_unmap(&arena);
    for (uint32_t i = 0; i < count; i++)
        chunk_free(chunks[i]);
    free(maker.tsv);
    cp_table_free(table);
    cp_table_free(table_tsv);
    free(ddl);
    free(ddl_tsv);
}

static uint64_t run_seed;

/* Without the engine rows are still made and encoded, which is worth it under a sanitizer. */
static void need_engine(void)
{
    if (!have_engine)
        skip();
}

static void test_every_type(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        round_trip(
            &(block_shape){.rows = 1000, .distinct = 50, .thin = 1, .longest = 5000, .chunk_bytes = 1 << 20},
            run_seed + i);
    need_engine();
}

static void test_one_row(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 12; i++)
        round_trip(
            &(block_shape){.rows = 1, .distinct = 2, .thin = 1, .longest = 300, .chunk_bytes = 1 << 20},
            run_seed + 100 + i);
    need_engine();
}

static void test_key_widths(void **state)
{
    (void)state;
    /* About 250 to 260 values and more, so that the keys turn from u8 to u16 within a few of these. */
    for (uint32_t distinct = 250; distinct < 262; distinct += 3)
        round_trip(
            &(block_shape){
                .rows = 3000, .distinct = distinct, .thin = 40, .longest = 20, .chunk_bytes = 1 << 18},
            run_seed + distinct);
    round_trip(
        &(block_shape){.rows = 20000, .distinct = 5000, .thin = 40, .longest = 20, .chunk_bytes = 1 << 18},
        run_seed + 200);
    need_engine();
}

static void test_100k_rows(void **state)
{
    (void)state;
    round_trip(
        &(block_shape){.rows = 100000, .distinct = 500000, .thin = 12, .longest = 40, .chunk_bytes = 1 << 19},
        run_seed + 300);
    need_engine();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_row),
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_key_widths),
        cmocka_unit_test(test_100k_rows),
    };
    run_seed = seed_of_run();
    have_engine = engine_open();
    if (!have_engine)
        puts("skipped: no libchdb.so (COLDPATH_CHDB_LIB names it)");
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    engine_exit(failed ? 1 : have_engine ? 0 : 77);
}
