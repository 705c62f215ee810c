/* Suppression and conflation against a trivial model: random rows of few keys and values from several producers, random modes,
 * intervals, hand-overs and drops; every row that should stay is there, in order, with its values and its place in the ring, and
 * every other one is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/conflate.h"
#include "schema/row.h"
#include "tests/support/region_fixture.h"

#define DDL                                                                                                  \
    "CREATE TABLE t (symbol String, venue UInt8, px Nullable(Int64), note String, n UInt64, _cp_position "   \
    "UInt64) ENGINE = MergeTree ORDER BY n"

enum { SLOTS = 3, CHUNK_BYTES = 8192, CHUNK_ROWS = 128, KEYS = 12, VALUES = 3, MODEL_ROWS = 4096 };

typedef struct t_row { /* as the DDL lays it out */
    cp_ref symbol;
    uint8_t venue;
    int64_t px;
    cp_ref note;
    uint64_t n;
    uint8_t px_null;
} t_row;

typedef struct model_row {
    uint64_t position;
    uint64_t n;
    uint32_t key;
    uint64_t interval; /* 0: not conflated */
} model_row;

typedef struct model_slot {
    model_row rows[MODEL_ROWS]; /* of the window, in order */
    uint32_t count;
    uint64_t interval;
    uint64_t interval_ns;
    int value[KEYS]; /* of the key's last row; -1: equal to none */
    uint64_t next;   /* ring position */
} model_slot;

typedef struct world {
    cp_table *table;
    cp_conflater *conflater;
    model_slot slots[SLOTS];
    uint64_t random;
    uint64_t n;
    uint64_t intervals;
    uint64_t now;
    uint64_t interval_ns;
    bool suppress;
    bool conflate;
    uint64_t put;
    uint64_t suppressed;
    uint64_t handed;
} world;

static uint64_t below(world *w, uint64_t bound)
{
    return test_random(&w->random) % bound;
}

static cp_chunk *chunk_new(void)
{
    cp_chunk *chunk = calloc(1, sizeof *chunk);
    assert_non_null(chunk);
    chunk->data_capacity = CHUNK_BYTES;
    chunk->row_capacity = CHUNK_ROWS;
    chunk->data = aligned_alloc(8, CHUNK_BYTES);
    chunk->row_at = calloc(CHUNK_ROWS, sizeof *chunk->row_at);
    assert_non_null(chunk->data);
    assert_non_null(chunk->row_at);
    return chunk;
}

static void chunk_drop(cp_chunk *chunk)
{
    free(chunk->data);
    free(chunk->row_at);
    free(chunk);
}

static int value_get(const t_row *row)
{
    return row->px_null ? 0 : (int)row->px;
}

/* Appends a row; its key is a symbol and a venue, its value a nullable price. */
static void chunk_put(world *w, cp_chunk *chunk, uint32_t key, int value)
{
    uint8_t *record = chunk->data + chunk->byte_count;
    char symbol[700];
    memset(symbol, 'x', sizeof symbol);
    const uint32_t length = key / 2 == 1   ? 0
                            : key / 2 == 2 ? 600
                                           : (uint32_t)snprintf(symbol, sizeof symbol, "S%u", key / 2);
    const uint32_t noise = (uint32_t)below(w, 20);
    t_row row = {.symbol = {sizeof row, length},
                 .venue = (uint8_t)(key % 2),
                 .px = value ? value : (int64_t)below(w, 100), /* what lies under a NULL does not matter */
                 .note = {(uint32_t)sizeof row + length, noise},
                 .n = w->n++,
                 .px_null = value == 0};
    const uint32_t size = (uint32_t)sizeof row + length + noise;
    memcpy(record, &size, sizeof size);
    memset(record + 4, 0xAA, 4);
    memcpy(record + 8, &row, sizeof row);
    memcpy(record + 8 + sizeof row, symbol, length);
    memset(record + 8 + sizeof row + length, (int)below(w, 256), noise);
    chunk->row_at[chunk->row_count++] = chunk->byte_count + 8;
    chunk->byte_count += (size + 8 + 7) & ~7u;
}

static void model_turn(world *w, model_slot *slot)
{
    if (!w->conflate) {
        slot->interval = 0;
    } else if (slot->interval == 0 || w->now - slot->interval_ns >= w->interval_ns) {
        slot->interval = ++w->intervals;
        slot->interval_ns = w->now;
    }
}

static void model_add(world *w, model_slot *slot, uint64_t position, uint64_t n, uint32_t key, int value)
{
    const bool equal = slot->value[key] == value;
    slot->value[key] = value;
    if (equal && w->suppress) {
        w->suppressed++;
        return;
    }
    for (uint32_t i = 0; slot->interval && i < slot->count; i++) {
        if (slot->rows[i].key == key && slot->rows[i].interval == slot->interval) {
            memmove(&slot->rows[i], &slot->rows[i + 1], (--slot->count - i) * sizeof slot->rows[0]);
            w->suppressed++;
            break;
        }
    }
    assert_true(slot->count < MODEL_ROWS);
    slot->rows[slot->count++] = (model_row){position, n, key, slot->interval};
}

static void hand_on(world *w, uint32_t s)
{
    model_slot *slot = &w->slots[s];
    cp_chunk *chunk = cp_conflater_finish(w->conflater, s);
    assert_int_equal(chunk != NULL, cp_conflater_holds(w->conflater, s));
    if (!chunk)
        return;
    assert_true(cp_conflater_opened_ns(w->conflater, s) <= w->now);
    assert_int_equal(chunk->row_count, slot->count);
    assert_int_equal(chunk->end, slot->next);
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        t_row row;
        memcpy(&row, cp_chunk_row(chunk, i), sizeof row);
        assert_int_equal(row.n, slot->rows[i].n);
        assert_int_equal(cp_chunk_row_position(chunk, i), slot->rows[i].position);
        assert_int_equal(cp_row_check(w->table, cp_chunk_row(chunk, i), cp_chunk_row_size(chunk, i), NULL),
                         CP_OK);
        assert_true(chunk->row_at[i] + cp_chunk_row_size(chunk, i) <= chunk->byte_count);
    }
    if (below(w, 8) == 0)
        return; /* the flusher took it not: it can be added to */
    w->handed += chunk->row_count;
    cp_conflater_forget(w->conflater, s);
    chunk_drop(chunk);
    slot->count = 0;
    slot->interval = 0;
}

static void put_chunk(world *w, uint32_t s)
{
    model_slot *slot = &w->slots[s];
    cp_chunk *chunk = chunk_new();
    uint32_t keys[CHUNK_ROWS];
    int values[CHUNK_ROWS];
    chunk->slot = (uint16_t)s;
    chunk->epoch = 7;
    chunk->begin = slot->next;
    const uint32_t rows = 1 + (uint32_t)below(w, CHUNK_ROWS - 1);
    while (chunk->row_count < rows && chunk->byte_count < CHUNK_BYTES - 1024) {
        keys[chunk->row_count] = (uint32_t)below(w, KEYS);
        values[chunk->row_count] = (int)below(w, VALUES);
        chunk_put(w, chunk, keys[chunk->row_count], values[chunk->row_count]);
    }
    chunk->end = chunk->begin + chunk->byte_count;
    uint64_t suppressed = cp_conflater_thin(w->conflater, chunk, w->suppress, w->conflate);
    cp_window_result result =
        cp_conflater_add(w->conflater, chunk, w->conflate, w->interval_ns, w->now, &suppressed);
    while (result == CP_WINDOW_FULL) {
        hand_on(w, s);
        result = cp_conflater_add(w->conflater, chunk, w->conflate, w->interval_ns, w->now, &suppressed);
    }
    model_turn(w, slot);
    const uint64_t before = w->suppressed;
    uint64_t position = chunk->begin;
    uint64_t n = 0;
    /* The chunk's own index may be gone: walk its records. */
    for (uint32_t i = 0, at = 0; at < chunk->end - chunk->begin; i++) {
        uint32_t size;
        memcpy(&size, chunk->data + at, sizeof size);
        t_row row;
        memcpy(&row, chunk->data + at + 8, sizeof row);
        if (i == 0)
            n = row.n;
        assert_int_equal(row.n, n + i);
        assert_int_equal(value_get(&row), values[i]);
        model_add(w, slot, position, row.n, keys[i], values[i]);
        w->put++;
        at += (size + 8 + 7) & ~7u;
        position = chunk->begin + at;
    }
    assert_int_equal(w->suppressed - before, suppressed);
    slot->next = chunk->end;
    if (result == CP_WINDOW_ADDED)
        chunk_drop(chunk);
}

static void world_begin(world *w, uint64_t seed, uint32_t max_keys)
{
    static const char text[] = DDL;
    cp_error err;
    memset(w, 0, sizeof *w);
    w->random = seed;
    w->now = 1000;
    w->interval_ns = 100;
    assert_int_equal(cp_table_parse(&w->table, NULL, text, sizeof text - 1, &err), CP_OK);
    const cp_column_list key = {2, {0, 1}};
    const cp_column_list value = {1, {2}};
    assert_int_equal(cp_conflater_create(&w->conflater, w->table, SLOTS, &key, &value, max_keys, &err),
                     CP_OK);
    assert_int_equal(w->table->row_size, sizeof(t_row));
    for (uint32_t s = 0; s < SLOTS; s++) {
        for (uint32_t k = 0; k < KEYS; k++)
            w->slots[s].value[k] = -1;
        w->slots[s].next = (UINT64_MAX & ~7ull) - 20000; /* wraps on the way */
    }
}

static void world_end(world *w)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        while (cp_conflater_holds(w->conflater, s))
            hand_on(w, s);
    }
    assert_int_equal(w->put, w->suppressed + w->handed);
    cp_conflater_free(w->conflater);
    cp_table_free(w->table);
}

static void forget_values(world *w)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        for (uint32_t k = 0; k < KEYS; k++)
            w->slots[s].value[k] = -1;
    }
}

static void as_the_model_says(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    const uint64_t seed = test_seed();
    for (uint32_t round = 0; round < 60; round++) {
        world_begin(w, seed + round * 977 + 1, 64);
        for (int step = 0; step < 200; step++) {
            w->now += below(w, 60);
            if (below(w, 10) == 0) {
                w->suppress = below(w, 2);
                w->conflate = below(w, 2);
                w->interval_ns = 1 + below(w, 400);
            }
            if (below(w, 12) == 0)
                hand_on(w, (uint32_t)below(w, SLOTS));
            if (below(w, 25) == 0) {
                cp_conflater_mistrust(w->conflater);
                forget_values(w);
            }
            put_chunk(w, (uint32_t)below(w, SLOTS));
        }
        assert_int_equal(cp_conflater_unkeyed(w->conflater), 0);
        world_end(w);
    }
    free(w);
}

/* The window's rows are in order, and the last of every key, counted from 1, is among them. */
static void last_are_kept(const cp_chunk *window, const uint64_t last[KEYS])
{
    uint64_t before = 0;
    uint32_t found = 0;
    for (uint32_t i = 0; i < window->row_count; i++) {
        t_row row;
        memcpy(&row, cp_chunk_row(window, i), sizeof row);
        assert_true(row.n + 1 > before);
        before = row.n + 1;
        for (uint32_t k = 0; k < KEYS; k++)
            found += last[k] == row.n + 1;
    }
    for (uint32_t k = 0; k < KEYS; k++)
        found -= last[k] != 0;
    assert_int_equal(found, 0);
}

/* Where memory is scarce there is always room while rows are conflated, and the last row of every key is never lost. */
static void a_scarce_window_collapses(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    world_begin(w, test_seed() | 1, 64);
    uint64_t last[KEYS] = {0};
    uint64_t collapsed = 0;
    for (int step = 0; step < 300; step++) {
        cp_chunk *chunk = chunk_new();
        uint64_t suppressed;
        const bool conflate = step > 40; /* at first the window fills with rows that are final */
        chunk->epoch = 7;
        chunk->begin = w->slots[0].next;
        const uint64_t n = w->n;
        uint32_t keys[8];
        for (uint32_t i = 0; i < 8; i++) {
            keys[i] = (uint32_t)below(w, KEYS);
            chunk_put(w, chunk, keys[i], 1 + (int)(w->n % 90));
        }
        chunk->end = chunk->begin + chunk->byte_count;
        chunk->scarce = true;
        const uint64_t left_out = cp_conflater_thin(w->conflater, chunk, false, conflate);
        suppressed = 0;
        const cp_window_result result =
            cp_conflater_add(w->conflater, chunk, conflate, 50, w->now, &suppressed);
        w->now += 10;
        if (result != CP_WINDOW_FULL) {
            for (uint32_t i = 0; i < 8; i++)
                last[keys[i]] = n + i + 1;
            w->put += 8;
            w->suppressed += left_out;
            w->slots[0].next = chunk->end;
        } else {
            assert_false(conflate);
            cp_conflater_mistrust(w->conflater);
        }
        w->suppressed += suppressed;
        collapsed += suppressed > 8;
        if (result != CP_WINDOW_OPENED)
            chunk_drop(chunk);
    }
    assert_true(collapsed > 0);
    cp_chunk *chunk = cp_conflater_finish(w->conflater, 0);
    assert_int_equal(chunk->row_count + w->suppressed, w->put);
    last_are_kept(chunk, last);
    cp_conflater_forget(w->conflater, 0);
    chunk_drop(chunk);
    cp_conflater_free(w->conflater);
    cp_table_free(w->table);
    free(w);
}

/* Keys beyond the table's size: their rows pass, and are counted; after clear there is room again. */
static void keys_that_find_no_place_pass(void **state)
{
    (void)state;
    cp_error err;
    static const char text[] = "CREATE TABLE t (k UInt64, v UInt64) ENGINE = MergeTree ORDER BY k";
    cp_table *table = NULL;
    cp_conflater *conflater = NULL;
    const cp_column_list key = {1, {0}};
    const cp_column_list value = {1, {1}};
    assert_int_equal(cp_table_parse(&table, NULL, text, sizeof text - 1, &err), CP_OK);
    assert_int_equal(cp_conflater_create(&conflater, table, 1, &key, &value, 16, &err), CP_OK);
    for (int life = 0; life < 3; life++) {
        cp_chunk *chunk = chunk_new();
        uint64_t suppressed;
        for (uint64_t i = 0; i < 40; i++) { /* keys 0 … 19, twice, unchanged */
            const uint64_t record[3] = {16, i % 20, 5};
            memcpy(chunk->data + chunk->byte_count, record, sizeof record);
            chunk->row_at[chunk->row_count++] = chunk->byte_count + 8;
            chunk->byte_count += sizeof record;
        }
        chunk->end = chunk->byte_count;
        suppressed = cp_conflater_thin(conflater, chunk, true, true);
        assert_int_equal(cp_conflater_add(conflater, chunk, true, 100, 1000, &suppressed), CP_WINDOW_OPENED);
        assert_int_equal(suppressed, 16);
        assert_int_equal(cp_conflater_unkeyed(conflater), 8 * (life + 1));
        assert_int_equal(cp_conflater_finish(conflater, 0)->row_count, 24);
        cp_conflater_forget(conflater, 0);
        cp_conflater_clear(conflater);
        chunk_drop(chunk);
    }
    cp_conflater_free(conflater);
    cp_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_model_says),
        cmocka_unit_test(a_scarce_window_collapses),
        cmocka_unit_test(keys_that_find_no_place_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
