/* A lane: one table's way through the recorder, and what is known about it.
 *
 *   rings ──► drain ──► flusher ──► ClickHouse
 *     ▲                                │
 *     └── cp_abi_ack ◄── lane ◄────────┘ delivered spans
 *
 *     └── cp_abi_intent ◄── what is under way
 *
 * The lane holds the private truth about each ring's acknowledgement and publishes it. Space is given back to
 * the producer when ClickHouse has acknowledged the rows, not before: until then the ring is their log, and a
 * recorder that is stopped or killed leaves them there.
 *
 * Under pressure the drain thread takes rows of a lossy table out early: what was copied is given back at once, and
 * only the recorder's memory holds it.
 *
 *     delivered ───── at risk ───── consumed ───── copied out ───── published
 *         │  a killed recorder loses these  │  it reads these again
 *
 * Its successor books them as dropped; of a batch that was under way then, nobody knows whether it arrived.
 *
 * Everything here runs on the flusher's thread, except where another is named. */
#ifndef CP_RECORDER_LANE_H
#define CP_RECORDER_LANE_H

#include "flush/flusher.h"
#include "shm/control.h"
#include "shm/intent.h"
#include "shm/region.h"

/* How far the drain has handed a ring's rows on. */
typedef struct cp_lane_taken {
    uint64_t position;
    uint64_t rows; /* of the ring, up to there */
} cp_lane_taken;

/* Rows of a ring that were settled together: positions [begin, end). */
typedef struct cp_lane_range {
    uint64_t begin;
    uint64_t end;
    uint64_t rows;
} cp_lane_range;

/* One chunk of a ring whose way to ClickHouse is timed: the drain thread fills it, end last, the flusher's thread empties it. */
typedef struct cp_lane_sample {
    uint64_t end; /* atomic: position behind it; 0: none */
    uint64_t put_after_ns;
} cp_lane_sample;

typedef struct cp_lane {
    uint32_t index; /* of the table */
    bool logged;    /* critical: rows are consumed when durable, and delivered from the log */
    bool lock;      /* of states: both threads move them */
    const cp_abi_table *entry;
    cp_abi_counters *counters;
    cp_abi_measures *measures;              /* in the control file */
    cp_abi_latency *latency;                /* in the control file */
    cp_abi_intent *intent;                  /* in the control file */
    cp_abi_ack *acks;                       /* in the control file, one per slot */
    uint64_t reached[CP_REGION_MAX_SLOTS];  /* logged: how far batches have come in each ring, gaps or not */
    cp_abi_ack states[CP_REGION_MAX_SLOTS]; /* what they say */
    cp_lane_taken taken[CP_REGION_MAX_SLOTS]; /* lossy: the drain thread's */
    cp_lane_range
        dropped[CP_REGION_MAX_SLOTS]; /* lossy: behind the batch under way, until that is delivered */
    cp_lane_sample samples[CP_REGION_MAX_SLOTS];
    cp_lane_range
        lost[CP_REGION_MAX_SLOTS]; /* lossy: what cp_lane_book_lost booked last; end = begin: nothing */
} cp_lane;

/* Starts from what the control file says: positions and counts go on where the last recorder ended, and what it had begun to
 * acknowledge is finished. */
void cp_lane_init(cp_lane *lane, const cp_region_owner *region, uint32_t table, bool logged);

/* Lossy lanes, before the threads start or after they ended: what was taken out early and not delivered is lost. Books it as
 * dropped and says so; returns the rows. */
uint64_t cp_lane_book_lost(cp_lane *lane);

/* Lossy lanes, drain thread: gives back the space of what was taken out of a ring so far, `suppressed` rows of which go
 * nowhere. *from: what is not delivered begins there. False when nothing was to be given back. */
bool cp_lane_take_early(cp_lane *lane, uint32_t slot, uint64_t suppressed, uint64_t *from);

/* Lossy lanes: drops a chunk that waits for its batch: the oldest of its ring. False when its ring still holds the rows. */
bool cp_lane_drop(cp_lane *lane, const cp_chunk *chunk);

/* Drain thread: a chunk of a ring, up to position end, was handed on; none of its rows was put before put_after_ns (boot-time clock, 0:
 * not known). Measures how long that took, and now and then how long it takes until it is delivered. */
void cp_lane_drained(cp_lane *lane, uint32_t slot, uint64_t end, uint64_t put_after_ns);

/* Logged lanes, drain thread: a ring's rows up to end are durable; their space is free. */
void cp_lane_durable(cp_lane *lane, uint32_t slot, uint64_t epoch, uint64_t end, uint32_t rows,
                     uint32_t rejected);

/* Logged lanes, before the threads start: the log has the ring up to end, which its acknowledgement may not say. */
void cp_lane_catch_up(cp_lane *lane, const cp_region_owner *region, uint32_t slot, uint64_t end);

/* Logged lanes, before the threads start: everything durable is delivered. */
void cp_lane_all_delivered(cp_lane *lane);

/* Logged lanes: true when the batch with this token was counted by a predecessor that died before the log's checkpoint knew. */
bool cp_lane_was_counted(const cp_lane *lane, const char *token);

/* Logged lanes, before the threads start: that many rows of a ring were given up with a damaged log. */
void cp_lane_give_up(cp_lane *lane, uint32_t slot, uint64_t rows);

/* Logged lanes, flusher's thread: a batch from the log is delivered. all: with it, everything before the last of any batch
 * is, but for what repair gave up. */
void cp_lane_logged_delivered(cp_lane *lane, const cp_batch_intent *batch, bool all);

/* Logged lanes, flusher's thread: batches, of whatever recorder, have come so far in a ring. Told to nobody before the next
 * cp_lane_logged_delivered with all. */
void cp_lane_reach(cp_lane *lane, uint32_t slot, uint64_t end);

/* Rows consumed and not delivered. Any thread. */
uint64_t cp_lane_undelivered(cp_lane *lane);

/* A batch is about to be sent: writes the intent. */
void cp_lane_prepare(cp_lane *lane, const cp_batch_intent *batch);

/* Spans of a delivered batch, in order per slot. */
void cp_lane_delivered(cp_lane *lane, const cp_batch_intent *batch);

/* Spans of a batch that was set aside: they are delivered now, or quarantined. */
void cp_lane_unheld(cp_lane *lane, const cp_batch_intent *batch);

/* Before the threads start, and after batches were taken up: of the rows that the account has as set aside, those that a file says
 * were settled by a predecessor, which died before it said so. Rows that no readable file has stay set aside: nobody can say.
 * CP_E_CONFIG: the configuration does not name the endpoint that one of them waits for. */
int cp_lane_count_held(cp_lane *lane, cp_flusher *flusher, cp_error *err);

/* An answered or failed attempt to insert. */
void cp_lane_attempt(cp_lane *lane, const cp_attempt *attempt);

/* What waits: rows under way and queued. */
void cp_lane_progress(cp_lane *lane, uint32_t in_flight, uint64_t queued, uint64_t oldest_seen_ns);

/* Logged lanes, drain thread: what the log takes of the disk, and whether it takes rows (cp_log_state). */
void cp_lane_log_size(cp_lane *lane, uint64_t bytes, uint64_t limit, uint32_t state);

/* Marks a ring as broken, for producers and monitors to see. Drain thread or before the threads start.
 */
void cp_lane_fault(cp_lane *lane, uint32_t slot, cp_ring_fault fault);

#endif
