/* What goes wrong with a log, and what it says then: each of these must be refused or survived, never passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pages.h"
#include "tests/wal/scratch.h"
#include "tests/wal/sim_disk.h"
#include "wal/crc32c.h"
#include "wal/log_private.h"

/* NOBODY: a user without rights, and without other processes, since what may be locked is counted by user. */
enum { RECORDS = 120, NOBODY = 61017 };

/* A closed log of RECORDS records in several segments. */
static void log_make(scratch *s)
{
    scratch_init(s, CP_WAL_POSIX);
    scratch_open(s);
    assert_true(scratch_append(s, 1, RECORDS));
    assert_true(scratch_wait(s, RECORDS));
    scratch_close(s);
}

static void refuses(scratch *s, int code, const char *part)
{
    cp_error err = {0};
    assert_int_equal(cp_wal_open(&s->wal, &s->config, &err), code);
    if (!strstr(err.text, part))
        fail_msg("the message is: %s", err.text);
    print_message("%s\n", err.text);
}

/* Changes the segment header's version or uuid, with a CRC that fits. */
static void header_change(const char *path, size_t offset)
{
    static uint8_t block[CP_WAL_BLOCK];
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, block, sizeof block, 0), sizeof block);
    block[offset] ^= 0x02;
    const uint32_t version = ((const cp_wal_block_head *)(const void *)block)->version;
    cp_wal_block_seal(block, CP_WAL_SEGMENT_MAGIC);
    cp_wal_block_head *head = (cp_wal_block_head *)(void *)block;
    head->version = version;
    head->crc = 0;
    head->crc = cp_crc32c(0, block, sizeof block);
    for (int copy = 0; copy < CP_WAL_HEADER_COPIES; copy++)
        assert_int_equal(pwrite(fd, block, sizeof block, (off_t)copy * CP_WAL_BLOCK), sizeof block);
    close(fd);
}

static void test_newer_version(void **state)
{
    (void)state;
    scratch s;
    char path[300];
    log_make(&s);
    scratch_segment(&s, 2, path);
    header_change(path, offsetof(cp_wal_block_head, version));
    refuses(&s, CP_E_ABI, "has format version 3, this program knows version 1");
    scratch_destroy(&s);
}

static void test_foreign_segment(void **state)
{
    (void)state;
    scratch s;
    char path[300];
    log_make(&s);
    scratch_segment(&s, 2, path);
    header_change(path, offsetof(cp_wal_segment_header, uuid));
    refuses(&s, CP_E_CORRUPT, "belongs to another log");
    scratch_destroy(&s);
}

static void test_missing_segment(void **state)
{
    (void)state;
    scratch s;
    char path[300];
    log_make(&s);
    scratch_segment(&s, 2, path);
    assert_int_equal(unlink(path), 0);
    refuses(&s, CP_E_CORRUPT, "which ClickHouse does not have yet, is missing");
    scratch_destroy(&s);
}

/* The newest segment gone: the closing checkpoint knows. */
static void test_missing_newest(void **state)
{
    (void)state;
    scratch s;
    char path[300];
    uint64_t id = 1;
    log_make(&s);
    cp_error err;
    assert_int_equal(cp_wal_open(&s.wal, &s.config, &err), CP_OK);
    id = s.wal->tail.segment_id;
    scratch_close(&s);
    scratch_segment(&s, id, path);
    assert_int_equal(unlink(path), 0);
    refuses(&s, CP_E_CORRUPT, "were acknowledged and are damaged or missing");
    scratch_destroy(&s);
}

static uint64_t newest_id(scratch *s)
{
    cp_error err;
    assert_int_equal(cp_wal_open(&s->wal, &s->config, &err), CP_OK);
    const uint64_t id = s->wal->tail.segment_id;
    scratch_close(s);
    return id;
}

static void test_damage_in_the_newest(void **state)
{
    (void)state;
    scratch s;
    char path[300];
    log_make(&s);
    scratch_segment(&s, newest_id(&s), path);
    scratch_flip(path, CP_WAL_FIRST_FRAME + CP_WAL_RECORD_HEADER + 20);
    refuses(&s, CP_E_CORRUPT, "were acknowledged and are damaged or missing");
    refuses(&s, CP_E_CORRUPT, "to 120 were acknowledged");
    scratch_flip(path, CP_WAL_FIRST_FRAME + CP_WAL_RECORD_HEADER + 20); /* as it was */
    cp_error err = {0};
    scratch_open(&s);
    assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

static void test_damage_in_an_older_one(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    char path[300];
    log_make(&s);
    scratch_segment(&s, 1, path);
    scratch_flip(path, CP_WAL_FIRST_FRAME + CP_WAL_RECORD_HEADER + 20);
    scratch_open(&s);
    assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_E_CORRUPT);
    print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, "record 1 was acknowledged and is damaged"));
    scratch_close(&s);
    scratch_destroy(&s);
}

/* One bad header copy, one bad checkpoint block: nothing is lost. */
static void test_one_bad_copy(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    char path[300];
    log_make(&s);
    scratch_segment(&s, newest_id(&s), path);
    scratch_flip(path, 100);
    for (uint64_t copy = 0; copy < 2;
         copy++) { /* the checkpoint's first block is made good before the second one goes */
        snprintf(path, sizeof path, "%s/checkpoint", s.dir);
        scratch_flip(path, 60 + copy * CP_WAL_BLOCK);
        scratch_open(&s);
        assert_false(cp_wal_checkpoint_lost(s.wal));
        assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_OK);
        scratch_close(&s);
    }
    scratch_destroy(&s);
}

static void test_checkpoint_lost(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    char path[300];
    for (int gone = 0; gone < 2; gone++) {
        log_make(&s);
        snprintf(path, sizeof path, "%s/checkpoint", s.dir);
        if (gone) {
            assert_int_equal(unlink(path), 0);
        } else {
            scratch_flip(path, 60);
            scratch_flip(path, 60 + CP_WAL_BLOCK);
        }
        scratch_open(&s);
        assert_true(cp_wal_checkpoint_lost(s.wal));
        assert_int_equal(cp_wal_durable(s.wal), RECORDS);
        assert_int_equal(cp_wal_delivered(s.wal), 0);
        assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_OK);
        assert_int_equal(cp_wal_checkpoint_write(s.wal, 5, NULL, 0, &err), CP_OK);
        scratch_close(&s);
        scratch_open(&s);
        assert_false(cp_wal_checkpoint_lost(s.wal));
        assert_int_equal(cp_wal_delivered(s.wal), 5);
        scratch_close(&s);
        scratch_destroy(&s);
    }
}

static void test_other_schema(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    log_make(&s);
    s.config.schema_hash = SCRATCH_SCHEMA + 1;
    scratch_open(&s);
    assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_E_SCHEMA);
    assert_non_null(strstr(err.text, "written for other columns"));
    scratch_close(&s);
    scratch_destroy(&s);
}

static void test_configuration(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s, CP_WAL_POSIX);
    const cp_wal_config good = s.config;
    s.config.segment_size = 100000;
    refuses(&s, CP_E_CONFIG, "a multiple of 4096");
    s.config = good;
    s.config.limit = 2 * (uint64_t)SCRATCH_SEGMENT;
    refuses(&s, CP_E_CONFIG, "from 4 to");
    s.config = good;
    s.config.max_chunk_bytes = SCRATCH_SEGMENT;
    refuses(&s, CP_E_CONFIG, "must fit");
    s.config = good;
    s.config.segment_size = CP_WAL_SEGMENT_MIN;
    s.config.limit = CP_WAL_MIN_SEGMENTS * (uint64_t)CP_WAL_SEGMENT_MIN;
    s.config.frame_bytes = 0; /* by default no more than a segment has room for */
    scratch_open(&s);
    scratch_close(&s);
    s.config = good;
    s.config.dir = "/nonexistent/log";
    refuses(&s, CP_E_ABSENT, "cannot make the directory");
    s.config = good;
    scratch_open(&s);
    uint64_t lsn;
    test_chunk_make(&s.chunk, 1, 3, 9, 0, SCRATCH_CHUNK);
    s.chunk.end++;
    assert_int_equal(cp_wal_append(s.wal, &s.chunk, &lsn), CP_E_INVAL);
    s.chunk.end--;
    s.chunk.slot = CP_WAL_RINGS;
    assert_int_equal(cp_wal_append(s.wal, &s.chunk, &lsn), CP_E_INVAL);
    scratch_close(&s);
    scratch_destroy(&s);
}

/* A direct write from huge pages is one request of the device's, from ordinary ones several; and three are under way at a time. */
static void test_frames(void **state)
{
    (void)state;
    scratch s;
    uint64_t lsn = 0;
    scratch_init(&s, CP_WAL_POSIX);
    s.config.segment_size = 4 * CP_HUGE_PAGE;
    s.config.limit = CP_WAL_MIN_SEGMENTS * s.config.segment_size;
    s.config.max_chunk_bytes = s.config.frame_bytes = 0;
    scratch_open(&s);
    const uint8_t *const first = s.wal->frames[0].buffer;
    assert_int_equal((uintptr_t)first % CP_HUGE_PAGE, 0);
    for (int i = 0; i < CP_WAL_FRAMES; i++) /* side by side, and they fill these pages */
        assert_ptr_equal(s.wal->frames[i].buffer, first + (size_t)i * (CP_WAL_FRAME_MEMORY / CP_WAL_FRAMES));
    do {
        test_chunk_make(&s.chunk, lsn + 1, 3, 9, s.position, SCRATCH_CHUNK);
        s.position = s.chunk.end;
    } while (cp_wal_append(s.wal, &s.chunk, &lsn) == CP_OK);
    const uint64_t until = cp_boottime_ns() + 10 * (uint64_t)CP_NS_PER_S;
    while (s.wal->writes == 0 && cp_boottime_ns() < until) /* a segment is prepared meanwhile */
        cp_wal_step(s.wal, cp_boottime_ns());
    assert_int_equal(s.wal->writes, CP_WAL_UNDER_WAY);
    assert_true(scratch_wait(&s, lsn));
    scratch_close(&s);
    scratch_destroy(&s);
}

/* ---- where io_uring is refused; each in a process of its own ---- */

static int in_child(void (*body)(scratch *s), scratch *s)
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body(s);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void child_needs(bool condition, int code)
{
    if (!condition)
        _exit(code);
}

static void child_refused(scratch *s)
{
    cp_error err = {0};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    child_needs(filter && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0) == 0 &&
                    seccomp_load(filter) == 0,
                1);
    seccomp_release(filter);
    s->config.backend = CP_WAL_AUTO;
    child_needs(cp_wal_open(&s->wal, &s->config, &err) == CP_OK && cp_wal_start(s->wal, &err) == CP_OK, 2);
    cp_wal_status status;
    cp_wal_status_read(s->wal, &status);
    child_needs(strcmp(status.backend, "posix") == 0 && strstr(status.note, "io_uring is refused here"), 3);
    child_needs(scratch_append(s, 1, 20) && scratch_wait(s, 20) && scratch_read(s, 1, 20, &err) == CP_OK, 4);
    scratch_close(s);
    s->config.backend = CP_WAL_IO_URING;
    child_needs(cp_wal_open(&s->wal, &s->config, &err) == CP_OK, 5);
    child_needs(cp_wal_start(s->wal, &err) == CP_E_UNSUPPORTED && strstr(err.text, "io_uring_disabled"), 6);
    scratch_close(s);
}

static void test_io_uring_refused(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s, CP_WAL_AUTO);
    assert_int_equal(in_child(child_refused, &s), 0);
    scratch_destroy(&s);
}

/* Without the right to lock memory the buffers stay unregistered, and all works. */
static void child_memlock(scratch *s)
{
    const struct rlimit none = {0, 0};
    cp_error err = {0};
    child_needs(setrlimit(RLIMIT_MEMLOCK, &none) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0, 1);
    s->config.backend = CP_WAL_AUTO;
    child_needs(cp_wal_open(&s->wal, &s->config, &err) == CP_OK && cp_wal_start(s->wal, &err) == CP_OK, 2);
    cp_wal_status status;
    cp_wal_status_read(s->wal, &status);
    child_needs(!status.registered, 3);
    child_needs(scratch_append(s, 1, 20) && scratch_wait(s, 20) && scratch_read(s, 1, 20, &err) == CP_OK, 4);
    scratch_close(s);
}

/* So much does a log register by default, and no less: it is what `coldpath doctor` asks for. */
static void child_registers(scratch *s)
{
    struct rlimit limit;
    child_needs(getrlimit(RLIMIT_MEMLOCK, &limit) == 0, 1);
    if (limit.rlim_max < CP_WAL_MEMLOCK)
        return; /* not to be had here, in a container perhaps */
    limit = (struct rlimit){CP_WAL_MEMLOCK, CP_WAL_MEMLOCK};
    child_needs(setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0, 1);
    s->config.backend = CP_WAL_AUTO;
    s->config.segment_size = 2 * CP_HUGE_PAGE;
    s->config.limit = CP_WAL_MIN_SEGMENTS * s->config.segment_size;
    s->config.max_chunk_bytes = s->config.frame_bytes = 0;
    for (int enough = 1; enough >= 0; enough--) {
        cp_error err = {0};
        cp_wal_status status;
        child_needs(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, 2);
        child_needs(cp_wal_open(&s->wal, &s->config, &err) == CP_OK && cp_wal_start(s->wal, &err) == CP_OK,
                    3);
        cp_wal_status_read(s->wal, &status);
        child_needs(status.registered == enough || strcmp(status.backend, "posix") == 0, 4);
        scratch_close(s);
        limit.rlim_cur = CP_WAL_FRAME_MEMORY - CP_IO_BLOCK;
    }
}

static void test_memlock(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* the limit binds whoever lacks CAP_IPC_LOCK; only root can become such a one here */
    scratch s;
    scratch_init(&s, CP_WAL_AUTO);
    char parent[] = "/tmp/coldpath-wal-XXXXXX"; /* where nobody can get at it */
    assert_non_null(mkdtemp(parent));
    assert_int_equal(chown(parent, NOBODY, NOBODY), 0);
    s.config.dir = parent;
    assert_int_equal(in_child(child_memlock, &s), 0);
    assert_int_equal(in_child(child_registers, &s), 0);
    rmdir(s.dir);
    snprintf(s.dir, sizeof s.dir, "%s", parent);
    scratch_destroy(&s);
}

static void test_tmpfs(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    char shm[] = "/dev/shm/coldpath-wal-XXXXXX";
    if (!mkdtemp(shm))
        skip(); /* no tmpfs there */
    scratch_init(&s, CP_WAL_AUTO);
    s.config.dir = shm;
    scratch_open(&s);
    cp_wal_status status;
    cp_wal_status_read(s.wal, &status);
    assert_true(status.not_persistent && status.buffered);
    assert_true(scratch_append(&s, 1, 20) && scratch_wait(&s, 20));
    assert_int_equal(scratch_read(&s, 1, 20, &err), CP_OK);
    scratch_close(&s);
    rmdir(s.dir);
    snprintf(s.dir, sizeof s.dir, "%s", shm);
    scratch_destroy(&s);
}

/* ---- a device that fails, simulated ---- */

typedef struct failing {
    sim_disk *disk;
    cp_wal *wal;
    cp_chunk chunk;
    uint64_t now_ns, position, next;
    cp_wal_status status;
} failing;

static void failing_init(failing *f)
{
    cp_error err = {0};
    memset(f, 0, sizeof *f);
    f->disk = sim_disk_new(5);
    f->next = 1;
    test_chunk_alloc(&f->chunk, TEST_CHUNK);
    const cp_wal_config config = {.dir = "simulated",
                                  .segment_size = SIM_FILE_SIZE,
                                  .limit = 6 * (uint64_t)SIM_FILE_SIZE,
                                  .max_chunk_bytes = TEST_CHUNK,
                                  .frame_bytes = 4096,
                                  .sync = CP_WAL_FDATASYNC};
    const cp_wal_seams seams = {
        .io_create = sim_io_create, .ctx = f->disk, .no_thread = true, .random_state = 1};
    assert_int_equal(cp_wal_open_with(&f->wal, &config, &seams, &err), CP_OK);
    assert_int_equal(cp_wal_start(f->wal, &err), CP_OK);
    cp_wal_maintain(f->wal, 0);
    cp_wal_maintain(f->wal, 0);
}

static void failing_free(failing *f)
{
    f->disk->dead = true;
    cp_wal_close(f->wal, 0);
    sim_disk_free(f->disk);
    test_chunk_free(&f->chunk);
}

/* Appends n records as far as there is room, and works on them for a second of simulated time. */
static void failing_work(failing *f, int n)
{
    for (int i = 0; i < 2000; i++) {
        uint64_t lsn;
        test_chunk_make(&f->chunk, f->next, 1, 1, f->position, TEST_CHUNK);
        if (n > 0 && cp_wal_append(f->wal, &f->chunk, &lsn) == CP_OK) {
            assert_int_equal(lsn, f->next);
            f->next++;
            n--;
            f->position = f->chunk.end;
        }
        cp_wal_step(f->wal, f->now_ns += CP_NS_PER_MS);
        cp_wal_maintain(f->wal, f->now_ns);
    }
    cp_wal_status_read(f->wal, &f->status);
}

static void test_device_fails(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        failing f;
        failing_init(&f);
        failing_work(&f, 10);
        assert_int_equal(cp_wal_durable(f.wal), 10);
        f.disk->faults = kind ? (sim_faults){.sync_error = 1000} : (sim_faults){.write_error = 1000};
        failing_work(&f, 3);
        assert_int_equal(cp_wal_durable(f.wal), 10);
        assert_int_equal(f.status.state, CP_WAL_FAILING);
        assert_true(f.status.given_up > 0);
        assert_non_null(strstr(f.status.error, kind ? "a sync of segment" : "a write of segment"));
        f.disk->faults = (sim_faults){0};
        failing_work(&f, 3);
        failing_work(&f, 0);
        assert_int_equal(cp_wal_durable(f.wal), f.next - 1);
        assert_int_equal(f.status.state, CP_WAL_RUNNING);
        assert_string_equal(f.status.error, "");
        failing_free(&f);
    }
}

static void test_no_space(void **state)
{
    (void)state;
    failing f;
    failing_init(&f);
    f.disk->faults = (sim_faults){.no_space = 1000};
    failing_work(&f, 1000); /* more than the ready segments hold */
    assert_int_equal(f.status.state, CP_WAL_STALLED);
    assert_non_null(strstr(f.status.error, "no space for another segment"));
    const uint64_t durable = cp_wal_durable(f.wal);
    assert_true(durable > 10 && durable < 1000); /* the reserve was used, nothing more was acknowledged */
    f.disk->faults = (sim_faults){0};
    failing_work(&f, 0);
    assert_int_equal(cp_wal_durable(f.wal), f.next - 1);
    assert_int_equal(f.status.state, CP_WAL_RUNNING);
    failing_free(&f);
}

static void test_short_and_busy(void **state)
{
    (void)state;
    failing f;
    failing_init(&f);
    f.disk->faults = (sim_faults){.short_write = 500, .busy = 300};
    failing_work(&f, 50);
    failing_work(&f, 0);
    assert_int_equal(cp_wal_durable(f.wal), 50);
    assert_true(f.status.retries > 0);
    assert_int_equal(f.status.given_up, 0);
    f.disk->faults = (sim_faults){.busy = 1000}; /* for ever: bounded */
    failing_work(&f, 1);
    assert_true(f.status.given_up > 0);
    failing_free(&f);
}

/* A disk that takes longer over the first write than anybody would wait in patience. */
static struct {
    cp_io_ops ops;
    const cp_io_ops *real;
    uint64_t slow_until_ns;
    unsigned submitted;
    unsigned reaped;
} slow;

static int slow_submit_write(cp_io *io, int file, const void *data, uint64_t size, uint64_t offset,
                             bool dsync, uint64_t tag)
{
    if (slow.slow_until_ns == 0)
        slow.slow_until_ns = cp_boottime_ns() + (uint64_t)1500 * CP_NS_PER_MS;
    slow.submitted++;
    return slow.real->submit_write(io, file, data, size, offset, dsync, tag);
}

static int slow_submit_sync(cp_io *io, int file, uint64_t tag)
{
    slow.submitted++;
    return slow.real->submit_sync(io, file, tag);
}

static int slow_reap(cp_io *io, cp_io_done *done, int max, uint64_t wait_ns)
{
    if (cp_boottime_ns() < slow.slow_until_ns)
        return 0;
    const int count = slow.real->reap(io, done, max, wait_ns);
    slow.reaped += count > 0 ? (unsigned)count : 0;
    return count;
}

static int slow_create(void *dir, cp_io **out, cp_error *err)
{
    const int code = cp_io_posix_create(out, dir, err);
    if (code != CP_OK)
        return code;
    slow.real = (*out)->ops;
    slow.ops = *slow.real;
    slow.ops.submit_write = slow_submit_write;
    slow.ops.submit_sync = slow_submit_sync;
    slow.ops.reap = slow_reap;
    (*out)->ops = &slow.ops;
    return CP_OK;
}

/* What calibration wrote must not be under way any more when the writer begins: its completion would pass for that of a frame, its
 * zeros could fall on one. */
static void test_slow_calibration(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    scratch_init(&s, CP_WAL_POSIX);
    const cp_wal_seams seams = {.io_create = slow_create, .ctx = s.dir};
    assert_int_equal(cp_wal_open_with(&s.wal, &s.config, &seams, &err), CP_OK);
    assert_int_equal(cp_wal_start(s.wal, &err), CP_OK);
    assert_true(slow.submitted > 0);
    assert_int_equal(slow.submitted, slow.reaped);
    assert_true(scratch_append(&s, 1, 20));
    assert_true(scratch_wait(&s, 20));
    assert_int_equal(scratch_read(&s, 1, 20, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_foreign_segment),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_missing_newest),
        cmocka_unit_test(test_damage_in_the_newest),
        cmocka_unit_test(test_damage_in_an_older_one),
        cmocka_unit_test(test_one_bad_copy),
        cmocka_unit_test(test_checkpoint_lost),
        cmocka_unit_test(test_other_schema),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_io_uring_refused),
        cmocka_unit_test(test_memlock),
        cmocka_unit_test(test_tmpfs),
        cmocka_unit_test(test_device_fails),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_short_and_busy),
        cmocka_unit_test(test_slow_calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
