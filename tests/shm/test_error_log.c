/* The region's file of errors: the same is counted, what is seen least lately makes room, a killed writer and foreign bytes cost a reader
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "shm/error_log.h"
#include "shm/sigbus_guard.h"
#include "tests/support/region_fixture.h"

enum { MODE = 0640, NOTES = 200000 };

static char dir[64];
static char path[128];
static cp_error_log notes;
static cp_error_view view;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/dev/shm/coldpath-errors-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/" CP_ERROR_LOG_FILE, dir);
    return cp_error_log_open(&notes, dir, MODE, (unsigned)-1, NULL) == CP_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cp_error_log_close(&notes);
    unlink(path);
    return rmdir(dir);
}

static void note(const char *table, const char *message, const char *detail, uint64_t now)
{
    const cp_error_event event = {.level = CP_LOG_WARN,
                                  .table = table,
                                  .message = message,
                                  .detail = detail,
                                  .remedy = "do",
                                  .now_ns = now};
    cp_error_log_note(&notes, &event);
}

static void look(void)
{
    cp_error err = {0};
    if (cp_error_log_read(&view, dir, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_the_same_is_counted(void **state)
{
    (void)state;
    struct stat status;
    look();
    assert_int_equal(view.count, 0);
    note("a", "slow", "n=1", 10);
    note("b", "slow", "n=2", 20);
    note("a", "slow", "n=3", 30);
    note("a", "gone", "", 40);
    note("", "slow", "n=4", 50);
    look();
    assert_int_equal(view.count, 4);
    assert_int_equal(view.changes, 5);
    assert_int_equal(view.displaced, 0);
    const cp_abi_error *entry = &view.entries[1]; /* in the order of the latest */
    assert_string_equal(view.entries[0].table, "b");
    assert_string_equal(entry->table, "a");
    assert_string_equal(entry->message, "slow");
    assert_string_equal(entry->detail, "n=3");
    assert_string_equal(entry->remedy, "do");
    assert_int_equal(entry->count, 2);
    assert_int_equal(entry->first_ns, 10);
    assert_int_equal(entry->last_ns, 30);
    assert_int_equal(entry->recorder_pid, getpid());
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, MODE);
    /* The next recorder goes on. */
    cp_error_log_close(&notes);
    note("a", "slow", "not open", 55);
    assert_int_equal(cp_error_log_open(&notes, dir, 0600, (unsigned)-1, NULL), CP_OK);
    note("a", "slow", "n=5", 60);
    look();
    assert_int_equal(view.count, 4);
    assert_int_equal(view.entries[3].count, 3);
    assert_int_equal(view.entries[3].first_ns, 10);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

/* Somebody cuts the file short, or takes it away: nobody dies of it, and it can be made anew. */
static void test_the_file_is_cut_short(void **state)
{
    (void)state;
    cp_sigbus_install();
    note("a", "slow", "n=1", 10);
    assert_true(cp_error_log_is_whole(&notes, dir));
    assert_int_equal(truncate(path, 0), 0);
    assert_false(cp_error_log_is_whole(&notes, dir));
    note("a", "slow", "n=2", 20);
    note("b", "slow", "n=1", 30);
    cp_error_log_close(&notes);
    assert_int_equal(cp_error_log_open(&notes, dir, MODE, (unsigned)-1, NULL), CP_OK);
    assert_true(cp_error_log_is_whole(&notes, dir));
    note("b", "slow", "n=2", 40);
    look();
    assert_int_equal(view.count, 1);
    assert_int_equal(unlink(path), 0);
    assert_false(cp_error_log_is_whole(&notes, dir));
}

/* An error of before the clock was set back is one still. */
static void test_a_clock_that_goes_back(void **state)
{
    (void)state;
    note("t", "again", "n=1", 1000);
    note("t", "again", "n=2", 10);
    look();
    assert_int_equal(view.count, 1);
    assert_int_equal(view.entries[0].count, 2);
    assert_int_equal(view.entries[0].first_ns, 10);
    assert_int_equal(view.entries[0].last_ns, 10);
}

static void test_the_longest_quiet_makes_room(void **state)
{
    (void)state;
    char message[32];
    for (uint64_t i = 0; i < CP_ABI_ERRORS; i++) {
        snprintf(message, sizeof message, "message %u", (unsigned)i);
        note("t", message, "", 100 + i);
    }
    note("t", "message 0", "", 500);
    note("t", "new", "", 501); /* in place of message 1 */
    look();
    assert_int_equal(view.count, CP_ABI_ERRORS);
    assert_int_equal(view.displaced, 1);
    bool seen[3] = {false};
    for (uint32_t i = 0; i < view.count; i++) {
        seen[0] |= strcmp(view.entries[i].message, "message 0") == 0;
        seen[1] |= strcmp(view.entries[i].message, "message 1") == 0;
        seen[2] |= strcmp(view.entries[i].message, "new") == 0;
    }
    assert_true(seen[0] && !seen[1] && seen[2]);
    assert_string_equal(view.entries[CP_ABI_ERRORS - 1].message, "new");
}

/* Longer than an entry, and with what a terminal would obey. */
static void test_texts(void **state)
{
    (void)state;
    char huge[4096];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    note(huge, huge, huge, 1);
    note(huge, huge, huge, 2);
    note("t", "bell \a and \x1b[31m red", "two\nlines", 3);
    look();
    assert_int_equal(view.count, 2);
    assert_int_equal(view.entries[0].count, 2);
    assert_int_equal(strlen(view.entries[0].table), CP_ABI_NAME - 1);
    assert_int_equal(strlen(view.entries[0].detail), CP_ABI_ERROR_DETAIL - 1);
    assert_string_equal(view.entries[1].message, "bell ? and ?[31m red");
    assert_string_equal(view.entries[1].detail, "two?lines");
}

static void test_a_killed_writer(void **state)
{
    (void)state;
    note("t", "half", "whole", 1);
    notes.entries[0].sequence++;
    memset(notes.entries[0].detail, 'x', sizeof notes.entries[0].detail); /* without an end */
    look();
    assert_int_equal(view.count, 1);
    assert_string_equal(view.entries[0].message, "half");
    assert_string_equal(view.entries[0].detail, ""); /* may be of two events */
    cp_error_log_close(&notes);
    assert_int_equal(cp_error_log_open(&notes, dir, MODE, (unsigned)-1, NULL), CP_OK);
    assert_int_equal(notes.entries[0].sequence % 2, 0);
    note("t", "half", "whole again", 2);
    look();
    assert_int_equal(view.entries[0].count, 2);
    assert_string_equal(view.entries[0].detail, "whole again");
}

static void check_view(void)
{
    assert_true(view.count <= CP_ABI_ERRORS);
    for (uint32_t i = 0; i < view.count; i++) {
        const cp_abi_error *entry = &view.entries[i];
        assert_true(entry->count > 0 && entry->first_ns <= entry->last_ns && entry->message[0]);
        assert_non_null(memchr(entry->table, '\0', sizeof entry->table));
        assert_non_null(memchr(entry->message, '\0', sizeof entry->message));
        assert_non_null(memchr(entry->detail, '\0', sizeof entry->detail));
        assert_non_null(memchr(entry->remedy, '\0', sizeof entry->remedy));
        assert_true(i == 0 || view.entries[i - 1].change <= entry->change);
    }
}

/* Anybody's bytes: a view that holds, or an error; and a recorder that opens it can note in it. */
static void test_foreign_bytes(void **state)
{
    (void)state;
    cp_error err = {0};
    uint64_t random = test_seed();
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    uint8_t *bytes = (uint8_t *)notes.header;
    uint32_t sound = 0;
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 20; i++)
            note("t", i % 2 ? "one" : "two", "detail", (uint64_t)round);
        for (int i = 0; i < 2000; i++) {
            const uint64_t at = test_random(&random) % (uint64_t)status.st_size;
            if (at >= 16 || round % 4 == 0) /* mostly not the magic: what is behind it is to be reached */
                bytes[at] = (uint8_t)test_random(&random);
        }
        for (uint32_t i = 0; i < CP_ABI_ERRORS; i++)
            notes.entries[i].sequence &= ~1u; /* a reader waits for odd ones; that is tried elsewhere */
        if (cp_error_log_read(&view, dir, &err) == CP_OK) {
            check_view();
            sound += view.count;
        }
        cp_error_log_close(&notes);
        assert_int_equal(cp_error_log_open(&notes, dir, MODE, (unsigned)-1, &err), CP_OK);
        bytes = (uint8_t *)notes.header;
        note("t", "after", "", 1);
        look();
        check_view();
    }
    assert_true(sound > 0);
    cp_error_log_close(&notes);
    const off_t sizes[] = {0, 7, CP_ABI_ERRORS_HEADER, status.st_size - 1, status.st_size + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        assert_int_equal(cp_error_log_read(&view, dir, &err), CP_E_CORRUPT);
        assert_int_equal(cp_error_log_open(&notes, dir, MODE, (unsigned)-1, &err), CP_OK);
        look();
        cp_error_log_close(&notes);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cp_error_log_read(&view, dir, &err), CP_E_ABSENT);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_true(cp_error_log_read(&view, dir, &err) < 0);
}

static void *write_many(void *unused)
{
    (void)unused;
    char detail[400];
    for (uint64_t i = 1; i <= NOTES; i++) {
        memset(detail, 'a' + (int)(i % 26), sizeof detail - 1);
        detail[sizeof detail - 1] = '\0';
        note("t", "much", detail, i);
    }
    return NULL;
}

/* What a reader believes beside a writer is one event, whole. */
static void test_beside_a_writer(void **state)
{
    (void)state;
    pthread_t writer;
    uint32_t whole = 0;
    assert_int_equal(pthread_create(&writer, NULL, write_many, NULL), 0);
    do {
        look();
        for (uint32_t i = 0; i < view.count; i++) {
            const char *detail = view.entries[i].detail;
            if (!detail[0]) /* the writer was not on a CPU for long, in the midst of it */
                continue;
            whole++;
            assert_int_equal(strspn(detail, (char[]){detail[0], '\0'}), 399);
            assert_int_equal(detail[0], 'a' + (int)(view.entries[i].last_ns % 26));
        }
    } while (view.changes < NOTES);
    pthread_join(writer, NULL);
    look();
    assert_true(whole > 0);
    assert_int_equal(view.entries[0].count, NOTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_file_is_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_that_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_quiet_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_killed_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beside_a_writer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
