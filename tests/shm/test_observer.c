/* Looking at a region from outside, again and again: glances say what counting says, counts never go back, and rings that are made
 * anew, or only after the first look, are followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "shm/ack.h"
#include "shm/observer.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE watched (ts Int64) ENGINE = MergeTree ORDER BY ts"

enum { RING_SIZE = CP_RING_MIN_SIZE, ROW = 8 };

static region_fixture fixture;
static cp_observer observer;

static int setup(void **state)
{
    (void)state;
    region_fixture_make(&fixture, DDL, RING_SIZE, 2, RING_SIZE / 4);
    return cp_observer_open(&observer, fixture.dir, NULL);
}

static int teardown(void **state)
{
    (void)state;
    cp_observer_close(&observer);
    region_fixture_remove(&fixture);
    return 0;
}

static void put(cp_ring *ring, int rows)
{
    const int64_t row = 1;
    for (int i = 0; i < rows; i++)
        assert_int_equal(cp_put(ring, &row, ROW), CP_OK);
}

static void look(bool glance, uint64_t produced, uint64_t in_ring)
{
    observer.glance = glance;
    assert_int_equal(cp_observer_look(&observer), CP_OK);
    assert_int_equal(observer.tables[0].produced, produced);
    assert_int_equal(observer.tables[0].in_ring, in_ring);
    assert_true(observer.tables[0].balanced);
}

static void test_glance(void **state)
{
    (void)state;
    cp_region *region;
    cp_ring *ring;
    cp_error err = {0};
    assert_int_equal(cp_attach(&region, fixture.dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "watched", fixture.table->schema_hash, "test", &err), CP_OK);
    look(true, 0, 0);
    put(ring, 10);
    look(true, 10, 10);
    look(false, 10, 10);
    const uint64_t record = 8 + ROW; /* a record has a header of 8 bytes */
    region_fixture_ack(&fixture, 0, 4 * record, 4);
    look(true, 10, 6);
    look(false, 10, 6);
    assert_int_equal(observer.tables[0].producers, 1);
    cp_ring_close(ring);
    look(true, 10, 6);
    assert_int_equal(observer.tables[0].producers, 0);
    cp_detach(region);
}

/* The ring's file goes and comes back under another epoch, as when somebody frees a broken slot. */
static void test_made_anew(void **state)
{
    (void)state;
    char path[CP_MAX_REGION_PATH];
    uint64_t epoch = 0;
    look(true, 0, 0);
    const uint64_t before = observer.maps[0].epoch;
    assert_int_equal(cp_ring_path(path, fixture.dir, "watched", 0, NULL), CP_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(
        cp_ring_create(fixture.dir, observer.tables[0].entry, 0, 0600, (unsigned)-1, &epoch, NULL), CP_OK);
    assert_int_not_equal(epoch, before);
    cp_abi_ack *ack = cp_control_ack(&fixture.owner.control, 0, 0);
    cp_abi_ack fresh = {.epoch = epoch};
    cp_ack_write(ack, &fresh);
    look(true, 0, 0);
    assert_int_equal(observer.maps[0].epoch, epoch);
    assert_true(observer.tables[0].rings[0].readable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_glance, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_made_anew, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
