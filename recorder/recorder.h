/* The recorder: a region, a drain and a flusher, wired together by lanes.
 *
 *            drain thread                         flusher's thread
 *   rings ──► cp_drain_turn ──► cp_flusher_submit ──► … ──► ClickHouse
 *                 ▲                                    │
 *                 └──── cp_drain_release ◄─────────────┤ encoded
 *   acks  ◄──── cp_lane_delivered ◄────────────────────┘ acknowledged
 *
 * This file makes the parts, leads the flusher's and the drain's events to the lanes, and starts and stops the threads
 * (recorder/drain_thread.h). */
#ifndef CP_RECORDER_RECORDER_H
#define CP_RECORDER_RECORDER_H

#include <stdbool.h>

#include "recorder/config/config.h"
#include "recorder/ladder_lane.h"
#include "recorder/log_lane.h"

typedef struct cp_recorder cp_recorder;

/* Owns the region, confines the process for good (recorder/confine.h, unless config->confine is false), allocates everything.
 * Does not contact ClickHouse: it may be away. Errors of
 * cp_region_own, cp_drain_create and cp_flusher_create. The configuration must outlive the recorder. */
int cp_recorder_create(cp_recorder **out, const cp_config *config, cp_error *err);

/* Starts the threads. */
int cp_recorder_start(cp_recorder *recorder, cp_error *err);

/* True when the drain thread has turned within the last within_ns: what a watchdog wants to hear. Any thread. */
bool cp_recorder_is_turning(const cp_recorder *recorder, uint64_t within_ns);

/* Asks to ship everything that is published now without waiting for batch sizes and intervals. Returns at once; asked again
 * meanwhile, it aims at what is published then. This and the next: the thread that starts and stops the recorder. */
void cp_recorder_flush(cp_recorder *recorder);

/* Call it every few milliseconds after a flush was asked for, while it says true. When all of it is delivered, or after
 * config->stop_timeout_ns, the recorder goes back to batches as they are configured, and the answer is false. */
bool cp_recorder_is_flushing(cp_recorder *recorder);

/* Takes over what a configuration read anew has for the live keys (recorder/config/key.h), all of it or, on an error, nothing:
 * CP_E_INVAL, CP_E_NOMEM. Other keys stay as they were at the start. fresh is not kept. Between start and stop, the thread
 * that starts and stops. */
int cp_recorder_configure(cp_recorder *recorder, const cp_config *fresh, cp_error *err);

/* Tells the region that a reload begins, and what came of it (cp_reload_result and text of shm/abi.h). The same thread. */
void cp_recorder_reload_begins(cp_recorder *recorder);
void cp_recorder_reload_ended(cp_recorder *recorder, uint32_t result, const char *text);

/* What is behind the lanes, borrowed, for who steers them (recorder/steering.h): between create and free. ladders and logs: per table;
 * NULL: it has none. */
typedef struct cp_recorder_parts {
    const cp_config *config;
    const cp_region_owner *region;
    const cp_control *control;
    cp_flusher *flusher;
    cp_ladder_lane *const *ladders;
    cp_log_lane *const *logs;
} cp_recorder_parts;
cp_recorder_parts cp_recorder_take_apart(const cp_recorder *recorder);

/* Of a critical table's log: the first LSN that ClickHouse may not have, and the last durable one. False: the table has none. Any
 * thread, between create and free. */
bool cp_recorder_log_position(const cp_recorder *recorder, uint32_t table, uint64_t *next, uint64_t *durable);

typedef struct cp_stop_report {
    uint64_t rows_left;    /* rows that stay in the region: published before the stop, not acknowledged */
    uint64_t rows_in_logs; /* of this region's rings, that stay in the logs of critical tables */
    uint64_t
        lsns_in_logs; /* records there that ClickHouse has not: after a reboot also those of rings that are gone */
    uint64_t
        rows_lost; /* taken out of rings early, under pressure, and not delivered in time; counted as dropped */
    bool clean;    /* everything published when stop was called has been delivered */
} cp_stop_report;

/* Ships what is in the rings now, for at most config->stop_timeout_ns (hurry: not at all), then ends the
 * threads. Rows not delivered by then stay in the region for the next recorder. */
void cp_recorder_stop(cp_recorder *recorder, bool (*hurry)(void), cp_stop_report *report);

/* Releases the region and frees all. */
void cp_recorder_free(cp_recorder *recorder);

#endif
