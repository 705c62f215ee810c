/* Whether ClickHouse is asked at all: a circuit breaker over all tables' inserts.
 *
 *             several exchanges in a row without an answer          a probe is answered
 *     CLOSED ──────────────────────────────────────────► OPEN ◄────────────────────────► HALF-OPEN
 *        ▲                                                        no answer to the trial       │
 *        └──────────────── the trial, one insert, is answered, be it with an error ◄───────────┘
 *
 * An answer that is an error closes it, too: the server is there, and what it says is for the table to understand. While it is
 * open nothing is sent but probes (abilities.h), with growing pauses; half open, one insert is under way at a time, so that a
 * server which has just come back does not meet all that has gathered at once. No clock, no I/O. */
#ifndef CP_FLUSH_BREAKER_H
#define CP_FLUSH_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { CP_BREAKER_FAILURES = 3 }; /* in a row, before it opens: one reset or time-out is no outage */

typedef enum cp_breaker_state { CP_BREAKER_CLOSED, CP_BREAKER_OPEN, CP_BREAKER_HALF_OPEN } cp_breaker_state;

/* Zeros: closed. */
typedef struct cp_breaker {
    cp_breaker_state state;
    uint32_t failures; /* in a row */
} cp_breaker;

/* An insert was answered. */
void cp_breaker_answered(cp_breaker *breaker);

/* An insert had no answer, or half of one. reached: the connection stood. True: it has opened, and a probe is wanted. */
bool cp_breaker_failed(cp_breaker *breaker, bool reached);

/* A probe ended. */
void cp_breaker_probed(cp_breaker *breaker, bool answered);

/* How many inserts more may be sent while in_flight are under way, of at most `most`. */
uint32_t cp_breaker_room(const cp_breaker *breaker, uint32_t in_flight, uint32_t most);

#endif
