/* The recorder's lives: a process that runs recorder/recorder.c as main.c does, is stopped, killed, and loses its host; and the disk
 * below its logs.
 *
 *     start ──► create ──► start ──► runs ──┬─ flush, reload, stop (as signals ask)
 *                                           ├─ killed: between two steps, at a named place of the code (base/failpoint.h), or at an
 *                                           │  operation of the disk
 *                                           └─ the power fails: likewise; what was not synced is kept, lost or garbled
 *
 * A log's directory is a simulated disk of its own (tests/wal/sim_disk.h), a region a real directory in /dev/shm. */
#ifndef COLDPATH_TESTS_SIMULATE_LIFE_H
#define COLDPATH_TESTS_SIMULATE_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/control.h"
#include "tests/wal/sim_disk.h"

typedef struct sim_life_totals {
    uint64_t lives, kills, kills_inside, power_failures, stops, refused_starts, reloads, reloads_refused,
        remade, flushes;
} sim_life_totals;

extern sim_life_totals sim_life_total;

/* Directories and configurations of a world below dir. unsafe: cp_wal_unsafe. */
void sim_life_begin(const char *dir, const char *ddl_dir, unsigned unsafe);
void sim_life_end(void);

const char *sim_life_region(void);
const char *sim_life_quarantine(void);

/* The region, mapped for looking; NULL: there is none. */
const cp_control *sim_life_control(void);

/* Servers that are configured: so many of the first. */
uint32_t sim_life_sinks(void);

/* Critical tables have a unique key. */
bool sim_life_unique(void);

/* The process runs. */
bool sim_life_is_on(void);

/* It runs, and its logs hold nothing that ClickHouse does not have: also of rings that went with their host. */
bool sim_life_logs_empty(void);

void sim_life_start(void);

/* What signals ask of it; it does so when it is scheduled. */
void sim_life_ask_stop(void);
void sim_life_ask_flush(void);
void sim_life_ask_reload(void);
void sim_life_ask_command(void);

/* What was commanded is taken back, and the configuration one that sends. */
void sim_life_ask_fair(void);

/* Ends it now. */
void sim_life_kill(void);
void sim_life_power_failure(void);

/* It is killed, or its host, when it passes some named place, or does some operation on a disk, in a while. */
void sim_life_arm(void);
void sim_life_disarm(void);

/* After each step: a process that was killed from within, or has ended, is cleaned up. */
void sim_life_look(void);

/* How the disks of all logs misbehave. */
void sim_life_disks(const sim_faults *faults);

#endif
