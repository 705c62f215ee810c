/* How far the rings were published at one moment: what a flush or a stop ships, while producers go on putting.
 *
 *     note ──► the threads ship ──► reached? ──► … ──► true, or the caller's patience ends */
#ifndef CP_RECORDER_SHIP_TARGETS_H
#define CP_RECORDER_SHIP_TARGETS_H

#include "ingest/drain.h"
#include "recorder/gate.h"
#include "shm/control.h"

typedef struct cp_ship_targets cp_ship_targets;

/* The rings of control as they are now. NULL: no memory. free() takes it back. */
cp_ship_targets *cp_ship_targets_note(const cp_control *control, const cp_drain *drain);

/* True when every row of then is where the gate lets it go: in ClickHouse, in its log, or, lossy and not sent now, where it is.
 * Broken rings are not waited for. Any thread. */
bool cp_ship_targets_reached(const cp_ship_targets *targets, const cp_control *control, const cp_gate *gate);

#endif
