#include "recorder/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "recorder/config/change.h"
#include "recorder/config_apply.h"
#include "recorder/confine.h"
#include "recorder/drain_thread.h"
#include "recorder/endpoint_board.h"
#include "recorder/error_notes.h"
#include "recorder/gate.h"
#include "recorder/lane.h"
#include "recorder/resume.h"
#include "recorder/ship_targets.h"
#include "shm/ack.h"
#include "shm/sigbus_guard.h"

_Static_assert((int)CP_ENDPOINT_UNKNOWN == (int)CP_SINK_UNKNOWN &&
                   (int)CP_ENDPOINT_HEALTHY == (int)CP_SINK_HEALTHY &&
                   (int)CP_ENDPOINT_DOWN == (int)CP_SINK_DOWN &&
                   (int)CP_ENDPOINT_DEGRADED == (int)CP_SINK_DEGRADED,
               "the server's health goes into the region as it is");
_Static_assert((int)CP_EXACTLY_ONCE == (int)CP_DELIVERY_EXACTLY_ONCE &&
                   (int)CP_AT_LEAST_ONCE == (int)CP_DELIVERY_AT_LEAST_ONCE,
               "the flusher's guarantee goes into the region as it is");

enum {
    LANE_QUEUE = 1024, /* chunks of one table that may wait for the flusher */
    STOP_POLL_NS = 2 * CP_NS_PER_MS,
    STOP_GRACE_NS = 2 * CP_NS_PER_S /* for a batch that is on the wire when the time to stop is over */
};

struct cp_recorder {
    const cp_config *config;
    cp_region_owner region;
    cp_drain *drain;
    cp_flusher *flusher;
    cp_lane *lanes;
    cp_log_lane **logs;       /* per table; NULL: it has none */
    cp_ladder_lane **ladders; /* per table; NULL: it has a log */
    cp_resumed **resumed;     /* per table: a predecessor's batch; NULL: none, or delivered */
    cp_gate gate;
    cp_event_ring *events; /* NULL: the configuration has no table for them */
    cp_log_buffer log_buffer;
    const cp_table **tables;
    cp_batch_policy *policies; /* per table, as they hold now */
    uint64_t stop_timeout_ns;
    cp_drain_thread drain_thread;
    cp_ship_targets *flush_targets; /* while a flush is under way; NULL: none is */
    uint64_t flush_until;           /* boot-time clock */
};

/* ---- events -------------------------------------------------------------------------------------------- */

static cp_submit_result on_submit(void *ctx, uint32_t table, cp_chunk *chunk)
{
    cp_recorder *recorder = ctx;
    if (recorder->logs[table])
        return cp_log_lane_append(recorder->logs[table], chunk);
    return cp_ladder_lane_submit(recorder->ladders[table], chunk);
}

static void on_fault(void *ctx, uint32_t table, uint32_t slot, cp_ring_fault fault, const char *reason)
{
    cp_recorder *recorder = ctx;
    char quoted[512];
    cp_lane_fault(&recorder->lanes[table], slot, fault);
    cp_log(CP_LOG_ERROR, "ring broken", "table=%s slot=%u fault=\"%s\" reason=%s remedy=\"%s\"",
           recorder->lanes[table].entry->name, slot, cp_ring_fault_name(fault),
           cp_log_quote(quoted, sizeof quoted, reason),
           "its producer takes another slot when it attaches again; remove the ring file and restart the "
           "recorder to free this one");
}

static void on_rejected(void *ctx, uint32_t table, uint32_t slot, uint32_t rows, const char *reason)
{
    cp_recorder *recorder = ctx;
    char quoted[512];
    cp_log(CP_LOG_WARN, "rows rejected", "table=%s slot=%u rows=%u first=%s remedy=\"%s\"",
           recorder->lanes[table].entry->name, slot, rows, cp_log_quote(quoted, sizeof quoted, reason),
           "its producer writes rows that contradict themselves: coldpath status names it; they are counted "
           "and left out");
}

static void on_release(void *ctx, cp_chunk *chunk)
{
    cp_recorder *recorder = ctx;
    cp_drain_release(recorder->drain, chunk);
}

static bool on_prepare(void *ctx, uint32_t table, const cp_batch_intent *intent)
{
    cp_recorder *recorder = ctx;
    if (recorder->logs[table])
        return cp_log_lane_prepare(recorder->logs[table], intent);
    cp_lane_prepare(&recorder->lanes[table], intent);
    return true;
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    cp_recorder *recorder = ctx;
    if (recorder->logs[table])
        cp_log_lane_delivered(recorder->logs[table], batch);
    else
        cp_lane_delivered(&recorder->lanes[table], batch);
    cp_resumed_free(recorder->resumed[table]);
    recorder->resumed[table] = NULL;
}

static void on_unheld(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    cp_recorder *recorder = ctx;
    cp_lane_unheld(&recorder->lanes[table], batch);
}

static void guarantee_show(const cp_recorder *recorder, uint32_t table)
{
    /* The two enumerations say the same, one to the flusher's owner, one to whoever maps the region. */
    __atomic_store_n(&recorder->lanes[table].counters->guarantee,
                     (uint32_t)cp_flusher_guarantee(recorder->flusher, table), __ATOMIC_RELAXED);
}

static void on_server(void *ctx, bool up, const char *text)
{
    cp_recorder *recorder = ctx;
    cp_abi_control *header = recorder->region.control.header;
    snprintf(header->sink_error, sizeof header->sink_error, "%s", text);
    for (uint32_t i = 0; up && i < recorder->config->table_count; i++)
        guarantee_show(recorder, i);
}

static bool on_may_send(void *ctx, uint32_t table)
{
    cp_recorder *recorder = ctx;
    return cp_gate_lets(&recorder->gate, recorder->config->tables[table].critical) &&
           __atomic_load_n(&recorder->lanes[table].counters->paused_since_ns, __ATOMIC_RELAXED) == 0;
}

static void on_sent(void *ctx, uint32_t table, uint64_t bytes)
{
    cp_recorder *recorder = ctx;
    (void)table;
    cp_gate_sent(&recorder->gate, bytes);
}

static bool on_shed(void *ctx, uint32_t table, const cp_chunk *chunk)
{
    const cp_recorder *recorder = ctx;
    return recorder->ladders[table] && cp_ladder_lane_shed(recorder->ladders[table], chunk);
}

static void on_health(void *ctx, cp_endpoint_health health)
{
    static const char *const names[] = {"unknown", "healthy", "down", "degraded"};
    cp_recorder *recorder = ctx;
    cp_abi_control *header = recorder->region.control.header;
    __atomic_store_n(&header->sink_state, (uint32_t)health, __ATOMIC_RELEASE);
    cp_log(health == CP_ENDPOINT_HEALTHY ? CP_LOG_INFO : CP_LOG_WARN, "ClickHouse's health", "state=%s%s",
           names[health], health == CP_ENDPOINT_HEALTHY ? "" : " remedy=\"coldpath status says why\"");
}

static void on_endpoints(void *ctx, const cp_endpoint_view *views, uint32_t count)
{
    const cp_recorder *recorder = ctx;
    cp_endpoint_board_show(recorder->region.control.endpoints, views, count);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    cp_recorder *recorder = ctx;
    cp_lane_attempt(&recorder->lanes[table], attempt);
    if (recorder->ladders[table])
        cp_ladder_lane_attempt(recorder->ladders[table], attempt);
    guarantee_show(recorder, table);
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued,
                        uint64_t oldest_seen_ns)
{
    cp_recorder *recorder = ctx;
    cp_lane_progress(&recorder->lanes[table], in_flight, queued, oldest_seen_ns);
}

/* ---- making -------------------------------------------------------------------------------------------- */

static int make_lanes(cp_recorder *recorder, cp_error *err)
{
    const uint32_t count = recorder->config->table_count;
    recorder->lanes = calloc(count + 1u, sizeof *recorder->lanes);
    recorder->tables = calloc(count + 1u, sizeof(void *));
    recorder->policies = calloc(count + 1u, sizeof *recorder->policies);
    recorder->resumed = calloc(count + 1u, sizeof(void *));
    if (!recorder->lanes || !recorder->tables || !recorder->policies || !recorder->resumed)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u lanes", count);
    for (uint32_t i = 0; i < count; i++) {
        recorder->tables[i] = recorder->config->tables[i].table;
        recorder->policies[i] = recorder->config->tables[i].batch;
        cp_lane_init(&recorder->lanes[i], &recorder->region, i, recorder->config->tables[i].critical);
    }
    return CP_OK;
}

static int make_logs(cp_recorder *recorder, cp_error *err)
{
    const cp_config *config = recorder->config;
    recorder->logs = calloc(config->table_count + 1u, sizeof(void *));
    if (!recorder->logs)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u logs", config->table_count);
    int rc = cp_log_buffer_create(&recorder->log_buffer, config, err);
    for (uint32_t i = 0; rc == CP_OK && i < config->table_count; i++) {
        if (config->tables[i].critical)
            rc = cp_log_lane_open(&recorder->logs[i], config, i, &recorder->lanes[i], &recorder->region,
                                  &recorder->log_buffer, err);
    }
    return rc;
}

static int make_ladders(cp_recorder *recorder, cp_error *err)
{
    const cp_config *config = recorder->config;
    recorder->ladders = calloc(config->table_count + 1u, sizeof(void *));
    int rc = recorder->ladders ? cp_event_ring_open(&recorder->events, config, err)
                               : cp_error_set(err, CP_E_NOMEM, "no memory");
    const cp_ladder_env env = {config, &recorder->region, recorder->drain, recorder->flusher,
                               recorder->events};
    for (uint32_t i = 0; rc == CP_OK && i < config->table_count; i++) {
        if (!config->tables[i].critical)
            rc = cp_ladder_lane_create(&recorder->ladders[i], &env, i, &recorder->lanes[i], err);
    }
    return rc;
}

/* Batches that a predecessor had under way, out of the logs or the rings. */
static int take_up_batches(cp_recorder *recorder, cp_error *err)
{
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && i < recorder->config->table_count; i++) {
        if (recorder->logs[i])
            rc = cp_log_lane_connect(recorder->logs[i], recorder->flusher, err);
        else
            rc = cp_resume_table(&recorder->resumed[i], &recorder->region, i, recorder->tables[i],
                                 &recorder->lanes[i], recorder->flusher, recorder->drain, err);
        if (rc == CP_OK)
            rc = cp_lane_count_held(&recorder->lanes[i], recorder->flusher, err);
    }
    return rc;
}

static int make_flusher(cp_recorder *recorder, cp_error *err)
{
    const cp_config *config = recorder->config;
    char instance[CP_MAX_NAME + 32];
    snprintf(instance, sizeof instance, "%s:%016llx", config->namespace_name,
             (unsigned long long)recorder->region.control.generation);
    cp_sink_config sink;
    cp_config_sink(config, &sink);
    sink.instance = instance;
    const cp_flush_events events = {
        .ctx = recorder,
        .prepare = on_prepare,
        .may_send = on_may_send,
        .sent = on_sent,
        .release = on_release,
        .shed = on_shed,
        .attempt = on_attempt,
        .delivered = on_delivered,
        .unheld = on_unheld,
        .server = on_server,
        .health = on_health,
        .endpoints = on_endpoints,
        .progress = on_progress,
    };
    int rc = cp_flusher_create(&recorder->flusher, &sink, &events, err);
    for (uint32_t i = 0; rc == CP_OK && i < config->table_count; i++) {
        const cp_table_config *table = &config->tables[i];
        rc = cp_flusher_add_table(recorder->flusher, table->table, &table->batch, LANE_QUEUE, err);
        if (rc < 0)
            return cp_error_prefix(err, "table %s", table->name);
    }
    return rc;
}

static int make_drain(cp_recorder *recorder, cp_error *err)
{
    const cp_config *config = recorder->config;
    uint64_t *intervals = calloc(config->table_count + 1u, sizeof *intervals);
    if (!intervals)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u tables", config->table_count);
    for (uint32_t i = 0; i < config->table_count; i++)
        intervals[i] = config->tables[i].critical ? 0 : config->tables[i].batch.interval_ns;
    const cp_drain_events events = {recorder, on_submit, on_fault, on_rejected};
    const int rc = cp_drain_create(&recorder->drain, &recorder->region, recorder->tables, intervals,
                                   config->memory_limit, &events, err);
    free(intervals);
    return rc;
}

static void set_state(cp_recorder *recorder, cp_recorder_state state)
{
    __atomic_store_n(&recorder->region.control.header->state, (uint32_t)state, __ATOMIC_RELEASE);
}

/* What a predecessor said about itself. */
static void signs_reset(cp_abi_control *header)
{
    header->recorder_pid = (uint32_t)getpid();
    header->started_ns = cp_realtime_ns();
    header->sink_state = CP_SINK_UNKNOWN;
    header->sink_error[0] = '\0';
    header->reload_count += header->reload_count & 1; /* it was killed in the middle of one */
    header->reload_result = CP_RELOAD_NEVER;
    header->reload_text[0] = '\0';
}

int cp_recorder_create(cp_recorder **out, const cp_config *config, cp_error *err)
{
    *out = NULL;
    cp_recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the recorder");
    recorder->config = config;
    recorder->stop_timeout_ns = config->stop_timeout_ns;
    recorder->region.lock_fd = -1;
    recorder->gate.replay_fd = -1;
    cp_drain_thread_init(&recorder->drain_thread, config->poll == CP_POLL_BUSY);
    cp_sigbus_install();
    int rc = cp_config_own_region(config, &recorder->region, err);
    if (rc == CP_OK) {
        set_state(recorder, CP_RECORDER_STARTING);
        signs_reset(recorder->region.control.header);
        cp_error_notes_open(config, &recorder->region);
        /* Before there are threads: those would keep their rights. */
        rc = config->confine ? cp_confine(err) : CP_OK;
    }
    if (rc == CP_OK)
        rc = cp_gate_open(&recorder->gate, config, &recorder->region, err);
    if (rc == CP_OK)
        rc = make_lanes(recorder, err);
    if (rc == CP_OK)
        rc = make_logs(recorder, err);
    if (rc == CP_OK)
        rc = make_flusher(recorder, err);
    if (rc == CP_OK)
        rc = make_drain(recorder, err);
    if (rc == CP_OK)
        rc = make_ladders(recorder, err);
    if (rc == CP_OK)
        rc = take_up_batches(recorder, err);
    if (rc < 0) {
        cp_recorder_free(recorder);
        return rc;
    }
    *out = recorder;
    return CP_OK;
}

void cp_recorder_free(cp_recorder *recorder)
{
    if (!recorder)
        return;
    cp_drain_thread_destroy(&recorder->drain_thread);
    if (recorder->flusher)
        cp_flusher_stop(recorder->flusher, cp_boottime_ns()); /* when a start failed half-way */
    cp_flusher_free(recorder->flusher);
    for (uint32_t i = 0; recorder->resumed && i < recorder->config->table_count; i++)
        cp_resumed_free(recorder->resumed[i]);
    for (uint32_t i = 0; recorder->logs && i < recorder->config->table_count; i++)
        cp_log_lane_close(recorder->logs[i]);
    cp_log_buffer_destroy(&recorder->log_buffer);
    for (uint32_t i = 0; recorder->ladders && i < recorder->config->table_count; i++)
        cp_ladder_lane_free(recorder->ladders[i]);
    cp_event_ring_close(recorder->events);
    cp_drain_free(recorder->drain);
    cp_gate_close(&recorder->gate);
    cp_error_notes_close();
    cp_region_release(&recorder->region);
    free(recorder->flush_targets);
    free(recorder->ladders);
    free(recorder->resumed);
    free(recorder->logs);
    free(recorder->lanes);
    free(recorder->policies);
    free(recorder->tables);
    free(recorder);
}

/* ---- running ------------------------------------------------------------------------------------------- */

int cp_recorder_start(cp_recorder *recorder, cp_error *err)
{
    const cp_drain_work work = {recorder->drain,
                                recorder->flusher,
                                recorder->logs,
                                recorder->ladders,
                                recorder->config->table_count,
                                recorder->region.control.header};
    int rc = cp_flusher_start(recorder->flusher, recorder->config->flush_cpu, err);
    /* Before the drain thread's first turn: there is none yet, or a predecessor's, which would make a fresh recorder look stuck, and one
     * that gets no further look as if it were not. */
    __atomic_store_n(&recorder->region.control.header->heartbeat_ns, cp_boottime_ns(), __ATOMIC_RELAXED);
    if (rc == CP_OK)
        rc = cp_drain_thread_start(&recorder->drain_thread, &work, recorder->config->drain_cpu, err);
    if (rc < 0)
        return rc;
    recorder->region.control.header->chunk_count = cp_drain_chunk_count(recorder->drain);
    set_state(recorder, CP_RECORDER_RUNNING);
    return CP_OK;
}

/* ---- a changed configuration --------------------------------------------------------------------------- */

int cp_recorder_configure(cp_recorder *recorder, const cp_config *fresh, cp_error *err)
{
    const uint32_t count = recorder->config->table_count;
    cp_sink_config sink;
    cp_batch_policy *policies = calloc(count + 1u, sizeof *policies);
    if (!policies)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u tables", count);
    for (uint32_t i = 0; i < count; i++) {
        if (!cp_config_batch_policy(recorder->config, i, fresh, &policies[i]))
            policies[i] = recorder->policies[i];
    }
    cp_config_sink(fresh, &sink);
    const int rc = cp_flusher_configure(recorder->flusher, &sink, policies, err);
    if (rc < 0) {
        free(policies);
        return rc;
    }
    free(recorder->policies);
    recorder->policies = policies;
    for (uint32_t i = 0; i < count; i++)
        cp_drain_set_interval(recorder->drain, i,
                              recorder->config->tables[i].critical ? 0 : policies[i].interval_ns);
    recorder->stop_timeout_ns = fresh->stop_timeout_ns;
    cp_gate_configure(&recorder->gate, fresh);
    cp_flusher_wake(recorder->flusher);
    cp_drain_thread_set_busy(&recorder->drain_thread, fresh->poll == CP_POLL_BUSY);
    return CP_OK;
}

void cp_recorder_reload_begins(cp_recorder *recorder)
{
    cp_abi_control *header = recorder->region.control.header;
    __atomic_exchange_n(&header->reload_count, header->reload_count | 1, __ATOMIC_ACQ_REL);
}

void cp_recorder_reload_ended(cp_recorder *recorder, uint32_t result, const char *text)
{
    static const char more[] = "…";
    cp_abi_control *header = recorder->region.control.header;
    size_t keep = sizeof header->reload_text - sizeof more;
    header->reload_ns = cp_realtime_ns();
    header->reload_result = result;
    snprintf(header->reload_text, sizeof header->reload_text, "%s", text);
    if (strlen(text) >= sizeof header->reload_text) {
        while (keep > 0 && text[keep - 1] != '\n')
            keep--;
        memcpy(header->reload_text + keep, more, sizeof more);
    }
    __atomic_store_n(&header->reload_count, (header->reload_count | 1) + 1, __ATOMIC_RELEASE);
}

bool cp_recorder_is_turning(const cp_recorder *recorder, uint64_t within_ns)
{
    const uint64_t beat = __atomic_load_n(&recorder->region.control.header->heartbeat_ns, __ATOMIC_RELAXED);
    const uint64_t now = cp_boottime_ns();
    return now <= beat || now - beat <= within_ns;
}

/* ---- shipping without waiting for batches ---------------------------------------------------------------- */

static bool targets_reached(const cp_recorder *recorder, const cp_ship_targets *targets)
{
    return cp_ship_targets_reached(targets, &recorder->region.control, &recorder->gate);
}

static void set_urgent(cp_recorder *recorder, bool urgent)
{
    cp_drain_set_urgent(recorder->drain, urgent);
    cp_flusher_set_urgent(recorder->flusher, urgent);
}

void cp_recorder_flush(cp_recorder *recorder)
{
    free(recorder->flush_targets);
    recorder->flush_targets = cp_ship_targets_note(&recorder->region.control, recorder->drain);
    recorder->flush_until = cp_boottime_ns() + recorder->stop_timeout_ns;
    set_urgent(recorder, recorder->flush_targets != NULL);
}

bool cp_recorder_is_flushing(cp_recorder *recorder)
{
    if (!recorder->flush_targets)
        return false;
    const bool reached = targets_reached(recorder, recorder->flush_targets);
    if (!reached && cp_boottime_ns() < recorder->flush_until)
        return true;
    set_urgent(recorder, false);
    free(recorder->flush_targets);
    recorder->flush_targets = NULL;
    cp_log(CP_LOG_INFO, "flushed", "namespace=%s delivered=%s", recorder->config->namespace_name,
           reached ? "all" : "\"not all in time\"");
    return false;
}

cp_recorder_parts cp_recorder_take_apart(const cp_recorder *recorder)
{
    return (cp_recorder_parts){recorder->config,  &recorder->region, &recorder->region.control,
                               recorder->flusher, recorder->ladders, recorder->logs};
}

bool cp_recorder_log_position(const cp_recorder *recorder, uint32_t table, uint64_t *next, uint64_t *durable)
{
    if (!recorder->logs[table])
        return false;
    cp_log_lane_position(recorder->logs[table], next, durable);
    return true;
}

/* ---- stopping ------------------------------------------------------------------------------------------ */

static uint64_t rows_left(const cp_recorder *recorder)
{
    const cp_control *control = &recorder->region.control;
    uint64_t left = 0;
    for (uint32_t i = 0; i < control->ring_count; i++)
        left += cp_drain_rows_from(recorder->drain, i, control->acks[i].consumed);
    return left;
}

void cp_recorder_stop(cp_recorder *recorder, bool (*hurry)(void), cp_stop_report *report)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = STOP_POLL_NS};
    const uint64_t deadline = cp_boottime_ns() + recorder->stop_timeout_ns;
    set_state(recorder, CP_RECORDER_STOPPING);
    cp_drain_thread_retire(&recorder->drain_thread, deadline);
    cp_ship_targets *targets = cp_ship_targets_note(&recorder->region.control, recorder->drain);
    set_urgent(recorder, true);
    *report = (cp_stop_report){0};
    while (targets && !(report->clean = targets_reached(recorder, targets)) && cp_boottime_ns() < deadline &&
           !hurry())
        nanosleep(&pause, NULL);
    free(targets);
    cp_drain_thread_stop(&recorder->drain_thread);
    /* A batch on the wire that is given up is taken up again by the next recorder. */
    cp_flusher_stop(recorder->flusher, cp_boottime_ns() + (hurry() ? 0 : STOP_GRACE_NS));
    report->rows_left = rows_left(recorder);
    for (uint32_t i = 0; i < recorder->config->table_count; i++) {
        if (recorder->logs[i])
            cp_log_lane_left(recorder->logs[i], &report->rows_in_logs, &report->lsns_in_logs);
        else
            report->rows_lost += cp_ladder_lane_end(recorder->ladders[i]);
    }
    set_state(recorder, CP_RECORDER_STOPPED);
}
