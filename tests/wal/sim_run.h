/* The simulation: a log on a simulated disk, driven at random beside a model of what it owes, and cut at every operation.
 *
 *   workload ──► log ──► simulated disk ── before each operation ──► a crash: several outcomes
 *      │                                                                │ each: recover, compare with the model, recover again
 *      └────────► model (records, acknowledged, delivered, intents) ◄───┘ some: damage a sector first
 *
 * Compared after each recovery: acknowledged ⊆ recovered; the recovered are a prefix of what was appended, byte for byte (no
 * ghosts); delivered position and intents are the last stored or those under way; every undelivered record is there; the
 * ring positions are those of the records; a second recovery gives the same. After damage: right, or refused. */
#ifndef COLDPATH_TESTS_SIM_RUN_H
#define COLDPATH_TESTS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_options {
    uint64_t seed;
    uint64_t max_states;
    uint64_t deadline_ns; /* boot-time clock */
    unsigned unsafe;      /* protections taken away */
    bool faults;          /* the device fails now and then */
    bool damage;
    bool short_lives; /* the power fails again soon */
} sim_options;

typedef struct sim_result {
    uint64_t workloads, operations, states, exhaustive, recoveries, records_compared;
    uint64_t damaged, refused, corrupt_read, unharmed, tail_lost;
    uint64_t acknowledged, given_up, retries, faults_reported;
    bool violated;
    char text[512];
} sim_result;

void sim_run(const sim_options *options, sim_result *result);

#endif
