/* The canary, as whoever watches sees it (cp_abi_canary of abi.h): how long the recorder's own rows take from put to ClickHouse, and
 * whether any has arrived lately.
 *
 *     put ──── durable ─────────── delivered      the next one       put ─ ─ ─ ─ ─ ─ ─ ─ ─ now
 *      └──────────── lag ─────────────┘                               └──────── lag ────────┘
 *      └─────────────────────────── age ──────────────────────────────────────────────────── now */
#ifndef CP_SHM_CANARY_VIEW_H
#define CP_SHM_CANARY_VIEW_H

#include "shm/control.h"

typedef struct cp_canary_view {
    uint64_t interval_ns; /* 0: there is no canary; the rest is 0 then */
    uint64_t limit_ns;
    uint64_t put_rows;
    uint64_t durable_rows;
    uint64_t delivered_rows;
    uint64_t lost_rows;
    uint64_t refused_rows;
    uint64_t
        lag_ns; /* of the oldest row under way so far, or, when that is more or none is, of the last that arrived */
    uint64_t
        age_ns; /* since the last one that arrived was put, or else since the recorder began to put them */
    uint64_t arrived_ns; /* now less age_ns, boot-time clock */
    bool stale;          /* age_ns is over the limit: rows do not get through */
} cp_canary_view;

/* Reads the canary of an open control file; now_ns of the boot-time clock. */
void cp_canary_view_read(const cp_control *control, uint64_t now_ns, cp_canary_view *view);

#endif
