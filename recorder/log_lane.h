/* A critical table's lane: its write-ahead log between ring and ClickHouse.
 *
 *   drain thread                                    flusher's thread
 *   chunk ──► append ──► durable ──► ring's space   due? ──► read from the log ──► batch ──► checkpoint ──► POST
 *             is free again, producers are told                                               │
 *             log  ├── delivered ──┤···backlog···┤── delivered ──┤··· live ···┤ durable        │
 *                                  next          ahead                                        ▼
 *                                                                        delivered: next moves, segments are used again
 *
 * Every batch is read from the log, whether its rows came a moment or a day ago: one path, and no chunk waits in memory for
 * ClickHouse. Normally batches follow each other. When more has gathered than a few batches hold, new rows go first: from
 * then on the log has a stretch of delivered records, `ahead`, beyond the backlog, and batches are taken from behind it
 * whenever they are due, from the backlog otherwise, until the two meet.
 *
 * A batch is a range of LSNs. Before it is sent its range and token stand in the checkpoint, durable; after a crash the
 * range is read again and sent first, under the same token. */
#ifndef CP_RECORDER_LOG_LANE_H
#define CP_RECORDER_LOG_LANE_H

#include "ingest/drain.h"
#include "recorder/config/config.h"
#include "recorder/lane.h"
#include "recorder/log_buffer.h"
#include "wal/log.h"
#include "wal/reader.h"

typedef struct cp_log_lane cp_log_lane;

/* Opens the table's log and recovers it; moves the ring's acknowledgements to where the log is (what was durable but not
 * acknowledged when the last recorder died). buffer and lane must outlive it. Errors of cp_wal_open. */
int cp_log_lane_open(cp_log_lane **out, const cp_config *config, uint32_t table, cp_lane *lane,
                     const cp_region_owner *region, cp_log_buffer *buffer, cp_error *err);

/* The flusher's view of it, and the batch that was under way, if any. Before the flusher starts. */
int cp_log_lane_connect(cp_log_lane *log_lane, cp_flusher *flusher, cp_error *err);

/* Drain thread: before the first append. */
int cp_log_lane_start(cp_log_lane *log_lane, cp_error *err);

/* Drain thread: copies a chunk into the log, without rows that unique_key leaves out. */
cp_submit_result cp_log_lane_append(cp_log_lane *log_lane, cp_chunk *chunk);

/* Drain thread: moves writes on. True when something moved; *pending becomes true while something is under way. */
bool cp_log_lane_step(cp_log_lane *log_lane, uint64_t now_ns, bool *pending);

/* Flusher's thread. */
bool cp_log_lane_prepare(cp_log_lane *log_lane, const cp_batch_intent *batch);
void cp_log_lane_delivered(cp_log_lane *log_lane, const cp_batch_intent *batch);

/* The first LSN that ClickHouse may not have, and the last durable one. Any thread. */
void cp_log_lane_position(const cp_log_lane *log_lane, uint64_t *next, uint64_t *durable);

/* Adds what stays in the log: rows of this region's rings, and all records that ClickHouse has not; those of rings that are gone, after
 * a reboot, nobody has counted the rows of. After both threads have ended. */
void cp_log_lane_left(const cp_log_lane *log_lane, uint64_t *rows, uint64_t *lsns);

/* Makes the next record open another segment of the log. Any thread. */
void cp_log_lane_rotate(cp_log_lane *log_lane);

/* Drain thread, last: what was appended gets until deadline_ns (boot-time clock) to become durable. */
void cp_log_lane_finish(cp_log_lane *log_lane, uint64_t deadline_ns);

/* After both threads have ended. NULL is allowed. */
void cp_log_lane_close(cp_log_lane *log_lane);

#endif
