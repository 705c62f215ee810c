#include "recorder/drain_thread.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"

enum {
    NAP_MIN_NS = 50 * CP_NS_PER_US,
    NAP_MAX_NS = 2 * CP_NS_PER_MS,
    NAP_QUIET_NS = 10 * CP_NS_PER_MS,
    QUIET_AFTER_NS = 500 * CP_NS_PER_MS, /* without a single new row anywhere */
    LOG_PATIENCE_NS = 20 * CP_NS_PER_MS,
    RETIRE_POLL_NS = 2 * CP_NS_PER_MS
};

#define LOG_GRACE_NS (2 * (uint64_t)CP_NS_PER_S) /* for what was appended last; it is in its ring still */

/* The next nap: none after work, else twice the last, up to a bound that is higher when nothing has come for
 * long. */
static uint64_t next_nap(uint64_t nap, uint64_t now, uint64_t last_work_ns)
{
    const uint64_t most = now - last_work_ns >= QUIET_AFTER_NS ? NAP_QUIET_NS : NAP_MAX_NS;
    if (nap < NAP_MIN_NS)
        return NAP_MIN_NS;
    return nap * 2 < most ? nap * 2 : most;
}

static void pause_for(const cp_drain_thread *thread, uint64_t nap)
{
    if (__atomic_load_n(&thread->busy_poll, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 64; i++)
            __builtin_ia32_pause();
        return;
    }
    const struct timespec time = {.tv_sec = 0, .tv_nsec = (long)nap};
    nanosleep(&time, NULL);
}

/* The logs belong to the thread that starts them. */
static bool start_logs(cp_drain_thread *thread)
{
    for (uint32_t i = 0; thread->start_code == CP_OK && i < thread->work.table_count; i++) {
        if (thread->work.logs[i])
            thread->start_code = cp_log_lane_start(thread->work.logs[i], &thread->start_error);
    }
    sem_post(&thread->started);
    return thread->start_code == CP_OK;
}

/* True while writes are under way: their end is worth waking up for. Not when they have been for long: the disk is full. */
static bool step_logs(cp_drain_thread *thread, uint64_t now, uint64_t *quiet_since)
{
    bool pending = false;
    bool moved = false;
    for (uint32_t i = 0; i < thread->work.table_count; i++) {
        if (thread->work.logs[i])
            moved |= cp_log_lane_step(thread->work.logs[i], now, &pending);
    }
    if (moved || !pending)
        *quiet_since = now;
    return moved || (pending && now - *quiet_since < LOG_PATIENCE_NS);
}

/* An io_uring is no other thread's to wait on. */
static void finish_logs(cp_drain_thread *thread)
{
    const uint64_t deadline = cp_boottime_ns() + LOG_GRACE_NS;
    for (uint32_t i = 0; i < thread->work.table_count; i++) {
        if (thread->work.logs[i])
            cp_log_lane_finish(thread->work.logs[i], deadline);
    }
}

static void step_ladders(cp_drain_thread *thread, uint64_t now)
{
    for (uint32_t i = 0; i < thread->work.table_count; i++) {
        if (thread->work.ladders[i])
            cp_ladder_lane_step(thread->work.ladders[i], now);
    }
}

/* When a stop has begun: what is put from now on stays in the rings, so the position up to which it ships can be noted. */
static void retire_ladders(cp_drain_thread *thread)
{
    if (!__atomic_load_n(&thread->retiring, __ATOMIC_ACQUIRE) || thread->retired)
        return;
    for (uint32_t i = 0; i < thread->work.table_count; i++) {
        if (thread->work.ladders[i])
            cp_ladder_lane_retire(thread->work.ladders[i]);
    }
    __atomic_store_n(&thread->retired, true, __ATOMIC_RELEASE);
}

static void *run(void *argument)
{
    cp_drain_thread *thread = argument;
    cp_abi_control *header = thread->work.header;
    uint64_t last_work_ns = 0;
    uint64_t logs_quiet_since = 0;
    uint64_t nap = 0;
    pthread_setname_np(pthread_self(), "cp-drain");
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    if (!start_logs(thread))
        return NULL;
    while (!__atomic_load_n(&thread->stopping, __ATOMIC_ACQUIRE)) {
        const uint64_t now = cp_boottime_ns();
        retire_ladders(thread);
        const uint32_t chunks = cp_drain_turn(thread->work.drain, now);
        const bool pending = step_logs(thread, now, &logs_quiet_since);
        step_ladders(thread, now);
        __atomic_store_n(&header->heartbeat_ns, now, __ATOMIC_RELAXED);
        __atomic_store_n(&header->drain_turns, header->drain_turns + 1, __ATOMIC_RELAXED);
        if (chunks > 0) {
            __atomic_store_n(&header->drain_work_turns, header->drain_work_turns + 1, __ATOMIC_RELAXED);
            __atomic_store_n(&header->chunks_free, cp_drain_chunks_free(thread->work.drain),
                             __ATOMIC_RELAXED);
            cp_flusher_wake(thread->work.flusher);
            last_work_ns = now;
            nap = 0;
        }
        nap = pending ? NAP_MIN_NS : next_nap(nap, now, last_work_ns);
        pause_for(thread, nap);
    }
    finish_logs(thread);
    return NULL;
}

int cp_drain_thread_start(cp_drain_thread *thread, const cp_drain_work *work, int cpu, cp_error *err)
{
    pthread_attr_t attributes;
    thread->work = *work;
    pthread_attr_init(&attributes);
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    }
    const int rc = pthread_create(&thread->thread, &attributes, run, thread);
    pthread_attr_destroy(&attributes);
    if (rc != 0)
        return cp_error_errno(err, rc == EINVAL ? CP_E_CONFIG : CP_E_NOMEM, rc, "start the drain thread%s",
                              rc == EINVAL ? " (does recorder.drain_cpu exist on this host?)" : "");
    thread->running = true;
    while (sem_wait(&thread->started) < 0 && errno == EINTR)
        ;
    if (thread->start_code < 0 && err)
        *err = thread->start_error;
    return thread->start_code;
}

void cp_drain_thread_init(cp_drain_thread *thread, bool busy_poll)
{
    *thread = (cp_drain_thread){.busy_poll = busy_poll};
    sem_init(&thread->started, 0, 0);
}

void cp_drain_thread_set_busy(cp_drain_thread *thread, bool busy_poll)
{
    __atomic_store_n(&thread->busy_poll, busy_poll, __ATOMIC_RELAXED);
}

void cp_drain_thread_retire(cp_drain_thread *thread, uint64_t deadline)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = RETIRE_POLL_NS};
    __atomic_store_n(&thread->retiring, true, __ATOMIC_RELEASE);
    while (thread->running && !__atomic_load_n(&thread->retired, __ATOMIC_ACQUIRE) &&
           cp_boottime_ns() < deadline)
        nanosleep(&pause, NULL);
}

void cp_drain_thread_stop(cp_drain_thread *thread)
{
    if (!thread->running)
        return;
    __atomic_store_n(&thread->stopping, true, __ATOMIC_RELEASE);
    pthread_join(thread->thread, NULL);
    thread->running = false;
}

void cp_drain_thread_destroy(cp_drain_thread *thread)
{
    cp_drain_thread_stop(thread);
    sem_destroy(&thread->started);
}
