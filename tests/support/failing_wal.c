/* What the write-ahead log calls of liburing; see failing.h. */
#include <liburing.h>

#include "tests/support/failing.h"

#define WRAP(name, result, parameters, arguments)                                                            \
    int __real_##name parameters;                                                                            \
    int __wrap_##name parameters;                                                                            \
    int __wrap_##name parameters                                                                             \
    {                                                                                                        \
        return failing_call(#name, __builtin_frame_address(0)) ? (result) : __real_##name arguments;         \
    }

WRAP(io_uring_queue_init_params, -ENOMEM,
     (unsigned entries, struct io_uring *ring, struct io_uring_params *params), (entries, ring, params))
WRAP(io_uring_submit, -ENOMEM, (struct io_uring * ring), (ring))
WRAP(io_uring_register_buffers, -ENOMEM,
     (struct io_uring * ring, const struct iovec *buffers, unsigned count), (ring, buffers, count))
WRAP(io_uring_register_files_sparse, -EMFILE, (struct io_uring * ring, unsigned count), (ring, count))
WRAP(io_uring_register_files_update, -EMFILE,
     (struct io_uring * ring, unsigned at, const int *files, unsigned count), (ring, at, files, count))
WRAP(io_uring_wait_cqe_timeout, -EINTR,
     (struct io_uring * ring, struct io_uring_cqe **done, struct __kernel_timespec *timeout),
     (ring, done, timeout))
