/* A world: one seed's producers, recorder, disks, network and ClickHouse, from its beginning until everything that can has arrived.
 *
 *     climate ──► how fast time passes, how much is put, what fails and how often     (another one every few hundred steps)
 *        │
 *        ▼   each step: one of
 *     a thread of the recorder that may go on ─ a producer ─ a message that arrives ─ a signal, a kill ─ time passes
 *        │
 *        ▼   after each step: the model is held against region and ClickHouse (rows.h)
 *     fair weather: nothing fails any more, and all has to arrive within a bounded time
 *
 * The same seed makes the same world, step by step. */
#ifndef COLDPATH_TESTS_SIMULATE_WORLD_H
#define COLDPATH_TESTS_SIMULATE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/simulate/aside.h"
#include "tests/simulate/life.h"
#include "tests/simulate/network.h"
#include "tests/simulate/rows.h"
#include "tests/simulate/sink.h"
#include "tests/simulate/steer.h"

typedef struct sim_world_options {
    uint64_t seed;
    const char *ddl_dir;
    bool trace;
    unsigned unsafe; /* cp_wal_unsafe */
    bool forgetful;  /* the sink forgets tokens */
} sim_world_options;

typedef struct sim_world_result {
    uint64_t steps, seconds; /* simulated */
    sim_totals rows;
    sim_life_totals life;
    sim_network_totals network;
    sim_sink_totals sink;
    sim_aside_totals aside;
    sim_steer_totals steer;
    bool failed;
    char text[512];
} sim_world_result;

enum { SIM_WORLD_DIR = 64 };

/* Where a process keeps the files of its world, and their end: for who outlives it. */
void sim_world_dir(char dir[SIM_WORLD_DIR], int process);
void sim_world_remove(int process);

void sim_world_run(const sim_world_options *options, sim_world_result *result);

#endif
