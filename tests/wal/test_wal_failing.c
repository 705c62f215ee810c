/* Every call that the log makes of the system, and every allocation, fails in its turn: what was reported durable is there for whoever
 * opens the log next, whole; what ClickHouse was said to have stays delivered; a repair and a purge that failed can be repeated.
 *
 * On tmpfs, for its speed; the calls are those of any file system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/failing.h"
#include "tests/wal/scratch.h"
#include "wal/log_private.h"
#include "wal/repair.h"

enum {
    DEPTH = 5,    /* of failing.h */
    RECORDS = 30, /* of three segments */
    DELIVERED = 4,
    CHUNK = 6064,
    STEPS = 6, /* when something has failed, for what may still become durable */
    WAIT_NS = 5 * CP_NS_PER_MS,
    CLOSE_NS = 20 * CP_NS_PER_MS
};

#define PATIENCE_NS (20 * (uint64_t)CP_NS_PER_S) /* when nothing has */

typedef struct life {
    scratch s;
    cp_wal_seams seams;
    cp_error err;
    uint64_t appended, durable; /* LSNs */
    uint64_t delivered, tried;  /* by a checkpoint that was durable, or may have been */
} life;

static life f;

#define CHECK(condition) FAILING_CHECK(condition, f.err.text)

static int checked(int code)
{
    CHECK(code >= 0 || f.err.text[0]);
    return code;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    snprintf(f.s.dir, sizeof f.s.dir, "/dev/shm/coldpath-wal-XXXXXX");
    if (!mkdtemp(f.s.dir))
        return -1;
    test_chunk_alloc(&f.s.chunk, CHUNK);
    test_chunk_alloc(&f.s.read, CHUNK);
    return 0;
}

static void empty(void)
{
    nftw(f.s.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int teardown(void **state)
{
    (void)state;
    empty();
    test_chunk_free(&f.s.chunk);
    test_chunk_free(&f.s.read);
    return rmdir(f.s.dir);
}

static void begin(cp_wal_backend backend)
{
    empty();
    f.s.config = (cp_wal_config){.dir = f.s.dir,
                                 .schema_hash = SCRATCH_SCHEMA,
                                 .segment_size = CP_WAL_SEGMENT_MIN,
                                 .limit = 8 * CP_WAL_SEGMENT_MIN,
                                 .max_chunk_bytes = CHUNK,
                                 .frame_bytes = 2 * CHUNK,
                                 .backend = backend};
    f.seams = (cp_wal_seams){.no_thread = true};
    f.appended = f.durable = f.delivered = f.tried = 0;
    f.s.position = 0;
    f.err = (cp_error){0};
}

/* ---- a log's life ------------------------------------------------------------------------------------------------- */

static int log_open(void)
{
    f.s.wal = NULL;
    int code = checked(cp_wal_open_with(&f.s.wal, &f.s.config, &f.seams, &f.err));
    if (code == CP_OK)
        code = checked(cp_wal_start(f.s.wal, &f.err));
    return code;
}

static void log_close(void)
{
    cp_wal_close(f.s.wal, cp_boottime_ns() + CLOSE_NS);
    f.s.wal = NULL;
}

static void log_step(void)
{
    cp_wal_maintain(f.s.wal, cp_boottime_ns());
    cp_wal_step_wait(f.s.wal, cp_boottime_ns(), WAIT_NS);
    f.durable = cp_wal_durable(f.s.wal);
}

static bool patient(int steps, uint64_t since_ns)
{
    return failing_happened() ? steps < STEPS : cp_boottime_ns() - since_ns < PATIENCE_NS;
}

/* As far as there is room. */
static void log_append(uint64_t last)
{
    const uint64_t since_ns = cp_boottime_ns();
    int steps = 0;
    while (f.appended < last && patient(steps, since_ns)) {
        uint64_t lsn = 0;
        test_chunk_make(&f.s.chunk, f.appended + 1, 3, 9, f.s.position, CHUNK);
        const int code = cp_wal_append(f.s.wal, &f.s.chunk, &lsn);
        CHECK(code == CP_OK || code == CP_FULL);
        if (code == CP_OK) {
            CHECK(lsn == f.appended + 1);
            f.appended = lsn;
            f.s.position = f.s.chunk.end;
        } else {
            steps++;
        }
        log_step();
    }
    for (; f.durable < f.appended && patient(steps, since_ns); steps++)
        log_step();
}

static void log_deliver(uint64_t lsn)
{
    if (lsn > f.durable)
        return;
    f.tried = lsn;
    if (checked(cp_wal_checkpoint_write(f.s.wal, lsn, NULL, 0, &f.err)) == CP_OK)
        f.delivered = lsn;
    cp_wal_release(f.s.wal, lsn);
}

/* What is read is what was appended, or it is said why not. */
static void log_read(uint64_t first, bool surely)
{
    cp_wal_reader *reader = NULL;
    uint64_t got = 0;
    int code = checked(cp_wal_reader_create(&reader, f.s.wal, first, &f.err));
    for (uint64_t lsn = first; code == CP_OK && lsn <= f.durable; lsn++) {
        code = checked(cp_wal_reader_next(reader, &f.s.read, &got, &f.err));
        if (code != CP_OK)
            break;
        CHECK(got == lsn);
        test_chunk_make(&f.s.chunk, lsn, 3, 9, f.s.read.begin, CHUNK);
        CHECK(test_chunk_equal(&f.s.chunk, &f.s.read));
    }
    CHECK(code == CP_OK || !surely);
    cp_wal_reader_free(reader);
}

static int count_record(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    (void)record;
    (void)payload;
    ++*(uint64_t *)ctx;
    return CP_OK;
}

static void log_inspect(void)
{
    cp_wal_view *view = NULL;
    uint64_t count = 0;
    int code = checked(cp_wal_inspect(&view, f.s.dir, CP_WAL_ALL, &f.err));
    if (code == CP_OK) {
        CHECK(view->fault_count == 0 || failing_happened());
        code = checked(cp_wal_view_records(view, f.delivered + 1, f.durable, count_record, &count, &f.err));
        CHECK(code != CP_OK || view->fault_count > 0 || f.durable <= f.delivered ||
              count == f.durable - f.delivered);
    }
    cp_wal_view_free(view);
}

/* New, some records, a batch delivered, looked at; then a successor, and more of the same. */
static void live(void)
{
    if (log_open() == CP_OK) {
        log_append(RECORDS / 2);
        log_deliver(DELIVERED);
        log_read(DELIVERED + 1, false);
    }
    log_close();
    log_inspect();
    if (log_open() == CP_OK) {
        f.appended = f.durable = cp_wal_durable(f.s.wal);
        f.s.position = 0;
        cp_wal_ring_end(f.s.wal, 3, 9, &f.s.position);
        log_append(RECORDS);
        log_deliver(RECORDS / 2);
    }
    log_close();
}

static void check_log(void)
{
    const uint64_t promised = f.durable;
    f.err = (cp_error){0};
    CHECK(log_open() == CP_OK);
    CHECK(cp_wal_durable(f.s.wal) >= promised);
    CHECK(cp_wal_delivered(f.s.wal) >= f.delivered);
    CHECK(cp_wal_delivered(f.s.wal) <= f.tried);
    f.durable = promised;
    if (promised > f.tried) {
        log_read(f.tried + 1, true);
    }
    log_close();
}

static void sweep_log(failing_mode mode, cp_wal_backend backend)
{
    unsigned turns = 0;
    FAILING_SWEEP(mode, DEPTH)
    {
        begin(backend);
        const int files = failing_open_files();
        failing_begin();
        live();
        failing_end();
        CHECK(failing_open_files() == files);
        if (!failing_happened())
            CHECK(f.durable == RECORDS && f.delivered == RECORDS / 2);
        check_log();
        turns++;
    }
    print_message("%u calls had their turn\n", turns - 1);
    assert_true(turns > (mode == FAILING_SHORT ? 4 : 100));
}

static void test_one_call_fails(void **state)
{
    (void)state;
    sweep_log(FAILING_ONCE, CP_WAL_POSIX);
}

static void test_one_call_fails_with_io_uring(void **state)
{
    (void)state;
    sweep_log(FAILING_ONCE, CP_WAL_AUTO);
}

static void test_one_call_fails_by_an_io_error(void **state)
{
    (void)state;
    sweep_log(FAILING_EIO, CP_WAL_POSIX);
}

static void test_all_calls_fail_from_one_on(void **state)
{
    (void)state;
    sweep_log(FAILING_ON, CP_WAL_POSIX);
}

static void test_all_calls_fail_from_one_on_with_io_uring(void **state)
{
    (void)state;
    sweep_log(FAILING_ON, CP_WAL_AUTO);
}

static void test_short_reads_and_writes(void **state)
{
    (void)state;
    sweep_log(FAILING_SHORT, CP_WAL_POSIX);
}

/* Nobody is told of a record in a log whose directory may be gone when the host has lost its power. */
static void test_a_new_directory_has_a_durable_name(void **state)
{
    (void)state;
    char dir[sizeof f.s.dir + 8];
    int names = 0;
    FAILING_SWEEP(FAILING_EIO, DEPTH)
    {
        begin(CP_WAL_POSIX);
        snprintf(dir, sizeof dir, "%s/new", f.s.dir);
        f.s.config.dir = dir;
        failing_begin();
        const int code = cp_wal_open_with(&f.s.wal, &f.s.config, &f.seams, &f.err);
        failing_end();
        names += code < 0 && strncmp(failing_what(), "fsync", 5) == 0 && strstr(f.err.text, "the name of");
        if (code == CP_OK)
            log_close();
    }
    assert_int_equal(names, 1);
}

/* ---- giving records up -------------------------------------------------------------------------------------------- */

typedef struct kept_file {
    char name[CP_WAL_SEGMENT_NAME + 16];
    uint8_t *bytes;
    uint64_t size;
} kept_file;

static kept_file kept[16];
static int kept_count;

static void kept_free(void)
{
    while (kept_count > 0)
        free(kept[--kept_count].bytes);
}

/* The log as it is now, for log_restore. */
static void log_keep(void)
{
    DIR *dir = opendir(f.s.dir);
    const struct dirent *entry;
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        kept_file *file = &kept[kept_count++];
        assert_true(kept_count <= (int)(sizeof kept / sizeof kept[0]));
        snprintf(file->name, sizeof file->name, "%.31s", entry->d_name);
        const int fd = openat(dirfd(dir), file->name, O_RDONLY | O_CLOEXEC);
        assert_int_equal(fstat(fd, &status), 0);
        file->size = (uint64_t)status.st_size;
        file->bytes = malloc(file->size + 1);
        assert_int_equal(read(fd, file->bytes, file->size), file->size);
        close(fd);
    }
    closedir(dir);
}

static void log_restore(void)
{
    empty();
    for (int i = 0; i < kept_count; i++) {
        char path[400];
        snprintf(path, sizeof path, "%.255s/%.100s", f.s.dir, kept[i].name);
        const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, kept[i].bytes, kept[i].size), kept[i].size);
        close(fd);
    }
}

/* RECORDS records, of which the first DELIVERED are in ClickHouse. */
static void log_make(void)
{
    begin(CP_WAL_POSIX);
    assert_int_equal(log_open(), CP_OK);
    log_append(RECORDS);
    log_deliver(DELIVERED);
    log_close();
    assert_int_equal(f.durable, RECORDS);
}

/* How many of the waiting records are empty, the log being sound. */
static uint64_t log_empty_records(void)
{
    cp_wal_reader *reader = NULL;
    uint64_t lsn = 0;
    uint64_t gone = 0;
    CHECK(log_open() == CP_OK);
    CHECK(cp_wal_durable(f.s.wal) == RECORDS && cp_wal_delivered(f.s.wal) == DELIVERED);
    CHECK(cp_wal_reader_create(&reader, f.s.wal, DELIVERED + 1, &f.err) == CP_OK);
    for (uint64_t at = DELIVERED + 1; at <= RECORDS; at++) {
        CHECK(cp_wal_reader_next(reader, &f.s.read, &lsn, &f.err) == CP_OK && lsn == at);
        test_chunk_make(&f.s.chunk, lsn, 3, 9, f.s.read.begin, CHUNK);
        gone += f.s.read.byte_count == 0;
        CHECK(f.s.read.byte_count == 0 || test_chunk_equal(&f.s.chunk, &f.s.read));
    }
    cp_wal_reader_free(reader);
    log_close();
    return gone;
}

static int give_up(uint64_t lo, uint64_t hi)
{
    cp_wal_repair *repair = NULL;
    int code = checked(cp_wal_repair_begin(&repair, f.s.dir, NULL, &f.err));
    if (code == CP_OK && lo > 0)
        code = checked(cp_wal_repair_purge(repair, lo, hi, &f.err));
    else if (code == CP_OK)
        code = checked(cp_wal_repair_run(repair, &f.err));
    cp_wal_repair_end(repair);
    return code;
}

/* lo 0: a repair. However often it fails, it gives up so many records and no other. */
static void sweep_giving_up(uint64_t lo, uint64_t hi, uint64_t lost)
{
    unsigned turns = 0;
    static const failing_mode modes[] = {FAILING_ONCE, FAILING_ON, FAILING_SHORT};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        FAILING_SWEEP(modes[i], DEPTH)
        {
            log_restore();
            f.err = (cp_error){0};
            const int files = failing_open_files();
            failing_begin();
            const int code = give_up(lo, hi);
            failing_end();
            CHECK(failing_open_files() == files);
            CHECK(code == CP_OK || failing_happened());
            if (code != CP_OK)
                CHECK(give_up(lo, hi) == CP_OK);
            CHECK(log_empty_records() == lost);
            turns++;
        }
    }
    print_message("%u turns\n", turns);
    assert_true(turns > 100);
    kept_free();
}

static void test_repair(void **state)
{
    (void)state;
    char path[300];
    log_make();
    scratch_segment(&f.s, 2, path);
    assert_int_equal(unlink(path), 0);
    scratch_segment(&f.s, 1, path);
    scratch_flip(path, CP_WAL_FIRST_FRAME + CP_WAL_RECORD_HEADER + 20);
    log_keep();
    assert_int_equal(give_up(0, 0), CP_OK);
    const uint64_t lost = log_empty_records();
    assert_true(lost > 0 && lost < RECORDS - DELIVERED);
    sweep_giving_up(0, 0, lost);
}

static void test_purge(void **state)
{
    (void)state;
    log_make();
    log_keep();
    sweep_giving_up(DELIVERED + 3, DELIVERED + 8, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_call_fails),
        cmocka_unit_test(test_one_call_fails_with_io_uring),
        cmocka_unit_test(test_one_call_fails_by_an_io_error),
        cmocka_unit_test(test_all_calls_fail_from_one_on),
        cmocka_unit_test(test_all_calls_fail_from_one_on_with_io_uring),
        cmocka_unit_test(test_short_reads_and_writes),
        cmocka_unit_test(test_a_new_directory_has_a_durable_name),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_purge),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
