/* Writes and syncs through io_uring, reaped by looking at shared memory.
 *
 * The ring is made with the leanest set of flags that the kernel takes: SINGLE_ISSUER|DEFER_TASKRUN (completions are
 * run when this thread asks, no interrupt ever disturbs it), then COOP_TASKRUN, then none. The thread that makes the
 * ring must be the one that uses it. File and buffers are registered where the kernel and RLIMIT_MEMLOCK allow;
 * without, all works the same, with a little more work per write. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "wal/io_file.h"

enum { URING_BUFFERS = 8 };

typedef struct io_uring_io {
    cp_io_file files; /* first: a cp_io * points here */
    struct io_uring ring;
    unsigned under_way;
    struct iovec buffers[URING_BUFFERS];
    unsigned buffer_count;
    bool file_slot; /* a table of registered files, of one entry, is there */
    int file;       /* registered in it, or -1 */
} io_uring_io;

static int uring_refused(cp_error *err, int errnum)
{
    const char *remedy = "use backend: posix";
    if (errnum == EPERM || errnum == EACCES)
        remedy = "allow it (sysctl kernel.io_uring_disabled=0; a container's seccomp profile may forbid it, "
                 "Docker's default does) or use backend: posix";
    else if (errnum == ENOMEM)
        remedy = "raise the memlock limit (ulimit -l, LimitMEMLOCK) or use backend: posix";
    else if (errnum == ENOSYS)
        remedy = "this kernel has none: use backend: posix";
    return cp_error_errno(err, CP_E_UNSUPPORTED, errnum, "io_uring is refused here; %s", remedy);
}

static int ring_make(struct io_uring *ring)
{
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_TASKRUN_FLAG,
                                     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
    int result = -EINVAL;
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0] && result == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_CQSIZE,
                                         .cq_entries = 2 * CP_IO_DEPTH};
        result = io_uring_queue_init_params(CP_IO_DEPTH, ring, &params);
    }
    return result;
}

static int uring_submit(io_uring_io *io, struct io_uring_sqe *sqe, int file, uint64_t tag)
{
    if (io->file == file && file >= 0) {
        sqe->fd = 0;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    io_uring_sqe_set_data64(sqe, tag);
    io->under_way++;
    /* Refused now, the entry stays in the queue; reap offers it again, and reports what does not pass. */
    io_uring_submit(&io->ring);
    return 0;
}

static struct io_uring_sqe *uring_entry(io_uring_io *io)
{
    return io->under_way < CP_IO_DEPTH ? io_uring_get_sqe(&io->ring) : NULL;
}

static int buffer_index(const io_uring_io *io, const void *data, uint64_t size)
{
    for (unsigned i = 0; i < io->buffer_count; i++) {
        const uint8_t *base = io->buffers[i].iov_base;
        if ((const uint8_t *)data >= base && (const uint8_t *)data + size <= base + io->buffers[i].iov_len)
            return (int)i;
    }
    return -1;
}

static int uring_submit_write(cp_io *base, int file, const void *data, uint64_t size, uint64_t offset,
                              bool dsync, uint64_t tag)
{
    io_uring_io *io = (io_uring_io *)base;
    struct io_uring_sqe *sqe = uring_entry(io);
    if (!sqe)
        return -EAGAIN;
    const int index = base->registered ? buffer_index(io, data, size) : -1;
    if (index >= 0)
        io_uring_prep_write_fixed(sqe, file, data, (unsigned)size, offset, index);
    else
        io_uring_prep_write(sqe, file, data, (unsigned)size, offset);
    if (dsync)
        sqe->rw_flags = RWF_DSYNC;
    return uring_submit(io, sqe, file, tag);
}

static int uring_submit_sync(cp_io *base, int file, uint64_t tag)
{
    io_uring_io *io = (io_uring_io *)base;
    struct io_uring_sqe *sqe = uring_entry(io);
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
    return uring_submit(io, sqe, file, tag);
}

static int uring_reap(cp_io *base, cp_io_done *done, int max, uint64_t wait_ns)
{
    io_uring_io *io = (io_uring_io *)base;
    struct io_uring_cqe *cqe;
    if (io->under_way == 0)
        return 0;
    if (io_uring_sq_ready(&io->ring) > 0) {
        const int result = io_uring_submit(&io->ring);
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
            return result;
    }
    if (wait_ns) {
        struct __kernel_timespec wait = {.tv_sec = (long long)(wait_ns / CP_NS_PER_S),
                                         .tv_nsec = (long long)(wait_ns % CP_NS_PER_S)};
        const int result = io_uring_wait_cqe_timeout(&io->ring, &cqe, &wait);
        if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN)
            return result;
    }
    int count = 0;
    while (count < max && io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        done[count++] = (cp_io_done){.tag = io_uring_cqe_get_data64(cqe), .result = cqe->res};
        io_uring_cqe_seen(&io->ring, cqe);
        io->under_way--;
    }
    return count;
}

static void uring_use_buffers(cp_io *base, const struct iovec *buffers, unsigned count)
{
    io_uring_io *io = (io_uring_io *)base;
    if (count > URING_BUFFERS || base->registered)
        return;
    memcpy(io->buffers, buffers, count * sizeof *buffers);
    io->buffer_count = count;
    base->registered = io_uring_register_buffers(&io->ring, buffers, count) == 0;
}

static void uring_use_file(cp_io *base, int file)
{
    io_uring_io *io = (io_uring_io *)base;
    if (io->file_slot)
        io->file = io_uring_register_files_update(&io->ring, 0, &file, 1) == 1 ? file : -1;
}

/* The number of a closed file may come back as another file's. */
static void uring_close(cp_io *base, int file)
{
    io_uring_io *io = (io_uring_io *)base;
    if (io->file == file) {
        const int none = -1;
        io_uring_register_files_update(&io->ring, 0, &none, 1);
        io->file = -1;
    }
    cp_io_file_close(base, file);
}

static void uring_destroy(cp_io *base)
{
    io_uring_io *io = (io_uring_io *)base;
    cp_io_done done[CP_IO_DEPTH];
    while (io->under_way > 0 && uring_reap(base, done, CP_IO_DEPTH, CP_NS_PER_S) >= 0) {
    }
    io_uring_queue_exit(&io->ring);
    cp_io_file_destroy(&io->files);
    free(io);
}

static const cp_io_ops uring_ops = {
    .name = "io_uring",
    CP_IO_FILE_OPS_BUT_CLOSE,
    .close = uring_close,
    .submit_write = uring_submit_write,
    .submit_sync = uring_submit_sync,
    .reap = uring_reap,
    .use_buffers = uring_use_buffers,
    .use_file = uring_use_file,
    .destroy = uring_destroy,
};

int cp_io_uring_create(cp_io **out, const char *dir, cp_error *err)
{
    io_uring_io *io = calloc(1, sizeof *io);
    if (!io)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    io->files.base.ops = &uring_ops;
    io->file = -1;
    int code = cp_io_file_init(&io->files, dir, err);
    if (code != CP_OK) {
        free(io);
        return code;
    }
    const int result = ring_make(&io->ring);
    if (result < 0) {
        cp_io_file_destroy(&io->files);
        free(io);
        return uring_refused(err, -result);
    }
    io->files.base.dsync_defers = !io->files.fua;
    io->file_slot = io_uring_register_files_sparse(&io->ring, 1) == 0;
    *out = &io->files.base;
    return CP_OK;
}
