/* Rows as C structs: what the generated headers (rows/<table>.h) are made of, and how a row gets its tail.
 *
 *     struct { quotes_row row; uint8_t tail[64]; } put = {0};          a row, and room for its strings
 *     put.row.recv_ts = now;
 *     cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
 *     cp_tail_put(&tail, &put.row.symbol, "BTCUSDT", 7);
 *     cp_put(ring, &put, tail.used);
 *
 * The tail lies directly behind the struct; every String is a cp_ref to its bytes there, every Array a cp_ref to its
 * elements. Strings may share bytes. A row without Strings and Arrays needs none of this. Nothing here allocates. */
#ifndef COLDPATH_ROW_H
#define COLDPATH_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#define CP_ROW_ASSERT(condition) static_assert(condition, #condition)
#else
#define CP_ROW_ASSERT(condition) _Static_assert(condition, #condition)
#endif
#define CP_ROW_ALIGNED __attribute__((aligned(8)))

/* Where a String's bytes or an Array's elements lie: offset is counted from the first byte of the row, length is
 * in bytes for a String, in elements for an Array. With length 0 the offset says nothing. */
typedef struct cp_ref {
    uint32_t offset;
    uint32_t length;
} cp_ref;

/* Decimal(19..38): two's complement, low half first. A struct of its own, because __int128 wants 16-byte
 * alignment, which rows do not have. */
typedef struct cp_i128 {
    uint64_t lo;
    int64_t hi;
} cp_i128;

/* The tail of a row under construction. */
typedef struct cp_tail {
    uint8_t *row;
    uint32_t used;     /* bytes of the row so far, the struct included: what cp_put wants */
    uint32_t capacity; /* bytes there are, the struct included */
} cp_tail;

/* Starts the tail of a row.
 *   row       the row's struct, 8-byte aligned, with room for the tail directly behind it
 *   row_size  sizeof the struct
 *   capacity  bytes at row, the struct included; what cp_claim was asked for, or the buffer's size */
static inline cp_tail cp_tail_begin(void *row, uint32_t row_size, uint32_t capacity)
{
    const cp_tail tail = {(uint8_t *)row, row_size, capacity};
    return tail;
}

/* Appends length bytes and points ref, a member of the row, to them. Returns false, and leaves both alone, when there is
 * no room. */
static inline bool cp_tail_put(cp_tail *tail, cp_ref *ref, const void *bytes, uint32_t length)
{
    if (length > tail->capacity - tail->used)
        return false;
    if (length > 0)
        memcpy(tail->row + tail->used, bytes, length);
    ref->offset = tail->used;
    ref->length = length;
    tail->used += length;
    return true;
}

/* Reserves an Array's elements and points ref to them.
 *   size, align  of one element: sizeof and _Alignof of its C type
 *   nullable     one flag byte for every element (1 = NULL) follows the last; they begin as 0
 * Returns where the elements go, aligned, for the caller to fill (count of them, before the row is put), or NULL, with
 * nothing changed, when there is no room. */
static inline void *cp_tail_array(cp_tail *tail, cp_ref *ref, uint32_t count, uint32_t size, uint32_t align,
                                  bool nullable)
{
    const uint64_t at = ((uint64_t)tail->used + align - 1) & ~(uint64_t)(align - 1);
    const uint64_t end = at + (uint64_t)count * (size + (nullable ? 1u : 0u));
    if (end > tail->capacity)
        return NULL;
    memset(tail->row + tail->used, 0,
           (size_t)(end - tail->used)); /* also the gap: no stray bytes leave with the row */
    ref->offset = (uint32_t)at;
    ref->length = count;
    tail->used = (uint32_t)end;
    return tail->row + at;
}

#ifdef __cplusplus
}
#endif
#endif
