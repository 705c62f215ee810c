/* Looking at a region from outside: a consistent-enough snapshot of everything the counters say, for status, stat and
 * metrics. Maps everything read-only, works with the recorder dead, touches each producer's hot line once per snapshot.
 * Callers that may meet foreign files install the SIGBUS guard first (cp_sigbus_install). */
#ifndef CP_SHM_OBSERVER_H
#define CP_SHM_OBSERVER_H

#include "shm/ack.h"
#include "shm/control.h"
#include "shm/ring_file.h"

typedef struct cp_ring_view {
    bool readable; /* the file is there and makes sense */
    bool live;     /* a producer holds the slot */
    uint32_t pid;  /* of the last producer; 0 = the slot was never used */
    char producer[CP_ABI_PRODUCER_NAME];
    uint64_t published; /* position */
    uint64_t rows;      /* put by all producers of this slot: acknowledged ones and those still in the ring */
    uint64_t producer_rows; /* the producer's own count */
    uint64_t rows_in_ring;  /* of them, counted record by record between consumed and published */
    bool
        counted; /* false: the ring's bytes do not add up, or it moved too fast; rows is the producer's word */
    uint64_t full;
    uint64_t too_big;
    cp_abi_ack ack;
} cp_ring_view;

typedef struct cp_table_view {
    const cp_abi_table *entry;
    cp_abi_counters counters;
    uint32_t pressure;
    uint32_t forced;    /* as in cp_abi_pressure */
    uint32_t producers; /* live */
    uint64_t produced;  /* sums over the slots */
    uint64_t in_ring;
    uint64_t in_log; /* consumed, because they are durable in the log, and not delivered */
    uint64_t delivered;
    uint64_t rejected;
    uint64_t suppressed;
    uint64_t dropped;
    uint64_t doubtful; /* of the dropped: nobody knows whether they arrived */
    uint64_t quarantined;
    uint64_t held; /* set aside: perhaps stored at an endpoint that is away */
    uint64_t given_up;
    uint64_t at_risk; /* lossy: taken out of the rings early, under pressure, and not delivered yet */
    uint64_t full;
    uint64_t too_big;
    uint32_t usage_permille; /* of the fullest ring, now */
    uint32_t broken_rings;   /* cp_ring_fault */
    bool balanced;       /* produced = what is settled + in log + at risk + in ring, counted independently */
    cp_ring_view *rings; /* entry->slots of them */
} cp_table_view;

typedef struct cp_observer {
    cp_control control;
    char dir[CP_MAX_REGION_PATH];
    cp_ring_map *maps; /* one per ring; fd -1 when it could not be mapped */
    cp_table_view *tables;
    cp_ring_view *rings;
    bool recorder_alive;
    bool
        glance; /* set by the caller: rows are the producers' word, not counted record by record, and every table passes
                    for balanced; for those who look often */
} cp_observer;

/* Errors as cp_control_open. */
int cp_observer_open(cp_observer *observer, const char *dir, cp_error *err);

/* Takes a snapshot into observer->tables; rings that were made, or made anew, since the last look are mapped first.
 * CP_E_RETIRED: the region was replaced, open anew. */
int cp_observer_look(cp_observer *observer);

void cp_observer_close(cp_observer *observer);

#endif
