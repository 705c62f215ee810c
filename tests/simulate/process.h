/* Simulated processes: who holds which memory, mappings and files, so that a process can be killed at any moment and leaves
 * behind what a real one would: its files and what is in shared memory, and nothing else.
 *
 *     sim_process_now = SIM_RECORDER; … the product's code … malloc, mmap, open: noted as the recorder's
 *     sim_process_kill(SIM_RECORDER): freed, unmapped, closed (and with that, unlocked)
 *
 * The linker leads the product's calls of malloc, mmap, open and their like here (--wrap). */
#ifndef COLDPATH_TESTS_SIMULATE_PROCESS_H
#define COLDPATH_TESTS_SIMULATE_PROCESS_H

#include <stddef.h>

enum { SIM_NOBODY = 0, SIM_RECORDER = 1, SIM_PRODUCERS = 2 /* and on: one each */ };

/* Whose code runs. What the simulation itself takes is nobody's. */
extern int sim_process_now;

/* Frees everything that is the process's. None of its code may run any more. */
void sim_process_kill(int process);

/* Things that the process holds. */
size_t sim_process_holds(int process);

#endif
