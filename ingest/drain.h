/* The drain: copies what producers published out of their rings, validates the copy, hands it on as chunks.
 *
 * Lazy and in lumps. What costs a producer is a consumer that touches lines it still writes; so a ring is
 * left alone until a lump has gathered, or its oldest row has waited for the table's interval, and is then
 * emptied in one go:
 *
 *     published position ──► pending bytes ──► due? ──► chunk ──► copy ──► check the copy ──► submit
 *                                               │
 *       a lump, or 1/4 of the ring, or its oldest row waits ≥ interval, or urgent
 *
 * A visit takes at most CP_DRAIN_VISIT_CHUNKS chunks, so that no ring starves the others. Every lane (table)
 * can always get its reserve of chunks, CP_DRAIN_RESERVE unless more are kept back for it, whatever the others hold: a table that ClickHouse refuses cannot
 * starve the rest.
 *
 * Threads: create, add and free belong to the owner; turn and its callbacks run on the drain thread; release
 * on the flusher's; set_urgent on any. A turn makes no system call, allocates nothing and never waits. */
#ifndef CP_INGEST_DRAIN_H
#define CP_INGEST_DRAIN_H

#include "ingest/chunk_pool.h"
#include "shm/region.h"
#include "shm/ring_reader.h"

enum {
    CP_DRAIN_LUMP = 256 * 1024,
    CP_DRAIN_VISIT_CHUNKS = 8,
    CP_DRAIN_RESERVE = 4 /* chunks per lane */
};

typedef enum cp_submit_result {
    CP_SUBMIT_REFUSED, /* no room now: it comes again */
    CP_SUBMIT_TAKEN,   /* the chunk is theirs, until cp_drain_release */
    CP_SUBMIT_COPIED   /* they have what they need; the chunk stays the drain's */
} cp_submit_result;

/* All are called on the drain thread and must not block. */
typedef struct cp_drain_events {
    void *ctx;
    cp_submit_result (*submit)(void *ctx, uint32_t table, cp_chunk *chunk);
    /* A ring broke the protocol and will not be read again; reason is for people. */
    void (*fault)(void *ctx, uint32_t table, uint32_t slot, cp_ring_fault fault, const char *reason);
    /* Rows of a span were rejected; reason describes the first. */
    void (*rejected)(void *ctx, uint32_t table, uint32_t slot, uint32_t rows, const char *reason);
} cp_drain_events;

typedef struct cp_drain cp_drain;

/* Makes a drain over the tables of an owned region; tables[i] is the descriptor of directory entry i,
 * interval_ns[i] the longest a row may wait in the ring. Takes memory_limit bytes for chunks. The arrays are
 * copied, the descriptors not. Rings that cannot be read are reported through events and left out. */
int cp_drain_create(cp_drain **out, const cp_region_owner *region, const cp_table *const *tables,
                    const uint64_t *interval_ns, uint64_t memory_limit, const cp_drain_events *events,
                    cp_error *err);

/* Of the chunks that a table can have, the last `chunks` are offered to submit with `scarce` set, for it to use them in a way that
 * does not end, and its reserve grows by as many. Before the first turn. CP_E_TOO_BIG: the pool has not enough. */
int cp_drain_keep_back(cp_drain *drain, uint32_t table, uint32_t chunks, cp_error *err);

/* Begins to read a ring at position instead of where it is acknowledged: what lies between is on its way already. Before the
 * first turn. */
void cp_drain_start_at(cp_drain *drain, uint32_t table, uint32_t slot, uint64_t position);

/* Visits every ring once. now_ns: boot-time clock. Returns the number of chunks handed on. */
uint32_t cp_drain_turn(cp_drain *drain, uint64_t now_ns);

/* Gives back a chunk that a submit took over. */
void cp_drain_release(cp_drain *drain, cp_chunk *chunk);

/* While urgent, every published row is due at once. */
void cp_drain_set_urgent(cp_drain *drain, bool urgent);
bool cp_drain_is_urgent(const cp_drain *drain);

/* Changes the longest a row of a table may wait in its ring. Any thread. */
void cp_drain_set_interval(cp_drain *drain, uint32_t table, uint64_t interval_ns);

/* How far ring `ring` (index of its acknowledgement block) is published; false when it cannot be read any more. Any thread. */
bool cp_drain_published(const cp_drain *drain, uint32_t ring, uint64_t *position);

/* Rows in ring `ring` from position `from` on, as far as its records add up. Any thread; meant for after the last turn. */
uint64_t cp_drain_rows_from(const cp_drain *drain, uint32_t ring, uint64_t from);

/* How full a table's rings were at the last turn, and its part of the pool, in thousandths (drain thread). */
typedef struct cp_drain_usage {
    uint32_t ring;   /* the fullest ring */
    uint32_t kept;   /* likewise, from what is delivered instead of what is given back; may be over 1000 */
    uint32_t pool;   /* chunks it holds, of those and what it could still get that is not kept back, */
    uint32_t chunks; /*   which are so many together */
} cp_drain_usage;
void cp_drain_usage_read(cp_drain *drain, uint32_t table, cp_drain_usage *usage);

/* Chunks of a table that were handed on and have not come back. Any thread. */
uint32_t cp_drain_held(const cp_drain *drain, uint32_t table);

/* Chunks in the pool, and free of them (drain thread). */
uint32_t cp_drain_chunk_count(const cp_drain *drain);
uint32_t cp_drain_chunks_free(cp_drain *drain);

void cp_drain_free(cp_drain *drain);

#endif
