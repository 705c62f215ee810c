/* Staging memory of the encoder: one large mapping carved from the front, and byte streams that grow inside it.
 *
 *     arena  ├─ segment ─┼─ segment ─┼─ table of a dictionary ─┼─ segment ─┼──── untouched ────┤
 *     stream      └───────────────────────────────────────────────►┘
 *
 * A stream is a chain of segments, each at least twice the one before, so the bytes of a column are written once, where
 * they stay: nothing is sized in advance and nothing is copied when a stream grows. One reset gives everything back.
 * The mapping costs memory only where it was touched; trim returns what a burst has touched. One thread. */
#ifndef CP_FLUSH_ARENA_H
#define CP_FLUSH_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct cp_arena {
    uint8_t *base;
    size_t size;
    size_t used;
    size_t touched; /* the most that was ever used since the last trim */
} cp_arena;

/* Maps size bytes (rounded up to pages). CP_E_NOMEM. */
int cp_arena_map(cp_arena *arena, size_t size);
void cp_arena_unmap(cp_arena *arena);

/* size bytes, 16-byte aligned, contents undefined; NULL when the arena has no room. */
void *cp_arena_take(cp_arena *arena, size_t size);

/* Gives all taken memory back for the next use; streams and pointers into the arena are void. */
void cp_arena_reset(cp_arena *arena);

/* Returns pages beyond keep bytes to the system; only between a reset and the next take. */
void cp_arena_trim(cp_arena *arena, size_t keep);

typedef struct cp_segment {
    struct cp_segment *next;
    size_t size; /* room in bytes */
    size_t used; /* set when the stream goes on to the next segment, or by cp_stream_close */
    uint8_t *bytes;
} cp_segment;

typedef struct cp_stream {
    cp_arena *arena;
    cp_segment *first;
    cp_segment *last;
    uint8_t *at;  /* where the next byte goes */
    uint8_t *end; /* of the last segment */
} cp_stream;

/* An empty stream in arena. Takes no memory yet. */
void cp_stream_begin(cp_stream *stream, cp_arena *arena);

/* The slow half of cp_stream_reserve: goes on to a new segment. */
uint8_t *cp_stream_extend_(cp_stream *stream, size_t size);

/* Room for size contiguous bytes at the end of the stream, or NULL when the arena is full. cp_stream_commit says how
 * many of them were written. */
static inline uint8_t *cp_stream_reserve(cp_stream *stream, size_t size)
{
    if ((size_t)(stream->end - stream->at) >= size && stream->at)
        return stream->at;
    return cp_stream_extend_(stream, size);
}

static inline void cp_stream_commit(cp_stream *stream, const uint8_t *end)
{
    stream->at += end - stream->at;
}

/* Ends writing: every segment's used is right afterwards. Returns the stream's bytes; *segments counts the parts. */
size_t cp_stream_close(cp_stream *stream, uint32_t *segments);

#endif
