/* The simulated host: one clock, one source of chance, and the trace of what happens.
 *
 *     seed ──► sim_chance, sim_below ──► everything that is decided
 *     now  ──► clock_gettime (boot-time, monotonic, real time) of all code of the product
 *
 * The product's code is linked unchanged; the linker leads its calls of the C library here (--wrap): clock_gettime, getrandom, the
 * boot's name in /proc, and cp_log, whose lines go into the trace. Time passes when the scheduler lets it (world.c), and by a few
 * nanoseconds whenever somebody looks at a clock, so that who spins with an eye on the clock comes to an end. */
#ifndef COLDPATH_TESTS_SIMULATE_HOST_H
#define COLDPATH_TESTS_SIMULATE_HOST_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "tests/wal/sim_disk.h"

enum { SIM_TEXT = 512 };

typedef struct sim_host {
    sim_rng rng;
    uint64_t now_ns;     /* since the world began */
    uint64_t booted_ns;  /* when the host did, of now_ns */
    int64_t wall_ns;     /* the real-time clock is ahead of the truth by so much */
    uint64_t boot_id;    /* another after every boot */
    uint64_t steps;      /* of the scheduler */
    uint32_t went_ahead; /* tables (a bit each) whose log says that new rows go before the backlog */
    bool tracing;
    bool failed;
    char text[SIM_TEXT]; /* of the first violation */
} sim_host;

extern sim_host sim;

void sim_host_begin(uint64_t seed, bool tracing);

/* Writes a line when tracing. */
void sim_trace(const char *fmt, ...) CP_PRINTF(1, 2);

/* Notes a violation; the first one counts. */
void sim_fail(const char *fmt, ...) CP_PRINTF(1, 2);

/* Chance of the world's seed: below limit; permille of 1000. */
uint64_t sim_pick(uint64_t limit);
bool sim_luck(unsigned permille);

/* A span of time: up to most_ns, short ones as likely as long ones on a scale of doublings. */
uint64_t sim_span(uint64_t most_ns);

/* The host starts again after its power failed. */
void sim_host_boot(void);

#endif
