/* A library for LD_PRELOAD that makes one library call of a program fail, as it would when memory, descriptors or disk run out: the
 * CP_FAIL_NTH-th of those that the program itself makes, counted over all threads. Calls from inside of libraries are neither counted
 * nor failed: how these fare is theirs.
 *
 *   CP_FAIL_WHAT=alloc   malloc and its like return NULL
 *   CP_FAIL_WHAT=call    system calls by their C functions fail, each with an errno that it may have
 *   CP_FAIL_ON=1         and so do all behind it, as when memory or disk stay full
 *   CP_FAIL_NTH=0        nothing fails; at the end CP_FAIL_COUNT, a file, holds how many calls there were
 *
 * What failed is said on standard error: "fail_nth: pwrite". */
#undef _FORTIFY_SOURCE /* whose inline functions are in the way of those here */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* glibc's own allocator, which needs no dlsym, that would itself allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

#define PUBLIC __attribute__((visibility("default")))

enum { NOTHING, ALLOC, CALL };

static int what;
static unsigned long nth;
static bool goes_on;
static atomic_ulong counted;
static uintptr_t program_begin, program_end;
static int count_fd = -1;

static int program_find(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > program_end)
            program_end = end;
    }
    program_begin = info->dlpi_addr;
    return 1; /* the first is the program */
}

__attribute__((constructor)) static void begin(void)
{
    const char *kind = getenv("CP_FAIL_WHAT");
    const char *number = getenv("CP_FAIL_NTH");
    const char *count = getenv("CP_FAIL_COUNT");
    dl_iterate_phdr(program_find, NULL);
    if (count)
        count_fd = (int)syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    goes_on = getenv("CP_FAIL_ON") != NULL;
    nth = number ? strtoul(number, NULL, 10) : 0;
    what = kind && strcmp(kind, "alloc") == 0 ? ALLOC : kind && strcmp(kind, "call") == 0 ? CALL : NOTHING;
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    if (count_fd >= 0)
        (void)!write(count_fd, text, (size_t)snprintf(text, sizeof text, "%lu\n", atomic_load(&counted)));
}

static bool fails(int kind, const void *caller, const char *name)
{
    if (what != kind || (uintptr_t)caller < program_begin || (uintptr_t)caller >= program_end)
        return false;
    const unsigned long number = atomic_fetch_add(&counted, 1) + 1;
    if (nth == 0 || number < nth || (number > nth && !goes_on))
        return false;
    char text[64];
    const int length = snprintf(text, sizeof text, "fail_nth: %s\n", name);
    syscall(SYS_write, STDERR_FILENO, text, length);
    return true;
}

#define FAILS(kind, name) fails(kind, __builtin_return_address(0), name)

/* ---- allocating --------------------------------------------------------------------------------------------------- */

PUBLIC void *malloc(size_t size)
{
    if (FAILS(ALLOC, "malloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

PUBLIC void *calloc(size_t count, size_t size)
{
    if (FAILS(ALLOC, "calloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

PUBLIC void *realloc(void *old, size_t size)
{
    if (FAILS(ALLOC, "realloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, size);
}

PUBLIC void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (FAILS(ALLOC, "reallocarray") || __builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, bytes);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    if (FAILS(ALLOC, "aligned_alloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_memalign(alignment, size);
}

PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (FAILS(ALLOC, "posix_memalign"))
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

static char *copy_of(const char *text, size_t length)
{
    char *copy = __libc_malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

PUBLIC char *strdup(const char *text)
{
    if (FAILS(ALLOC, "strdup")) {
        errno = ENOMEM;
        return NULL;
    }
    return copy_of(text, strlen(text));
}

PUBLIC char *strndup(const char *text, size_t most)
{
    if (FAILS(ALLOC, "strndup")) {
        errno = ENOMEM;
        return NULL;
    }
    return copy_of(text, strnlen(text, most));
}

int __vasprintf_chk(char **out, int flag, const char *format, va_list args);
int __asprintf_chk(char **out, int flag, const char *format, ...);

__attribute__((format(printf, 3, 0))) PUBLIC int __vasprintf_chk(char **out, int flag, const char *format,
                                                                 va_list args)
{
    (void)flag;
    if (FAILS(ALLOC, "vasprintf")) {
        errno = ENOMEM;
        return -1;
    }
    return vasprintf(out, format, args);
}

__attribute__((format(printf, 3, 4))) PUBLIC int __asprintf_chk(char **out, int flag, const char *format, ...)
{
    (void)flag;
    if (FAILS(ALLOC, "asprintf")) {
        errno = ENOMEM;
        return -1;
    }
    va_list args;
    va_start(args, format);
    const int length = vasprintf(out, format, args);
    va_end(args);
    return length;
}

/* ---- system calls ------------------------------------------------------------------------------------------------- */

/* A function that fails by returning bad, with errno. */
#define REPLACE(type, bad, error, name, parameters, arguments)                                               \
    PUBLIC type name parameters                                                                              \
    {                                                                                                        \
        static type(*real) parameters;                                                                       \
        if (!real)                                                                                           \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                                       \
        if (FAILS(CALL, #name)) {                                                                            \
            errno = error;                                                                                   \
            return bad;                                                                                      \
        }                                                                                                    \
        return real arguments;                                                                               \
    }

REPLACE(ssize_t, -1, EIO, read, (int fd, void *to, size_t size), (fd, to, size))
REPLACE(ssize_t, -1, EIO, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
REPLACE(ssize_t, -1, ENOSPC, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
REPLACE(ssize_t, -1, ENOSPC, pwritev, (int fd, const struct iovec *from, int count, off_t at),
        (fd, from, count, at))
REPLACE(ssize_t, -1, ENOSPC, pwritev2, (int fd, const struct iovec *from, int count, off_t at, int flags),
        (fd, from, count, at, flags))
REPLACE(int, -1, EIO, fsync, (int fd), (fd))
REPLACE(int, -1, EIO, fdatasync, (int fd), (fd))
REPLACE(int, -1, ENOSPC, ftruncate, (int fd, off_t size), (fd, size))
REPLACE(int, ENOSPC, ENOSPC, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))
REPLACE(int, -1, EIO, fstat, (int fd, struct stat *info), (fd, info))
REPLACE(int, -1, EIO, stat, (const char *path, struct stat *info), (path, info))
REPLACE(int, -1, EIO, fstatat, (int fd, const char *path, struct stat *info, int flags),
        (fd, path, info, flags))
REPLACE(int, -1, EIO, statfs, (const char *path, struct statfs *info), (path, info))
REPLACE(int, -1, EIO, fstatfs, (int fd, struct statfs *info), (fd, info))
REPLACE(int, -1, EIO, statvfs, (const char *path, struct statvfs *info), (path, info))
REPLACE(int, -1, EACCES, access, (const char *path, int mode), (path, mode))
REPLACE(int, -1, EPERM, chmod, (const char *path, mode_t mode), (path, mode))
REPLACE(int, -1, EPERM, fchmod, (int fd, mode_t mode), (fd, mode))
REPLACE(int, -1, EPERM, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
REPLACE(int, -1, ENOSPC, mkdir, (const char *path, mode_t mode), (path, mode))
REPLACE(int, -1, ENOSPC, rename, (const char *from, const char *to), (from, to))
REPLACE(int, -1, ENOSPC, renameat, (int in, const char *from, int out, const char *to), (in, from, out, to))
REPLACE(int, -1, ENOSPC, link, (const char *from, const char *to), (from, to))
REPLACE(int, -1, EPERM, unlink, (const char *path), (path))
REPLACE(int, -1, EPERM, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
REPLACE(ssize_t, -1, EIO, readlink, (const char *path, char *to, size_t size), (path, to, size))
REPLACE(DIR *, NULL, EMFILE, opendir, (const char *path), (path))
REPLACE(DIR *, NULL, EMFILE, fdopendir, (int fd), (fd))
REPLACE(FILE *, NULL, EMFILE, fopen, (const char *path, const char *mode), (path, mode))
REPLACE(FILE *, NULL, ENOMEM, fdopen, (int fd, const char *mode), (fd, mode))
REPLACE(FILE *, NULL, ENOMEM, open_memstream, (char **text, size_t *size), (text, size))
REPLACE(void *, MAP_FAILED, ENOMEM, mmap,
        (void *at, size_t size, int protection, int flags, int fd, off_t offset),
        (at, size, protection, flags, fd, offset))
REPLACE(int, -1, EMFILE, socket, (int domain, int type, int protocol), (domain, type, protocol))
REPLACE(int, -1, EADDRINUSE, bind, (int fd, const struct sockaddr *address, socklen_t size),
        (fd, address, size))
REPLACE(int, -1, EADDRINUSE, listen, (int fd, int backlog), (fd, backlog))
REPLACE(int, -1, ENOMEM, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
REPLACE(int, -1, EMFILE, pipe2, (int fds[2], int flags), (fds, flags))
REPLACE(int, -1, ENOLCK, flock, (int fd, int operation), (fd, operation))
REPLACE(ssize_t, -1, EAGAIN, getrandom, (void *to, size_t size, unsigned flags), (to, size, flags))
struct io_uring; /* liburing's, of which nothing but its address is needed here */
struct io_uring_params;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int io_uring_submit(struct io_uring *ring);
int io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count);
REPLACE(int, -ENOMEM, ENOMEM, io_uring_queue_init_params,
        (unsigned entries, struct io_uring *ring, struct io_uring_params *params), (entries, ring, params))
REPLACE(int, -ENOMEM, ENOMEM, io_uring_submit, (struct io_uring * ring), (ring))
REPLACE(int, -ENOMEM, ENOMEM, io_uring_register_buffers,
        (struct io_uring * ring, const struct iovec *buffers, unsigned count), (ring, buffers, count))
REPLACE(int, EAGAIN, EAGAIN, pthread_create,
        (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument),
        (thread, attributes, run, argument))

/* Not on standard error: a line of the log that cannot be written is lost, and nothing else. */
PUBLIC ssize_t write(int fd, const void *from, size_t size)
{
    if (fd != STDERR_FILENO && FAILS(CALL, "write")) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, from, size);
}

PUBLIC int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    if (FAILS(CALL, "open")) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

PUBLIC int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    if (FAILS(CALL, "openat")) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

PUBLIC int fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (FAILS(CALL, "fcntl")) {
        errno = ENOLCK;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}
