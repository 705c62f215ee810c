/* What a region, its files and those who attach refuse before they touch anything, and what of a predecessor's intent is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/ack.h"
#include "shm/error_log.h"
#include "shm/intent.h"
#include "shm/observer.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE plain (ts Int64, value Float64) ENGINE = MergeTree ORDER BY ts"

enum { RING_SIZE = CP_RING_MIN_SIZE, SLOTS = 2, NOBODY = 65534, COMPONENT = 200 };

static region_fixture fixture;
static cp_error err;

static int setup(void **state)
{
    (void)state;
    region_fixture_make(&fixture, DDL, RING_SIZE, SLOTS, 1024);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    region_fixture_remove(&fixture);
    return 0;
}

static int own(const char *dir, const char *group)
{
    cp_region_owner owner;
    const cp_region_spec spec = {dir, "test", group, 0600, &fixture.spec, 1};
    const int rc = cp_region_own(&owner, &spec, &err);
    if (rc == CP_OK)
        cp_region_release(&owner);
    return rc;
}

/* A directory below the fixture's, so deep that its path has `length` bytes. Made, or removed. */
static void deep(char *path, size_t length, bool make)
{
    size_t used = (size_t)snprintf(path, length + 1, "%s", fixture.dir);
    size_t ends[CP_MAX_REGION_PATH / COMPONENT + 2];
    int count = 0;
    while (used < length) {
        const size_t left = length - used;
        const size_t part = left / 2 > COMPONENT ? COMPONENT : left > COMPONENT ? left - COMPONENT : left;
        memset(path + used, 'd', part);
        path[used] = '/';
        used += part;
        path[used] = '\0';
        ends[count++] = used;
        if (make)
            assert_int_equal(mkdir(path, 0700), 0);
    }
    while (!make && count-- > 0) {
        path[ends[count]] = '\0';
        assert_int_equal(rmdir(path), 0);
    }
}

static void test_paths_that_are_too_long(void **state)
{
    (void)state;
    static cp_error_view view;
    char path[CP_MAX_REGION_PATH + 1];
    cp_observer observer;
    cp_error_log notes;
    cp_control control;
    cp_region *region;
    deep(path, CP_MAX_REGION_PATH - 2, true);
    assert_int_equal(own(path, NULL), CP_E_INVAL); /* its lock's path would be cut */
    assert_non_null(strstr(err.text, "longer than"));
    assert_false(cp_region_is_owned(path));
    assert_int_equal(cp_attach(&region, path, &err), CP_E_INVAL);
    assert_int_equal(cp_observer_open(&observer, path, &err), CP_E_INVAL);
    assert_int_equal(cp_error_log_open(&notes, path, 0600, (unsigned)-1, &err), CP_E_INVAL);
    assert_int_equal(cp_error_log_read(&view, path, &err), CP_E_INVAL);
    assert_int_equal(
        cp_control_create(&control, path, "control.new", "test", &fixture.spec, 1, 0600, (unsigned)-1, &err),
        CP_E_INVAL);
    deep(path, CP_MAX_REGION_PATH - 2, false);
    memset(path, 'd', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(cp_attach(&region, path, &err), CP_E_INVAL);
    assert_int_equal(own(path, NULL), CP_E_INVAL);
    assert_int_equal(own("not/absolute", NULL), CP_E_INVAL);
    assert_non_null(strstr(err.text, "absolute"));
    assert_int_equal(cp_attach(&region, "", &err), CP_E_INVAL);
    assert_int_equal(cp_attach(&region, NULL, &err), CP_E_INVAL);
}

/* Long enough for control and lock, too long for the rings. */
static void test_ring_paths_that_are_too_long(void **state)
{
    (void)state;
    char path[CP_MAX_REGION_PATH + 1];
    char file[CP_MAX_REGION_PATH + 32];
    uint64_t epoch;
    cp_ring_map map;
    const size_t length = CP_MAX_REGION_PATH - sizeof "/recorder.lock" - 1;
    cp_abi_table entry = fixture.owner.control.directory[0];
    memset(entry.name, 'n', 64);
    deep(path, length, true);
    assert_int_equal(cp_ring_create(path, &entry, 0, 0600, (unsigned)-1, &epoch, &err), CP_E_INVAL);
    assert_int_equal(cp_ring_map_open(&map, path, &entry, 0, CP_RING_READ, &err), CP_E_INVAL);
    cp_table *table = NULL;
    static const char ddl[] =
        "CREATE TABLE a_table_whose_name_is_a_long_one (ts Int64) ENGINE = MergeTree ORDER BY ts";
    assert_int_equal(cp_table_parse(&table, "long.sql", ddl, sizeof ddl - 1, &err), CP_OK);
    const cp_control_table kept = fixture.spec;
    fixture.spec.table = table;
    assert_int_equal(own(path, NULL), CP_E_INVAL);
    assert_non_null(strstr(err.text, "path of a ring"));
    fixture.spec = kept;
    cp_table_free(table);
    snprintf(file, sizeof file, "%s/recorder.lock", path);
    assert_int_equal(unlink(file), 0);
    deep(path, length, false); /* nothing else was left there */
}

static void test_a_control_file_that_is_too_big(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    cp_control control;
    cp_control_table *specs = calloc(MANY, sizeof *specs);
    assert_non_null(specs);
    for (int i = 0; i < MANY; i++)
        specs[i] = fixture.spec;
    assert_int_equal(cp_control_create(&control, fixture.dir, "control.new", "test", specs, MANY, 0600,
                                       (unsigned)-1, &err),
                     CP_E_TOO_BIG);
    free(specs);
}

static void test_an_unknown_group(void **state)
{
    (void)state;
    assert_int_equal(own(fixture.dir, "no-such-group"), CP_E_INVAL);
    assert_non_null(strstr(err.text, "'no-such-group'"));
}

/* Root's directory, that everyone may write to, seen by somebody else. */
static void test_a_directory_that_everyone_can_write_to(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(fixture.dir, 0777), 0);
    const pid_t child = fork();
    if (child == 0)
        _exit(setgid(NOBODY) == 0 && setuid(NOBODY) == 0 && own(fixture.dir, NULL) == CP_E_PERM &&
                      strstr(err.text, "chmod o-w")
                  ? 0
                  : 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_all_rings_are_broken(void **state)
{
    (void)state;
    cp_region *region;
    cp_ring *ring;
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        cp_control_ack(&fixture.owner.control, 0, slot)->fault = CP_RING_BAD_RECORD;
    assert_int_equal(cp_attach(&region, fixture.dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "plain", 0, NULL, &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "broken"));
    cp_detach(region);
}

/* ---- intents ---------------------------------------------------------------------------------------------------- */

static cp_abi_intent *intent_begin(void)
{
    const cp_control *control = &fixture.owner.control;
    cp_abi_intent_span spans[SLOTS] = {{0}};
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        cp_abi_ack ack;
        cp_ack_read(cp_control_ack(control, 0, slot), &ack);
        spans[slot].slot = slot;
        spans[slot].epoch = ack.epoch;
        spans[slot].begin = ack.consumed;
        spans[slot].end = ack.consumed + 24;
    }
    cp_intent_begin(&control->intents[0], "token", 2, spans, SLOTS);
    return &control->intents[0];
}

static bool intent_believed(cp_abi_intent *intent)
{
    cp_abi_intent copy;
    const bool believed = cp_intent_load(&fixture.owner.control, 0, &copy);
    assert_int_equal(cp_intent_is_open(intent), !believed); /* else nobody would come past it */
    return believed;
}

static void test_intents_that_cannot_be(void **state)
{
    (void)state;
    assert_true(intent_believed(intent_begin()));
    cp_abi_intent *intent = intent_begin();
    intent->spans[1].slot = SLOTS;
    assert_false(intent_believed(intent));
    (intent = intent_begin())->spans[1].slot = 0; /* twice */
    assert_false(intent_believed(intent));
    (intent = intent_begin())->spans[0].end += RING_SIZE;
    assert_false(intent_believed(intent));
    (intent = intent_begin())->spans[0].epoch++;
    assert_false(intent_believed(intent));
    (intent = intent_begin())->spans[0].begin++; /* given back already */
    assert_false(intent_believed(intent));
    cp_intent_delivered(intent = intent_begin());
    intent->spans[0].begin++; /* as it may be by then */
    assert_true(intent_believed(intent));
    (intent = intent_begin())->span_count = CP_REGION_MAX_SLOTS + 1;
    assert_false(intent_believed(intent));
    memset((intent = intent_begin())->token, 't', sizeof intent->token);
    assert_false(intent_believed(intent));
    cp_intent_piece(intent = intent_begin(), 1, 1);
    assert_true(intent_believed(intent));
    cp_intent_piece(intent = intent_begin(), 1, 2); /* past the batch's end */
    assert_false(intent_believed(intent));
    cp_intent_piece(intent = intent_begin(), 3, 1);
    assert_false(intent_believed(intent));
    (intent = intent_begin())->state = CP_INTENT_DELIVERED + 7;
    assert_false(intent_believed(intent));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_paths_that_are_too_long),
        TEST(test_ring_paths_that_are_too_long),
        TEST(test_a_control_file_that_is_too_big),
        TEST(test_an_unknown_group),
        TEST(test_a_directory_that_everyone_can_write_to),
        TEST(test_all_rings_are_broken),
        TEST(test_intents_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
