#include "flush/arena.h"

#include <coldpath/error.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ARENA_ALIGN = 16,
    SEGMENT_FIRST = 4096,     /* most tables' small batches fit one segment a column */
    SEGMENT_LARGEST = 1 << 20 /* doubling ends here, so that the unused end of a stream stays small */
};

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

int cp_arena_map(cp_arena *arena, size_t size)
{
    memset(arena, 0, sizeof *arena);
    const size_t rounded = round_up(size, (size_t)sysconf(_SC_PAGESIZE));
    void *base =
        mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return CP_E_NOMEM;
    arena->base = base;
    arena->size = rounded;
    return CP_OK;
}

void cp_arena_unmap(cp_arena *arena)
{
    if (arena->base)
        munmap(arena->base, arena->size);
    memset(arena, 0, sizeof *arena);
}

void *cp_arena_take(cp_arena *arena, size_t size)
{
    if (size > arena->size - arena->used)
        return NULL;
    uint8_t *taken = arena->base + arena->used;
    const size_t rounded = round_up(size, ARENA_ALIGN);
    arena->used += rounded <= arena->size - arena->used ? rounded : arena->size - arena->used;
    if (arena->used > arena->touched)
        arena->touched = arena->used;
    return taken;
}

void cp_arena_reset(cp_arena *arena)
{
    arena->used = 0;
}

void cp_arena_trim(cp_arena *arena, size_t keep)
{
    const size_t from = round_up(keep, (size_t)sysconf(_SC_PAGESIZE));
    if (arena->touched <= from)
        return;
    /* Failure costs memory, not correctness. */
    (void)madvise(arena->base + from, arena->size - from, MADV_DONTNEED);
    arena->touched = from;
}

void cp_stream_begin(cp_stream *stream, cp_arena *arena)
{
    memset(stream, 0, sizeof *stream);
    stream->arena = arena;
}

uint8_t *cp_stream_extend_(cp_stream *stream, size_t size)
{
    size_t room = SEGMENT_FIRST;
    if (stream->last) {
        stream->last->used = (size_t)(stream->at - stream->last->bytes);
        room = stream->last->size * 2;
    }
    if (room > SEGMENT_LARGEST)
        room = SEGMENT_LARGEST;
    if (room < size)
        room = size;
    if (room > SIZE_MAX - sizeof(cp_segment))
        return NULL;
    cp_segment *segment = cp_arena_take(stream->arena, sizeof *segment + room);
    if (!segment)
        return NULL;
    *segment = (cp_segment){.size = room, .bytes = (uint8_t *)(segment + 1)};
    if (stream->last)
        stream->last->next = segment;
    else
        stream->first = segment;
    stream->last = segment;
    stream->at = segment->bytes;
    stream->end = segment->bytes + room;
    return stream->at;
}

size_t cp_stream_close(cp_stream *stream, uint32_t *segments)
{
    if (stream->last)
        stream->last->used = (size_t)(stream->at - stream->last->bytes);
    size_t bytes = 0;
    *segments = 0;
    for (const cp_segment *segment = stream->first; segment; segment = segment->next) {
        bytes += segment->used;
        *segments += 1;
    }
    return bytes;
}
