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

#include "tests/support/failing_calls.h"

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

FAILING_TRANSFERS(REPLACE)
FAILING_CALLS(REPLACE)
FAILING_URING_CALLS(REPLACE)

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
