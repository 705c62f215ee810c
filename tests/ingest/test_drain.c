/* The drain over a real region: lumps and intervals, order, setting aside one broken ring without harm to the others, and the
 * reserve of chunks. The test plays the flusher: it keeps chunks, or gives them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ingest/drain.h"
#include "shm/sigbus_guard.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a"

enum { RING_SIZE = 1 << 20, SLOTS = 3, ROW_MAX = 65536, KEPT = 256, INTERVAL_NS = 1000 };

typedef struct world {
    region_fixture fixture;
    cp_drain *drain;
    cp_region *region;
    cp_ring *rings[SLOTS];
    cp_chunk *kept[KEPT]; /* submitted and not given back */
    uint32_t kept_count;
    bool refuse;
    uint64_t rows;
    uint64_t rejected;
    uint64_t next[SLOTS]; /* the value of `a` that must come next from each slot */
    uint32_t faults[SLOTS];
    uint64_t now;
} world;

typedef struct t_row {
    uint64_t a;
    cp_ref s;
} t_row;

static cp_submit_result on_submit(void *ctx, uint32_t table, cp_chunk *chunk)
{
    world *w = ctx;
    assert_int_equal(table, 0);
    if (w->refuse)
        return CP_SUBMIT_REFUSED;
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        t_row row;
        memcpy(&row, cp_chunk_row(chunk, i), sizeof row);
        assert_int_equal(row.a, w->next[chunk->slot]++);
    }
    w->rows += chunk->row_count;
    assert_true(w->kept_count < KEPT);
    w->kept[w->kept_count++] = chunk;
    return CP_SUBMIT_TAKEN;
}

static void on_fault(void *ctx, uint32_t table, uint32_t slot, cp_ring_fault fault, const char *reason)
{
    world *w = ctx;
    (void)table;
    assert_true(strlen(reason) > 0);
    assert_int_equal(w->faults[slot], 0); /* told once */
    w->faults[slot] = fault;
}

static void on_rejected(void *ctx, uint32_t table, uint32_t slot, uint32_t rows, const char *reason)
{
    world *w = ctx;
    (void)table;
    (void)slot;
    assert_true(strlen(reason) > 0);
    w->rejected += rows;
}

static void give_all_back(world *w)
{
    while (w->kept_count > 0)
        cp_drain_release(w->drain, w->kept[--w->kept_count]);
}

static int setup(void **state)
{
    static world w;
    cp_error err = {0};
    memset(&w, 0, sizeof w);
    region_fixture_make(&w.fixture, DDL, RING_SIZE, SLOTS, ROW_MAX);
    const cp_drain_events events = {&w, on_submit, on_fault, on_rejected};
    const cp_table *const tables[] = {w.fixture.table};
    const uint64_t intervals[] = {INTERVAL_NS};
    if (cp_drain_create(&w.drain, &w.fixture.owner, tables, intervals, 16 << 20, &events, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(cp_attach(&w.region, w.fixture.dir, &err), CP_OK);
    for (int i = 0; i < SLOTS; i++)
        assert_int_equal(cp_ring_open(&w.rings[i], w.region, "t", w.fixture.table->schema_hash, NULL, &err),
                         CP_OK);
    w.now = 1;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    give_all_back(w);
    for (int i = 0; i < SLOTS; i++)
        cp_ring_close(w->rings[i]);
    cp_detach(w->region);
    cp_drain_free(w->drain);
    region_fixture_remove(&w->fixture);
    return 0;
}

static void put(world *w, int slot, uint64_t first, uint64_t count, uint32_t text)
{
    static uint8_t buffer[ROW_MAX];
    for (uint64_t i = 0; i < count; i++) {
        t_row row = {first + i, {sizeof row, text}};
        memcpy(buffer, &row, sizeof row);
        assert_int_equal(cp_put(w->rings[slot], buffer, (uint32_t)sizeof row + text), CP_OK);
    }
}

static void test_waits_for_a_lump_or_the_interval(void **state)
{
    world *w = *state;
    put(w, 0, 0, 10, 8);
    assert_int_equal(cp_drain_turn(w->drain, w->now), 0);
    assert_int_equal(cp_drain_turn(w->drain, w->now + INTERVAL_NS - 1), 0);
    assert_int_equal(cp_drain_turn(w->drain, w->now + INTERVAL_NS), 1);
    assert_int_equal(w->rows, 10);
    const uint64_t lump = CP_DRAIN_LUMP / 32 + 1;
    put(w, 0, 10, lump, 8);
    assert_int_equal(cp_drain_turn(w->drain, w->now), 1); /* at once */
    assert_int_equal(w->rows, 10 + lump);
    put(w, 0, w->next[0], 1, 8);
    assert_int_equal(cp_drain_turn(w->drain, w->now), 0);
    cp_drain_set_urgent(w->drain, true);
    assert_int_equal(cp_drain_turn(w->drain, w->now), 1);
}

static void test_a_filling_ring_presses(void **state)
{
    world *w = *state;
    put(w, 0, 0, 5000, 48); /* 360 KB of 1 MiB */
    cp_drain_turn(w->drain, w->now);
    assert_false(w->kept[0]->pressing);
    put(w, 0, 5000, 3000, 48); /* nothing was acknowledged: 576 KB */
    cp_drain_set_urgent(w->drain, true);
    cp_drain_turn(w->drain, w->now);
    assert_true(w->kept[w->kept_count - 1]->pressing);
}

static void test_a_refused_chunk_comes_again(void **state)
{
    world *w = *state;
    put(w, 0, 0, 100, 8);
    cp_drain_set_urgent(w->drain, true);
    w->refuse = true;
    assert_int_equal(cp_drain_turn(w->drain, w->now), 0);
    assert_true(w->fixture.owner.control.counters[0].pool_waits > 0);
    w->refuse = false;
    assert_int_equal(cp_drain_turn(w->drain, w->now), 1);
    assert_int_equal(w->rows, 100);
    assert_int_equal(cp_drain_chunks_free(w->drain), cp_drain_chunk_count(w->drain) - 1);
}

static void test_no_chunk_is_ever_lost(void **state)
{
    world *w = *state;
    uint64_t random = test_seed();
    uint64_t put_rows[SLOTS] = {0};
    for (int i = 0; i < 3000; i++) {
        const int slot = (int)(test_random(&random) % SLOTS);
        const uint32_t text = (uint32_t)(test_random(&random) % 500);
        cp_ring_stats stats;
        cp_ring_get_stats(w->rings[slot], &stats);
        const uint64_t room = RING_SIZE - (w->rings[slot]->write - stats.consumed);
        uint64_t count = room / cp_record_size_(16 + text);
        count = count > 200 ? 200 : count;
        put(w, slot, put_rows[slot], count, text);
        put_rows[slot] += count;
        w->refuse = test_random(&random) % 10 == 0;
        cp_drain_turn(w->drain, w->now += test_random(&random) % (2 * INTERVAL_NS));
        for (uint32_t k = 0; k < w->kept_count; k++)
            region_fixture_ack(&w->fixture, w->kept[k]->slot, w->kept[k]->end, w->kept[k]->row_count);
        give_all_back(w);
    }
    w->refuse = false;
    cp_drain_set_urgent(w->drain, true);
    while (cp_drain_turn(w->drain, w->now))
        give_all_back(w);
    for (int slot = 0; slot < SLOTS; slot++)
        assert_int_equal(w->next[slot], put_rows[slot]);
    assert_int_equal(cp_drain_chunks_free(w->drain), cp_drain_chunk_count(w->drain));
}

static void test_the_pool_runs_out_and_recovers(void **state)
{
    world *w = *state;
    cp_drain_set_urgent(w->drain, true);
    uint32_t chunks = 0;
    for (int i = 0; i < 200; i++) {
        put(w, 0, (uint64_t)i, 1, 8);
        chunks += cp_drain_turn(w->drain, w->now);
    }
    assert_true(chunks < 200); /* nobody gives back: the pool ends */
    assert_int_equal(cp_drain_chunks_free(w->drain), 0);
    give_all_back(w);
    cp_drain_turn(w->drain, w->now);
    assert_int_equal(w->rows, 200);
}

static void edit_ring(world *w, int slot, off_t at, const void *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/t.%d.ring", w->fixture.dir, slot);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    close(fd);
}

static void test_a_broken_ring_harms_no_other(void **state)
{
    world *w = *state;
    const uint32_t huge = 0x7fffffff;
    const uint64_t astray = 12345;
    cp_drain_set_urgent(w->drain, true);
    put(w, 0, 0, 5, 8);
    put(w, 1, 0, 5, 8);
    put(w, 2, 0, 5, 8);
    edit_ring(w, 0, CP_ABI_RING_DATA_OFFSET + 3 * 32, &huge, sizeof huge); /* the fourth record's size */
    edit_ring(w, 1, CP_ABI_RING_HOT_OFFSET, &astray, sizeof astray);
    cp_drain_turn(w->drain, w->now);
    assert_int_equal(w->faults[0], CP_RING_BAD_RECORD);
    assert_int_equal(w->faults[1], CP_RING_BAD_POSITION);
    assert_int_equal(w->faults[2], CP_RING_SOUND);
    assert_int_equal(w->next[0], 3); /* what came before the damage is delivered */
    assert_int_equal(w->next[2], 5);
    put(w, 2, 5, 5, 8);
    cp_drain_turn(w->drain, w->now);
    assert_int_equal(w->next[2], 10);
}

static void test_a_truncated_ring_harms_no_other(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* its memcpy cannot be left by a jump */
#endif
    world *w = *state;
    char path[256];
    cp_sigbus_install(); /* here, because cmocka installs its own before each test */
    cp_drain_set_urgent(w->drain, true);
    put(w, 0, 0, 5, 8);
    put(w, 1, 0, 5, 8);
    snprintf(path, sizeof path, "%s/t.0.ring", w->fixture.dir);
    assert_int_equal(truncate(path, 4096), 0);
    cp_drain_turn(w->drain, w->now);
    assert_int_equal(w->faults[0], CP_RING_TRUNCATED);
    assert_int_equal(w->next[1], 5);
    uint64_t position;
    assert_false(cp_drain_published(w->drain, 0, &position));
    assert_true(cp_drain_published(w->drain, 1, &position));
    assert_int_equal(truncate(path, CP_ABI_RING_DATA_OFFSET + RING_SIZE), 0); /* so that close can touch it */
}

static void test_bad_rows_are_counted(void **state)
{
    world *w = *state;
    const t_row bad = {0, {1u << 30, 8}};
    cp_drain_set_urgent(w->drain, true);
    assert_int_equal(cp_put(w->rings[0], &bad, sizeof bad), CP_OK);
    put(w, 0, 0, 3, 8);
    cp_drain_turn(w->drain, w->now);
    assert_int_equal(w->rejected, 1);
    assert_int_equal(w->rows, 3);
    assert_int_equal(w->kept[0]->rejected, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_waits_for_a_lump_or_the_interval, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_filling_ring_presses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refused_chunk_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_chunk_is_ever_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_pool_runs_out_and_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_ring_harms_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_truncated_ring_harms_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_rows_are_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
