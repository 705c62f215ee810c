/* Duplicates against a trivial model: random rows of few keys from several rings, chunks that are refused and come again, recorders
 * that are killed and read their rings again; exactly the rows stay whose keys the model's list of last keys does not hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/unique.h"
#include "tests/support/region_fixture.h"

enum {
    WINDOW = 64,
    KEYS = 120, /* some are still in the window when they come again, some are not */
    RINGS = 2,
    ROWS = 24, /* of a chunk at most */
    STEPS = 40000,
    RECORD = CP_RECORD_HEADER + 16
};

static const char ddl[] = "CREATE TABLE t (k UInt64, v UInt64) ENGINE = MergeTree ORDER BY k";

typedef struct model_key {
    uint64_t key;
    uint64_t epoch;
    uint64_t position;
} model_key;

typedef struct world {
    char path[64];
    cp_table *table;
    cp_unique *unique;
    uint32_t window;
    uint64_t random;
    model_key keys[STEPS * ROWS];
    size_t first; /* keys[first, count) are remembered */
    size_t count;
    uint64_t positions[RINGS];
} world;

static void unique_reopen(world *w)
{
    static const cp_column_list key = {1, {0}};
    cp_error err;
    uint64_t kept = 0;
    cp_unique_close(w->unique);
    assert_int_equal(cp_unique_open(&w->unique, w->path, w->table, &key, w->window, &kept, &err), CP_OK);
    if (w->count - w->first == w->window)
        w->first++;
    assert_int_equal(kept, w->count - w->first);
}

static void model_begin(world *w)
{
    w->first = w->count;
}

/* Whether the model leaves the row out; else it remembers it. */
static bool model_knows(world *w, const model_key *row)
{
    for (size_t i = w->first; i < w->count; i++) {
        if (w->keys[i].key == row->key)
            return w->keys[i].epoch != row->epoch || w->keys[i].position != row->position;
    }
    w->keys[w->count++] = *row;
    if (w->count - w->first > w->window)
        w->first++;
    return false;
}

typedef struct chunk_room {
    cp_chunk chunk;
    uint64_t data[ROWS * RECORD / 8];
    uint32_t row_at[ROWS];
} chunk_room;

static void chunk_make(world *w, chunk_room *room, uint16_t ring)
{
    const uint32_t rows = 1 + (uint32_t)(test_random(&w->random) % ROWS);
    room->chunk = (cp_chunk){.epoch = 1000u + ring,
                             .slot = ring,
                             .begin = w->positions[ring],
                             .data = (uint8_t *)room->data,
                             .row_at = room->row_at,
                             .row_count = rows,
                             .byte_count = rows * RECORD};
    room->chunk.end = room->chunk.begin + room->chunk.byte_count;
    for (uint32_t i = 0; i < rows; i++) {
        const uint64_t record[] = {16, test_random(&w->random) % KEYS, test_random(&w->random)};
        memcpy(room->data + (size_t)i * RECORD / 8, record, sizeof record);
        room->row_at[i] = i * RECORD + CP_RECORD_HEADER;
    }
}

static void chunk_check(world *w, chunk_room *room)
{
    uint32_t expected[ROWS];
    uint32_t kept = 0;
    const cp_chunk before = room->chunk;
    for (uint32_t i = 0; i < before.row_count; i++) {
        model_key row = {0, before.epoch, before.begin + (uint64_t)i * RECORD};
        memcpy(&row.key, cp_chunk_row(&before, i), sizeof row.key);
        if (!model_knows(w, &row))
            expected[kept++] = i * RECORD + CP_RECORD_HEADER;
    }
    assert_int_equal(cp_unique_filter(w->unique, &room->chunk), before.row_count - kept);
    assert_int_equal(room->chunk.rejected, before.row_count - kept);
    assert_int_equal(room->chunk.row_count, kept);
    assert_memory_equal(room->row_at, expected, kept * sizeof *expected);
}

static world *world_new(void)
{
    world *w = calloc(1, sizeof *w);
    cp_error err;
    assert_non_null(w);
    w->random = test_seed();
    w->window = WINDOW;
    snprintf(w->path, sizeof w->path, "/dev/shm/coldpath-test-unique-%d", (int)getpid());
    unlink(w->path);
    assert_int_equal(cp_table_parse(&w->table, NULL, ddl, sizeof ddl - 1, &err), CP_OK);
    unique_reopen(w);
    return w;
}

static void world_free(world *w)
{
    cp_unique_close(w->unique);
    unlink(w->path);
    cp_table_free(w->table);
    free(w);
}

static void as_the_model_says(void **state)
{
    (void)state;
    world *w = world_new();
    for (int step = 0; step < STEPS / 4; step++) {
        static chunk_room room;
        const uint16_t ring = (uint16_t)(test_random(&w->random) % RINGS);
        chunk_make(w, &room, ring);
        chunk_room again = room;
        again.chunk.data = (uint8_t *)again.data;
        again.chunk.row_at = again.row_at;
        chunk_check(w, &room);
        if (test_random(&w->random) % 16 == 0) /* killed */
            unique_reopen(w);
        if (test_random(&w->random) % 4 == 0) /* refused: it comes again */
            chunk_check(w, &again);
        w->positions[ring] = room.chunk.end;
    }
    world_free(w);
}

/* The same rows twice are each let through both times: a row is no duplicate of itself, also after a kill. */
static void a_row_is_not_its_own_duplicate(void **state)
{
    (void)state;
    world *w = world_new();
    static chunk_room room;
    room.chunk = (cp_chunk){.epoch = 7, .data = (uint8_t *)room.data, .row_at = room.row_at, .row_count = 3};
    for (uint64_t i = 0; i < 3; i++) {
        const uint64_t record[] = {16, i == 2 ? 0 : i, i};
        memcpy(room.data + i * RECORD / 8, record, sizeof record);
    }
    for (int round = 0; round < 3; round++) {
        room.chunk.row_count = 3;
        room.chunk.rejected = 0;
        for (uint32_t i = 0; i < 3; i++)
            room.row_at[i] = i * RECORD + CP_RECORD_HEADER;
        assert_int_equal(cp_unique_filter(w->unique, &room.chunk), 1);
        assert_int_equal(room.chunk.row_count, 2);
        assert_int_equal(room.chunk.rejected, 1);
        w->count = 2; /* known to the reopened file */
        unique_reopen(w);
    }
    world_free(w);
}

/* A row that no log has yet, when the recorder is killed, stands for no other: of two rows with its key the one that comes first stays. */
static void what_nobody_vouches_for_is_forgotten(void **state)
{
    (void)state;
    world *w = world_new();
    static chunk_room room;
    const uint64_t record[] = {16, 5, 5};
    const cp_chunk rows[] = {
        {.epoch = 7, .begin = 4096}, {.epoch = 8, .begin = 64}, {.epoch = 7, .begin = 4096}};
    memcpy(room.data, record, sizeof record);
    for (int i = 0; i < 3; i++) {
        room.chunk = rows[i];
        room.chunk.data = (uint8_t *)room.data;
        room.chunk.row_at = room.row_at;
        room.chunk.row_count = 1;
        room.row_at[0] = CP_RECORD_HEADER;
        assert_int_equal(cp_unique_filter(w->unique, &room.chunk), i == 2);
        w->count = i == 0; /* known to the reopened file */
        if (i == 0) {
            unique_reopen(w);
            cp_unique_forget(w->unique, 7, 4097); /* behind it */
            cp_unique_forget(w->unique, 7, 4096);
            w->count = 0;
            unique_reopen(w);
        }
    }
    world_free(w);
}

static void another_form_begins_anew(void **state)
{
    (void)state;
    world *w = world_new();
    static chunk_room room;
    chunk_make(w, &room, 0);
    chunk_check(w, &room);
    assert_true(w->count > 0);
    w->window = 2 * WINDOW;
    model_begin(w);
    unique_reopen(w);
    assert_int_equal(truncate(w->path, 100), 0);
    unique_reopen(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_model_says),
        cmocka_unit_test(a_row_is_not_its_own_duplicate),
        cmocka_unit_test(what_nobody_vouches_for_is_forgotten),
        cmocka_unit_test(another_form_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
