/* A lossy table under pressure: where the drain thread's chunks go, and when their ring space is given back.
 *
 *   drain ──► chunk ──► cp_ladder_lane_submit ─┬─ rung 0 ──────────────► flusher ──► batch
 *                                              └─ 1 … 3 ► window ─ due ►    │
 *                          rows that say nothing new, or                    └─ rung 3: the oldest chunk is dropped
 *                          are no longer the latest, are left out              (cp_ladder_lane_shed)
 *
 * From early release on, and on every rung, what was handed on is given back at once (cp_lane_take_early). The ladder
 * (ingest/ladder.h) looks at the table's load a few hundred times a second; each change of rung, and which rows it cost, is logged,
 * counted and put into recorder_events (event_ring.h), and the rung is published for producers (cp_pressure).
 *
 * All of it runs on the drain thread, except where another is named. */
#ifndef CP_RECORDER_LADDER_LANE_H
#define CP_RECORDER_LADDER_LANE_H

#include "flush/flusher.h"
#include "ingest/drain.h"
#include "recorder/config/config.h"
#include "recorder/event_ring.h"
#include "recorder/lane.h"

typedef struct cp_ladder_lane cp_ladder_lane;

/* What it works with, all borrowed. */
typedef struct cp_ladder_env {
    const cp_config *config;
    const cp_region_owner *region;
    cp_drain *drain;
    cp_flusher *flusher;
    cp_event_ring *events; /* or NULL */
} cp_ladder_env;

/* Of table `table`, which must be lossy. Before the threads start. CP_E_NOMEM. */
int cp_ladder_lane_create(cp_ladder_lane **out, const cp_ladder_env *env, uint32_t table, cp_lane *lane,
                          cp_error *err);

/* A chunk out of one of the table's rings, as cp_drain_events.submit. */
cp_submit_result cp_ladder_lane_submit(cp_ladder_lane *ladder_lane, cp_chunk *chunk);

/* After every turn of the drain: looks at the load now and then, hands on what is due, and gives back what may be. */
void cp_ladder_lane_step(cp_ladder_lane *ladder_lane, uint64_t now_ns);

/* The recorder is about to stop: from now on nothing is taken out early, and nothing left out by policy, so that what is put
 * meanwhile stays in its ring for the next recorder. */
void cp_ladder_lane_retire(cp_ladder_lane *ladder_lane);

/* Main thread: holds the table on a rung (cp_rung), or lets it go again (CP_RUNG_COUNT), from the drain thread's next look on, and until
 * it is said otherwise: also across restarts. CP_E_INVAL: the configuration does not enable that rung. */
int cp_ladder_lane_force(cp_ladder_lane *ladder_lane, uint32_t rung, bool *changed, cp_error *err);

/* After the threads have ended: books what is lost, and tells. Returns the rows. */
uint64_t cp_ladder_lane_end(cp_ladder_lane *ladder_lane);

/* Flusher's thread: an attempt to insert ended. */
void cp_ladder_lane_attempt(cp_ladder_lane *ladder_lane, const cp_attempt *attempt);

/* Flusher's thread, as cp_flush_events.shed. */
bool cp_ladder_lane_shed(cp_ladder_lane *ladder_lane, const cp_chunk *chunk);

void cp_ladder_lane_free(cp_ladder_lane *ladder_lane);

#endif
