/* Both real backends behind the one interface: the same calls, the same bytes, the same errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "wal/io.h"

enum { BLOCKS = 64, SIZE = BLOCKS * CP_IO_BLOCK, RUN = 4 * CP_IO_BLOCK };

typedef int create(cp_io **out, const char *dir, cp_error *err);

typedef struct fixture {
    create *make;
    char dir[256];
    cp_io *io;
    uint8_t *data;
    uint8_t *back;
} fixture;

static int setup(void **state)
{
    fixture *f = *state;
    cp_error err = {0};
    mkdir(WAL_SCRATCH, 0755);
    snprintf(f->dir, sizeof f->dir, "%s/XXXXXX", WAL_SCRATCH);
    f->data = aligned_alloc(CP_IO_BLOCK, SIZE);
    f->back = aligned_alloc(CP_IO_BLOCK, SIZE);
    if (!mkdtemp(f->dir) || !f->data || !f->back || f->make(&f->io, f->dir, &err) != CP_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    for (int i = 0; i < SIZE; i++)
        f->data[i] = (uint8_t)(i * 7 + i / CP_IO_BLOCK);
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    f->io->ops->unlink(f->io, "a");
    f->io->ops->unlink(f->io, "b");
    f->io->ops->destroy(f->io);
    rmdir(f->dir);
    free(f->data);
    free(f->back);
    return 0;
}

static int64_t wait_one(cp_io *io, uint64_t tag)
{
    cp_io_done done[2];
    int got = 0;
    for (int tries = 0; tries < 100 && got == 0; tries++)
        got = io->ops->reap(io, done, 2, 100 * (uint64_t)CP_NS_PER_MS);
    assert_int_equal(got, 1);
    assert_int_equal(done[0].tag, tag);
    return done[0].result;
}

static void test_files(void **state)
{
    fixture *f = *state;
    cp_io *io = f->io;
    const cp_io_ops *ops = io->ops;
    assert_int_equal(ops->open(io, "a", 0), -ENOENT);
    const int file = ops->open(io, "a", CP_IO_CREATE);
    assert_true(file >= 0);
    assert_int_equal(ops->open(io, "a", CP_IO_CREATE), -EEXIST);
    assert_int_equal(ops->allocate(io, file, SIZE), 0);
    assert_int_equal(ops->size(io, file), SIZE);
    assert_int_equal(ops->write(io, file, f->data, SIZE, 0), SIZE);
    assert_int_equal(ops->sync(io, file), 0);
    assert_int_equal(ops->read(io, file, f->back, SIZE, 0), SIZE);
    assert_memory_equal(f->data, f->back, SIZE);
    assert_int_equal(ops->truncate(io, file, SIZE / 2), 0);
    assert_int_equal(ops->read(io, file, f->back, SIZE, 0), SIZE / 2);
    assert_int_equal(ops->read(io, file, f->back, SIZE, SIZE), 0);
    assert_int_equal(ops->rename(io, "a", "b"), 0);
    assert_int_equal(ops->sync_dir(io), 0);
    assert_int_equal(ops->unlink(io, "a"), -ENOENT);
    ops->close(io, file);
    assert_int_equal(ops->unlink(io, "b"), 0);
}

static void test_writes(void **state)
{
    fixture *f = *state;
    cp_io *io = f->io;
    const int file = io->ops->open(io, "a", CP_IO_CREATE);
    assert_int_equal(io->ops->allocate(io, file, SIZE), 0);
    const struct iovec buffer = {.iov_base = f->data, .iov_len = SIZE};
    io->ops->use_buffers(io, &buffer, 1);
    io->ops->use_file(io, file);
    for (int dsync = 0; dsync < 2; dsync++) {
        for (uint64_t block = 0; block < BLOCKS; block += 4) {
            f->data[block * CP_IO_BLOCK]++;
            assert_int_equal(io->ops->submit_write(io, file, f->data + block * CP_IO_BLOCK, RUN,
                                                   block * CP_IO_BLOCK, dsync, block),
                             0);
            assert_int_equal(wait_one(io, block), RUN);
        }
        assert_int_equal(io->ops->submit_sync(io, file, 1000), 0);
        assert_int_equal(wait_one(io, 1000), 0);
        assert_int_equal(io->ops->read(io, file, f->back, SIZE, 0), SIZE);
        assert_memory_equal(f->data, f->back, SIZE);
    }
    io->ops->close(io, file);
}

/* As many as may be under way, and one more. */
static void test_depth(void **state)
{
    fixture *f = *state;
    cp_io *io = f->io;
    cp_io_done done[CP_IO_DEPTH];
    const int file = io->ops->open(io, "a", CP_IO_CREATE);
    uint64_t seen = 0;
    for (uint64_t i = 0; i < CP_IO_DEPTH; i++)
        assert_int_equal(io->ops->submit_write(io, file, f->data + i * CP_IO_BLOCK, CP_IO_BLOCK,
                                               i * CP_IO_BLOCK, false, i),
                         0);
    assert_int_equal(io->ops->submit_sync(io, file, 99), -EAGAIN);
    for (int reaped = 0; reaped < CP_IO_DEPTH;) {
        const int got = io->ops->reap(io, done, CP_IO_DEPTH, 100 * (uint64_t)CP_NS_PER_MS);
        assert_true(got >= 0);
        for (int i = 0; i < got; i++) {
            assert_int_equal(done[i].result, CP_IO_BLOCK);
            seen |= UINT64_C(1) << done[i].tag;
        }
        reaped += got;
    }
    assert_int_equal(seen, (UINT64_C(1) << CP_IO_DEPTH) - 1);
    assert_int_equal(io->ops->reap(io, done, 1, 0), 0);
    io->ops->close(io, file);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    cp_io *io = f->io;
    const int made = io->ops->open(io, "a", CP_IO_CREATE);
    io->ops->close(io, made);
    const int file = io->ops->open(io, "a", CP_IO_READ_ONLY);
    assert_int_equal(io->ops->submit_write(io, file, f->data, CP_IO_BLOCK, 0, false, 5), 0);
    assert_int_equal(wait_one(io, 5), -EBADF);
    assert_true(io->ops->write(io, file, f->data, CP_IO_BLOCK, 0) < 0);
    io->ops->close(io, file);
    cp_io *none = NULL;
    cp_error err = {0};
    assert_int_equal(f->make(&none, "/nonexistent", &err), CP_E_ABSENT);
    assert_non_null(strstr(err.text, "/nonexistent"));
}

static void test_lock(void **state)
{
    fixture *f = *state;
    cp_io *io = f->io;
    const int file = io->ops->open(io, "a", CP_IO_CREATE);
    const int other = io->ops->open(io, "a", 0);
    assert_int_equal(io->ops->lock(io, file), 0);
    assert_int_equal(io->ops->lock(io, other), -EWOULDBLOCK);
    io->ops->close(io, file);
    /* io_uring may hold the file for a moment longer */
    int result = -EWOULDBLOCK;
    for (int i = 0; i < 1000 && result == -EWOULDBLOCK; i++) {
        result = io->ops->lock(io, other);
        usleep(1000);
    }
    assert_int_equal(result, 0);
    io->ops->close(io, other);
}

int main(void)
{
    static create *const makers[] = {cp_io_posix_create, cp_io_uring_create};
    int failed = 0;
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        static fixture f;
        f = (fixture){.make = makers[i]};
        const struct CMUnitTest tests[] = {
            {"files", test_files, setup, teardown, &f}, {"writes", test_writes, setup, teardown, &f},
            {"depth", test_depth, setup, teardown, &f}, {"errors", test_errors, setup, teardown, &f},
            {"lock", test_lock, setup, teardown, &f},
        };
        print_message("backend: %s\n", i ? "io_uring" : "posix");
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
