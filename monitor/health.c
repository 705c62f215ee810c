#include "monitor/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "shm/canary_view.h"
#include "shm/region.h"

const char *cp_recorder_state_name(uint32_t state)
{
    static const char *const names[] = {"never started", "starting", "running",
                                        "stopping",      "stopped",  "retired"};
    return state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *cp_mode_name(uint32_t mode)
{
    static const char *const names[] = {"direct", "wal_first", "disabled"};
    return mode < sizeof names / sizeof names[0] ? names[mode] : "?";
}

const char *cp_sink_state_name(uint32_t state)
{
    static const char *const names[] = {"not asked yet", "healthy", "down", "degraded"};
    return state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *cp_guarantee_name(uint32_t guarantee)
{
    static const char *const names[] = {"unknown", "at least once", "exactly once"};
    return guarantee < sizeof names / sizeof names[0] ? names[guarantee] : "unknown";
}

const char *cp_reload_result_name(uint32_t result)
{
    static const char *const names[] = {"never", "applied", "needs restart", "refused"};
    return result < sizeof names / sizeof names[0] ? names[result] : "unknown";
}

enum {
    DAY_S = 24 * 3600,
    MODE_WAL_FIRST = 1, /* cp_abi_control.mode */
    MODE_DISABLED = 2
};

bool cp_health_log_at_limit(const cp_abi_measures *measures)
{
    return measures->log_bytes / CP_HEALTH_LOG_PERCENT >= measures->log_limit / 100;
}

static void reason_add(cp_health *health, const char *fmt, ...) CP_PRINTF(2, 3);

static void reason_add(cp_health *health, const char *fmt, ...)
{
    if (health->reason_count == CP_HEALTH_REASONS)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(health->reasons[health->reason_count++], CP_HEALTH_TEXT, fmt, args);
    va_end(args);
}

static void notice_add(cp_health *health, const char *fmt, ...) CP_PRINTF(2, 3);

static void notice_add(cp_health *health, const char *fmt, ...)
{
    if (health->notice_count == CP_HEALTH_NOTICES)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(health->notices[health->notice_count++], CP_HEALTH_TEXT, fmt, args);
    va_end(args);
}

static void judge_sink(const cp_abi_control *header, cp_health *health)
{
    if (__atomic_load_n(&header->sink_state, __ATOMIC_ACQUIRE) != CP_SINK_DOWN)
        return;
    if (header->sink_error[0])
        reason_add(health, "ClickHouse does not answer: %.*s (try: coldpath query 'SELECT 1')",
                   CP_ABI_ERROR_TEXT - 1, header->sink_error);
    else
        reason_add(health, "ClickHouse does not answer inserts: only probes are sent until one is answered "
                           "(try: coldpath query 'SELECT 1')");
}

/* One of several that does not serve, and would not if it had to. */
static void judge_endpoints(const cp_control *control, cp_health *health)
{
    for (uint32_t i = 0; control->endpoints && i < CP_ABI_ENDPOINTS; i++) {
        const cp_abi_endpoint *endpoint = &control->endpoints[i];
        if (endpoint->role == CP_ENDPOINT_NONE || endpoint->role == CP_ENDPOINT_CHOSEN ||
            endpoint->state != CP_SINK_DOWN)
            continue;
        notice_add(
            health,
            "ClickHouse at %.*s does not answer, and is not the one that serves: %.*s (coldpath status; "
            "clickhouse.url)",
            (int)sizeof endpoint->url - 1, endpoint->url, (int)sizeof endpoint->reason - 1, endpoint->reason);
    }
}

/* Comes last: mostly it follows from what was said before. */
static void judge_canary(const cp_observer *observer, cp_health *health)
{
    cp_canary_view canary;
    cp_canary_view_read(&observer->control, cp_boottime_ns(), &canary);
    if (!canary.stale)
        return;
    reason_add(health,
               "the canary is stale: none of the recorder's own rows of the last %" PRIu64
               " s, one each %.3g s, has reached ClickHouse: %s",
               canary.age_ns / CP_NS_PER_S, (double)canary.interval_ns / CP_NS_PER_S,
               health->reason_count > 0 ? "the reasons before this one hold rows up"
                                        : "coldpath doctor looks for what holds rows up");
}

/* Bytes are of an earlier day until the recorder sends again. */
static void judge_budget(const cp_abi_control *header, cp_health *health)
{
    const uint64_t most = __atomic_load_n(&header->sent_limit, __ATOMIC_RELAXED);
    const uint64_t day = __atomic_load_n(&header->sent_day, __ATOMIC_ACQUIRE);
    const uint64_t sent = __atomic_load_n(&header->sent_bytes, __ATOMIC_RELAXED);
    if (most == 0 || day != cp_realtime_ns() / CP_NS_PER_S / DAY_S)
        return;
    if (sent >= most)
        reason_add(health,
                   "the day's budget is spent (%" PRIu64 " of %" PRIu64
                   " KiB): nothing is sent until midnight UTC; raise "
                   "limits.daily_bytes, then coldpath reload",
                   sent >> 10, most >> 10);
    else if (sent / CP_HEALTH_BUDGET_PERCENT >= most / 100)
        notice_add(health,
                   "the day's budget is nearly spent (%" PRIu64 " of %" PRIu64
                   " KiB), and then nothing is sent until midnight "
                   "UTC: raise limits.daily_bytes, then coldpath reload",
                   sent >> 10, most >> 10);
}

static void judge_mode(const cp_abi_control *header, cp_health *health)
{
    const uint32_t mode = __atomic_load_n(&header->mode, __ATOMIC_RELAXED);
    if (mode == MODE_DISABLED)
        notice_add(health, "mode disabled: nothing is sent to ClickHouse; for the end of that: mode: direct, "
                           "then coldpath reload");
    else if (mode == MODE_WAL_FIRST)
        notice_add(health, "mode wal_first: critical tables are sent while coldpath replay runs");
}

bool cp_health_takes_commands(const cp_observer *observer, char *found, size_t size)
{
    char path[CP_MAX_REGION_PATH + sizeof "/" CP_REGION_SOCKET];
    struct stat status;
    if (!observer->recorder_alive || cp_control_state(&observer->control) != CP_RECORDER_RUNNING)
        return true;
    snprintf(path, sizeof path, "%s/" CP_REGION_SOCKET, observer->dir);
    const bool there = lstat(path, &status) == 0;
    if (there && S_ISSOCK(status.st_mode))
        return true;
    snprintf(
        found, size,
        "the recorder takes no commands (pause, flush, reload): %s %s: %s; the recorder opens it again by "
        "itself",
        path, there ? "is no socket" : "is not there",
        there ? "remove it" : "coldpath errors says why it could not be made");
    return false;
}

static void judge_commands(const cp_observer *observer, cp_health *health)
{
    char found[CP_HEALTH_TEXT];
    if (!cp_health_takes_commands(observer, found, sizeof found))
        notice_add(health, "%s", found);
}

static void judge_recorder(const cp_observer *observer, cp_health *health)
{
    const uint64_t beat = __atomic_load_n(&observer->control.header->heartbeat_ns, __ATOMIC_RELAXED);
    const uint64_t now = cp_boottime_ns();
    const uint32_t state = cp_control_state(&observer->control);
    health->heartbeat_age_ns = beat == 0 ? UINT64_MAX : now > beat ? now - beat : 0;
    const bool stale = health->heartbeat_age_ns > (uint64_t)CP_HEALTH_STALE_MS * CP_NS_PER_MS;
    health->serving = health->recorder_alive && !stale;
    if (!health->recorder_alive) {
        reason_add(
            health,
            "no recorder runs (%s); rows wait in the region: start coldpathd (systemctl start coldpathd)",
            state == CP_RECORDER_RUNNING ? "it was killed" : cp_recorder_state_name(state));
        return;
    }
    if (stale && state == CP_RECORDER_RUNNING)
        reason_add(health,
                   "the recorder's heartbeat is over %d s old: it is stuck or stopped; a restart loses "
                   "nothing (systemctl restart coldpathd)",
                   CP_HEALTH_STALE_MS / 1000);
    judge_sink(observer->control.header, health);
    judge_endpoints(&observer->control, health);
    judge_budget(observer->control.header, health);
    judge_mode(observer->control.header, health);
    judge_commands(observer, health);
}

/* What an operator did to a table, and may have forgotten. */
static void judge_steering(const cp_table_view *table, cp_health *health)
{
    const char *name = table->entry->name;
    const uint64_t since = table->counters.paused_since_ns;
    const uint64_t now = cp_realtime_ns();
    const char *when = health->serving ? "" : ", once a recorder runs and turns";
    if (since != 0)
        reason_add(health, "%s: paused for %" PRIu64 " min, its rows wait: coldpath resume %s%s", name,
                   now > since ? (now - since) / (60 * (uint64_t)CP_NS_PER_S) : 0, name, when);
    if (table->forced > 1)
        reason_add(health,
                   "%s: held on rung %" PRIu32
                   " of its pressure ladder, rows are shed: coldpath degrade %s auto%s",
                   name, table->forced - 1, name, when);
}

/* Why a table's rows do not arrive. */
static void judge_delivery(const cp_table_view *table, cp_health *health)
{
    const cp_abi_counters *counters = &table->counters;
    const uint64_t now = cp_boottime_ns();
    const uint64_t next = counters->retry_at_ns > now ? (counters->retry_at_ns - now) / CP_NS_PER_S : 0;
    if (counters->parked_since_ns != 0)
        reason_add(health,
                   "%s: parked, asked again in %" PRIu64
                   " s (what differs: coldpath schema diff; at once: coldpath flush): %.*s",
                   table->entry->name, next, (int)CP_ABI_ERROR_TEXT - 1, counters->last_error);
    else if (counters->retry_at_ns != 0 && health->recorder_alive)
        reason_add(health, "%s: retrying: %.*s", table->entry->name, (int)CP_ABI_ERROR_TEXT - 1,
                   counters->last_error);
}

/* A recorder that is gone left the state as it last was: nothing is said then but that it is gone. */
static void judge_log(const cp_observer *observer, uint32_t index, cp_health *health)
{
    const char *name = observer->tables[index].entry->name;
    const cp_abi_measures *measures = observer->control.measures ? &observer->control.measures[index] : NULL;
    if (!measures || !observer->recorder_alive)
        return;
    const uint32_t state = __atomic_load_n(&measures->log_state, __ATOMIC_RELAXED);
    if (state == CP_LOG_STALLED)
        reason_add(health,
                   "%s: its log takes no rows, they stay in their rings: %s (%" PRIu64 " MiB of %" PRIu64
                   " MiB): %s",
                   name, cp_health_log_at_limit(measures) ? "it is at its limit" : "its disk is full",
                   measures->log_bytes >> 20, measures->log_limit >> 20,
                   cp_health_log_at_limit(measures)
                       ? "bring ClickHouse back, or raise wal_limit and restart (coldpath doctor)"
                       : "free room on it (coldpath doctor says where)");
    else if (state == CP_LOG_FAILING)
        reason_add(health,
                   "%s: its log cannot be written, rows stay in their rings: the recorder's log has "
                   "the disk's error (coldpath doctor)",
                   name);
    else if (observer->tables[index].in_log > 0 && measures->log_limit > 0 &&
             cp_health_log_at_limit(measures))
        reason_add(health,
                   "%s: its log has files of %" PRIu64 " MiB of %" PRIu64
                   " MiB, and takes no rows when they are full: bring ClickHouse back, or raise wal_limit "
                   "(coldpath wal ls %s)",
                   name, measures->log_bytes >> 20, measures->log_limit >> 20, name);
}

static void judge_table(const cp_table_view *table, uint64_t full_before, cp_health *health)
{
    const char *name = table->entry->name;
    if (table->broken_rings > 0)
        reason_add(health,
                   "%s: %u rings broke the protocol and are no longer read: the recorder's log names them "
                   "(coldpath doctor)",
                   name, table->broken_rings);
    if (table->usage_permille >= CP_HEALTH_USAGE_PERMILLE)
        reason_add(
            health,
            "%s: its fullest ring is %u %% full, and refuses rows when it is quite full: coldpath top shows "
            "what holds them up; a larger ring_size",
            name, table->usage_permille / 10);
    if (table->full > full_before)
        reason_add(health,
                   "%s: rings are full and refuse rows: %" PRIu64 " times within a moment, %" PRIu64
                   " in all: coldpath top shows what holds rows up; a larger ring_size",
                   name, table->full - full_before, table->full);
    if (table->at_risk > 0)
        reason_add(health,
                   "%s: under pressure: %" PRIu64 " rows were taken out early and are lost if the recorder "
                   "is killed now: coldpath top shows what holds rows up",
                   name, table->at_risk);
    if (!table->balanced)
        reason_add(health, "%s: the ledger does not balance: coldpath audit", name);
    judge_delivery(table, health);
    if (table->quarantined > 0)
        notice_add(health,
                   "%s: rows that ClickHouse refuses went to the quarantine, %" PRIu64
                   " since the region was made: coldpath quarantine ls",
                   name, table->quarantined);
}

void cp_refusals_note(cp_refusals *refusals, const cp_observer *observer)
{
    refusals->any = false;
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        refusals->full[i] = observer->tables[i].full;
        refusals->any = refusals->any || refusals->full[i] > 0;
    }
}

void cp_health_judge(const cp_observer *observer, const cp_refusals *before, cp_health *health)
{
    *health = (cp_health){.recorder_alive = observer->recorder_alive};
    judge_recorder(observer, health);
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        judge_table(&observer->tables[i], before->full[i], health);
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        judge_steering(&observer->tables[i], health);
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        judge_log(observer, i, health);
    judge_canary(observer, health);
    health->sound = health->reason_count == 0;
}
