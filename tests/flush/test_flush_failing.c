/* Every call that delivery makes of the system and of its libraries, and every allocation, fails in its turn: of files, what was
 * durable is there and nothing else is; of batches, each row is delivered, set aside or in the quarantine, once, when the trouble is over.
 *
 * The servers are processes of their own, so that only the flusher's calls fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_server.h"
#include "flush/held.h"
#include "flush/quarantine.h"
#include "flush/quarantine_retry.h"
#include "flush_fixture.h"
#include "tests/support/failing.h"

#define DDL                                                                                                  \
    "CREATE TABLE orders (id UInt32, name LowCardinality(String), _cp_epoch UInt64, _cp_slot UInt16, "       \
    "_cp_position UInt64) ENGINE = MergeTree ORDER BY id"
#define REFUSED                                                                                              \
    {                                                                                                        \
        NULL, FAKE_REPLY, 500, "X-ClickHouse-Exception-Code: 469\r\n",                                       \
            "Code: 469. DB::Exception: Constraint `sound` is violated. (VIOLATED_CONSTRAINT)\n"              \
    }

enum {
    ROWS = 8,
    GRACE_NS = 30 * CP_NS_PER_MS, /* for which all calls go on failing, once the flusher runs */
    LIMIT = 1 << 20
};

static char dir[64];
static cp_error err;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            failing_end();                                                                                   \
            fail_msg("%s (%s failed; %s)", #condition, failing_what(), err.text);                            \
        }                                                                                                    \
    } while (0)

static int checked(int rc)
{
    CHECK(rc >= 0 || err.text[0]);
    return rc;
}

static int open_files(void)
{
    int count = 0;
    DIR *fds = opendir("/proc/self/fd");
    assert_non_null(fds);
    while (readdir(fds))
        count++;
    closedir(fds);
    return count;
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/dev/shm/coldpath-flush-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    flush_remove_all(dir);
    return 0;
}

static void begin(void)
{
    flush_remove_all(dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    err = (cp_error){0};
}

static const failing_mode modes[] = {FAILING_ONCE, FAILING_ON, FAILING_SHORT};
enum { MODES = sizeof modes / sizeof modes[0] };

/* ---- quarantine files --------------------------------------------------------------------------------------------- */

static cp_quarantine_row row_of(uint64_t position)
{
    static const uint64_t bytes[5] = {1, 2, 3, 4, 5};
    return (cp_quarantine_row){.schema_hash = 7,
                               .epoch = 1,
                               .position = position,
                               .refused_ns = 1000 + position,
                               .slot = 3,
                               .code = 469,
                               .together = 1,
                               .size = 33,
                               .bytes = (const uint8_t *)bytes,
                               .message = "Code: 469. refused"};
}

/* True when the row is durable. */
static bool quarantine_put(cp_quarantine *quarantine, uint64_t position)
{
    const cp_quarantine_row row = row_of(position);
    int rc = checked(cp_quarantine_begin(quarantine, &err));
    if (rc == CP_OK && (rc = checked(cp_quarantine_add(quarantine, &row, &err))) == CP_OK)
        rc = checked(cp_quarantine_commit(quarantine, &err));
    else
        cp_quarantine_abort(quarantine);
    return rc == CP_OK;
}

static uint64_t quarantine_count(unsigned which, bool surely)
{
    cp_quarantine_list list = {0};
    cp_quarantine_row row;
    uint8_t *buffer = NULL;
    const int rc = checked(cp_quarantine_load(&list, dir, "t", which, &err));
    CHECK(rc == CP_OK || !surely);
    const uint64_t count = rc == CP_OK ? list.count : 0;
    for (uint64_t i = 0; i < count; i++) {
        const bool read = checked(cp_quarantine_read(&list, &list.entries[i], &buffer, &row, &err)) == CP_OK;
        CHECK(read || !surely);
        CHECK(!read || (row.size == 33 && row.code == 469 && strcmp(row.message, "Code: 469. refused") == 0));
    }
    free(buffer);
    if (rc == CP_OK)
        cp_quarantine_list_free(&list);
    return count;
}

static void test_quarantine_files(void **state)
{
    (void)state;
    enum { EVERYWHERE = CP_QUARANTINE_ROWS | CP_QUARANTINE_RETRYING | CP_QUARANTINE_TRASH };
    unsigned turns = 0;
    for (int i = 0; i < MODES; i++) {
        FAILING_SWEEP(modes[i], 1)
        {
            cp_quarantine quarantine;
            bool put[3];
            bool moved = false;
            begin();
            assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", LIMIT, &err), CP_OK);
            const int files = open_files();
            failing_begin();
            put[0] = quarantine_put(&quarantine, 64);
            put[1] = quarantine_put(&quarantine, 128);
            (void)quarantine_count(EVERYWHERE, false);
            (void)checked(cp_quarantine_at_rest(&quarantine, &err));
            if (checked(cp_quarantine_lock(&quarantine, &err)) == CP_OK) {
                (void)checked(cp_quarantine_begin_retry(&quarantine, &moved, &err));
                (void)checked(cp_quarantine_trash(&quarantine, true, "once", &moved, &err));
                cp_quarantine_unlock(&quarantine);
            }
            put[2] = quarantine_put(&quarantine, 192);
            (void)quarantine_count(EVERYWHERE, false);
            failing_end();
            CHECK(open_files() == files);
            CHECK(failing_happened() || (put[0] && put[1] && put[2]));
            const uint64_t promised = (uint64_t)put[0] + put[1] + put[2];
            const uint64_t found = quarantine_count(EVERYWHERE, true);
            CHECK(found >= promised && found <= 3);
            CHECK(quarantine_put(&quarantine, 256));
            CHECK(quarantine_count(EVERYWHERE, true) == found + 1);
            turns++;
        }
    }
    print_message("%u turns\n", turns);
    assert_true(turns > 60);
}

/* ---- batches set aside -------------------------------------------------------------------------------------------- */

/* first: of the piece; or, when it may be, the last. */
static bool held_is_whole(const char *path, uint32_t first, uint32_t last)
{
    cp_held held;
    if (checked(cp_held_open(&held, path, &err)) != CP_OK)
        return false;
    CHECK(held.header->rows == 2 && held.header->piece_first >= first && held.header->piece_first <= last &&
          held.header->chunk_count == 1);
    CHECK(held.chunks[0].byte_count == 48 && memcmp(held.chunks[0].data + 8, "a row of bytes", 15) == 0);
    cp_held_close(&held);
    return true;
}

static void test_held_files(void **state)
{
    (void)state;
    static _Alignas(8) uint8_t data[64] = {16,  [8] = 'a', ' ', 'r', 'o', 'w', ' ', 'o',
                                           'f', ' ',       'b', 'y', 't', 'e', 's', [24] = 16};
    static uint32_t row_at[2] = {8, 32};
    cp_chunk chunk = {.data = data,
                      .row_at = row_at,
                      .data_capacity = sizeof data,
                      .row_capacity = 2,
                      .byte_count = 48,
                      .row_count = 2,
                      .slot = 3,
                      .epoch = 9,
                      .end = 48};
    cp_chunk *const chunks[] = {&chunk};
    const cp_batch_piece piece = {1, 1};
    char path[CP_HELD_PATH];
    char below[80];
    unsigned turns = 0;
    for (int i = 0; i < MODES; i++) {
        FAILING_SWEEP(modes[i], 1)
        {
            begin();
            snprintf(below, sizeof below, "%s/held", dir);
            assert_true(cp_held_path(path, below, "t", "token"));
            cp_held_header header = {
                .endpoint = 5, .schema_hash = 7, .rows = 2, .table = "t", .token = "token"};
            const int files = open_files();
            failing_begin();
            const bool written = checked(cp_held_write(path, below, &header, chunks, 1, &err)) == CP_OK;
            const bool read = written && held_is_whole(path, 0, 0);
            const bool set = written && checked(cp_held_set_piece(path, piece, &err)) == CP_OK;
            failing_end();
            CHECK(open_files() == files);
            CHECK(failing_happened() || (written && read && set));
            if (written)
                CHECK(held_is_whole(path, set ? 1 : 0, 1));
            else
                CHECK(cp_held_write(path, below, &header, chunks, 1, &err) == CP_OK &&
                      held_is_whole(path, 0, 0));
            CHECK(cp_held_remove(path, below, &err) == CP_OK && access(path, F_OK) != 0);
            turns++;
        }
        FAILING_SWEEP(modes[i], 1)
        {
            begin();
            cp_held_header header = {
                .endpoint = 5, .schema_hash = 7, .rows = 2, .table = "t", .token = "token"};
            assert_int_equal(cp_held_write(path, below, &header, chunks, 1, &err), CP_OK);
            failing_begin();
            (void)checked(cp_held_remove(path, below, &err));
            failing_end();
            CHECK(cp_held_remove(path, below, &err) == CP_OK && access(path, F_OK) != 0);
            turns++;
        }
    }
    print_message("%u turns\n", turns);
    assert_true(turns > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quarantine_files),
        cmocka_unit_test(test_held_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
