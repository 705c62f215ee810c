/* The thread that turns the drain: all that has to be done often, and must never wait.
 *
 *     start ──► logs started ──┬──► retire ladders, when asked ──► drain ──► logs ──► ladders ──► heartbeat ──► nap ──┬──► logs finished
 *                              └──────────────────────────────────────────────────────────────────────────────────────┘
 *
 * It turns as often as there is work. When there is none, adaptive polling naps, from 50 µs up to 2 ms and, after a quiet
 * while, 10 ms; busy polling never sleeps. While writes of a log are under way it naps no longer than 50 µs: their end frees rings. */
#ifndef CP_RECORDER_DRAIN_THREAD_H
#define CP_RECORDER_DRAIN_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "flush/flusher.h"
#include "ingest/drain.h"
#include "recorder/ladder_lane.h"
#include "recorder/log_lane.h"

/* What it drives, borrowed from start to stop. */
typedef struct cp_drain_work {
    cp_drain *drain;
    cp_flusher *flusher;      /* woken when it has been given chunks */
    cp_log_lane *const *logs; /* per table; NULL: it has none */
    cp_ladder_lane *const *ladders;
    uint32_t table_count;
    cp_abi_control *header; /* heartbeat and turns */
} cp_drain_work;

/* Fields are private. */
typedef struct cp_drain_thread {
    cp_drain_work work;
    pthread_t thread;
    bool running;
    bool busy_poll; /* atomic */
    bool retiring;  /* atomic: it shall retire the ladders, ... */
    bool retired;   /* atomic: and has */
    bool stopping;  /* atomic */
    sem_t started;  /* it has started its logs, or failed to */
    int start_code;
    cp_error start_error;
} cp_drain_thread;

void cp_drain_thread_init(cp_drain_thread *thread, bool busy_poll);

/* Starts it, on one CPU unless cpu is negative, and waits until it has started the logs, which belong to it from then on. CP_E_CONFIG:
 * there is no such CPU; CP_E_NOMEM; errors of cp_log_lane_start. */
int cp_drain_thread_start(cp_drain_thread *thread, const cp_drain_work *work, int cpu, cp_error *err);

/* Whether it never sleeps. Any thread. */
void cp_drain_thread_set_busy(cp_drain_thread *thread, bool busy_poll);

/* Has the ladders retired: what is put from then on stays in the rings. Waits for that, at most until deadline (boot-time clock). */
void cp_drain_thread_retire(cp_drain_thread *thread, uint64_t deadline);

/* Ends it and waits for its end; nothing when it does not run. */
void cp_drain_thread_stop(cp_drain_thread *thread);

/* Stops it too. */
void cp_drain_thread_destroy(cp_drain_thread *thread);

#endif
