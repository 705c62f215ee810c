#include "recorder/canary.h"

#include <coldpath/coldpath.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "rows/recorder_canary.h"
#include "shm/ack.h"
#include "shm/control.h"
#include "shm/histogram.h"

enum {
    UNDER_WAY = 64, /* rows that are followed at a time: an outage is seen row by row for so many intervals */
    LOOK_SHARE = 32, /* a row is looked at again after this share of the time that it has been under way, … */
};
#define LOOK_MIN_NS UINT64_C(100000)    /* … no sooner than this … */
#define LOOK_MAX_NS UINT64_C(100000000) /* … nor later: the histograms know a value to a quarter */

typedef struct sent_row {
    uint64_t put_ns;
    uint64_t end; /* the position behind it */
    uint64_t durable_us;
} sent_row;

struct cp_canary {
    const cp_config *config;
    cp_control control; /* a writable mapping of its own */
    cp_abi_canary *shown;
    const cp_abi_ack *ack;
    cp_region *region;
    cp_ring *ring;
    sent_row rows[UNDER_WAY]; /* a ring: the n-th at n % UNDER_WAY */
    uint64_t put; /* how many, since the start, have reached which stage; put ≥ durable ≥ delivered */
    uint64_t durable;
    uint64_t settled;
    uint64_t gone; /* rows of the ring that were settled otherwise than by delivery, so far */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stopping */
    pthread_cond_t wake;
    bool stopping;
};

typedef struct canary_row {
    recorder_canary_row row;
    char tail[CP_MAX_NAME + 1 + 8];
} canary_row;

/* ---- one row --------------------------------------------------------------------------------------------------- */

static void show(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static void put_row(cp_canary *canary, uint64_t now)
{
    cp_abi_canary *shown = canary->shown;
    canary_row put = {.row = {.ts = (int64_t)cp_realtime_ns(),
                              .number = shown->put_rows + 1,
                              .arrived = shown->delivered_rows,
                              .durable_us = shown->last_durable_us,
                              .delivered_us = shown->last_delivered_us}};
    cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
    const char *name = canary->config->namespace_name;
    (void)cp_tail_put(&tail, &put.row.namespace_, name, (uint32_t)strnlen(name, CP_MAX_NAME));
    if (canary->put - canary->settled == UNDER_WAY || cp_put(canary->ring, &put, tail.used) != CP_OK) {
        show(&shown->refused_rows, shown->refused_rows + 1);
        return;
    }
    canary->rows[canary->put % UNDER_WAY] = (sent_row){.put_ns = now, .end = canary->ring->write};
    canary->put++;
    show(&shown->put_rows, shown->put_rows + 1);
}

static bool has_passed(uint64_t position, uint64_t end)
{
    return (int64_t)(position - end) >= 0;
}

static void note_durable(cp_canary *canary, uint64_t position, uint64_t now)
{
    cp_abi_canary *shown = canary->shown;
    for (; canary->durable < canary->put; canary->durable++) {
        sent_row *row = &canary->rows[canary->durable % UNDER_WAY];
        if (!has_passed(position, row->end))
            return;
        row->durable_us = (now - row->put_ns) / CP_NS_PER_US;
        cp_histogram_add(&shown->durable_us, row->durable_us);
        show(&shown->durable_rows, shown->durable_rows + 1);
    }
}

/* Rows that are settled at once, and of which some are gone, are not told apart: their times are not counted. */
static void note_settled(cp_canary *canary, const cp_abi_ack *ack, uint64_t now)
{
    cp_abi_canary *shown = canary->shown;
    const uint64_t gone = cp_ack_settled_rows(ack) - ack->delivered_rows;
    uint64_t lost = gone - canary->gone;
    canary->gone = gone;
    for (; canary->settled < canary->put; canary->settled++) {
        const sent_row *row = &canary->rows[canary->settled % UNDER_WAY];
        if (!has_passed(ack->delivered, row->end))
            return;
        if (lost > 0) {
            lost--;
            show(&shown->lost_rows, shown->lost_rows + 1);
            continue;
        }
        const uint64_t took = (now - row->put_ns) / CP_NS_PER_US;
        cp_histogram_add(&shown->delivered_us, took);
        show(&shown->last_durable_us, row->durable_us);
        show(&shown->last_delivered_us, took);
        show(&shown->delivered_put_ns, row->put_ns);
        show(&shown->delivered_rows, shown->delivered_rows + 1);
    }
}

/* Looks how far the rows under way are. Returns when to look again, UINT64_MAX when none is under way. */
static uint64_t follow(cp_canary *canary)
{
    cp_abi_ack ack;
    const uint64_t now = cp_boottime_ns();
    cp_ack_read(canary->ack, &ack);
    note_durable(canary, ack.durable, now);
    note_settled(canary, &ack, now);
    if (canary->settled == canary->put) {
        show(&canary->shown->waiting_since_ns, 0);
        return UINT64_MAX;
    }
    const uint64_t oldest = canary->rows[canary->settled % UNDER_WAY].put_ns;
    const uint64_t next =
        canary->durable < canary->put ? canary->rows[canary->durable % UNDER_WAY].put_ns : oldest;
    const uint64_t share = (now - next) / LOOK_SHARE;
    show(&canary->shown->waiting_since_ns, oldest);
    return now + (share > LOOK_MAX_NS ? LOOK_MAX_NS : share < LOOK_MIN_NS ? LOOK_MIN_NS : share);
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

/* Sleeps until then, of the boot-time clock; false when it is to end. */
static bool sleep_until(cp_canary *canary, uint64_t then)
{
    struct timespec until;
    const uint64_t now = cp_boottime_ns();
    const uint64_t span = then > now ? then - now : 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const uint64_t end = (uint64_t)until.tv_nsec + span;
    until.tv_sec += (time_t)(end / CP_NS_PER_S);
    until.tv_nsec = (long)(end % CP_NS_PER_S);
    pthread_mutex_lock(&canary->mutex);
    int rc = 0;
    while (!canary->stopping && rc == 0)
        rc = pthread_cond_timedwait(&canary->wake, &canary->mutex, &until);
    const bool goes_on = !canary->stopping;
    pthread_mutex_unlock(&canary->mutex);
    return goes_on;
}

static void *canary_run(void *argument)
{
    cp_canary *canary = argument;
    uint64_t next = cp_boottime_ns();
    pthread_setname_np(pthread_self(), "cp-canary");
    uint64_t look = next;
    while (sleep_until(canary, look < next ? look : next)) {
        const uint64_t now = cp_boottime_ns();
        if (now >= next) {
            put_row(canary, now);
            /* After a long sleep, of a host that was suspended, one row and not many. */
            next +=
                (1 + (now - next) / canary->config->canary_interval_ns) * canary->config->canary_interval_ns;
        }
        look = follow(canary);
    }
    return NULL;
}

/* ---- starting and stopping ------------------------------------------------------------------------------------- */

static const cp_table_config *canary_table(const cp_config *config)
{
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (strcmp(config->tables[i].name, CP_CANARY_TABLE) == 0)
            return &config->tables[i];
    }
    return NULL;
}

static int ring_attach(cp_canary *canary, cp_error *err)
{
    cp_ring_stats stats;
    cp_abi_ack ack;
    int rc = cp_attach(&canary->region, canary->config->region_dir, err);
    if (rc == CP_OK)
        rc = cp_ring_open(&canary->ring, canary->region, CP_CANARY_TABLE, RECORDER_CANARY_SCHEMA_HASH,
                          "coldpathd", err);
    if (rc < 0)
        return rc;
    cp_ring_get_stats(canary->ring, &stats);
    canary->ack = cp_control_ack(&canary->control,
                                 (uint32_t)cp_control_find(&canary->control, CP_CANARY_TABLE), stats.slot);
    cp_ack_read(canary->ack, &ack);
    canary->gone = cp_ack_settled_rows(&ack) - ack.delivered_rows;
    return CP_OK;
}

static int thread_start(cp_canary *canary, cp_error *err)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&canary->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&canary->mutex, NULL);
    const int rc = pthread_create(&canary->thread, NULL, canary_run, canary);
    if (rc == 0)
        return CP_OK;
    pthread_cond_destroy(&canary->wake);
    pthread_mutex_destroy(&canary->mutex);
    return cp_error_errno(err, CP_E_NOMEM, rc, "start the thread");
}

static void canary_free(cp_canary *canary)
{
    cp_ring_close(canary->ring);
    cp_detach(canary->region);
    cp_control_close(&canary->control);
    free(canary);
}

static int canary_make(cp_canary *canary, const cp_table_config *table, cp_error *err)
{
    int rc = cp_control_open(&canary->control, canary->config->region_dir, true, err);
    if (rc < 0)
        return rc;
    canary->shown = canary->control.canary;
    if (!canary->shown)
        return cp_error_set(err, CP_E_ABI, "the region was made by an older version, and has no room for it");
    show(&canary->shown->interval_ns, 0);
    show(&canary->shown->waiting_since_ns, 0);
    if (!table)
        return CP_OK;
    rc = ring_attach(canary, err);
    if (rc < 0)
        return rc;
    show(&canary->shown->started_ns, cp_boottime_ns());
    show(&canary->shown->limit_ns, canary->config->canary_limit_ns);
    show(&canary->shown->interval_ns, canary->config->canary_interval_ns);
    return thread_start(canary, err);
}

int cp_canary_start(cp_canary **out, const cp_config *config, cp_error *err)
{
    *out = NULL;
    const cp_table_config *table = canary_table(config);
    if (table && table->table->schema_hash != RECORDER_CANARY_SCHEMA_HASH)
        return cp_error_set(
            err, CP_E_CONFIG,
            "%s: the recorder puts rows of its own into a table of this name, and it has other columns "
            "than schema/ddl/recorder_canary.sql: use that file, or another name",
            table->ddl);
    cp_canary *canary = calloc(1, sizeof *canary);
    if (!canary)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the canary");
    canary->config = config;
    const int rc = canary_make(canary, table, err);
    if (rc < 0 || !table)
        canary_free(canary);
    else
        *out = canary;
    return rc < 0 ? cp_error_prefix(err, "the canary") : CP_OK;
}

void cp_canary_stop(cp_canary *canary)
{
    if (!canary)
        return;
    pthread_mutex_lock(&canary->mutex);
    canary->stopping = true;
    pthread_cond_signal(&canary->wake);
    pthread_mutex_unlock(&canary->mutex);
    pthread_join(canary->thread, NULL);
    pthread_cond_destroy(&canary->wake);
    pthread_mutex_destroy(&canary->mutex);
    canary_free(canary);
}
