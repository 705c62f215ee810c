#include "tests/simulate/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

enum { HELD_MOST = 1 << 16 };

typedef enum held_kind { HELD_HEAP, HELD_MAP, HELD_FILE, HELD_ZSTD } held_kind;

/* A file's `at` is its number. */
typedef struct held {
    held_kind kind;
    int process;
    uintptr_t at;
    size_t size;
} held;

int sim_process_now;

static held things[HELD_MOST];
static size_t thing_count;

static void take(held_kind kind, uintptr_t at, size_t size)
{
    if (sim_process_now == SIM_NOBODY)
        return;
    if (thing_count == HELD_MOST)
        abort();
    things[thing_count++] = (held){kind, sim_process_now, at, size};
}

static void forget(size_t index)
{
    things[index] = things[--thing_count];
}

/* What was taken last is given back first, mostly. */
static void give(held_kind kind, uintptr_t at)
{
    for (size_t i = thing_count; i-- > 0;) {
        if (things[i].kind == kind && things[i].at == at) {
            forget(i);
            return;
        }
    }
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t size);
int __real_close(int file);
size_t __real_ZSTD_freeCCtx(ZSTD_CCtx *context);

static void drop(const held *thing)
{
    switch (thing->kind) {
    case HELD_HEAP:
        __real_free((void *)thing->at);
        break;
    case HELD_MAP:
        __real_munmap((void *)thing->at, thing->size);
        break;
    case HELD_FILE:
        __real_close((int)thing->at);
        break;
    case HELD_ZSTD:
        __real_ZSTD_freeCCtx((ZSTD_CCtx *)thing->at);
        break;
    }
}

void sim_process_kill(int process)
{
    for (size_t i = thing_count; i-- > 0;) {
        if (things[i].process != process)
            continue;
        drop(&things[i]);
        forget(i);
    }
}

size_t sim_process_holds(int process)
{
    size_t count = 0;
    for (size_t i = 0; i < thing_count; i++)
        count += things[i].process == process;
    return count;
}

/* ---- memory ---- */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
void __wrap_free(void *memory);

static void *taken(void *memory)
{
    if (memory)
        take(HELD_HEAP, (uintptr_t)memory, 0);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return taken(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return taken(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    const uintptr_t was = (uintptr_t)old;
    void *memory = __real_realloc(old, size);
    if (memory && was)
        give(HELD_HEAP, was);
    return taken(memory);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return size && count > SIZE_MAX / size ? NULL : __wrap_realloc(old, count * size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return taken(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    const int code = __real_posix_memalign(out, alignment, size);
    if (code == 0)
        taken(*out);
    return code;
}

char *__wrap_strndup(const char *text, size_t most)
{
    const size_t length = strnlen(text, most);
    char *copy = __wrap_malloc(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, SIZE_MAX);
}

void __wrap_free(void *memory)
{
    if (memory)
        give(HELD_HEAP, (uintptr_t)memory);
    __real_free(memory);
}

ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
size_t __wrap_ZSTD_freeCCtx(ZSTD_CCtx *context);

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
    ZSTD_CCtx *context = __real_ZSTD_createCCtx();
    if (context)
        take(HELD_ZSTD, (uintptr_t)context, 0);
    return context;
}

size_t __wrap_ZSTD_freeCCtx(ZSTD_CCtx *context)
{
    give(HELD_ZSTD, (uintptr_t)context);
    return __real_ZSTD_freeCCtx(context);
}

/* ---- mappings ---- */

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_madvise(void *at, size_t size, int advice);
int __real_madvise(void *at, size_t size, int advice);

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    void *memory = __real_mmap(at, size, protection, flags, file, offset);
    if (memory != MAP_FAILED)
        take(HELD_MAP, (uintptr_t)memory, size);
    return memory;
}

/* Notes that [from, to) is gone of a mapping: what is left of it before, behind, or both. */
static void map_cut(size_t index, uintptr_t from, uintptr_t to)
{
    const uintptr_t begin = things[index].at;
    const uintptr_t end = begin + things[index].size;
    const int process = sim_process_now;
    if (begin >= from && end <= to) {
        forget(index);
        return;
    }
    if (begin >= from) {
        things[index].at = to;
        things[index].size = end - to;
        return;
    }
    things[index].size = from - begin;
    if (end <= to)
        return;
    sim_process_now = things[index].process;
    take(HELD_MAP, to, end - to);
    sim_process_now = process;
}

/* A mapping may lie on top of another one, as a ring's two do on the space that was reserved for them. */
int __wrap_munmap(void *at, size_t size)
{
    const uintptr_t from = (uintptr_t)at;
    for (size_t i = thing_count; i-- > 0;) {
        if (things[i].kind == HELD_MAP && things[i].at < from + size && from < things[i].at + things[i].size)
            map_cut(i, from, from + size);
    }
    return __real_munmap(at, size);
}

/* Pages that are supplied beforehand change nothing here but the time that a start takes. */
int __wrap_madvise(void *at, size_t size, int advice)
{
    return advice == MADV_POPULATE_WRITE ? 0 : __real_madvise(at, size, advice);
}

/* ---- files ---- */

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_close(int file);
int __real_openat(int dir, const char *path, int flags, ...);
DIR *__real_fdopendir(int file);
DIR *__wrap_fdopendir(int file);

static int file_taken(int file)
{
    if (file >= 0)
        take(HELD_FILE, (uintptr_t)file, 0);
    return file;
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? (mode_t)va_arg(args, unsigned) : 0;
    va_end(args);
    return file_taken(__real_openat(dir, path, flags, mode));
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? (mode_t)va_arg(args, unsigned) : 0;
    va_end(args);
    return file_taken(__real_openat(AT_FDCWD, path, flags, mode));
}

int __wrap_close(int file)
{
    give(HELD_FILE, (uintptr_t)file);
    return __real_close(file);
}

FILE *__real_fdopen(int file, const char *mode);
FILE *__wrap_fdopen(int file, const char *mode);

/* From here on the stream owns the file. */
FILE *__wrap_fdopen(int file, const char *mode)
{
    FILE *stream = __real_fdopen(file, mode);
    if (stream)
        give(HELD_FILE, (uintptr_t)file);
    return stream;
}

/* Likewise a directory's. */
DIR *__wrap_fdopendir(int file)
{
    DIR *dir = __real_fdopendir(file);
    if (dir)
        give(HELD_FILE, (uintptr_t)file);
    return dir;
}
