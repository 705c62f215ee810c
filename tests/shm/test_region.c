/* Making, taking over and changing a region; attaching to it; and what happens when its files are not what they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/ack.h"
#include "shm/observer.h"
#include "shm/sigbus_guard.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE plain (ts Int64, value Float64) ENGINE = MergeTree ORDER BY ts"

enum { RING_SIZE = CP_RING_MIN_SIZE, FLICKERS = 20000 };

typedef struct plain_row {
    int64_t ts;
    double value;
} plain_row;

static int setup(void **state)
{
    static region_fixture fixture;
    region_fixture_make(&fixture, DDL, RING_SIZE, 2, 1024);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    region_fixture_remove(*state);
    return 0;
}

static void put_rows(region_fixture *fixture, int count)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err = {0};
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "plain", fixture->table->schema_hash, NULL, &err), CP_OK);
    for (int i = 0; i < count; i++) {
        const plain_row row = {i, i * 0.5};
        assert_int_equal(cp_put(ring, &row, sizeof row), CP_OK);
    }
    cp_ring_close(ring);
    cp_detach(region);
}

static int own_again(region_fixture *fixture, cp_error *err)
{
    const cp_region_spec spec = {fixture->dir, "test", NULL, 0600, &fixture->spec, 1};
    return cp_region_own(&fixture->owner, &spec, err);
}

static void test_takes_over_a_region_with_its_rows(void **state)
{
    region_fixture *fixture = *state;
    cp_error err = {0};
    put_rows(fixture, 3);
    const uint64_t generation = fixture->owner.control.generation;
    cp_region_release(&fixture->owner);
    assert_int_equal(own_again(fixture, &err), CP_OK);
    assert_false(fixture->owner.created);
    assert_int_equal(fixture->owner.control.generation, generation);
    cp_ring_reader reader;
    region_fixture_open_reader(fixture, 0, &reader);
    assert_int_equal(cp_ring_reader_pending(&reader), 3 * 24);
    cp_ring_reader_close(&reader);
}

static void test_a_region_that_is_not_in_place(void **state)
{
    const region_fixture *fixture = *state;
    cp_region *region;
    cp_error err;
    char control[CP_MAX_REGION_PATH + 16];
    char aside[CP_MAX_REGION_PATH + 16];
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    assert_true(cp_region_in_place(region));
    snprintf(control, sizeof control, "%s/control", fixture->dir);
    snprintf(aside, sizeof aside, "%s/aside", fixture->dir);
    assert_int_equal(rename(control, aside), 0);
    assert_false(cp_region_in_place(region));
    FILE *other = fopen(control, "we");
    assert_non_null(other);
    fclose(other);
    assert_false(cp_region_in_place(region));
    assert_int_equal(rename(aside, control), 0);
    assert_true(cp_region_in_place(region));
    cp_detach(region);
}

static void test_one_recorder_at_a_time(void **state)
{
    region_fixture *fixture = *state;
    cp_region_owner second;
    cp_error err = {0};
    const cp_region_spec spec = {fixture->dir, "test", NULL, 0600, &fixture->spec, 1};
    assert_int_equal(cp_region_own(&second, &spec, &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "another recorder runs"));
    assert_true(cp_region_is_owned(fixture->dir));
    cp_region_release(&fixture->owner);
    assert_false(cp_region_is_owned(fixture->dir));
    assert_int_equal(own_again(fixture, &err), CP_OK);
}

static void test_more_slots_keep_the_rows(void **state)
{
    region_fixture *fixture = *state;
    cp_error err = {0};
    cp_region *region;
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    put_rows(fixture, 5);
    cp_region_release(&fixture->owner);
    fixture->spec.slots = 4;
    assert_int_equal(own_again(fixture, &err), CP_OK);
    assert_true(fixture->owner.created);
    assert_int_equal(fixture->owner.control.directory[0].slots, 4);
    cp_ring_reader reader;
    region_fixture_open_reader(fixture, 0, &reader);
    assert_int_equal(cp_ring_reader_pending(&reader), 5 * 24);
    cp_ring_reader_close(&reader);
    /* The producer that was attached before is told. */
    cp_ring *ring;
    assert_int_equal(cp_ring_open(&ring, region, "plain", 0, NULL, &err), CP_OK);
    plain_row row = {0};
    int rc;
    while ((rc = cp_put(ring, &row, sizeof row)) == CP_OK)
        ;
    assert_int_equal(rc, CP_E_RETIRED);
    assert_int_equal(cp_put_wait(ring, &row, sizeof row, 0), CP_E_RETIRED);
    cp_ring_stats stats;
    cp_ring_get_stats(ring, &stats);
    assert_int_equal(stats.full, 0); /* no row was refused: it goes into the new region */
    cp_ring_close(ring);
    cp_detach(region);
}

/* The files of the others would hold their memory for good. */
static void test_fewer_slots_leave_no_rings(void **state)
{
    region_fixture *fixture = *state;
    cp_error err = {0};
    char path[256];
    cp_region_release(&fixture->owner);
    fixture->spec.slots = 1;
    assert_int_equal(own_again(fixture, &err), CP_OK);
    snprintf(path, sizeof path, "%s/plain.0.ring", fixture->dir);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/plain.1.ring", fixture->dir);
    assert_int_equal(access(path, F_OK), -1);
}

/* Its counts are ahead of its position. Who takes the region over has to know, though it is made anew. */
static void test_a_half_written_acknowledgement_stays_one(void **state)
{
    region_fixture *fixture = *state;
    cp_error err = {0};
    put_rows(fixture, 3);
    cp_abi_ack *ack = cp_control_ack(&fixture->owner.control, 0, 0);
    ack->consumed_rows = 3;
    ack->sequence |= 1;
    cp_region_release(&fixture->owner);
    fixture->spec.slots = 3;
    assert_int_equal(own_again(fixture, &err), CP_OK);
    assert_true(fixture->owner.created);
    cp_abi_ack copy;
    assert_false(cp_ack_read(cp_control_ack(&fixture->owner.control, 0, 0), &copy));
    assert_int_equal(copy.consumed_rows, 3);
    assert_true(cp_ack_read(cp_control_ack(&fixture->owner.control, 0, 1), &copy));
}

static void test_a_changed_table_waits_for_its_rows(void **state)
{
    region_fixture *fixture = *state;
    cp_error err = {0};
    put_rows(fixture, 1);
    cp_region_release(&fixture->owner);
    fixture->spec.ring_size = 2ull * RING_SIZE;
    assert_int_equal(own_again(fixture, &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "still holds rows"));
    fixture->spec.ring_size = RING_SIZE; /* the old configuration still runs */
    assert_int_equal(own_again(fixture, &err), CP_OK);
    region_fixture_ack(fixture, 0, 24, 1);
    fixture->owner.control.counters[0].paused_since_ns = 7;
    fixture->owner.control.pressure[0].forced = 1;
    fixture->owner.control.counters[0].delivered_rows = 1;
    cp_region_release(&fixture->owner);
    fixture->spec.ring_size = 2ull * RING_SIZE;
    assert_int_equal(own_again(fixture, &err), CP_OK);
    assert_int_equal(fixture->owner.control.directory[0].ring_size, 2 * RING_SIZE);
    /* What an operator held back is held back still; the counts begin anew with the rings. */
    assert_int_equal(fixture->owner.control.counters[0].paused_since_ns, 7);
    assert_int_equal(fixture->owner.control.pressure[0].forced, 1);
    assert_int_equal(fixture->owner.control.counters[0].delivered_rows, 0);
    put_rows(fixture, 1);
}

static void test_schema_mismatch_is_refused(void **state)
{
    region_fixture *fixture = *state;
    cp_region *region;
    cp_ring *ring;
    cp_error err = {0};
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "plain", 12345, NULL, &err), CP_E_SCHEMA);
    assert_non_null(strstr(err.text, "coldpath schema gen plain"));
    assert_int_equal(cp_ring_open(&ring, region, "plane", 0, NULL, &err), CP_E_ABSENT);
    assert_non_null(strstr(err.text, "plain"));
    cp_detach(region);
}

static void test_slots_run_out_and_come_back(void **state)
{
    region_fixture *fixture = *state;
    cp_region *region;
    cp_ring *rings[3];
    cp_error err = {0};
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&rings[0], region, "plain", 0, "first", &err), CP_OK);
    assert_int_equal(cp_ring_open(&rings[1], region, "plain", 0, "second", &err), CP_OK);
    assert_int_equal(cp_ring_open(&rings[2], region, "plain", 0, "third", &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "first (pid "));
    cp_ring_close(rings[0]);
    assert_int_equal(cp_ring_open(&rings[2], region, "plain", 0, "third", &err), CP_OK);
    cp_ring_stats stats;
    cp_ring_get_stats(rings[2], &stats);
    assert_int_equal(stats.slot, 0);
    cp_ring_close(rings[1]);
    cp_ring_close(rings[2]);
    cp_detach(region);
}

/* Killed between claim and commit: that row alone is lost, the slot is free at once, its successor goes on. */
static void test_producer_killed_between_claim_and_commit(void **state)
{
    region_fixture *fixture = *state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        cp_region *region;
        cp_ring *ring;
        if (cp_attach(&region, fixture->dir, NULL) < 0 ||
            cp_ring_open(&ring, region, "plain", 0, NULL, NULL) < 0)
            _exit(1);
        const plain_row row = {7, 7};
        cp_put(ring, &row, sizeof row);
        void *claimed = cp_claim(ring, sizeof row);
        memset(claimed, 0xee, sizeof row);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    put_rows(fixture, 2);
    cp_ring_reader reader;
    region_fixture_open_reader(fixture, 0, &reader);
    assert_int_equal(cp_ring_reader_pending(&reader), 3 * 24);
    uint8_t copy[3 * 24];
    cp_ring_reader_copy(&reader, copy, sizeof copy, sizeof copy);
    plain_row rows[3];
    for (int i = 0; i < 3; i++)
        memcpy(&rows[i], copy + i * 24 + 8, sizeof rows[i]);
    assert_int_equal(rows[0].ts, 7);
    assert_int_equal(rows[1].ts, 0);
    assert_int_equal(rows[2].ts, 1);
    assert_int_equal(reader.map.hot->rows, 3);
    cp_ring_reader_close(&reader);
}

/* A refusal is counted once, however often a waiting put looks; rows of impossible sizes are refused. */
static void test_refusals(void **state)
{
    region_fixture *fixture = *state;
    cp_region *region;
    cp_ring *ring;
    cp_ring_stats stats;
    static uint8_t row[2048];
    assert_int_equal(cp_attach(&region, fixture->dir, NULL), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "plain", 0, NULL, NULL), CP_OK);
    assert_int_equal(cp_put(ring, row, 0), CP_E_INVAL);
    assert_null(cp_claim(ring, 0));
    assert_int_equal(cp_put(ring, row, 1025), CP_E_TOO_BIG);
    assert_int_equal(cp_put(ring, row, 1024), CP_OK);
    assert_int_equal(cp_put_wait(ring, row, 1025, 0), CP_E_TOO_BIG);
    while (cp_put(ring, row, 1024) == CP_OK)
        ;
    cp_ring_get_stats(ring, &stats);
    assert_int_equal(stats.full, 1);
    assert_int_equal(cp_put_wait(ring, row, 1024, 5000000), CP_E_TIMEOUT);
    cp_ring_get_stats(ring, &stats);
    assert_int_equal(stats.full, 2);
    assert_int_equal(stats.too_big, 2);
    cp_ring_close(ring);
    cp_detach(region);
}

static void edit_file(const char *dir, const char *name, off_t at, const void *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    close(fd);
}

static void test_another_abi_version_is_refused(void **state)
{
    region_fixture *fixture = *state;
    const uint32_t major = 99;
    cp_region *region;
    cp_error err = {0};
    edit_file(fixture->dir, "control", offsetof(cp_abi_control, abi_major), &major, sizeof major);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_E_ABI);
    assert_non_null(strstr(err.text, "99."));
    cp_region_release(&fixture->owner);
    assert_int_equal(own_again(fixture, &err), CP_E_ABI);
}

static void test_strange_files_are_refused(void **state)
{
    region_fixture *fixture = *state;
    char control[256];
    char moved[256];
    cp_region *region;
    cp_error err = {0};
    snprintf(control, sizeof control, "%s/control", fixture->dir);
    snprintf(moved, sizeof moved, "%s/moved", fixture->dir);
    assert_int_equal(rename(control, moved), 0);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_E_ABSENT);
    assert_non_null(strstr(err.text, "coldpath init"));
    assert_int_equal(symlink("moved", control), 0);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_E_CORRUPT);
    unlink(control);
    assert_int_equal(mkfifo(control, 0600), 0);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_E_CORRUPT);
    unlink(control);
    assert_int_equal(close(open(control, O_CREAT | O_RDWR, 0600)), 0);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_E_CORRUPT);
}

/* Whatever a control file says, opening it ends in an error or in a region; never in a crash. */
static void test_random_control_files(void **state)
{
    region_fixture *fixture = *state;
    uint64_t random = test_seed();
    char path[256];
    snprintf(path, sizeof path, "%s/control", fixture->dir);
    static uint8_t good[16384];
    const int fd = open(path, O_RDWR);
    const ssize_t size = pread(fd, good, sizeof good, 0);
    assert_true(size > 4096);
    int refused = 0;
    for (int i = 0; i < 3000; i++) {
        static uint8_t bad[16384];
        memcpy(bad, good, sizeof bad);
        for (uint64_t n = test_random(&random) % 4 + 1; n > 0; n--) {
            const uint64_t at =
                test_random(&random) % 3 ? test_random(&random) % 256 : test_random(&random) % (uint64_t)size;
            bad[at] = (uint8_t)test_random(&random);
        }
        assert_int_equal(pwrite(fd, bad, (size_t)size, 0), size);
        cp_region *region;
        const int rc = cp_attach(&region, fixture->dir, NULL);
        refused += rc < 0;
        if (rc == CP_OK)
            cp_detach(region);
    }
    assert_true(refused > 100);
    assert_int_equal(pwrite(fd, good, (size_t)size, 0), size);
    close(fd);
}

/* One slot's bytes make no sense: its neighbours are taken instead. */
static void test_a_broken_slot_is_passed_over(void **state)
{
    region_fixture *fixture = *state;
    const uint32_t nonsense = 0;
    cp_region *region;
    cp_ring *ring;
    cp_ring_stats stats;
    cp_error err = {0};
    put_rows(fixture, 3);
    edit_file(fixture->dir, "plain.0.ring", CP_ABI_RING_DATA_OFFSET, &nonsense, sizeof nonsense);
    assert_int_equal(cp_attach(&region, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "plain", 0, NULL, &err), CP_OK);
    cp_ring_get_stats(ring, &stats);
    assert_int_equal(stats.slot, 1);
    cp_ring_close(ring);
    edit_file(fixture->dir, "plain.1.ring", CP_ABI_RING_HOT_OFFSET, &(uint64_t){13}, 8);
    assert_int_equal(cp_ring_open(&ring, region, "plain", 0, NULL, &err), CP_E_CORRUPT);
    assert_non_null(strstr(err.text, "no rows"));
    cp_detach(region);
}

static void test_impossible_positions_are_faults(void **state)
{
    region_fixture *fixture = *state;
    const uint64_t positions[] = {1, 4, RING_SIZE + 8, UINT64_MAX - 7, 1ull << 40};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        cp_ring_reader reader;
        region_fixture_open_reader(fixture, 0, &reader);
        edit_file(fixture->dir, "plain.0.ring", CP_ABI_RING_HOT_OFFSET, &positions[i], sizeof positions[i]);
        assert_int_equal(cp_ring_reader_pending(&reader), 0);
        assert_int_equal(reader.fault, CP_RING_BAD_POSITION);
        cp_ring_reader_close(&reader);
    }
}

static void test_a_truncated_ring_is_survived(void **state)
{
    region_fixture *fixture = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/plain.0.ring", fixture->dir);
    cp_sigbus_install();
    cp_observer observer;
    cp_error err = {0};
    assert_int_equal(cp_observer_open(&observer, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_observer_look(&observer), CP_OK);
    assert_true(observer.tables[0].rings[0].readable);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(cp_observer_look(&observer), CP_OK);
    assert_false(observer.tables[0].rings[0].readable);
    assert_true(observer.tables[0].rings[1].readable);
    cp_observer_close(&observer);
}

/* Makes the file shorter and longer again until it is ended. */
static pid_t flicker(const char *path, off_t size)
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    while (truncate(path, 0) == 0 && truncate(path, size) == 0)
        ;
    _exit(1);
}

/* A file that changes its size between the look at it and the first byte read costs a look, never who looks. */
static void test_a_ring_that_flickers_is_survived(void **state)
{
    const region_fixture *fixture = *state;
    const cp_abi_table *entry = &fixture->owner.control.directory[0];
    char path[256];
    snprintf(path, sizeof path, "%s/plain.0.ring", fixture->dir);
    const pid_t pid = flicker(path, CP_ABI_RING_DATA_OFFSET + RING_SIZE);
    assert_true(pid > 0);
    for (int i = 0; i < FLICKERS; i++) {
        cp_ring_map map;
        cp_error err = {0};
        const int rc = cp_ring_map_open(&map, fixture->dir, entry, 0, CP_RING_READ, &err);
        assert_true(rc == CP_OK || rc == CP_E_CORRUPT);
        cp_ring_map_close(&map);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_the_observer_balances(void **state)
{
    region_fixture *fixture = *state;
    cp_observer observer;
    cp_error err = {0};
    put_rows(fixture, 10);
    region_fixture_ack(fixture, 0, 4 * 24, 4);
    assert_int_equal(cp_observer_open(&observer, fixture->dir, &err), CP_OK);
    assert_int_equal(cp_observer_look(&observer), CP_OK);
    const cp_table_view *table = &observer.tables[0];
    assert_int_equal(table->produced, 10);
    assert_int_equal(table->in_ring, 6);
    assert_int_equal(table->delivered, 4);
    assert_true(table->balanced);
    /* An acknowledgement of rows that were never put does not balance. */
    region_fixture_ack(fixture, 0, 4 * 24, 2);
    assert_int_equal(cp_observer_look(&observer), CP_OK);
    assert_false(table->balanced);
    cp_observer_close(&observer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_over_a_region_with_its_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_region_that_is_not_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_recorder_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_slots_keep_the_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fewer_slots_leave_no_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_half_written_acknowledgement_stays_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_changed_table_waits_for_its_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_mismatch_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_run_out_and_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_producer_killed_between_claim_and_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_abi_version_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strange_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_control_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_slot_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impossible_positions_are_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_truncated_ring_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_ring_that_flickers_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_observer_balances, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
