/* Records in a copy of a ring: whole, partial, broken, rejected; and random bytes, which must never be read out of
 * bounds (run it with a sanitizer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/record.h"
#include "schema/row.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE t (a Int64, s String, l Array(UInt16), b Bool) ENGINE = MergeTree ORDER BY a"

enum { DATA = 4096, ROWS = DATA / 16, ROW_MAX = 1024 };

typedef struct world {
    cp_table *table;
    cp_chunk chunk;
    cp_error err;
    cp_error rejected;
} world;

static int setup(void **state)
{
    static world w;
    memset(&w, 0, sizeof w);
    if (cp_table_parse(&w.table, NULL, DDL, strlen(DDL), &w.err) < 0)
        return -1;
    w.chunk.data = malloc(DATA);
    w.chunk.row_at = malloc(ROWS * sizeof(uint32_t));
    w.chunk.data_capacity = DATA;
    w.chunk.row_capacity = ROWS;
    w.chunk.begin = 1000000;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    free(w->chunk.data);
    free(w->chunk.row_at);
    cp_table_free(w->table);
    return 0;
}

/* Appends a record whose row has the given text; returns the position behind it. */
static uint64_t append(world *w, uint64_t at, const char *text)
{
    uint64_t buffer[ROW_MAX / 8];
    cp_row row;
    assert_int_equal(cp_row_begin(&row, w->table, buffer, sizeof buffer), CP_OK);
    assert_int_equal(cp_row_set_text(&row, 0, "7", 1, &w->err), CP_OK);
    assert_int_equal(cp_row_set_text(&row, 1, text, strlen(text), &w->err), CP_OK);
    assert_int_equal(cp_row_end(&row, &w->err), CP_OK);
    memcpy(w->chunk.data + at, &row.used, sizeof row.used);
    memcpy(w->chunk.data + at + CP_RECORD_HEADER, buffer, row.used);
    return at + cp_record_size_(row.used);
}

static void test_whole_records(void **state)
{
    world *w = *state;
    const uint64_t one = append(w, 0, "one");
    const uint64_t end = append(w, one, "a longer string");
    assert_int_equal(cp_records_parse(&w->chunk, w->table, ROW_MAX, end, true, &w->rejected, &w->err),
                     CP_PARSE_WHOLE);
    assert_int_equal(w->chunk.row_count, 2);
    assert_int_equal(w->chunk.rejected, 0);
    assert_int_equal(w->chunk.byte_count, end);
    assert_int_equal(w->chunk.end, w->chunk.begin + end);
    assert_int_equal(cp_chunk_row_position(&w->chunk, 1), w->chunk.begin + one);
    assert_int_equal(cp_chunk_row_size(&w->chunk, 1), w->table->row_size + 15);
}

static void test_a_partial_record_waits(void **state)
{
    world *w = *state;
    const uint64_t one = append(w, 0, "one");
    const uint64_t end = append(w, one, "a longer string");
    assert_int_equal(cp_records_parse(&w->chunk, w->table, ROW_MAX, end - 8, false, &w->rejected, &w->err),
                     CP_PARSE_PARTIAL);
    assert_int_equal(w->chunk.row_count, 1);
    assert_int_equal(w->chunk.byte_count, one);
    /* The same bytes with nothing published behind them are a lie. */
    assert_int_equal(cp_records_parse(&w->chunk, w->table, ROW_MAX, end - 8, true, &w->rejected, &w->err),
                     CP_PARSE_BROKEN);
    assert_int_equal(w->chunk.byte_count, one);
}

static void test_impossible_sizes_break_the_ring(void **state)
{
    world *w = *state;
    const uint32_t sizes[] = {0, ROW_MAX + 1, UINT32_MAX, UINT32_MAX - 8};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const uint64_t one = append(w, 0, "one");
        const uint64_t end = append(w, one, "two");
        memcpy(w->chunk.data + one, &sizes[i], sizeof sizes[i]);
        assert_int_equal(cp_records_parse(&w->chunk, w->table, ROW_MAX, end, false, &w->rejected, &w->err),
                         CP_PARSE_BROKEN);
        assert_int_equal(w->chunk.row_count, 1);
        assert_non_null(strstr(w->err.text, "bytes"));
    }
}

static void test_a_bad_row_is_rejected_alone(void **state)
{
    world *w = *state;
    const uint64_t one = append(w, 0, "one");
    const uint64_t two = append(w, one, "two");
    const uint64_t end = append(w, two, "three");
    const uint32_t outside = 60000;
    const cp_column *text = &w->table->columns[1];
    memcpy(w->chunk.data + one + CP_RECORD_HEADER + text->offset, &outside, sizeof outside);
    assert_int_equal(cp_records_parse(&w->chunk, w->table, ROW_MAX, end, true, &w->rejected, &w->err),
                     CP_PARSE_WHOLE);
    assert_int_equal(w->chunk.row_count, 2);
    assert_int_equal(w->chunk.rejected, 1);
    assert_int_equal(cp_chunk_row_position(&w->chunk, 1), w->chunk.begin + two);
    assert_non_null(strstr(w->rejected.text, "row at position"));
}

/* What was wrong with a row, and what broke the ring behind it, are two things; of several bad rows the first is described. */
static void test_reasons_are_kept_apart(void **state)
{
    world *w = *state;
    char position[32];
    const uint64_t one = append(w, 0, "one");
    const uint64_t two = append(w, one, "two");
    const uint64_t end = append(w, two, "three");
    const uint32_t outside = 60000;
    const uint32_t impossible = ROW_MAX + 1;
    const uint32_t text = w->table->columns[1].offset;
    memcpy(w->chunk.data + CP_RECORD_HEADER + text, &outside, sizeof outside);
    memcpy(w->chunk.data + one + CP_RECORD_HEADER + text, &outside, sizeof outside);
    memcpy(w->chunk.data + two, &impossible, sizeof impossible);
    assert_int_equal(cp_records_parse(&w->chunk, w->table, ROW_MAX, end, true, &w->rejected, &w->err),
                     CP_PARSE_BROKEN);
    assert_int_equal(w->chunk.rejected, 2);
    snprintf(position, sizeof position, "row at position %d: ", 1000000);
    assert_memory_equal(w->rejected.text, position, strlen(position));
    assert_non_null(strstr(w->rejected.text, "'s'"));
    assert_non_null(strstr(w->err.text, "1025 bytes"));
}

/* Reads every byte that an index row says it has, so that a sanitizer sees what a bad check lets through. */
static uint64_t touch_rows(const world *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->chunk.row_count; i++) {
        const uint8_t *row = cp_chunk_row(&w->chunk, i);
        const uint32_t size = cp_chunk_row_size(&w->chunk, i);
        cp_ref text;
        cp_ref list;
        memcpy(&text, row + w->table->columns[1].offset, sizeof text);
        memcpy(&list, row + w->table->columns[2].offset, sizeof list);
        assert_true(text.length == 0 || (uint64_t)text.offset + text.length <= size);
        assert_true(list.length == 0 || (uint64_t)list.offset + 2ull * list.length <= size);
        assert_true(row + size <= w->chunk.data + w->chunk.byte_count);
        for (uint32_t k = 0; k < size; k++)
            sum += row[k];
    }
    return sum;
}

static void test_random_bytes(void **state)
{
    world *w = *state;
    uint64_t random = test_seed();
    uint64_t accepted = 0;
    uint64_t sum = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t end = 0;
        while (end < DATA - 256)
            end = append(w, end, "some text");
        for (uint64_t n = test_random(&random) % 12; n > 0; n--)
            w->chunk.data[test_random(&random) % end] = (uint8_t)test_random(&random);
        const uint64_t copied = test_random(&random) % 2 ? end : test_random(&random) % (end / 8) * 8;
        cp_records_parse(&w->chunk, w->table, ROW_MAX, copied, test_random(&random) % 2, &w->rejected,
                         &w->err);
        assert_true(w->chunk.byte_count <= copied);
        accepted += w->chunk.row_count;
        sum += touch_rows(w);
    }
    assert_true(accepted > 0 && sum > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_partial_record_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impossible_sizes_break_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_bad_row_is_rejected_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reasons_are_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_bytes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
