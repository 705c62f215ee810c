/* The ledger of a lossy lane: random chunks are handed on, taken out early, delivered in batches or dropped, and the recorder is
 * killed at any moment; after every step each row that was handed on has exactly one fate, and a recorder that follows books what
 * was at risk, no more and no less. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "recorder/lane.h"
#include "shm/ack.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a"

enum { SLOTS = 3, RING_SIZE = 1 << 20, RECORD = 24, QUEUE = 256, STEPS = 4000 };

/* Rows of one chunk; those left out of a window have no place in it. */
typedef struct model_chunk {
    uint64_t begin;
    uint64_t end;
    uint32_t rows;
    uint32_t rejected;
} model_chunk;

typedef struct model_slot {
    model_chunk queue[QUEUE]; /* handed on, not under way */
    uint32_t count;
    model_chunk flight; /* of the batch under way; rows 0 and begin = end: not in it */
    uint64_t handed;    /* position */
    uint64_t handed_rows;
    uint64_t delivered;
    uint64_t rejected;
    uint64_t suppressed;
    uint64_t dropped;
} model_slot;

typedef struct world {
    region_fixture fixture;
    cp_lane *lane;
    model_slot slots[SLOTS];
    bool in_flight;
    uint64_t batch;
    uint64_t random;
    uint64_t lost;
} world;

static uint64_t below(world *w, uint64_t bound)
{
    return test_random(&w->random) % bound;
}

static cp_abi_ack ack_of(const world *w, uint32_t slot)
{
    cp_abi_ack ack;
    assert_true(cp_ack_read(cp_control_ack(&w->fixture.owner.control, 0, slot), &ack));
    return ack;
}

/* Rows of the slot that wait or are under way. */
static uint64_t open_rows(const model_slot *slot)
{
    uint64_t rows = slot->flight.rows + slot->flight.rejected;
    for (uint32_t i = 0; i < slot->count; i++)
        rows += slot->queue[i].rows + slot->queue[i].rejected;
    return rows;
}

static void check(const world *w)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        const model_slot *slot = &w->slots[s];
        const cp_abi_ack ack = ack_of(w, s);
        assert_int_equal(ack.delivered_rows, slot->delivered);
        assert_int_equal(ack.rejected_rows, slot->rejected);
        assert_int_equal(ack.suppressed_rows, slot->suppressed);
        assert_int_equal(ack.dropped_rows, slot->dropped);
        assert_true((int64_t)(ack.consumed - ack.delivered) >= 0);
        assert_true((int64_t)(slot->handed - ack.consumed) >= 0);
        assert_true(ack.consumed_rows >= cp_ack_settled_rows(&ack));
        assert_int_equal(cp_ack_settled_rows(&ack) + open_rows(slot), slot->handed_rows);
        if (ack.consumed == ack.delivered)
            assert_int_equal(ack.consumed_rows, cp_ack_settled_rows(&ack));
        if (open_rows(slot) == 0 && slot->count == 0 && slot->flight.end == slot->flight.begin)
            assert_int_equal(ack.delivered, slot->handed);
    }
}

static void hand_on(world *w, uint32_t s)
{
    model_slot *slot = &w->slots[s];
    if (slot->count == QUEUE)
        return;
    const uint32_t rows = 1 + (uint32_t)below(w, 50);
    const uint32_t rejected = below(w, 5) == 0 ? (uint32_t)below(w, rows + 1) : 0;
    const bool early = below(w, 3) > 0;
    const uint32_t suppressed = early ? (uint32_t)below(w, rows - rejected + 1) : 0;
    const uint64_t end = slot->handed + (uint64_t)rows * RECORD;
    slot->queue[slot->count++] = (model_chunk){slot->handed, end, rows - rejected - suppressed, rejected};
    slot->handed = end;
    slot->handed_rows += rows;
    slot->suppressed += suppressed;
    w->lane->taken[s] = (cp_lane_taken){end, w->lane->taken[s].rows + rows};
    if (early) {
        const uint64_t before = ack_of(w, s).delivered;
        uint64_t from;
        assert_true(cp_lane_take_early(w->lane, s, suppressed, &from));
        assert_int_equal(from, before);
        assert_int_equal(ack_of(w, s).consumed, end);
        assert_int_equal(ack_of(w, s).consumed_rows, slot->handed_rows);
    }
}

static cp_batch_intent batch_of(const world *w, cp_span spans[SLOTS], char token[32])
{
    cp_batch_intent batch = {.token = token, .spans = spans};
    for (uint32_t s = 0; s < SLOTS; s++) {
        const model_chunk *flight = &w->slots[s].flight;
        if (flight->end == flight->begin)
            continue;
        spans[batch.span_count++] = (cp_span){.slot = (uint16_t)s,
                                              .epoch = w->lane->states[s].epoch,
                                              .begin = flight->begin,
                                              .end = flight->end,
                                              .rows = flight->rows,
                                              .rejected = flight->rejected};
        batch.rows += flight->rows;
    }
    snprintf(token, 32, "token-%llu", (unsigned long long)w->batch);
    return batch;
}

static void send(world *w)
{
    cp_span spans[SLOTS];
    char token[32];
    for (uint32_t s = 0; s < SLOTS; s++) {
        model_slot *slot = &w->slots[s];
        const uint32_t take = (uint32_t)below(w, slot->count + 1);
        slot->flight = (model_chunk){0};
        for (uint32_t i = 0; i < take; i++) {
            if (i == 0)
                slot->flight.begin = slot->queue[i].begin;
            slot->flight.end = slot->queue[i].end;
            slot->flight.rows += slot->queue[i].rows;
            slot->flight.rejected += slot->queue[i].rejected;
        }
        slot->count -= take;
        memmove(slot->queue, slot->queue + take, slot->count * sizeof slot->queue[0]);
    }
    w->batch++;
    w->in_flight = true;
    const cp_batch_intent batch = batch_of(w, spans, token);
    cp_lane_prepare(w->lane, &batch);
}

static void deliver(world *w)
{
    cp_span spans[SLOTS];
    char token[32];
    const cp_batch_intent batch = batch_of(w, spans, token);
    cp_lane_delivered(w->lane, &batch);
    for (uint32_t s = 0; s < SLOTS; s++) {
        w->slots[s].delivered += w->slots[s].flight.rows;
        w->slots[s].rejected += w->slots[s].flight.rejected;
        w->slots[s].flight = (model_chunk){0};
    }
    w->in_flight = false;
}

static void drop(world *w, uint32_t s)
{
    model_slot *slot = &w->slots[s];
    if (slot->count == 0)
        return;
    const model_chunk *oldest = &slot->queue[0];
    const cp_chunk chunk = {.slot = (uint16_t)s,
                            .epoch = w->lane->states[s].epoch,
                            .begin = oldest->begin,
                            .end = oldest->end,
                            .row_count = oldest->rows,
                            .rejected = oldest->rejected};
    const bool taken = (int64_t)(ack_of(w, s).consumed - oldest->end) >= 0;
    assert_int_equal(cp_lane_drop(w->lane, &chunk), taken);
    if (!taken)
        return;
    slot->dropped += oldest->rows;
    slot->rejected += oldest->rejected;
    slot->count--;
    memmove(slot->queue, slot->queue + 1, slot->count * sizeof slot->queue[0]);
}

/* The rings hold what was not consumed; it is handed on again. All else that was open is lost. */
static void kill_and_follow(world *w)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        model_slot *slot = &w->slots[s];
        const cp_abi_ack ack = ack_of(w, s);
        const uint64_t lost = ack.consumed_rows - cp_ack_settled_rows(&ack);
        slot->dropped += lost;
        w->lost += lost;
        slot->handed = ack.consumed;
        slot->handed_rows = ack.consumed_rows;
        slot->count = 0;
        slot->flight = (model_chunk){0};
    }
    w->in_flight = false;
    memset(w->lane, 0, sizeof *w->lane);
    cp_lane_init(w->lane, &w->fixture.owner, 0, false);
    for (uint32_t s = 0; s < SLOTS; s++) {
        assert_int_equal(w->lane->taken[s].position, w->slots[s].handed);
        assert_int_equal(w->lane->taken[s].rows, w->slots[s].handed_rows);
        assert_int_equal(ack_of(w, s).delivered, ack_of(w, s).consumed);
    }
}

static void every_row_has_one_fate(void **state)
{
    (void)state;
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->lane = calloc(1, sizeof *w->lane);
    assert_non_null(w->lane);
    w->random = test_seed() | 1;
    region_fixture_make(&w->fixture, DDL, RING_SIZE, SLOTS, 64);
    cp_lane_init(w->lane, &w->fixture.owner, 0, false);
    for (int step = 0; step < STEPS; step++) {
        const uint64_t what = below(w, 100);
        if (what < 55)
            hand_on(w, (uint32_t)below(w, SLOTS));
        else if (what < 80)
            w->in_flight ? deliver(w) : send(w);
        else if (what < 98)
            drop(w, (uint32_t)below(w, SLOTS));
        else
            kill_and_follow(w);
        check(w);
    }
    assert_true(w->lost > 0);
    region_fixture_remove(&w->fixture);
    free(w->lane);
    free(w);
}

/* What was at risk when the recorder ended is booked once, and told. */
static void a_loss_is_booked_once(void **state)
{
    (void)state;
    region_fixture fixture;
    cp_lane *lane = calloc(1, sizeof *lane);
    assert_non_null(lane);
    region_fixture_make(&fixture, DDL, RING_SIZE, SLOTS, 64);
    cp_lane_init(lane, &fixture.owner, 0, false);
    uint64_t from;
    lane->taken[1] = (cp_lane_taken){100 * RECORD, 100};
    assert_true(cp_lane_take_early(lane, 1, 30, &from));
    assert_int_equal(from, 0);
    assert_false(cp_lane_take_early(lane, 1, 0, &from)); /* nothing more to give back */
    assert_int_equal(cp_lane_book_lost(lane), 70);
    assert_int_equal(lane->lost[1].begin, 0);
    assert_int_equal(lane->lost[1].end, 100 * RECORD);
    assert_int_equal(lane->lost[1].rows, 70);
    assert_int_equal(cp_lane_book_lost(lane), 0);
    memset(lane, 0, sizeof *lane);
    cp_lane_init(lane, &fixture.owner, 0, false);
    cp_abi_ack ack;
    assert_true(cp_ack_read(cp_control_ack(&fixture.owner.control, 0, 1), &ack));
    assert_int_equal(ack.dropped_rows, 70);
    assert_int_equal(ack.suppressed_rows, 30);
    assert_int_equal(lane->lost[1].end, lane->lost[1].begin);
    region_fixture_remove(&fixture);
    free(lane);
}

/* ---- killed in the middle of an acknowledgement ---- */

enum { TAKEN = 100, SUPPRESSED = 30 };

/* A ring with one row more than are taken out of it. */
static void ring_fill(region_fixture *fixture)
{
    const uint64_t row[2] = {1, 2};
    cp_region *region;
    cp_ring *ring;
    cp_error err = {0};
    region_fixture_make(fixture, DDL, RING_SIZE, SLOTS, 64);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "t", fixture->table->schema_hash, "test", &err), CP_OK);
    for (int i = 0; i < TAKEN + 1; i++)
        assert_int_equal(cp_put(ring, row, sizeof row), CP_OK);
    cp_ring_close(ring);
    cp_detach(region);
}

/* killed: before the position is moved. */
static void take_early(cp_lane *lane, region_fixture *fixture, bool killed)
{
    uint64_t from;
    memset(lane, 0, sizeof *lane);
    cp_lane_init(lane, &fixture->owner, 0, false);
    lane->taken[0] = (cp_lane_taken){(uint64_t)TAKEN * RECORD, TAKEN};
    if (killed)
        cp_failpoint_armed_ = CP_FP_LANE_ACK_HALF;
    assert_true(cp_lane_take_early(lane, 0, SUPPRESSED, &from));
}

/* The account that a successor goes on from: what is not consumed is still in the ring, all else has one fate. */
static cp_abi_ack followed(cp_lane *lane, region_fixture *fixture)
{
    cp_abi_ack ack;
    memset(lane, 0, sizeof *lane);
    cp_lane_init(lane, &fixture->owner, 0, false);
    assert_true(cp_ack_read(cp_control_ack(&fixture->owner.control, 0, 0), &ack));
    assert_int_equal(ack.delivered, ack.consumed);
    assert_int_equal(ack.consumed_rows * RECORD, ack.consumed);
    assert_int_equal(cp_ack_settled_rows(&ack), ack.consumed_rows);
    return ack;
}

/* Rows that were counted as left out, and are in the ring still, come again: they are not counted twice. */
static void killed_while_taking_out_early(void **state)
{
    (void)state;
    region_fixture fixture;
    cp_lane *lane = calloc(1, sizeof *lane);
    assert_non_null(lane);
    ring_fill(&fixture);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        take_early(lane, &fixture, true);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    const cp_abi_ack ack = followed(lane, &fixture);
    assert_int_equal(ack.consumed, 0);
    assert_int_equal(ack.suppressed_rows, 0);
    assert_int_equal(ack.dropped_rows, 0);
    take_early(lane, &fixture, false);
    assert_int_equal(followed(lane, &fixture).suppressed_rows, SUPPRESSED);
    region_fixture_remove(&fixture);
    free(lane);
}

/* The position behind dropped rows is stored before their count is. */
static void killed_while_dropping(void **state)
{
    (void)state;
    region_fixture fixture;
    cp_lane *lane = calloc(1, sizeof *lane);
    assert_non_null(lane);
    ring_fill(&fixture);
    take_early(lane, &fixture, false);
    cp_abi_ack *shared = cp_control_ack(&fixture.owner.control, 0, 0);
    shared->sequence |= 1;
    shared->delivered = shared->durable = (uint64_t)TAKEN * RECORD;
    const cp_abi_ack ack = followed(lane, &fixture);
    assert_int_equal(ack.consumed_rows, TAKEN);
    assert_int_equal(ack.suppressed_rows, SUPPRESSED);
    assert_int_equal(ack.dropped_rows, TAKEN - SUPPRESSED);
    assert_int_equal(ack.doubtful_rows, 0);
    region_fixture_remove(&fixture);
    free(lane);
}

int main(void)
{
    cp_log_set_level(CP_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_one_fate),
        cmocka_unit_test(a_loss_is_booked_once),
        cmocka_unit_test(killed_while_taking_out_early),
        cmocka_unit_test(killed_while_dropping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
