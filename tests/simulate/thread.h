/* Simulated threads: the recorder's own threads, each on a stack of its own, of which one runs at a time, until it waits.
 *
 *     pthread_create ──► a stack          nanosleep, usleep        ┐
 *     scheduler ──► sim_thread_run ──►    sem_wait, pthread_join   ├──► back to the scheduler, until what it waits for is there
 *         ▲                               pthread_cond_timedwait   │
 *         └───────────────────────────────sim_wait ◄───────────────┘
 *
 * So the functions of the product's threads run as they are, and in which order, and how long after the time they asked for, is the
 * scheduler's choice. They do not run at the same time: what two of them do to the same word within one step is not tried here
 * (tests/race, ThreadSanitizer). The linker leads these calls here (--wrap). */
#ifndef COLDPATH_TESTS_SIMULATE_THREAD_H
#define COLDPATH_TESTS_SIMULATE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_THREADS = 16 };

/* Starts a thread of the process whose code runs. Returns its number, ≥ 0. */
int sim_thread_start(void *(*run)(void *), void *argument, const char *name);

/* Of the running thread: waits until `object` is told, or at the latest until_ns (of sim.now_ns; UINT64_MAX: as long as it
 * takes). NULL: for the time alone. */
void sim_wait(const void *object, uint64_t until_ns);

/* Whoever waits for the object may go on. */
void sim_tell(const void *object);

/* True while a thread runs, false in the scheduler. */
bool sim_in_thread(void);

/* ---- the scheduler's ---- */

/* Threads that may go on; their numbers. Returns how many. */
int sim_threads_ready(int numbers[SIM_THREADS]);

/* When the next one may, of sim.now_ns; UINT64_MAX: none by itself. */
uint64_t sim_threads_next_ns(void);

/* Lets it run until it waits, ends, or its process is killed from within. */
void sim_thread_run(int number);

bool sim_thread_ended(int number);
const char *sim_thread_name(int number);

/* In a thread: ends the whole process here, as SIGKILL does. The scheduler finds it in sim_thread_killed. */
void sim_thread_kill_here(void) __attribute__((noreturn));
bool sim_thread_killed(void);

/* Forgets all threads: their process is gone. */
void sim_threads_drop(void);

#endif
