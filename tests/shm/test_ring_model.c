/* The ring against a trivial queue: random claims, commits, aborts, puts and drains, and after each step both must
 * agree. Positions start at 0, just before 2^32 and just before 2^64, so that every run crosses them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE model (ts Int64, text String) ENGINE = MergeTree ORDER BY ts"

enum { RING_SIZE = CP_RING_MIN_SIZE, ROW_MAX = RING_SIZE / 4, STEPS = 200000, QUEUE = RING_SIZE / 16 };

/* What the ring must hold: for each committed row its size and the seed of its bytes. */
typedef struct model {
    uint32_t size[QUEUE];
    uint64_t seed[QUEUE];
    uint64_t head; /* oldest row not drained */
    uint64_t tail;
    uint64_t bytes_in_ring; /* between acknowledged and written */
} model;

typedef struct world {
    region_fixture fixture;
    cp_region *region;
    cp_ring *ring;
    cp_ring_reader reader;
    model model;
    uint64_t state;
    uint8_t copy[RING_SIZE];
} world;

static void fill_row(uint8_t *row, uint32_t size, uint64_t seed)
{
    for (uint32_t i = 0; i < size; i++)
        row[i] = (uint8_t)(seed + i * 7u);
}

static uint32_t random_size(uint64_t *state)
{
    const uint64_t dice = test_random(state) % 100;
    if (dice < 80)
        return 1 + (uint32_t)(test_random(state) % 200);
    if (dice < 99)
        return 1 + (uint32_t)(test_random(state) % 4000);
    return 1 + (uint32_t)(test_random(state) % ROW_MAX);
}

static void model_commit(world *w, uint32_t size, uint64_t seed)
{
    model *m = &w->model;
    assert_true(m->tail - m->head < QUEUE);
    m->size[m->tail % QUEUE] = size;
    m->seed[m->tail % QUEUE] = seed;
    m->tail++;
    m->bytes_in_ring += cp_record_size_(size);
}

static void step_claim(world *w)
{
    const uint32_t size = random_size(&w->state);
    const uint64_t seed = test_random(&w->state);
    uint8_t *row = cp_claim(w->ring, size);
    const bool fits = cp_record_size_(size) <= RING_SIZE - w->model.bytes_in_ring;
    assert_int_equal(row != NULL, fits);
    if (!row)
        return;
    assert_int_equal((uintptr_t)row % 8, 0);
    fill_row(row, size, seed);
    if (test_random(&w->state) % 8 == 0) {
        cp_abort(w->ring);
        return;
    }
    cp_commit(w->ring);
    model_commit(w, size, seed);
}

static void step_put(world *w)
{
    uint8_t row[512];
    const uint32_t size = 1 + (uint32_t)(test_random(&w->state) % sizeof row);
    const uint64_t seed = test_random(&w->state);
    fill_row(row, size, seed);
    const bool fits = cp_record_size_(size) <= RING_SIZE - w->model.bytes_in_ring;
    assert_int_equal(cp_put(w->ring, row, size), fits ? CP_OK : CP_FULL);
    if (fits)
        model_commit(w, size, seed);
}

static void check_row(const world *w, const uint8_t *row, uint32_t size)
{
    const model *m = &w->model;
    assert_true(m->head < m->tail);
    assert_int_equal(size, m->size[m->head % QUEUE]);
    uint8_t expected[ROW_MAX];
    fill_row(expected, size, m->seed[m->head % QUEUE]);
    assert_memory_equal(row, expected, size);
}

/* Takes whole records out of a copy of random size, as the recorder does, and acknowledges them. */
static void step_drain(world *w)
{
    const uint64_t pending = cp_ring_reader_pending(&w->reader);
    assert_int_equal(w->reader.fault, CP_RING_SOUND);
    const uint64_t most = ROW_MAX + 64 + test_random(&w->state) % RING_SIZE;
    const uint64_t copied =
        cp_ring_reader_copy(&w->reader, w->copy, most < RING_SIZE ? most : RING_SIZE, pending);
    uint64_t at = 0;
    uint64_t rows = 0;
    while (at < copied) {
        uint32_t size;
        memcpy(&size, w->copy + at, sizeof size);
        if (cp_record_size_(size) > copied - at)
            break;
        check_row(w, w->copy + at + CP_RECORD_PREFIX, size);
        at += cp_record_size_(size);
        w->model.head++;
        rows++;
    }
    assert_true(pending == 0 || rows > 0);
    w->reader.cursor += at;
    w->model.bytes_in_ring -= at;
    region_fixture_ack(&w->fixture, 0, w->reader.cursor, rows);
}

/* The producer goes away and another takes the slot: rows and positions go on. */
static void step_reattach(world *w)
{
    cp_error err = {0};
    const uint64_t rows = w->ring->rows;
    const uint64_t write = w->ring->write;
    if (test_random(&w->state) % 2) /* … in the middle of a row */
        (void)cp_claim(w->ring, 16);
    cp_ring_close(w->ring);
    if (cp_ring_open(&w->ring, w->region, "model", 0, "again", &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(w->ring->rows, rows);
    assert_int_equal(w->ring->write, write);
}

static void run_from(uint64_t position)
{
    static world w;
    cp_error err = {0};
    memset(&w, 0, sizeof w);
    w.state = test_seed();
    region_fixture_make(&w.fixture, DDL, RING_SIZE, 1, ROW_MAX);
    region_fixture_start_at(&w.fixture, 0, position);
    if (cp_attach(&w.region, w.fixture.dir, &err) < 0 ||
        cp_ring_open(&w.ring, w.region, "model", 0, "model", &err) < 0)
        fail_msg("%s", err.text);
    region_fixture_open_reader(&w.fixture, 0, &w.reader);
    for (int i = 0; i < STEPS; i++) {
        const uint64_t dice = test_random(&w.state) % 1000;
        if (dice < 450)
            step_put(&w);
        else if (dice < 900)
            step_claim(&w);
        else if (dice < 999)
            step_drain(&w);
        else
            step_reattach(&w);
    }
    while (w.model.head < w.model.tail)
        step_drain(&w);
    assert_int_equal(cp_ring_reader_pending(&w.reader), 0);
    assert_int_equal(w.ring->rows, w.model.tail);
    assert_true(w.ring->write - position > 1000000); /* it did cross the boundary */
    cp_ring_reader_close(&w.reader);
    cp_ring_close(w.ring);
    cp_detach(w.region);
    region_fixture_remove(&w.fixture);
}

static void test_from_zero(void **state)
{
    (void)state;
    run_from(0);
}

static void test_across_2_32(void **state)
{
    (void)state;
    run_from((1ull << 32) - 500000 / 8 * 8);
}

static void test_across_2_63(void **state)
{
    (void)state;
    run_from((1ull << 63) - 500000 / 8 * 8);
}

static void test_across_2_64(void **state)
{
    (void)state;
    run_from(0 - (uint64_t)500000 / 8 * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_zero),
        cmocka_unit_test(test_across_2_32),
        cmocka_unit_test(test_across_2_63),
        cmocka_unit_test(test_across_2_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
