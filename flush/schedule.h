/* Which table's batch is next when several are due: critical tables before lossy ones; among equals the one that has been
 * served least.
 *
 *     served   a ├────────┤                     b is next: it has the largest deficit
 *              b ├───┤
 *              c ├────────────┤                 d was idle: it starts where the least served one is,
 *              d     ├ …                        and has no credit for the time when it wanted nothing
 *
 * Encoding a batch costs the flusher's one thread its time, and connections are bounded; so a table that always has a full batch
 * waiting could make the others wait behind it. Deficits are counted in rows' bytes. No clock, no I/O. */
#ifndef CP_FLUSH_SCHEDULE_H
#define CP_FLUSH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/flusher.h"

typedef struct cp_schedule {
    uint32_t count; /* of tables */
    bool critical[CP_MAX_SINK_TABLES];
    bool waiting[CP_MAX_SINK_TABLES]; /* wants to be served */
    uint64_t served[CP_MAX_SINK_TABLES];
    uint64_t floor[2]; /* by class: served of the table that was served last; none that waited had less */
} cp_schedule;

/* A table wants to be served, or no longer. */
void cp_schedule_want(cp_schedule *schedule, uint32_t table, bool wants);

/* The next table, or -1 when none is waiting. */
int cp_schedule_next(const cp_schedule *schedule);

/* The table had its turn, which cost so much. It no longer waits. */
void cp_schedule_served(cp_schedule *schedule, uint32_t table, uint64_t cost);

#endif
