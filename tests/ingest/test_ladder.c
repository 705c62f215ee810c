/* The pressure ladder: dwell and calm, one enabled rung at a time, each mark alone, the growing interval, early release; and a
 * random walk against what must hold at every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/ladder.h"
#include "tests/support/region_fixture.h"

enum { DWELL = 100, CALM = 1000, INTERVAL_MIN = 10, INTERVAL_MAX = 75 };

static const cp_load nothing;

static cp_ladder_policy policy_of(bool suppress, bool conflate, bool drop)
{
    return (cp_ladder_policy){
        .early_release = true,
        .kept_up = 750,
        .kept_down = 500,
        .rungs = {[CP_RUNG_SUPPRESS] = {suppress, 900, 500, 500, 250, 0},
                  [CP_RUNG_CONFLATE] = {conflate, 900, 500, 650, 350, 0},
                  [CP_RUNG_DROP] = {drop, 900, 500, 900, 600, 0}},
        .dwell_ns = DWELL,
        .calm_ns = CALM,
        .interval_min_ns = INTERVAL_MIN,
        .interval_max_ns = INTERVAL_MAX,
    };
}

static cp_ladder ladder_of(bool suppress, bool conflate, bool drop)
{
    const cp_ladder_policy policy = policy_of(suppress, conflate, drop);
    cp_ladder ladder;
    cp_ladder_init(&ladder, &policy);
    return ladder;
}

/* Steps every 10 from *now on under one load, for span; the level at the end. */
static cp_rung hold(cp_ladder *ladder, cp_load load, uint64_t span, uint64_t *now)
{
    for (const uint64_t end = *now + span; *now < end; *now += 10)
        cp_ladder_step(ladder, &load, *now);
    return ladder->level;
}

static void climbs_one_rung_per_dwell(void **state)
{
    (void)state;
    cp_ladder ladder = ladder_of(true, true, true);
    const cp_load full = {.ring = 1000, .kept = 3000, .pool = 1000};
    uint64_t now = 1000;
    assert_int_equal(hold(&ladder, full, DWELL, &now), 0); /* a moment is no pressure */
    assert_int_equal(hold(&ladder, nothing, 10, &now), 0);
    assert_int_equal(hold(&ladder, full, DWELL, &now), 0); /* it has to last without a break */
    assert_int_equal(hold(&ladder, full, 10, &now), 1);
    assert_int_equal(hold(&ladder, full, DWELL, &now), 2);
    assert_int_equal(hold(&ladder, full, DWELL, &now), 3);
    assert_int_equal(hold(&ladder, full, 10 * DWELL, &now), 3);
    assert_int_equal(hold(&ladder, nothing, CALM, &now), 3);
    assert_int_equal(hold(&ladder, nothing, 10, &now), 2);
    assert_int_equal(hold(&ladder, nothing, CALM + 10, &now), 1);
    assert_int_equal(hold(&ladder, nothing, CALM + 10, &now), 0);
    assert_false(ladder.early);
}

static void stands_between_the_marks(void **state)
{
    (void)state;
    cp_ladder ladder = ladder_of(true, true, true);
    uint64_t now = 1000;
    assert_int_equal(hold(&ladder, (cp_load){.pool = 500}, 10 * DWELL, &now), 1);
    assert_int_equal(hold(&ladder, (cp_load){.pool = 649}, 10 * DWELL, &now), 1);
    assert_int_equal(hold(&ladder, (cp_load){.pool = 250}, 10 * CALM, &now), 1);
    assert_int_equal(hold(&ladder, (cp_load){.pool = 249, .ring = 500}, 10 * CALM, &now), 1);
    assert_true(ladder.early); /* on every rung */
    assert_int_equal(hold(&ladder, (cp_load){.pool = 249, .ring = 499}, CALM + 10, &now), 0);
}

static void passes_over_rungs_that_are_off(void **state)
{
    (void)state;
    uint64_t now = 1000;
    cp_ladder ladder = ladder_of(true, false, true);
    assert_int_equal(hold(&ladder, (cp_load){.pool = 700}, 10 * DWELL, &now), 1);
    assert_int_equal(hold(&ladder, (cp_load){.pool = 900}, DWELL + 10, &now), 3);
    assert_int_equal(hold(&ladder, nothing, CALM + 10, &now), 1);
    ladder = ladder_of(false, false, false);
    assert_int_equal(hold(&ladder, (cp_load){1000, 1000, 1000, UINT64_MAX}, 10 * DWELL, &now), 0);
    assert_true(ladder.early);
}

static void an_outage_alone_is_enough(void **state)
{
    (void)state;
    cp_ladder ladder = ladder_of(true, true, true);
    ladder.policy.rungs[CP_RUNG_SUPPRESS].outage_ns = 5000;
    uint64_t now = 1000;
    assert_int_equal(hold(&ladder, (cp_load){.outage_ns = 4999}, 10 * DWELL, &now), 0);
    assert_int_equal(hold(&ladder, (cp_load){.outage_ns = 5000}, 10 * DWELL, &now), 1);
    assert_int_equal(hold(&ladder, (cp_load){.outage_ns = 9000}, 10 * CALM, &now), 1);
    assert_int_equal(hold(&ladder, nothing, CALM + 10, &now), 0);
}

static void the_interval_grows_while_pressure_stays(void **state)
{
    (void)state;
    cp_ladder ladder = ladder_of(true, true, true);
    uint64_t now = 1000;
    assert_int_equal(hold(&ladder, (cp_load){.pool = 700}, 2 * DWELL + 20, &now), 2);
    assert_int_equal(ladder.interval_ns, INTERVAL_MIN);
    hold(&ladder, (cp_load){.pool = 700}, DWELL, &now);
    assert_int_equal(ladder.interval_ns, 2 * INTERVAL_MIN);
    hold(&ladder, (cp_load){.pool = 500}, 10 * DWELL, &now); /* relieved, not calm: it stays */
    assert_int_equal(ladder.interval_ns, 2 * INTERVAL_MIN);
    hold(&ladder, (cp_load){.pool = 700}, 20 * DWELL, &now);
    assert_int_equal(ladder.interval_ns, INTERVAL_MAX);
    assert_int_equal(hold(&ladder, nothing, CALM + 10, &now), 1);
    assert_int_equal(ladder.interval_ns, INTERVAL_MIN);
}

static void early_release_has_its_own_marks(void **state)
{
    (void)state;
    cp_ladder ladder = ladder_of(false, false, false);
    uint64_t now = 1000;
    hold(&ladder, (cp_load){.ring = 749, .kept = 749}, 10, &now);
    assert_false(ladder.early);
    hold(&ladder, (cp_load){.ring = 750, .kept = 750}, 10, &now);
    assert_true(ladder.early);
    hold(&ladder, (cp_load){.ring = 0, .kept = 500}, 100, &now);
    assert_true(ladder.early);
    hold(&ladder, (cp_load){.ring = 0, .kept = 499}, 10, &now);
    assert_false(ladder.early);
    ladder.policy.early_release = false;
    hold(&ladder, (cp_load){.ring = 1000, .kept = 1000}, 10, &now);
    assert_false(ladder.early);
}

/* Whatever the load does: one rung at a time, enabled ones, never faster than dwell and calm allow. */
static void held_on_a_rung(void **state)
{
    (void)state;
    cp_ladder ladder = ladder_of(true, true, true);
    const cp_load full = {.ring = 1000, .kept = 3000, .pool = 1000};
    uint64_t now = 1000;
    assert_true(cp_ladder_hold(&ladder, CP_RUNG_DROP, &nothing, now));
    assert_int_equal(ladder.level, CP_RUNG_DROP);
    assert_true(ladder.early);
    for (int i = 0; i < 100; i++) /* neither calm nor pressure moves it */
        assert_false(cp_ladder_hold(&ladder, CP_RUNG_DROP, i % 2 ? &nothing : &full, now += CALM));
    /* Let go, it comes down by itself, each rung after its calm. */
    now += 10;
    assert_int_equal(hold(&ladder, nothing, CALM, &now), 3);
    assert_int_equal(hold(&ladder, nothing, 10, &now), 2);
    /* Held where nothing is shed, a full ring is left to its producers. */
    assert_true(cp_ladder_hold(&ladder, CP_RUNG_NONE, &full, now));
    for (int i = 0; i < 100; i++)
        assert_false(cp_ladder_hold(&ladder, CP_RUNG_NONE, &full, now += DWELL));
    assert_int_equal(ladder.interval_ns, ladder.policy.interval_min_ns);
    now += 10;
    assert_int_equal(hold(&ladder, full, DWELL, &now), 0);
    assert_int_equal(hold(&ladder, full, 10, &now), 1);
}

static void random_walk(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    for (int round = 0; round < 200; round++) {
        const uint64_t bits = test_random(&random);
        cp_ladder ladder = ladder_of(bits & 1, bits & 2, bits & 4);
        cp_load load = {0};
        uint64_t now = 1;
        uint64_t climbed = 0;
        uint64_t left = 0;
        for (int step = 0; step < 2000; step++) {
            const cp_rung before = ladder.level;
            now += 1 + test_random(&random) % 60;
            if (test_random(&random) % 16 == 0)
                load = (cp_load){(uint32_t)(test_random(&random) % 1001),
                                 (uint32_t)(test_random(&random) % 5000),
                                 (uint32_t)(test_random(&random) % 1001), 0};
            const bool changed = cp_ladder_step(&ladder, &load, now);
            assert_int_equal(changed, ladder.level != before);
            assert_true(ladder.level == CP_RUNG_NONE || ladder.policy.rungs[ladder.level].enabled);
            assert_true(ladder.level == CP_RUNG_NONE || ladder.early);
            assert_in_range(ladder.interval_ns, INTERVAL_MIN, INTERVAL_MAX);
            for (int rung = (int)before + 1; rung < (int)ladder.level; rung++)
                assert_false(ladder.policy.rungs[rung].enabled);
            for (int rung = (int)ladder.level + 1; rung < (int)before; rung++)
                assert_false(ladder.policy.rungs[rung].enabled);
            if (ladder.level > before) {
                assert_true(climbed == 0 || now - climbed >= DWELL);
                climbed = now;
            } else if (ladder.level < before) {
                assert_true(left == 0 || now - left >= CALM);
                assert_true(now - climbed >= CALM);
                left = now;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(climbs_one_rung_per_dwell),
        cmocka_unit_test(stands_between_the_marks),
        cmocka_unit_test(passes_over_rungs_that_are_off),
        cmocka_unit_test(an_outage_alone_is_enough),
        cmocka_unit_test(the_interval_grows_while_pressure_stays),
        cmocka_unit_test(early_release_has_its_own_marks),
        cmocka_unit_test(held_on_a_rung),
        cmocka_unit_test(random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
