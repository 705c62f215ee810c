/* Writes, syncs and reads ahead by a worker thread, one after the other in the order of submission. What it costs against
 * io_uring is two wake-ups per operation, which is much for a commit and nothing for a read of a MiB; what it gains is that it
 * works everywhere, and from any thread. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "wal/io_file.h"

typedef enum operation_kind { OPERATION_WRITE, OPERATION_SYNC, OPERATION_READ } operation_kind;

typedef struct operation {
    operation_kind kind;
    int file;
    bool dsync;
    void *data; /* a write's is only looked at */
    uint64_t size;
    uint64_t offset;
    uint64_t tag;
} operation;

typedef struct io_posix {
    cp_io_file files; /* first: a cp_io * points here */
    pthread_t worker;
    bool started;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t work;
    pthread_cond_t progress;
    bool stop;
    operation queue[CP_IO_DEPTH];
    unsigned queued; /* counts up; queue[i % CP_IO_DEPTH] */
    unsigned taken;
    unsigned finished;
    unsigned reaped;
    cp_io_done done[CP_IO_DEPTH];
} io_posix;

static int64_t operation_run(io_posix *io, const operation *op)
{
    if (op->kind == OPERATION_SYNC)
        return fdatasync(op->file) == 0 ? 0 : -errno;
    if (op->kind == OPERATION_READ)
        return cp_io_file_read(&io->files.base, op->file, op->data, op->size, op->offset);
    const struct iovec part = {.iov_base = op->data, .iov_len = op->size};
    const ssize_t put = pwritev2(op->file, &part, 1, (off_t)op->offset, op->dsync ? RWF_DSYNC : 0);
    return put < 0 ? -errno : put;
}

static void *worker_run(void *arg)
{
    io_posix *io = arg;
    pthread_mutex_lock(&io->mutex);
    for (;;) {
        while (!io->stop && io->taken == io->queued)
            pthread_cond_wait(&io->work, &io->mutex);
        if (io->taken == io->queued)
            break;
        const operation op = io->queue[io->taken++ % CP_IO_DEPTH];
        pthread_mutex_unlock(&io->mutex);
        const int64_t result = operation_run(io, &op);
        pthread_mutex_lock(&io->mutex);
        io->done[io->finished++ % CP_IO_DEPTH] = (cp_io_done){.tag = op.tag, .result = result};
        pthread_cond_signal(&io->progress);
    }
    pthread_mutex_unlock(&io->mutex);
    return NULL;
}

static int posix_submit(io_posix *io, const operation *op)
{
    if (!io->started) {
        const int result = pthread_create(&io->worker, NULL, worker_run, io);
        if (result != 0)
            return -result;
        io->started = true;
    }
    pthread_mutex_lock(&io->mutex);
    const bool room = io->queued - io->reaped < CP_IO_DEPTH;
    if (room) {
        io->queue[io->queued++ % CP_IO_DEPTH] = *op;
        pthread_cond_signal(&io->work);
    }
    pthread_mutex_unlock(&io->mutex);
    return room ? 0 : -EAGAIN;
}

static int posix_submit_write(cp_io *base, int file, const void *data, uint64_t size, uint64_t offset,
                              bool dsync, uint64_t tag)
{
    union {
        const void *in;
        void *out;
    } bytes = {.in = data};
    const operation op = {.kind = OPERATION_WRITE,
                          .file = file,
                          .dsync = dsync,
                          .data = bytes.out,
                          .size = size,
                          .offset = offset,
                          .tag = tag};
    return posix_submit((io_posix *)base, &op);
}

static int posix_submit_sync(cp_io *base, int file, uint64_t tag)
{
    const operation op = {.kind = OPERATION_SYNC, .file = file, .tag = tag};
    return posix_submit((io_posix *)base, &op);
}

static int posix_submit_read(cp_io *base, int file, void *data, uint64_t size, uint64_t offset, uint64_t tag)
{
    const operation op = {
        .kind = OPERATION_READ, .file = file, .data = data, .size = size, .offset = offset, .tag = tag};
    return posix_submit((io_posix *)base, &op);
}

static int posix_reap(cp_io *base, cp_io_done *done, int max, uint64_t wait_ns)
{
    io_posix *io = (io_posix *)base;
    int count = 0;
    pthread_mutex_lock(&io->mutex);
    if (wait_ns && io->finished == io->reaped && io->queued != io->reaped) {
        const uint64_t until = cp_clock_ns_(CLOCK_MONOTONIC) + wait_ns;
        const struct timespec when = {.tv_sec = (time_t)(until / CP_NS_PER_S),
                                      .tv_nsec = (long)(until % CP_NS_PER_S)};
        while (io->finished == io->reaped &&
               pthread_cond_timedwait(&io->progress, &io->mutex, &when) != ETIMEDOUT) {
        }
    }
    while (count < max && io->reaped != io->finished)
        done[count++] = io->done[io->reaped++ % CP_IO_DEPTH];
    pthread_mutex_unlock(&io->mutex);
    return count;
}

static void posix_use_buffers(cp_io *base, const struct iovec *buffers, unsigned count)
{
    (void)base;
    (void)buffers;
    (void)count;
}

static void posix_use_file(cp_io *base, int file)
{
    (void)base;
    (void)file;
}

static void posix_destroy(cp_io *base)
{
    io_posix *io = (io_posix *)base;
    if (io->started) {
        pthread_mutex_lock(&io->mutex);
        io->stop = true;
        pthread_cond_signal(&io->work);
        pthread_mutex_unlock(&io->mutex);
        pthread_join(io->worker, NULL);
    }
    pthread_cond_destroy(&io->progress);
    pthread_cond_destroy(&io->work);
    pthread_mutex_destroy(&io->mutex);
    cp_io_file_destroy(&io->files);
    free(io);
}

static const cp_io_ops posix_ops = {
    .name = "posix",
    CP_IO_FILE_OPS,
    .submit_write = posix_submit_write,
    .submit_sync = posix_submit_sync,
    .submit_read = posix_submit_read,
    .reap = posix_reap,
    .use_buffers = posix_use_buffers,
    .use_file = posix_use_file,
    .destroy = posix_destroy,
};

int cp_io_posix_create(cp_io **out, const char *dir, cp_error *err)
{
    io_posix *io = calloc(1, sizeof *io);
    if (!io)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    io->files.base.ops = &posix_ops;
    const int code = cp_io_file_init(&io->files, dir, err);
    if (code != CP_OK) {
        free(io);
        return code;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&io->mutex, NULL);
    pthread_cond_init(&io->work, NULL);
    pthread_cond_init(&io->progress, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = &io->files.base;
    return CP_OK;
}
