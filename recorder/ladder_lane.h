/* A lossy table under pressure: where the drain thread's chunks go, and when their ring space is given back.
 *
 *   drain ──► chunk ──► cp_ladder_lane_submit ──► flusher
 *                          │
 *                          └── early: what was handed on is given back at once (cp_lane_take_early)
 *
 * The ladder (ingest/ladder.h) looks at the table's load a few hundred times a second. All of it runs on the drain thread,
 * except cp_ladder_lane_attempt. */
#ifndef CP_RECORDER_LADDER_LANE_H
#define CP_RECORDER_LADDER_LANE_H

#include "flush/flusher.h"
#include "ingest/drain.h"
#include "ingest/ladder.h"
#include "recorder/config/config.h"
#include "recorder/lane.h"

typedef struct cp_ladder_lane cp_ladder_lane;

/* Of table `table` of the configuration, which must be lossy. All arguments are borrowed. CP_E_NOMEM. */
int cp_ladder_lane_create(cp_ladder_lane **out, const cp_config *config, uint32_t table, cp_lane *lane,
                          cp_flusher *flusher, cp_error *err);

/* A chunk out of one of the table's rings, as cp_drain_events.submit. */
cp_submit_result cp_ladder_lane_submit(cp_ladder_lane *ladder_lane, cp_chunk *chunk);

/* After every turn of the drain: looks at the load now and then, and gives back what may be. */
void cp_ladder_lane_step(cp_ladder_lane *ladder_lane, cp_drain *drain, uint64_t now_ns);

/* Flusher's thread: an attempt to insert ended. */
void cp_ladder_lane_attempt(cp_ladder_lane *ladder_lane, const cp_attempt *attempt);

void cp_ladder_lane_free(cp_ladder_lane *ladder_lane);

#endif
