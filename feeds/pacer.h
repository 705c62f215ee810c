/* Keeps events at the pace they were recorded at, or N times it.
 *
 *      due(event) = start of the segment + (recorded time − recorded start of the segment) / speed
 *
 * A recorded time that goes back by more than a second, or leaves a gap longer than max_gap, begins a new
 * segment: it is due max_gap after the last one at most, and never sleeps away what nobody recorded. Being
 * late is made up by not sleeping. */
#ifndef CP_FEEDS_PACER_H
#define CP_FEEDS_PACER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct cp_pacer {
    double speed; /* 0: flat out */
    int64_t max_gap_ns;
    bool started;
    int64_t recorded_start;
    int64_t recorded_last;
    int64_t real_start; /* CLOCK_MONOTONIC */
} cp_pacer;

enum { CP_PACER_BACK_NS = 1000 * 1000 * 1000 };

/* speed ≥ 0; 0 never waits. max_gap_ns: in recorded time. */
void cp_pacer_init(cp_pacer *pacer, double speed, int64_t max_gap_ns);

/* When an event recorded at recorded_ns is due, on CLOCK_MONOTONIC, if now_ns is that clock. Does not sleep.
 */
int64_t cp_pacer_due(cp_pacer *pacer, int64_t recorded_ns, int64_t now_ns);

/* Sleeps until the event is due, or until *stop is set by a signal handler. */
void cp_pacer_wait(cp_pacer *pacer, int64_t recorded_ns, const volatile sig_atomic_t *stop);

/* Sleeps until due_ns on CLOCK_MONOTONIC, or until *stop is set by a signal handler. */
void cp_sleep_until(int64_t due_ns, const volatile sig_atomic_t *stop);

#endif
