#undef _FORTIFY_SOURCE /* whose inline functions are in the way of those here */
#include "tests/support/failing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_calls.h"

enum {
    PLACES = 16384,          /* far more than the code under test has */
    FRAME_BYTES = 64 * 1024, /* no function has a larger one */
    SECTOR = 512
};

static struct {
    pthread_mutex_t lock;
    failing_mode mode;
    unsigned depth;
    uint64_t nth, counted;
    bool on, happened;
    char what[64];
    struct {
        uint64_t place;
        bool seen;
    } places[PLACES];
} failing = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void turn_begin(void)
{
    failing.on = false; /* a test that failed may have left it on */
    failing.counted = 0;
    failing.happened = false;
    memset(failing.places, 0, sizeof failing.places);
    snprintf(failing.what, sizeof failing.what, "nothing");
}

bool failing_first(failing_mode mode, unsigned depth)
{
    failing.mode = mode;
    failing.depth = depth;
    failing.nth = 1;
    turn_begin();
    return true;
}

bool failing_next(void)
{
    if (!failing.happened)
        return false;
    failing.nth++;
    turn_begin();
    return true;
}

void failing_begin(void)
{
    pthread_mutex_lock(&failing.lock);
    failing.on = true;
    pthread_mutex_unlock(&failing.lock);
}

void failing_end(void)
{
    pthread_mutex_lock(&failing.lock);
    failing.on = false;
    pthread_mutex_unlock(&failing.lock);
}

const char *failing_what(void)
{
    return failing.what;
}

bool failing_happened(void)
{
    return failing.happened;
}

/* Where a call is made: the return addresses along the frames, as far as they go. Never 0. */
static uint64_t place_of(const void *frame)
{
    uint64_t place = 0;
    for (unsigned i = 0; i < failing.depth; i++) {
        uintptr_t of[2]; /* frame pointer and return address of the caller */
        memcpy(of, frame, sizeof of);
        place = (place ^ of[1]) * 0x9e3779b97f4a7c15ull;
        if (of[0] <= (uintptr_t)frame || of[0] - (uintptr_t)frame > FRAME_BYTES || of[0] % sizeof of[0] != 0)
            break; /* a library's, or a thread's first */
        frame = (const uint8_t *)frame + (of[0] - (uintptr_t)frame);
    }
    return place ? place : 1;
}

/* True when it is the first call of the place in this turn. */
static bool is_first(uint64_t place)
{
    uint32_t at = (uint32_t)(place >> 32) % PLACES;
    while (failing.places[at].place && failing.places[at].place != place)
        at = (at + 1) % PLACES;
    const bool first = !failing.places[at].seen;
    failing.places[at].place = place;
    failing.places[at].seen = true;
    return first;
}

static bool turn_of(const char *name, const void *frame, bool is_short)
{
    if (!failing.on || is_short != (failing.mode == FAILING_SHORT))
        return false;
    const uint64_t place = place_of(frame);
    pthread_mutex_lock(&failing.lock);
    bool fails = false;
    if (failing.on && is_first(place)) {
        failing.counted++;
        fails = failing.counted == failing.nth;
    }
    if (fails) {
        failing.happened = true;
        snprintf(failing.what, sizeof failing.what, "%s, call %llu", name, (unsigned long long)failing.nth);
        if (getenv("CP_FAILING"))
            fprintf(stderr, "failing: %s%s\n", failing.what, failing.mode == FAILING_ON ? " and on" : "");
    }
    fails = fails || (failing.on && failing.happened && failing.mode == FAILING_ON);
    pthread_mutex_unlock(&failing.lock);
    return fails;
}

bool failing_call(const char *name, const void *frame)
{
    return turn_of(name, frame, false);
}

bool failing_short(const char *name, const void *frame)
{
    return turn_of(name, frame, true);
}

static int errno_of(int usual)
{
    return failing.mode == FAILING_EIO ? EIO : usual;
}

#define FAILS(name) failing_call(name, __builtin_frame_address(0))

/* ---- allocating --------------------------------------------------------------------------------------------------- */

#define WRAP(type, result, error, name, parameters, arguments)                                               \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        if (!FAILS(#name))                                                                                   \
            return __real_##name arguments;                                                                  \
        errno = errno_of(error);                                                                             \
        return result;                                                                                       \
    }

WRAP(void *, NULL, ENOMEM, malloc, (size_t size), (size))
WRAP(void *, NULL, ENOMEM, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, NULL, ENOMEM, realloc, (void *old, size_t size), (old, size))
WRAP(void *, NULL, ENOMEM, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(void *, NULL, ENOMEM, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(int, ENOMEM, ENOMEM, posix_memalign, (void **out, size_t alignment, size_t size), (out, alignment, size))
WRAP(char *, NULL, ENOMEM, strdup, (const char *text), (text))
WRAP(char *, NULL, ENOMEM, strndup, (const char *text, size_t most), (text, most))

/* ---- system calls ------------------------------------------------------------------------------------------------- */

/* So many bytes are moved of a short read or write. */
static size_t half(size_t size)
{
    return size / 2 >= SECTOR ? size / 2 / SECTOR * SECTOR : size / 2;
}

static const struct iovec *half_of(const struct iovec *from, struct iovec *to)
{
    *to = (struct iovec){.iov_base = from->iov_base, .iov_len = half(from->iov_len)};
    return to;
}

#define TRANSFER(type, result, error, name, parameters, arguments)                                           \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        if (FAILS(#name)) {                                                                                  \
            errno = errno_of(error);                                                                         \
            return result;                                                                                   \
        }                                                                                                    \
        if (failing_short(#name, __builtin_frame_address(0)))                                                \
            SHORTEN_##name;                                                                                  \
        return __real_##name arguments;                                                                      \
    }
#define SHORTEN_read     size = half(size)
#define SHORTEN_write    size = half(size)
#define SHORTEN_pread    size = half(size)
#define SHORTEN_pwrite   size = half(size)
#define SHORTEN_pwritev  return __real_pwritev(fd, half_of(from, &(struct iovec){0}), 1, at)
#define SHORTEN_pwritev2 return __real_pwritev2(fd, half_of(from, &(struct iovec){0}), 1, at, flags)

FAILING_TRANSFERS(TRANSFER)
TRANSFER(ssize_t, -1, ENOSPC, write, (int fd, const void *from, size_t size), (fd, from, size))
FAILING_CALLS(WRAP)
WRAP(struct dirent *, NULL, EIO, readdir, (DIR * dir), (dir))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    if (!FAILS("open"))
        return __real_open(path, flags, mode);
    errno = errno_of(EMFILE);
    return -1;
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    if (!FAILS("openat"))
        return __real_openat(dir, path, flags, mode);
    errno = errno_of(EMFILE);
    return -1;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (!FAILS("fcntl"))
        return __real_fcntl(fd, command, argument);
    errno = errno_of(ENOLCK);
    return -1;
}

int failing_open_files(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        abort(); /* every count would be the same */
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}
