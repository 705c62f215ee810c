/* Every call that region, producer, observer and error log make of the system, and every allocation, fails in its turn: what could not be
 * done is said, nothing is left open, and each row that a put vouched for is in its ring for whoever comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "shm/error_log.h"
#include "shm/observer.h"
#include "shm/region.h"
#include "shm/ring_reader.h"
#include "tests/support/failing.h"

#define DDL(name) "CREATE TABLE " name " (ts Int64, value Float64) ENGINE = MergeTree ORDER BY ts"
#define GROUP     "daemon" /* which every Debian has */

enum { ROWS = 3, RECORD = 24, DEPTH = 5, PATH = 256 };

typedef struct plain_row {
    int64_t ts;
    double value;
} plain_row;

typedef struct life {
    char top[64];
    char dir[PATH];
    cp_table *tables[2];
    cp_control_table specs[2];
    cp_region_spec spec;
    cp_region_owner owner;
    cp_error err;
    int rc;
    uint64_t vouched; /* rows */
} life;

static life f;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

static int setup(void **state)
{
    (void)state;
    snprintf(f.top, sizeof f.top, "/dev/shm/coldpath-test-XXXXXX");
    if (!mkdtemp(f.top))
        return -1;
    snprintf(f.dir, sizeof f.dir, "%s/parent/region", f.top);
    const char *ddl[] = {DDL("plain"), DDL("other")};
    for (int i = 0; i < 2; i++) {
        if (cp_table_parse(&f.tables[i], "test.sql", ddl[i], strlen(ddl[i]), &f.err) < 0)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        cp_table_free(f.tables[i]);
    nftw(f.top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return rmdir(f.top);
}

/* An empty directory, and what a configuration says. */
static void begin(void)
{
    nftw(f.top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < 2; i++)
        f.specs[i] = (cp_control_table){f.tables[i], CP_RING_MIN_SIZE, 1, 1024, false};
    f.spec = (cp_region_spec){.dir = f.dir,
                              .namespace_name = "test",
                              .group = geteuid() == 0 ? GROUP : NULL,
                              .file_mode = 0660,
                              .tables = f.specs,
                              .table_count = 2};
    f.vouched = 0;
    f.rc = CP_OK;
    f.err = (cp_error){0};
}

#define CHECK(condition) FAILING_CHECK(condition, f.err.text)

/* What fails says so. */
static void checked(int rc)
{
    CHECK(rc >= 0 || f.err.text[0]);
    f.err = (cp_error){0};
}

static int own(void)
{
    return cp_region_own(&f.owner, &f.spec, &f.err);
}

static void own_surely(void)
{
    const int rc = own();
    CHECK(rc == CP_OK);
}

/* In all rings of the table. */
static uint64_t pending_bytes(uint32_t table)
{
    uint64_t bytes = 0;
    const cp_abi_table *entry = &f.owner.control.directory[table];
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        cp_abi_ack ack;
        cp_ring_reader reader;
        cp_ack_read(cp_control_ack(&f.owner.control, table, slot), &ack);
        const int rc = cp_ring_reader_open(&reader, f.dir, entry, slot, &ack, &f.err);
        CHECK(rc == CP_OK && reader.fault == CP_RING_SOUND);
        bytes += cp_ring_reader_pending(&reader);
        cp_ring_reader_close(&reader);
    }
    return bytes;
}

/* ---- what is done -------------------------------------------------------------------------------------------------- */

static void put_rows(void)
{
    cp_region *region = NULL;
    cp_ring *ring = NULL;
    int rc = cp_attach(&region, f.dir, &f.err);
    if (rc == CP_OK)
        rc = cp_ring_open(&ring, region, "plain", f.tables[0]->schema_hash, "test", &f.err);
    checked(rc);
    for (int i = 0; rc == CP_OK && i < ROWS; i++) {
        const plain_row row = {i, i * 0.5};
        f.vouched += cp_put(ring, &row, sizeof row) == CP_OK;
    }
    cp_ring_close(ring);
    if (region)
        (void)cp_region_in_place(region);
    cp_detach(region);
}

static void observe(void)
{
    cp_observer observer;
    const int rc = cp_observer_open(&observer, f.dir, &f.err);
    checked(rc);
    if (rc == CP_OK && cp_observer_look(&observer) == CP_OK && observer.tables[0].rings[0].counted &&
        observer.tables[0].rings[0].readable)
        CHECK(observer.tables[0].in_ring == f.vouched);
    cp_observer_close(&observer);
}

static void note(void)
{
    static cp_error_view view;
    cp_error_log notes;
    const cp_error_event event = {CP_LOG_WARN, "plain", "slow", "n=1", "wait", 1};
    int rc = cp_error_log_open(&notes, f.dir, 0640, f.owner.lock_fd >= 0 ? getegid() : (unsigned)-1, &f.err);
    checked(rc);
    cp_error_log_note(&notes, &event);
    const bool noted = rc == CP_OK;
    cp_error_log_close(&notes);
    rc = cp_error_log_read(&view, f.dir, &f.err);
    checked(rc);
    if (noted && rc == CP_OK)
        CHECK(view.count == 1);
}

/* A recorder's start on nothing, a producer, those who look; then the recorder again, with access and slots changed. */
static void live(void)
{
    int rc = own();
    checked(rc);
    if (rc == CP_OK)
        note();
    put_rows();
    observe();
    (void)cp_region_is_owned(f.dir);
    cp_region_release(&f.owner);
    f.spec.file_mode = 0600;
    checked(own());
    cp_region_release(&f.owner);
    f.specs[0].slots = 2;
    f.specs[1].ring_size *= 2;
    checked(own());
    cp_region_release(&f.owner);
    f.spec.table_count = 1;
    checked(own());
    cp_region_release(&f.owner);
    put_rows();
}

/* Whatever failed: who comes next has region and rows. */
static void check_rows(void)
{
    own_surely();
    CHECK(pending_bytes(0) == f.vouched * RECORD);
    cp_region_release(&f.owner);
    put_rows();
    own_surely();
    CHECK(pending_bytes(0) == f.vouched * RECORD);
    cp_region_release(&f.owner);
}

static void sweep(failing_mode mode)
{
    unsigned turns = 0;
    FAILING_SWEEP(mode, DEPTH)
    {
        begin();
        const int files = failing_open_files();
        failing_begin();
        live();
        failing_end();
        CHECK(failing_open_files() == files);
        check_rows();
        turns++;
    }
    print_message("%u calls had their turn\n", turns - 1);
    assert_true(turns > (mode == FAILING_SHORT ? 4 : 100));
}

static void test_one_call_fails(void **state)
{
    (void)state;
    sweep(FAILING_ONCE);
}

static void test_one_call_fails_by_an_io_error(void **state)
{
    (void)state;
    sweep(FAILING_EIO);
}

static void test_all_calls_fail_from_one_on(void **state)
{
    (void)state;
    sweep(FAILING_ON);
}

static void test_short_reads_and_writes(void **state)
{
    (void)state;
    sweep(FAILING_SHORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_call_fails),
        cmocka_unit_test(test_one_call_fails_by_an_io_error),
        cmocka_unit_test(test_all_calls_fail_from_one_on),
        cmocka_unit_test(test_short_reads_and_writes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
