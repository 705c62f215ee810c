/* A span is on disk before its first row is put: a host that dies then knows which rows may be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/import/stage.h"

static int syncs;

/* SQLite's, too: a program's own symbols come before those of the C library. */
__attribute__((visibility("default"))) int fsync(int fd)
{
    (void)fd;
    syncs++;
    return 0;
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    return fsync(fd);
}

static void test_span_is_synced(void **state)
{
    char path[] = "/tmp/coldpath-stage-XXXXXX";
    char name[64];
    cp_staging stage;
    cp_staged_rows rows = {0};
    cp_put_span span = {.table = "t", .boot = "b", .schema_hash = 7};
    (void)state;
    assert_non_null(mkdtemp(path));
    snprintf(name, sizeof name, "%s/stage", path);
    assert_int_equal(cp_staging_open(&stage, name, true, NULL), CP_OK);
    assert_int_equal(cp_staging_begin(&stage, NULL), CP_OK);
    assert_int_equal(cp_staging_add(&stage, "t", 7, "row", 3, NULL), CP_OK);
    assert_int_equal(cp_staging_end(&stage, CP_OK, NULL), CP_OK);
    assert_int_equal(cp_staging_load(&stage, "t", 7, NULL, 10, &rows, NULL), CP_OK);
    assert_int_equal(rows.count, 1);
    syncs = 0;
    assert_int_equal(cp_staging_span_make(&stage, &span, &rows, NULL), CP_OK);
    assert_true(syncs > 0);
    syncs = 0;
    assert_int_equal(cp_staging_span_settle(&stage, &span, &rows, 1, NULL), CP_OK);
    assert_int_equal(syncs, 0); /* that would be a sync for every transaction */
    const uint64_t import_id = stage.import_id;
    cp_staged_rows_free(&rows);
    cp_staging_close(&stage);
    assert_int_equal(cp_staging_open(&stage, name, true, NULL), CP_OK);
    assert_true(import_id != 0 && stage.import_id == import_id);
    cp_staging_close(&stage);
    static const char *const suffixes[] = {"", ".coldpath-lock"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(name, sizeof name, "%s/stage%s", path, suffixes[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_span_is_synced)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
