/* The recorder's own events as rows: it is a producer into a ring of its own region, for the table recorder_events
 * (schema/ddl/recorder_events.sql), when the configuration has that table; so they reach ClickHouse on the way of all rows,
 * and are accounted for like them.
 *
 * One thread at a time: the main thread until the drain thread starts and after it has ended, the drain thread in between. A put
 * makes no system call and never waits; events that find the ring full are counted, and the log has them anyway. */
#ifndef CP_RECORDER_EVENT_RING_H
#define CP_RECORDER_EVENT_RING_H

#include "recorder/config/config.h"

#define CP_EVENT_TABLE "recorder_events"

typedef struct cp_event_ring cp_event_ring;

typedef struct cp_event {
    const char *table;
    const char *event;
    uint32_t level_from;
    uint32_t level_to;
    uint32_t slot;
    uint64_t epoch; /* of the slot's ring */
    uint64_t position_from;
    uint64_t position_to;
    uint64_t rows;
    const char *reason;
} cp_event;

/* Attaches to the region, which this process owns. *out is NULL, and all is well, when the configuration has no such table.
 * CP_E_CONFIG: it has one with other columns. Errors of cp_attach and cp_ring_open. */
int cp_event_ring_open(cp_event_ring **out, const cp_config *config, cp_error *err);

/* Puts an event; NULL is allowed, and does nothing. */
void cp_event_ring_put(cp_event_ring *ring, const cp_event *event);

void cp_event_ring_close(cp_event_ring *ring);

#endif
