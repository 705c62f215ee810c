/* The pressure ladder of one lossy table: which rung it stands on, decided from how full things are. Pure: no clock, no memory
 * of its own but this struct.
 *
 *   rung 0  everything goes through           rung 2  the latest row of each key per interval; the interval grows
 *   rung 1  rows that say nothing new are     rung 3  the oldest batches are dropped
 *           left out
 *                  up-mark reached for `dwell`               below the down-mark for `calm`
 *          0 ──────────────────────────────► 1 ► 2 ► 3 ──────────────────────────────────► 2 ► 1 ► 0
 *                                       one enabled rung at a time
 *
 * Early release stands beside it: rows are taken out of their rings before they are delivered while what is not delivered fills
 * a ring up to its mark, and on every rung but 0. */
#ifndef CP_INGEST_LADDER_H
#define CP_INGEST_LADDER_H

#include <stdbool.h>
#include <stdint.h>

typedef enum cp_rung {
    CP_RUNG_NONE = 0,
    CP_RUNG_SUPPRESS = 1,
    CP_RUNG_CONFLATE = 2,
    CP_RUNG_DROP = 3,
    CP_RUNG_COUNT = 4
} cp_rung;

/* Marks in thousandths. A rung is wanted when any of its up-marks is reached, and left when all are below the down-marks. */
typedef struct cp_rung_policy {
    bool enabled;
    uint32_t ring_up;
    uint32_t ring_down;
    uint32_t pool_up;
    uint32_t pool_down;
    uint64_t outage_ns; /* inserts have failed for this long; 0: no matter how long */
} cp_rung_policy;

typedef struct cp_ladder_policy {
    bool early_release;
    uint32_t kept_up; /* early release: what is not delivered, in thousandths of a ring */
    uint32_t kept_down;
    cp_rung_policy rungs[CP_RUNG_COUNT]; /* [0] is not used */
    uint64_t dwell_ns;
    uint64_t calm_ns;
    uint64_t interval_min_ns; /* of conflation */
    uint64_t interval_max_ns;
} cp_ladder_policy;

/* How full things are, in thousandths. */
typedef struct cp_load {
    uint32_t ring;      /* the table's fullest ring */
    uint32_t kept;      /* likewise, had nothing been taken out before it was delivered; may be over 1000 */
    uint32_t pool;      /* chunks the table holds, of those it could hold */
    uint64_t outage_ns; /* how long inserts have been failing; 0: they are not */
} cp_load;

typedef struct cp_ladder {
    cp_ladder_policy policy;
    cp_rung level;
    bool early;
    uint64_t interval_ns;   /* of conflation, now */
    uint64_t pressed_since; /* a higher rung is wanted; 0: none is */
    uint64_t calm_since;    /* this rung is not needed; 0: it is */
    uint64_t grown_at;      /* when the interval grew last */
} cp_ladder;

void cp_ladder_init(cp_ladder *ladder, const cp_ladder_policy *policy);

/* Looks at the load at now_ns (any clock that does not go back, not 0). True when the level changed. */
bool cp_ladder_step(cp_ladder *ladder, const cp_load *load, uint64_t now_ns);

/* Instead of cp_ladder_step: somebody holds it on a rung, which has to be enabled, or CP_RUNG_NONE. What else follows from the load
 * still does. When it is let go it moves on from there. True when the level changed. */
bool cp_ladder_hold(cp_ladder *ladder, cp_rung rung, const cp_load *load, uint64_t now_ns);

/* "drop_oldest"; never NULL. */
const char *cp_rung_name(uint32_t rung);

#endif
