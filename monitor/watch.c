#include "monitor/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "shm/histogram.h"

enum {
    TICK_MS = 1000,
    COUNT_TICKS = 5,      /* every so many seconds the rows in the rings are counted one by one */
    OFF_COUNTS = 2,       /* a ledger is off when so many counts in a row say so: while rows pass, one may */
    WINDOW_TICKS = 10,    /* between two baselines of the recent inserts */
    WINDOW_BASELINES = 6, /* a minute of them */
    PERMILLE = 1000
};

typedef struct watch_history {
    cp_watch_point points[CP_WATCH_HISTORY]; /* a ring, the oldest at the watch's next point */
    cp_abi_histogram baselines[WINDOW_BASELINES];
    uint64_t quarantined; /* as of the last tick */
    uint32_t off;         /* counts in a row that did not balance */
} watch_history;

struct cp_watch {
    char *dir;
    pthread_mutex_t mutex; /* guards all that follows */
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping;
    bool open;
    ino_t inode; /* of the control file that is open */
    cp_observer observer;
    cp_watch_table *tables;
    watch_history *history;
    uint32_t history_count;
    uint32_t history_next;
    uint32_t baseline_count;
    uint32_t baseline_next;
    uint64_t ticks;
    cp_refusals refusals; /* as of the last tick */
    cp_watch_view view;
};

/* ---- the region ------------------------------------------------------------------------------------------------ */

static void region_close(cp_watch *watch)
{
    if (watch->open)
        cp_observer_close(&watch->observer);
    watch->open = false;
    free(watch->tables);
    free(watch->history);
    watch->tables = NULL;
    watch->history = NULL;
    watch->history_count = watch->history_next = 0;
    watch->baseline_count = watch->baseline_next = 0;
}

/* The control file's inode tells a region that was removed and made again from the one that is mapped. */
static bool control_inode(const cp_watch *watch, ino_t *inode)
{
    char path[CP_MAX_REGION_PATH];
    struct stat file;
    if (snprintf(path, sizeof path, "%s/control", watch->dir) >= (int)sizeof path || stat(path, &file) < 0)
        return false;
    *inode = file.st_ino;
    return true;
}

static bool region_open(cp_watch *watch)
{
    cp_error err = {0};
    ino_t inode = 0;
    const bool there = control_inode(watch, &inode);
    if (watch->open && (!there || inode != watch->inode))
        region_close(watch);
    if (watch->open)
        return true;
    if (cp_observer_open(&watch->observer, watch->dir, &err) < 0) {
        snprintf(watch->view.absent, sizeof watch->view.absent, "%s", err.text);
        return false;
    }
    const uint32_t count = watch->observer.control.table_count;
    watch->open = true;
    watch->inode = inode;
    watch->observer.glance = true;
    watch->tables = calloc(count + 1u, sizeof *watch->tables);
    watch->history = calloc(count + 1u, sizeof *watch->history);
    if (!watch->tables || !watch->history) {
        snprintf(watch->view.absent, sizeof watch->view.absent, "no memory to watch %" PRIu32 " tables",
                 count);
        region_close(watch);
        return false;
    }
    if (cp_observer_look(&watch->observer) == CP_OK)
        cp_refusals_note(&watch->refusals, &watch->observer);
    return true;
}

/* ---- looking --------------------------------------------------------------------------------------------------- */

static void measures_read(cp_watch *watch, uint32_t table)
{
    cp_watch_table *to = &watch->tables[table];
    const watch_history *history = &watch->history[table];
    if (!watch->observer.control.measures)
        return;
    const cp_abi_measures *from = &watch->observer.control.measures[table];
    cp_histogram_read(&from->insert_us, &to->measures.insert_us);
    cp_histogram_read(&from->batch_rows, &to->measures.batch_rows);
    cp_histogram_read(&from->sync_us, &to->measures.sync_us);
    cp_histogram_read(&from->put_durable_us, &to->measures.put_durable_us);
    to->measures.log_bytes = __atomic_load_n(&from->log_bytes, __ATOMIC_RELAXED);
    to->measures.log_limit = __atomic_load_n(&from->log_limit, __ATOMIC_RELAXED);
    to->measures.log_state = __atomic_load_n(&from->log_state, __ATOMIC_RELAXED);
    to->recent_inserts = to->measures.insert_us;
    if (watch->baseline_count > 0) {
        const uint32_t oldest = watch->baseline_count < WINDOW_BASELINES ? 0 : watch->baseline_next;
        cp_histogram_subtract(&to->recent_inserts, &history->baselines[oldest]);
    }
}

static void canary_look(cp_watch *watch)
{
    cp_watch_view *view = &watch->view;
    const cp_abi_canary *canary = watch->observer.control.canary;
    cp_canary_view_read(&watch->observer.control, view->taken_ns, &view->canary);
    view->canary_durable = view->canary_delivered = (cp_abi_histogram){0};
    if (canary && view->canary.interval_ns > 0) {
        cp_histogram_read(&canary->durable_us, &view->canary_durable);
        cp_histogram_read(&canary->delivered_us, &view->canary_delivered);
    }
}

static void look(cp_watch *watch)
{
    cp_watch_view *view = &watch->view;
    view->present = false;
    view->taken_ns = cp_boottime_ns();
    view->real_minus_boot_ns = cp_realtime_ns() - view->taken_ns;
    if (!region_open(watch))
        return;
    if (cp_observer_look(&watch->observer) < 0) { /* replaced: the new one, now or at the next look */
        region_close(watch);
        if (!region_open(watch) || cp_observer_look(&watch->observer) < 0) {
            snprintf(view->absent, sizeof view->absent, "%s is just being replaced", watch->dir);
            region_close(watch);
            return;
        }
    }
    for (uint32_t i = 0; i < watch->observer.control.table_count; i++) {
        watch->observer.tables[i].balanced = watch->history[i].off < OFF_COUNTS;
        measures_read(watch, i);
    }
    canary_look(watch);
    view->present = true;
    view->absent[0] = '\0';
    view->observer = &watch->observer;
    view->tables = watch->tables;
    cp_health_judge(&watch->observer, &watch->refusals, &view->health);
}

/* ---- once a second --------------------------------------------------------------------------------------------- */

static void count_rows(cp_watch *watch)
{
    watch->observer.glance = false;
    const int rc = cp_observer_look(&watch->observer);
    for (uint32_t i = 0; rc == CP_OK && i < watch->observer.control.table_count; i++)
        watch->history[i].off = watch->observer.tables[i].balanced ? 0 : watch->history[i].off + 1;
    watch->observer.glance = true;
}

static void point_note(cp_watch *watch, uint32_t table)
{
    const cp_table_view *now = &watch->observer.tables[table];
    if (watch->history_count > 0 && now->quarantined > watch->history[table].quarantined)
        watch->tables[table].refused_ns = watch->view.taken_ns;
    watch->history[table].quarantined = now->quarantined;
    const cp_watch_table *measured = &watch->tables[table];
    watch->history[table].points[watch->history_next] = (cp_watch_point){
        .produced = now->produced,
        .delivered = now->delivered,
        .lost = now->dropped + now->given_up + now->full,
        .usage = (float)now->usage_permille / PERMILLE,
        .insert_p99_ms = (float)(cp_histogram_quantile(&measured->recent_inserts, 0.99) / 1e3),
        .log_bytes = measured->measures.log_bytes,
        .pressure = now->pressure,
    };
}

static void baselines_note(cp_watch *watch)
{
    for (uint32_t i = 0; i < watch->observer.control.table_count; i++)
        watch->history[i].baselines[watch->baseline_next] = watch->tables[i].measures.insert_us;
    watch->baseline_next = (watch->baseline_next + 1) % WINDOW_BASELINES;
    watch->baseline_count += watch->baseline_count < WINDOW_BASELINES;
}

static void tick(cp_watch *watch)
{
    if (watch->open && watch->ticks % COUNT_TICKS == 0)
        count_rows(watch);
    look(watch);
    if (watch->view.present) {
        if (watch->history_count == 0 || watch->ticks % WINDOW_TICKS == 0)
            baselines_note(watch);
        for (uint32_t i = 0; i < watch->observer.control.table_count; i++)
            point_note(watch, i);
        watch->history_next = (watch->history_next + 1) % CP_WATCH_HISTORY;
        watch->history_count += watch->history_count < CP_WATCH_HISTORY;
        cp_refusals_note(&watch->refusals, &watch->observer);
    }
    watch->ticks++;
}

static void *watch_run(void *argument)
{
    cp_watch *watch = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&watch->mutex);
    while (!watch->stopping) {
        next.tv_sec += TICK_MS / 1000;
        while (!watch->stopping && pthread_cond_timedwait(&watch->wake, &watch->mutex, &next) != ETIMEDOUT)
            ;
        if (!watch->stopping)
            tick(watch);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

/* ---- the owner's ----------------------------------------------------------------------------------------------- */

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

int cp_watch_create(cp_watch **out, const char *dir, cp_error *err)
{
    *out = NULL;
    if (strlen(dir) >= CP_MAX_REGION_PATH - sizeof "/control")
        return cp_error_set(err, CP_E_INVAL, "the region's path is longer than %d bytes", CP_MAX_REGION_PATH);
    cp_watch *watch = calloc(1, sizeof *watch);
    if (!watch || !(watch->dir = strdup(dir))) {
        free(watch);
        return cp_error_set(err, CP_E_NOMEM, "no memory to watch %s", dir);
    }
    watch->view.dir = watch->dir;
    pthread_mutex_init(&watch->mutex, NULL);
    condition_init(&watch->wake);
    tick(watch);
    const int rc = pthread_create(&watch->thread, NULL, watch_run, watch);
    if (rc == 0) {
        *out = watch;
        return CP_OK;
    }
    region_close(watch);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    free(watch->dir);
    free(watch);
    return cp_error_errno(err, CP_E_NOMEM, rc, "start the watching thread");
}

void cp_watch_free(cp_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->mutex);
    watch->stopping = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    region_close(watch);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    free(watch->dir);
    free(watch);
}

const cp_watch_view *cp_watch_take(cp_watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    if (cp_boottime_ns() - watch->view.taken_ns > (uint64_t)CP_WATCH_LOOK_MS * CP_NS_PER_MS)
        look(watch);
    return &watch->view;
}

void cp_watch_release(cp_watch *watch)
{
    pthread_mutex_unlock(&watch->mutex);
}

uint32_t cp_watch_history(const cp_watch *watch, uint32_t table, cp_watch_point *points)
{
    const uint32_t count = watch->history_count;
    const uint32_t first = (watch->history_next + CP_WATCH_HISTORY - count) % CP_WATCH_HISTORY;
    for (uint32_t i = 0; i < count; i++)
        points[i] = watch->history[table].points[(first + i) % CP_WATCH_HISTORY];
    return count;
}

uint64_t cp_watch_oldest_ns(const cp_watch_view *view, uint32_t table)
{
    const cp_table_view *looked = &view->observer->tables[table];
    if (looked->counters.oldest_unshipped_ns != 0 || looked->in_ring + looked->in_log == 0)
        return looked->counters.oldest_unshipped_ns;
    if (looked->counters.paused_since_ns != 0)
        return CP_WATCH_AGE_UNKNOWN;
    return view->health.serving
               ? 0
               : __atomic_load_n(&view->observer->control.header->heartbeat_ns, __ATOMIC_RELAXED);
}
