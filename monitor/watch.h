/* Watching a region: what /metrics, the status document and the page are made from, and nothing else.
 *
 *     region ──► look, at most every 50 ms ──► view ──► metrics, status        asked by HTTP
 *                  ▲
 *     every second ┘  history of rates, recent insert times; every few seconds each row in the rings is counted
 *
 * The region may be absent, appear, be replaced and vanish again while it is watched, and its recorder may be dead. A look is a
 * glance (shm/observer.h): it reads one line per producer that the producer writes. */
#ifndef CP_MONITOR_WATCH_H
#define CP_MONITOR_WATCH_H

#include "monitor/health.h"
#include "shm/canary_view.h"
#include "shm/observer.h"

enum {
    CP_WATCH_HISTORY = 300, /* seconds of history: what the page shows when it is opened */
    CP_WATCH_LOOK_MS = 50   /* a view as young as this is given out again */
};

/* Where a table stood at one second. */
typedef struct cp_watch_point {
    uint64_t produced;
    uint64_t delivered;
    uint64_t lost;       /* dropped, given up, refused for want of room */
    float usage;         /* of the fullest ring, 0 to 1 */
    float insert_p99_ms; /* of the last minute; 0: none */
    uint64_t log_bytes;
    uint32_t pressure;
} cp_watch_point;

typedef struct cp_watch_table {
    cp_abi_measures measures;        /* a private copy; zeros where the region has none */
    cp_abi_histogram recent_inserts; /* of the last minute */
    uint64_t
        refused_ns; /* boot time when a row last went to the quarantine, to a second, of what was watched; 0: none did */
} cp_watch_table;

typedef struct cp_watch_view {
    bool present;               /* a region is there; otherwise only absent, taken_ns and dir hold */
    char absent[CP_ERROR_TEXT]; /* why not */
    const char *dir;
    uint64_t taken_ns;           /* boot-time clock */
    uint64_t real_minus_boot_ns; /* added to a boot time it makes real time */
    const cp_observer *observer;
    const cp_watch_table *tables; /* as many as the observer's */
    cp_canary_view canary;
    cp_abi_histogram canary_durable; /* private copies; empty where there is no canary */
    cp_abi_histogram canary_delivered;
    cp_health health;
} cp_watch_view;

typedef struct cp_watch cp_watch;

#define CP_WATCH_AGE_UNKNOWN UINT64_MAX

/* Starts watching <dir>, which need not be there; starts a thread. dir is copied. Callers install the SIGBUS guard first.
 * CP_E_NOMEM, CP_E_INVAL. */
int cp_watch_create(cp_watch **out, const char *dir, cp_error *err);
void cp_watch_free(cp_watch *watch);

/* A view that is at most CP_WATCH_LOOK_MS old. It holds until it is released; others wait meanwhile. */
const cp_watch_view *cp_watch_take(cp_watch *watch);
void cp_watch_release(cp_watch *watch);

/* When the oldest row of a table that waits was first seen, on the boot-time clock; 0: none waits. While nobody sees when rows come, because
 * the recorder is gone or stuck: its last turn, since which they wait at the longest. CP_WATCH_AGE_UNKNOWN: a paused table's rows, which
 * are not taken up. */
uint64_t cp_watch_oldest_ns(const cp_watch_view *view, uint32_t table);

/* While a view is taken: the points of a table, oldest first, one a second, the last at most a second old. Returns how many were
 * copied to points, which has room for CP_WATCH_HISTORY. */
uint32_t cp_watch_history(const cp_watch *watch, uint32_t table, cp_watch_point *points);

#endif
