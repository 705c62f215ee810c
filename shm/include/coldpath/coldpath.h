/* libcoldpath: putting rows into the recorder's shared memory.
 *
 *     cp_region *region;                          one per process and namespace
 *     cp_ring *ring;                              one per thread and table
 *     cp_error err;
 *     if (cp_attach(&region, "/dev/shm/coldpath/dolphin", &err) < 0 ||
 *         cp_ring_open(&ring, region, "quotes", QUOTES_SCHEMA_HASH, "my-strategy", &err) < 0)
 *         die(err.text);
 *     cp_put(ring, &row, sizeof row);             CP_OK or CP_FULL; about the cost of copying the row
 *     cp_ring_close(ring);
 *     cp_detach(region);
 *
 * A ring has one producer: cp_claim, cp_commit, cp_abort, cp_put and cp_put_wait on one ring belong to one thread at a
 * time. Different rings are independent. None of cp_claim, cp_commit, cp_abort and cp_put makes a system call, takes a
 * lock, allocates, faults a page or waits. A row is either fully in the ring or not at all: a producer that dies between
 * claim and commit loses that row alone, and what was committed outlives producer and recorder, not the host.
 *
 * Positions count the bytes ever written to a ring, modulo 2^64; they name rows in cp_wait.
 *
 * After fork() the child must not use rings or regions of its parent. */
#ifndef COLDPATH_COLDPATH_H
#define COLDPATH_COLDPATH_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CP_LIKELY(x)   __builtin_expect(!!(x), 1)
#define CP_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#error "coldpath.h needs GCC or Clang: its atomics are their builtins, so that C++ can include it too"
#endif

typedef struct cp_region cp_region;

/* The producer's private side of a ring. The fields are here so that the calls below can be inlined; treat them as
 * opaque. The first cache line is all that put touches besides the row and the published position. */
typedef struct cp_ring {
    uint8_t *data;    /* the data area, mapped twice back to back */
    uint64_t mask;    /* its size - 1 */
    uint64_t write;   /* where the next record begins */
    uint64_t limit;   /* a record may end here at most: last known consumed position + size, modulo 2^64 */
    uint64_t rows;    /* rows committed by all producers of this slot since the ring was made */
    uint32_t row_max; /* largest row, bytes */
    uint32_t claimed; /* bytes of the record under construction, 0 = none */
    struct cp_ring_hot *hot;
    struct cp_ring_private *priv;
    const uint32_t *pressure;
} cp_ring;

/* What the producer publishes, one cache line of the ring file; written by the producer alone. */
struct cp_ring_hot {
    uint64_t published; /* every record that ends at or before this position is complete; release-stored */
    uint64_t rows;      /* rows up to there */
};

enum {
    CP_RECORD_PREFIX = 8 /* before each row: u32 size of the row in bytes, u32 low bits of its row number */
};

/* ---- attaching ------------------------------------------------------------------------------------------------ */

/* Maps a region.
 *   path    the region's directory, "/dev/shm/coldpath/<namespace>"; a bare "<namespace>" means that directory under
 *           $COLDPATH_REGION_DIR, or under /dev/shm/coldpath when that is not set
 * Needs no running recorder: rows wait in the region. Errors: CP_E_ABSENT (no region: run `coldpath init` or start
 * coldpathd), CP_E_PERM, CP_E_ABI, CP_E_CORRUPT, CP_E_NOMEM, CP_E_IO. Thread-safe. */
CP_PUBLIC int cp_attach(cp_region **out, const char *path, cp_error *err);

/* Unmaps it. All its rings must have been closed. NULL is allowed. */
CP_PUBLIC void cp_detach(cp_region *region);

/* True while a recorder holds the region. Opens a file, asks for its lock, and closes it. */
CP_PUBLIC bool cp_region_recorder_alive(const cp_region *region);

/* False when the region's files were removed, or removed and made anew, while they were mapped: nobody reads then what is put. A
 * region that was replaced in order says so by CP_E_RETIRED, too. For producers whose ring stays full. One system call; thread-safe. */
CP_PUBLIC bool cp_region_in_place(const cp_region *region);

/* Takes a free producer slot of a table and maps its ring, ready to put without page faults.
 *   schema_hash  of the row that will be put, from the generated header; 0 skips the check. Where the region has several
 *                versions of the table, it chooses the one that the program was built for
 *   producer     a name for humans (at most 31 bytes are kept), or NULL for the program's name
 * Errors: CP_E_ABSENT (no such table; the text lists those there are), CP_E_SCHEMA (other columns; the text
 * says how to compare them), CP_E_BUSY (all slots taken; the text says by whom), CP_E_PERM, CP_E_NOMEM (no room in the shared
 * memory file system), CP_E_RETIRED (the region was replaced meanwhile: attach again), CP_E_CORRUPT, CP_E_IO. Thread-safe for different
 * rings. */
CP_PUBLIC int cp_ring_open(cp_ring **out, cp_region *region, const char *table, uint64_t schema_hash,
                           const char *producer, cp_error *err);

/* Gives the slot back; committed rows stay and will be delivered. NULL is allowed. */
CP_PUBLIC void cp_ring_close(cp_ring *ring);

/* ---- putting -------------------------------------------------------------------------------------------------- */

/* The slow half of cp_claim: looks at the recorder's position again. Called by cp_claim only. */
CP_PUBLIC void *cp_claim_slow_(cp_ring *ring, uint32_t bytes);

/* Why cp_claim has just returned NULL for a row of these bytes: CP_FULL, CP_E_TOO_BIG, CP_E_INVAL (0 bytes), or CP_E_RETIRED: the
 * region was replaced (a new configuration); what was put is safe, detach and attach again to go on. No system call. */
CP_PUBLIC int cp_claim_refusal(const cp_ring *ring, uint32_t bytes);

static inline uint64_t cp_record_size_(uint32_t bytes)
{
    return ((uint64_t)bytes + CP_RECORD_PREFIX + 7u) & ~(uint64_t)7u;
}

static inline void *cp_claim_at_(cp_ring *ring, uint32_t bytes, uint64_t need)
{
    uint8_t *record = ring->data + (ring->write & ring->mask);
    const uint64_t prefix = (uint64_t)bytes | (uint64_t)(uint32_t)ring->rows << 32;
    memcpy(record, &prefix, sizeof prefix);
    ring->claimed = (uint32_t)need;
    return record + CP_RECORD_PREFIX;
}

/* Reserves room for one row.
 *   bytes  size of the row with its tail
 * Returns where to write it: 8-byte aligned, contiguous, private until cp_commit; NULL when there is no room or the size is
 * not allowed: cp_claim_refusal says which. A second claim before commit replaces the first. */
static inline void *cp_claim(cp_ring *ring, uint32_t bytes)
{
    const uint64_t need = cp_record_size_(bytes);
    if (CP_UNLIKELY(bytes - 1u >= ring->row_max || need > ring->limit - ring->write))
        return cp_claim_slow_(ring, bytes);
    return cp_claim_at_(ring, bytes, need);
}

/* Publishes the claimed row; without a claim it does nothing. Returns the position behind the row, for cp_wait. */
static inline uint64_t cp_commit(cp_ring *ring)
{
    const uint64_t end = ring->write + ring->claimed;
    ring->rows += ring->claimed != 0;
    ring->claimed = 0;
    ring->write = end;
    __atomic_store_n(&ring->hot->published, end, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->hot->rows, ring->rows, __ATOMIC_RELEASE); /* never ahead of the position */
    return end;
}

/* Drops the claim; nothing of it is ever seen. */
static inline void cp_abort(cp_ring *ring)
{
    ring->claimed = 0;
}

/* Claim, copy, commit. Returns CP_OK, or a refusal as above. */
static inline int cp_put(cp_ring *ring, const void *row, uint32_t bytes)
{
    void *to = cp_claim(ring, bytes);
    if (CP_UNLIKELY(!to))
        return cp_claim_refusal(ring, bytes);
    memcpy(to, row, bytes);
    cp_commit(ring);
    return CP_OK;
}

/* As cp_put, but on a full ring waits (sleeping in steps of 50 µs to 1 ms) up to timeout_ns. Returns CP_OK,
 * CP_E_TOO_BIG, CP_E_INVAL, CP_E_TIMEOUT, or CP_E_RETIRED. Counted as one refusal, however long it waits. */
CP_PUBLIC int cp_put_wait(cp_ring *ring, const void *row, uint32_t bytes, uint64_t timeout_ns);

/* How hard the recorder finds it to keep up with this table: the rung of its pressure ladder, 0 while all is well (docs/configuration.md:
 * 1 rows that say nothing new are left out, 2 one row per key and interval goes through, 3 the oldest are dropped). A producer
 * that can may put less at the source. One load of a line that changes rarely; no system call; any thread. Always 0 for
 * critical tables. */
static inline uint32_t cp_pressure(const cp_ring *ring)
{
    return __atomic_load_n(ring->pressure, __ATOMIC_RELAXED);
}

/* ---- following ------------------------------------------------------------------------------------------------ */

typedef enum cp_stage {
    CP_CONSUMED, /* the recorder has taken the row out and given its space back */
    CP_DURABLE,  /* the row would survive the host's death: in the write-ahead log, or in ClickHouse */
    CP_DELIVERED /* ClickHouse has acknowledged it */
} cp_stage;

/* The position up to which this ring's rows have reached stage. No system call; any thread. */
CP_PUBLIC uint64_t cp_position(const cp_ring *ring, cp_stage stage);

/* Waits until cp_position(ring, stage) ≥ position, polling every 100 µs. CP_OK, CP_E_TIMEOUT, CP_E_RETIRED. */
CP_PUBLIC int cp_wait(const cp_ring *ring, cp_stage stage, uint64_t position, uint64_t timeout_ns);

typedef struct cp_ring_stats {
    uint64_t rows;      /* committed to this slot since the ring was made */
    uint64_t written;   /* position: bytes */
    uint64_t consumed;  /* position */
    uint64_t delivered; /* position */
    uint64_t delivered_rows;
    uint64_t full;     /* claims refused because the ring was full; not those of a replaced region */
    uint64_t too_big;  /* claims refused because of the row's size */
    uint64_t capacity; /* bytes */
    uint32_t slot;
    uint64_t epoch;
} cp_ring_stats;

/* Reads the ring's counters. Call from the producer's thread. */
CP_PUBLIC void cp_ring_get_stats(const cp_ring *ring, cp_ring_stats *stats);

/* ---- looking -------------------------------------------------------------------------------------------------- */

struct cp_table;

/* The tables of the region: count, and descriptors (schema/table.h) valid until cp_detach. index < count. */
CP_PUBLIC uint32_t cp_region_table_count(const cp_region *region);
CP_PUBLIC const struct cp_table *cp_region_table(const cp_region *region, uint32_t index);

/* By name; NULL when there is none. */
CP_PUBLIC const struct cp_table *cp_region_find_table(const cp_region *region, const char *name);

#ifdef __cplusplus
}
#endif
#endif
