/* Who steers the recorder from outside: commands as they come over the control socket (recorder/steering.h), and `coldpath replay`, of
 * which the recorder sees the lock that it holds. The socket itself is not simulated: commands are handed to whom it hands them. */
#ifndef COLDPATH_TESTS_SIMULATE_STEER_H
#define COLDPATH_TESTS_SIMULATE_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "recorder/recorder.h"

typedef struct sim_steer_totals {
    uint64_t commands, commands_refused, replays;
} sim_steer_totals;

extern sim_steer_totals sim_steer_total;

void sim_steer_begin(void);

/* Thinks of a command; the recorder obeys in sim_steer_obey. It is about one table, or all. */
void sim_steer_ask(void);

/* Everything that commands have changed is changed back. */
void sim_steer_ask_back(void);

/* The recorder's main thread: obeys what was asked for meanwhile. */
void sim_steer_obey(cp_recorder *recorder);

/* True: there is something to obey. */
bool sim_steer_is_asked(void);

/* A replay begins, or ends: also when it is killed. False: it could not. */
bool sim_steer_replay(bool on);

#endif
