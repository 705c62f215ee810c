/* Quarantine files: what was written is read, duplicates are one row, damage costs what it hit, the limit holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flush/quarantine.h"

static char dir[256];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/coldpath-quarantine-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static cp_quarantine_row row_of(uint64_t position, const void *bytes, uint32_t size)
{
    return (cp_quarantine_row){.schema_hash = 7,
                               .epoch = 1,
                               .position = position,
                               .refused_ns = 1000 + position,
                               .slot = 3,
                               .code = 469,
                               .together = 1,
                               .size = size,
                               .bytes = bytes,
                               .message = "Code: 469. refused"};
}

static void put_rows(cp_quarantine *quarantine, uint64_t first, uint64_t count)
{
    static const uint64_t bytes[5] = {1, 2, 3, 4, 5};
    cp_error err = {0};
    assert_int_equal(cp_quarantine_begin(quarantine, &err), CP_OK);
    for (uint64_t i = 0; i < count; i++) {
        const cp_quarantine_row row = row_of((first + i) * 64, bytes, 33);
        assert_int_equal(cp_quarantine_add(quarantine, &row, &err), CP_OK);
    }
    assert_int_equal(cp_quarantine_commit(quarantine, &err), CP_OK);
}

static void load(cp_quarantine_list *list, uint64_t rows)
{
    cp_error err = {0};
    assert_int_equal(cp_quarantine_load(list, dir, "t", CP_QUARANTINE_ROWS | CP_QUARANTINE_RETRYING, &err),
                     CP_OK);
    assert_int_equal(list->count, rows);
}

static void path_of(char path[512], const char *kind)
{
    snprintf(path, 512, "%s/t.%s", dir, kind);
}

static void test_written_is_read(void **state)
{
    (void)state;
    cp_quarantine quarantine;
    cp_quarantine_list list;
    cp_quarantine_row row;
    uint8_t *buffer = NULL;
    cp_error err = {0};
    assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", 1 << 20, &err), CP_OK);
    load(&list, 0);
    put_rows(&quarantine, 0, 10);
    put_rows(&quarantine, 5, 10); /* five of them again */
    load(&list, 15);
    assert_true(cp_quarantine_list_has(&list, 1, 3, 14 * 64));
    assert_false(cp_quarantine_list_has(&list, 1, 3, 15 * 64));
    assert_false(cp_quarantine_list_has(&list, 2, 3, 14 * 64));
    assert_int_equal(cp_quarantine_read(&list, &list.entries[14], &buffer, &row, &err), CP_OK);
    assert_int_equal(row.position, 14 * 64);
    assert_int_equal(row.size, 33);
    assert_int_equal(row.bytes[8], 2);
    assert_int_equal(row.code, 469);
    assert_string_equal(row.message, "Code: 469. refused");
    free(buffer);
    cp_quarantine_list_free(&list);
}

static void test_abort_leaves_nothing(void **state)
{
    (void)state;
    cp_quarantine quarantine;
    cp_quarantine_list list;
    cp_error err = {0};
    const uint64_t bytes = 1;
    const cp_quarantine_row row = row_of(0, &bytes, 8);
    assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", 1 << 20, &err), CP_OK);
    assert_int_equal(cp_quarantine_begin(&quarantine, &err), CP_OK);
    assert_int_equal(cp_quarantine_add(&quarantine, &row, &err), CP_OK);
    cp_quarantine_abort(&quarantine);
    load(&list, 0);
    cp_quarantine_list_free(&list);
}

static void test_limit(void **state)
{
    (void)state;
    cp_quarantine quarantine;
    cp_quarantine_list list;
    cp_error err = {0};
    const uint64_t bytes = 1;
    assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", 1000, &err), CP_OK);
    assert_int_equal(cp_quarantine_begin(&quarantine, &err), CP_OK);
    int rc = CP_OK;
    for (uint64_t i = 0; rc == CP_OK; i++) {
        const cp_quarantine_row row = row_of(i * 8, &bytes, 8);
        rc = cp_quarantine_add(&quarantine, &row, &err);
        assert_true(i < 4);
    }
    assert_int_equal(rc, CP_E_TOO_BIG);
    assert_non_null(strstr(err.text, "quarantine.limit"));
    cp_quarantine_abort(&quarantine);
    load(&list, 0);
    cp_quarantine_list_free(&list);
}

/* Every byte of the file damaged in turn costs at most the one record; every torn end is cut off by the next writer. */
static void test_damage(void **state)
{
    (void)state;
    cp_quarantine quarantine;
    cp_quarantine_list list;
    cp_error err = {0};
    char path[512];
    path_of(path, "rows");
    assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", 1 << 20, &err), CP_OK);
    put_rows(&quarantine, 0, 3);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (off_t at = 0; at < info.st_size; at++) {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        const uint8_t other = byte ^ 0x55;
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        assert_int_equal(cp_quarantine_load(&list, dir, "t", CP_QUARANTINE_ROWS, &err), CP_OK);
        if (list.count != 2 || list.damaged * 3 != (uint64_t)info.st_size)
            fail_msg("byte %ld: %lu rows, %lu bytes damaged", (long)at, (unsigned long)list.count,
                     (unsigned long)list.damaged);
        cp_quarantine_list_free(&list);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    for (off_t size = info.st_size - 1; size > info.st_size * 2 / 3; size -= 7) {
        cp_quarantine again;
        assert_int_equal(ftruncate(fd, size), 0);
        assert_int_equal(cp_quarantine_init(&again, dir, "t", 1 << 20, &err), CP_OK);
        put_rows(&again, 2, 1);
        load(&list, 3);
        assert_int_equal(list.damaged, 0);
        cp_quarantine_list_free(&list);
    }
    close(fd);
}

static void test_retry_and_trash(void **state)
{
    (void)state;
    cp_quarantine quarantine;
    cp_quarantine_list list;
    cp_error err = {0};
    bool moved;
    assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", 1 << 20, &err), CP_OK);
    put_rows(&quarantine, 0, 3);
    assert_int_equal(cp_quarantine_lock(&quarantine, &err), CP_OK);
    cp_quarantine other;
    assert_int_equal(cp_quarantine_init(&other, dir, "t", 1 << 20, &err), CP_OK);
    assert_int_equal(cp_quarantine_begin(&other, &err), CP_E_BUSY);
    assert_int_equal(cp_quarantine_begin_retry(&quarantine, &moved, &err), CP_OK);
    assert_true(moved);
    cp_quarantine_unlock(&quarantine);
    assert_int_equal(cp_quarantine_at_rest(&quarantine, &err), CP_E_BUSY);
    put_rows(&other, 3, 1); /* into a new file */
    load(&list, 4);
    cp_quarantine_list_free(&list);
    assert_int_equal(cp_quarantine_lock(&quarantine, &err), CP_OK);
    assert_int_equal(cp_quarantine_trash(&quarantine, true, "retried", &moved, &err), CP_OK);
    assert_true(moved);
    assert_int_equal(cp_quarantine_trash(&quarantine, true, "retried", &moved, &err), CP_OK);
    assert_false(moved);
    cp_quarantine_unlock(&quarantine);
    load(&list, 1);
    cp_quarantine_list_free(&list);
    assert_int_equal(cp_quarantine_load(&list, dir, "t", CP_QUARANTINE_ROWS | CP_QUARANTINE_TRASH, &err),
                     CP_OK);
    assert_int_equal(list.count, 4);
    cp_quarantine_list_free(&list);
}

static void test_bad_places(void **state)
{
    (void)state;
    cp_quarantine quarantine;
    cp_error err = {0};
    assert_true(cp_quarantine_init(&quarantine, dir, "../t", 1 << 20, &err) < 0);
    assert_true(cp_quarantine_init(&quarantine, dir, "", 1 << 20, &err) < 0);
    assert_int_equal(cp_quarantine_init(&quarantine, "/proc/none", "t", 1 << 20, &err), CP_OK);
    assert_true(cp_quarantine_begin(&quarantine, &err) < 0);
    assert_non_null(strstr(err.text, "/proc/none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abort_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retry_and_trash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_places, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
