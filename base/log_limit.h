/* How often the same event may be said: a few lines in every window of time, then none until the next window, whose first line says
 * how many were left out. Pure: no clock, no lock, no allocation.
 *
 *     events   x x x x x x x x x x x x x x x │ x
 *     lines    1 2 3 … BURST  · · · · · · ·  │ 1, left_out=7
 *              └────────── window ───────────┘
 *
 * A fixed table remembers the events seen last; a new one takes the place of the one that was quiet longest. */
#ifndef CP_BASE_LOG_LIMIT_H
#define CP_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CP_LOG_BURST = 20,    /* lines of one event in a window: enough to see what is going on */
    CP_LOG_WINDOW_S = 10, /* so a recorder with everything wrong says some hundred lines a minute */
    CP_LOG_EVENTS = 128   /* different ones that are told apart at a time */
};

typedef struct cp_log_limit_event {
    uint64_t key;
    uint64_t window_ns; /* when its window began; 0: the place is free */
    uint64_t seen_ns;
    uint32_t lines;
    uint32_t left_out;
} cp_log_limit_event;

typedef struct cp_log_limit {
    cp_log_limit_event events[CP_LOG_EVENTS];
} cp_log_limit;

/* True when the event may be said now; *left_out: how many of it were not, since it was last. now_ns: any clock that does not go
 * back, not 0. */
bool cp_log_limit_take(cp_log_limit *limit, uint64_t key, uint64_t now_ns, uint32_t *left_out);

#endif
