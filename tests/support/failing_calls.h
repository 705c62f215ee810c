/* The calls that tests let fail, each with how it says so: X(type, result, errno, name, parameters, arguments). For fail_nth.c, which does
 * it to whole programs, and failing.c, which does it within one. Calls with "..." are not among them, nor write: see there. */
#ifndef COLDPATH_TESTS_FAILING_CALLS_H
#define COLDPATH_TESTS_FAILING_CALLS_H

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FAILING_TRANSFERS(X)                                                                                 \
    X(ssize_t, -1, EIO, read, (int fd, void *to, size_t size), (fd, to, size))                               \
    X(ssize_t, -1, EIO, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))                \
    X(ssize_t, -1, ENOSPC, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))  \
    X(ssize_t, -1, ENOSPC, pwritev, (int fd, const struct iovec *from, int count, off_t at),                 \
      (fd, from, count, at))                                                                                 \
    X(ssize_t, -1, ENOSPC, pwritev2, (int fd, const struct iovec *from, int count, off_t at, int flags),     \
      (fd, from, count, at, flags))

#define FAILING_CALLS(X)                                                                                     \
    X(int, -1, EIO, fsync, (int fd), (fd))                                                                   \
    X(int, -1, EIO, fdatasync, (int fd), (fd))                                                               \
    X(int, -1, ENOSPC, ftruncate, (int fd, off_t size), (fd, size))                                          \
    X(int, ENOSPC, ENOSPC, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))                  \
    X(int, -1, EIO, fstat, (int fd, struct stat *info), (fd, info))                                          \
    X(int, -1, EIO, stat, (const char *path, struct stat *info), (path, info))                               \
    X(int, -1, EIO, fstatat, (int fd, const char *path, struct stat *info, int flags),                       \
      (fd, path, info, flags))                                                                               \
    X(int, -1, EIO, statfs, (const char *path, struct statfs *info), (path, info))                           \
    X(int, -1, EIO, fstatfs, (int fd, struct statfs *info), (fd, info))                                      \
    X(int, -1, EIO, statvfs, (const char *path, struct statvfs *info), (path, info))                         \
    X(int, -1, EACCES, access, (const char *path, int mode), (path, mode))                                   \
    X(int, -1, EPERM, chmod, (const char *path, mode_t mode), (path, mode))                                  \
    X(int, -1, EPERM, fchmod, (int fd, mode_t mode), (fd, mode))                                             \
    X(int, -1, EPERM, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))                          \
    X(int, -1, ENOSPC, mkdir, (const char *path, mode_t mode), (path, mode))                                 \
    X(int, -1, ENOSPC, rename, (const char *from, const char *to), (from, to))                               \
    X(int, -1, ENOSPC, renameat, (int in, const char *from, int out, const char *to), (in, from, out, to))   \
    X(int, -1, ENOSPC, link, (const char *from, const char *to), (from, to))                                 \
    X(int, -1, EPERM, unlink, (const char *path), (path))                                                    \
    X(int, -1, EPERM, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))                    \
    X(ssize_t, -1, EIO, readlink, (const char *path, char *to, size_t size), (path, to, size))               \
    X(DIR *, NULL, EMFILE, opendir, (const char *path), (path))                                              \
    X(DIR *, NULL, EMFILE, fdopendir, (int fd), (fd))                                                        \
    X(FILE *, NULL, EMFILE, fopen, (const char *path, const char *mode), (path, mode))                       \
    X(FILE *, NULL, ENOMEM, fdopen, (int fd, const char *mode), (fd, mode))                                  \
    X(FILE *, NULL, ENOMEM, open_memstream, (char **text, size_t *size), (text, size))                       \
    X(void *, MAP_FAILED, ENOMEM, mmap,                                                                      \
      (void *at, size_t size, int protection, int flags, int fd, off_t offset),                              \
      (at, size, protection, flags, fd, offset))                                                             \
    X(int, -1, EINVAL, madvise, (void *at, size_t size, int advice), (at, size, advice))                     \
    X(int, -1, EMFILE, socket, (int domain, int type, int protocol), (domain, type, protocol))               \
    X(int, -1, EADDRINUSE, bind, (int fd, const struct sockaddr *address, socklen_t size),                   \
      (fd, address, size))                                                                                   \
    X(int, -1, EADDRINUSE, listen, (int fd, int backlog), (fd, backlog))                                     \
    X(int, -1, ENOMEM, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))        \
    X(int, -1, EMFILE, pipe2, (int fds[2], int flags), (fds, flags))                                         \
    X(int, -1, ENOLCK, flock, (int fd, int operation), (fd, operation))                                      \
    X(ssize_t, -1, EAGAIN, getrandom, (void *to, size_t size, unsigned flags), (to, size, flags))            \
    X(int, EAGAIN, EAGAIN, pthread_create,                                                                   \
      (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument),          \
      (thread, attributes, run, argument))

/* liburing's, of which nothing but its address is needed here. */
struct io_uring;
struct io_uring_params;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int io_uring_submit(struct io_uring *ring);
int io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count);

#define FAILING_URING_CALLS(X)                                                                               \
    X(int, -ENOMEM, ENOMEM, io_uring_queue_init_params,                                                      \
      (unsigned entries, struct io_uring *ring, struct io_uring_params *params), (entries, ring, params))    \
    X(int, -ENOMEM, ENOMEM, io_uring_submit, (struct io_uring * ring), (ring))                               \
    X(int, -ENOMEM, ENOMEM, io_uring_register_buffers,                                                       \
      (struct io_uring * ring, const struct iovec *buffers, unsigned count), (ring, buffers, count))

#endif
