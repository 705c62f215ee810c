/* `coldpath status`: the recorder's state and every table's ledger, read from the region, with or without a recorder.
 *
 *   put = delivered + rejected + in the log (critical tables) + in the ring
 *
 * where "in the ring" includes what the recorder has copied out and not yet delivered (queued, in flight): its space is
 * given back only then. Where a critical table is behind, a second look a moment later says at which rate it catches up. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/backlog.h"
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/place.h"
#include "cli/status_endpoints.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "flush/error_class.h"
#include "ingest/ladder.h"
#include "monitor/health.h"
#include "monitor/status.h"
#include "shm/canary_view.h"
#include "shm/sigbus_guard.h"

enum {
    SETTLE_TRIES = 10,
    SETTLE_PAUSE_NS = 10 * 1000 * 1000,
    LIMIT_TEXT = CP_LIMIT_WHAT + CP_LIMIT_NOTE + 128
};

typedef struct status_view {
    cp_observer observer;
    cp_refusals refusals;     /* before the last look */
    cp_backlog_mark backlogs; /* likewise */
    uint64_t looked_ns;       /* the last look, boot-time clock */
    cp_health health;
    cp_canary_view canary;
    cp_config *config; /* NULL: --region alone was given */
    cp_limits limits;
} status_view;

/* What exit code 0 needs. */
static bool is_well(const status_view *view)
{
    return view->health.sound && !view->limits.above;
}

static cp_backlog backlog_of(const status_view *view, uint32_t table)
{
    cp_backlog backlog;
    cp_backlog_judge(&view->backlogs, &view->observer, table, view->looked_ns, &backlog);
    return backlog;
}

static json_object *backlog_json(const cp_backlog *backlog)
{
    if (!backlog->behind)
        return NULL;
    json_object *item = json_object_new_object();
    cp_json_add_uint(item, "rows", backlog->rows);
    cp_json_add_double(item, "put_per_s", backlog->put_per_s);
    cp_json_add_double(item, "delivered_per_s", backlog->delivered_per_s);
    if (backlog->seconds_left >= 0)
        cp_json_add_double(item, "seconds_left", backlog->seconds_left);
    else
        cp_json_add(item, "seconds_left", NULL);
    return item;
}

/* The rings of which rows were taken out early: behind these positions a kill of the recorder loses them. */
static json_object *at_risk_json(const cp_table_view *table)
{
    json_object *list = json_object_new_array();
    for (uint32_t slot = 0; !table->entry->critical && slot < table->entry->slots; slot++) {
        const cp_abi_ack *ack = &table->rings[slot].ack;
        if (ack->consumed == ack->delivered)
            continue;
        json_object *item = json_object_new_object();
        cp_json_add_uint(item, "slot", slot);
        cp_json_add_uint(item, "from_position", ack->delivered);
        cp_json_add_uint(item, "to_position", ack->consumed);
        cp_json_add_uint(item, "rows", ack->consumed_rows - cp_ack_settled_rows(ack));
        json_object_array_add(list, item);
    }
    return list;
}

/* Since when, why, when it is asked again, and what to do; null when the table is not parked. */
static json_object *parked_json(const cp_abi_counters *counters)
{
    if (counters->parked_since_ns == 0)
        return NULL;
    const uint64_t now = cp_boottime_ns();
    const char *remedy = cp_error_remedy((int)counters->last_error_code);
    json_object *item = json_object_new_object();
    cp_json_add_uint(item, "since", counters->parked_since_ns / CP_NS_PER_S); /* since 1970 */
    cp_json_add_uint(item, "code", counters->last_error_code);
    cp_json_add_string(item, "message", counters->last_error);
    cp_json_add_double(item, "next_probe_s",
                       counters->retry_at_ns > now ? (double)(counters->retry_at_ns - now) / 1e9 : 0);
    cp_json_add_string(item, "remedy", remedy[0] ? remedy + strlen(CP_ERROR_REMEDY_MARK) : NULL);
    return item;
}

/* Of the rejected rows. The recorder counts them when it sees them, and their span as rejected when it is delivered. */
static uint64_t rows_duplicate(const cp_table_view *table)
{
    const uint64_t rows = table->counters.duplicate_rows;
    return rows < table->rejected ? rows : table->rejected;
}

/* Of `coldpath degrade`; NULL: the ladder moves by itself. */
static const char *held_level(const cp_table_view *table)
{
    return table->forced ? cp_rung_name(table->forced - 1) : NULL;
}

static json_object *table_json(const status_view *view, uint32_t index)
{
    const cp_table_view *table = &view->observer.tables[index];
    const cp_backlog backlog = backlog_of(view, index);
    const cp_abi_counters *counters = &table->counters;
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "table", table->entry->name);
    cp_json_add_string(item, "class", table->entry->critical ? "critical" : "lossy");
    cp_json_add_string(item, "guarantee", cp_guarantee_name(counters->guarantee));
    cp_json_add_uint(item, "rows_put", table->produced);
    cp_json_add_uint(item, "rows_delivered", table->delivered);
    cp_json_add_uint(item, "rows_rejected", table->rejected);
    cp_json_add_uint(item, "rows_duplicate", rows_duplicate(table));
    cp_json_add_uint(item, "rows_suppressed", table->suppressed);
    cp_json_add_uint(item, "rows_dropped", table->dropped);
    cp_json_add_uint(item, "rows_doubtful", table->doubtful);
    cp_json_add_uint(item, "rows_quarantined", table->quarantined);
    cp_json_add_uint(item, "rows_held", table->held);
    cp_json_add_uint(item, "rows_given_up", table->given_up);
    cp_json_add_uint(item, "rows_in_ring", table->in_ring);
    cp_json_add_uint(item, "rows_in_log", table->in_log);
    cp_json_add_uint(item, "rows_at_risk", table->at_risk);
    cp_json_add(item, "at_risk", at_risk_json(table));
    cp_json_add(item, "backlog", backlog_json(&backlog));
    cp_json_add_uint(item, "rows_queued", counters->queued_rows);
    cp_json_add_uint(item, "rows_in_flight", counters->in_flight_rows);
    cp_json_add_bool(item, "balanced", table->balanced);
    cp_json_add_double(item, "ring_usage", table->usage_permille / 1000.0);
    cp_json_add_double(item, "ring_usage_peak", counters->peak_usage_permille / 1000.0);
    cp_json_add_uint(item, "full", table->full);
    cp_json_add_uint(item, "too_big", table->too_big);
    cp_json_add_uint(item, "producers", table->producers);
    cp_json_add_uint(item, "slots", table->entry->slots);
    cp_json_add_uint(item, "rings_broken", table->broken_rings);
    cp_json_add_uint(item, "pressure", table->pressure);
    cp_json_add_uint(item, "pressure_changes", counters->pressure_changes);
    cp_json_add_double(item, "suppress_s", (double)counters->pressure_ns[0] / 1e9);
    cp_json_add_double(item, "conflate_s", (double)counters->pressure_ns[1] / 1e9);
    cp_json_add_double(item, "drop_s", (double)counters->pressure_ns[2] / 1e9);
    cp_json_add_uint(item, "unkeyed_rows", counters->unkeyed_rows);
    cp_json_add_uint(item, "batches_delivered", counters->delivered_batches);
    cp_json_add_uint(item, "insert_attempts", counters->insert_attempts);
    cp_json_add_uint(item, "insert_errors", counters->insert_errors_net + counters->insert_errors_server);
    cp_json_add_double(item, "last_insert_ms", (double)counters->last_insert_duration_ns / 1e6);
    cp_json_add(item, "parked", parked_json(counters));
    if (counters->paused_since_ns)
        cp_json_add_uint(item, "paused_since", counters->paused_since_ns / CP_NS_PER_S); /* since 1970 */
    else
        cp_json_add(item, "paused_since", NULL);
    cp_json_add_string(item, "held_level", held_level(table));
    cp_json_add_string(item, "last_error", counters->last_error[0] ? counters->last_error : NULL);
    return item;
}

static void limits_reasons(const status_view *view, json_object *reasons)
{
    char text[LIMIT_TEXT];
    for (uint32_t i = 0; i < view->limits.count; i++) {
        const cp_limit *limit = &view->limits.list[i];
        if (limit->above && !limit->judged)
            cp_json_append_string(reasons, cp_limit_text(limit, text, sizeof text));
    }
}

static int status_json(const status_view *view)
{
    const cp_observer *observer = &view->observer;
    const cp_health *health = &view->health;
    const cp_abi_control *header = observer->control.header;
    json_object *answer = cp_json_begin("status");
    json_object *recorder = json_object_new_object();
    json_object *reasons = json_object_new_array();
    json_object *notices = json_object_new_array();
    json_object *tables = json_object_new_array();
    cp_json_add_string(answer, "region", observer->dir);
    cp_json_add_bool(answer, "healthy", is_well(view));
    for (uint32_t i = 0; i < health->reason_count; i++)
        cp_json_append_string(reasons, health->reasons[i]);
    limits_reasons(view, reasons);
    cp_json_add(answer, "reasons", reasons);
    for (uint32_t i = 0; i < health->notice_count; i++)
        cp_json_append_string(notices, health->notices[i]);
    cp_json_add(answer, "notices", notices);
    cp_json_add_bool(recorder, "alive", health->recorder_alive);
    cp_json_add_string(recorder, "state", cp_recorder_state_name(cp_control_state(&observer->control)));
    cp_json_add_uint(recorder, "pid", header->recorder_pid);
    if (health->heartbeat_age_ns != UINT64_MAX)
        cp_json_add_double(recorder, "heartbeat_age_s", (double)health->heartbeat_age_ns / 1e9);
    cp_json_add_string(recorder, "mode", cp_mode_name(header->mode));
    cp_json_add_string(recorder, "clickhouse", cp_sink_state_name(header->sink_state));
    cp_json_add_string(recorder, "last_reload", cp_reload_result_name(header->reload_result));
    cp_json_add(recorder, "endpoints", cp_status_endpoints_json(&observer->control));
    cp_json_add(answer, "recorder", recorder);
    cp_json_add(answer, "canary", cp_status_canary(&view->canary));
    bool balanced = true;
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        json_object_array_add(tables, table_json(view, i));
        balanced = balanced && observer->tables[i].balanced;
    }
    cp_json_add_bool(answer, "balanced", balanced);
    cp_json_add(answer, "limits", cp_limits_json(&view->limits));
    cp_json_add(answer, "tables", tables);
    return cp_json_end(answer);
}

/* Silent when the recorder runs with its configuration as it is. */
static void reload_print(const cp_abi_control *header)
{
    const uint32_t result = __atomic_load_n(&header->reload_result, __ATOMIC_RELAXED);
    if (result == CP_RELOAD_RESTART)
        puts("config      parts of it hold after a restart only: `coldpath reload` says which");
    else if (result == CP_RELOAD_REFUSED)
        puts("config      the last reload was refused, the one before it holds: `coldpath reload` says why");
}

/* Silent without a canary. */
static void canary_print(const cp_canary_view *canary)
{
    char lag[CP_HUMAN_TEXT];
    char age[CP_HUMAN_TEXT];
    char put[CP_HUMAN_TEXT];
    char delivered[CP_HUMAN_TEXT];
    if (canary->interval_ns == 0)
        return;
    printf("canary      %s from put to ClickHouse; the last that arrived was put %s ago%s; %s put, %s "
           "delivered\n",
           canary->delivered_rows || canary->lag_ns ? cp_human_ns(lag, canary->lag_ns) : "none yet",
           cp_human_ns(age, canary->age_ns), canary->stale ? " (STALE)" : "",
           cp_human_count(put, canary->put_rows), cp_human_count(delivered, canary->delivered_rows));
}

/* How old "healthy" is: where nothing is inserted nothing is noticed. Silent before the first insert. */
static void last_insert_print(const cp_observer *observer)
{
    char text[CP_HUMAN_TEXT];
    const uint64_t now = cp_realtime_ns();
    uint64_t last = 0;
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        const uint64_t at = observer->tables[i].counters.last_insert_ns;
        last = at > last ? at : last;
    }
    if (last != 0)
        printf(", last insert %s ago", cp_human_ns(text, now > last ? now - last : 0));
}

static void recorder_print(const cp_observer *observer, const cp_health *health, const cp_canary_view *canary)
{
    const cp_abi_control *header = observer->control.header;
    char age[CP_HUMAN_TEXT] = "never";
    if (health->heartbeat_age_ns != UINT64_MAX)
        cp_human_ns(age, health->heartbeat_age_ns);
    printf("region      %s (%.*s)\n", observer->dir, CP_ABI_NAME - 1, header->namespace_name);
    if (health->recorder_alive)
        printf("recorder    %s, pid %u, heartbeat %s ago\n",
               cp_recorder_state_name(cp_control_state(&observer->control)), header->recorder_pid, age);
    else
        printf("recorder    absent (last: %s)\n",
               cp_recorder_state_name(cp_control_state(&observer->control)));
    printf("clickhouse  ");
    if (!health->serving && health->heartbeat_age_ns != UINT64_MAX)
        printf("when it was last seen, %s ago: ", age);
    printf("%s", cp_sink_state_name(header->sink_state));
    if (header->sink_state == CP_SINK_HEALTHY)
        last_insert_print(observer);
    printf("%s", header->mode == CP_MODE_WAL_FIRST
                     ? "; mode wal_first: critical tables wait for `coldpath replay`"
                 : header->mode == CP_MODE_DISABLED ? "; mode disabled: nothing is sent"
                                                    : "");
    cp_status_endpoints_print(&observer->control);
    reload_print(header);
    canary_print(canary);
    putchar('\n');
}

/* Settled, but not by delivery. */
static uint64_t rows_left_out(const cp_table_view *table)
{
    return table->rejected + table->suppressed + table->dropped + table->quarantined + table->given_up +
           table->held;
}

/* One line for a table of which rows were left out, or are at risk. */
static void left_out_print(const cp_table_view *table)
{
    const struct {
        const char *what;
        uint64_t rows;
    } parts[] = {{"rejected (not a valid row)", table->rejected - rows_duplicate(table)},
                 {"rejected as duplicates (unique_key)", rows_duplicate(table)},
                 {"suppressed (pressure)", table->suppressed},
                 {"dropped", table->dropped},
                 {"of them perhaps delivered (on the wire at a kill)", table->doubtful},
                 {"quarantined (ClickHouse refuses them)", table->quarantined},
                 {"given up (damaged log, or purged)", table->given_up},
                 {"set aside for an endpoint that is away", table->held},
                 {"at risk (taken out early, not delivered yet)", table->at_risk}};
    if (rows_left_out(table) + table->at_risk == 0)
        return;
    printf("%s:", table->entry->name);
    const char *separator = " ";
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char count[CP_HUMAN_TEXT];
        if (parts[i].rows == 0)
            continue;
        printf("%s%s %s", separator, cp_human_count(count, parts[i].rows), parts[i].what);
        separator = ", ";
    }
    putchar('\n');
}

static void table_print(cp_text_table *text, const cp_table_view *table)
{
    char put[CP_HUMAN_TEXT];
    char delivered[CP_HUMAN_TEXT];
    char in_ring[CP_HUMAN_TEXT];
    char in_log[CP_HUMAN_TEXT];
    char left_out[CP_HUMAN_TEXT];
    char full[CP_HUMAN_TEXT];
    cp_text_table_row(text, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%.1f\t%s\t%u/%u\t%s\t%s", table->entry->name,
                      table->entry->critical ? "critical" : "lossy", cp_human_count(put, table->produced),
                      cp_human_count(delivered, table->delivered), cp_human_count(in_ring, table->in_ring),
                      cp_human_count(in_log, table->in_log), cp_human_count(left_out, rows_left_out(table)),
                      table->usage_permille / 10.0, table->counters.peak_usage_permille / 10.0,
                      cp_human_count(full, table->full), table->producers, table->entry->slots,
                      cp_guarantee_name(table->counters.guarantee), table->balanced ? "yes" : "NO");
}

/* "trades: 1,234,567 rows wait in its log; 850,000 rows/s are delivered, 20,000 put; about 2 s left" */
static void backlog_print(const char *table, const cp_backlog *backlog, bool recorder_alive)
{
    char rows[CP_HUMAN_TEXT];
    char delivered[CP_HUMAN_TEXT];
    char put[CP_HUMAN_TEXT];
    char left[CP_HUMAN_TEXT];
    cp_human_count(rows, backlog->rows);
    if (!recorder_alive) {
        printf("%s: %s rows wait in its log\n", table, rows);
        return;
    }
    cp_human_count(delivered, (uint64_t)backlog->delivered_per_s);
    cp_human_count(put, (uint64_t)backlog->put_per_s);
    printf("%s: %s rows wait in its log; %s rows/s are delivered, %s put; ", table, rows, delivered, put);
    if (backlog->seconds_left >= 0)
        printf("about %s s left\n", cp_human_count(left, (uint64_t)(backlog->seconds_left + 1)));
    else
        printf("it does not shrink\n");
}

static void backlogs_print(const status_view *view)
{
    bool begun = false;
    for (uint32_t i = 0; i < view->observer.control.table_count; i++) {
        const cp_backlog backlog = backlog_of(view, i);
        if (!backlog.behind)
            continue;
        fputs(begun ? "" : "\n", stdout);
        backlog_print(view->observer.tables[i].entry->name, &backlog, view->health.recorder_alive);
        begun = true;
    }
}

static int status_text(const status_view *view)
{
    const cp_observer *observer = &view->observer;
    const cp_health *health = &view->health;
    recorder_print(observer, health, &view->canary);
    cp_text_table *text =
        cp_text_table_new("table\tclass\tput\tdelivered\tin ring\tin log\tleft out\tring %\tpeak "
                          "%\tfull\tproducers\tdelivery\tbalanced",
                          "llrrrrrrrrrll");
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        table_print(text, &observer->tables[i]);
    cp_text_table_print(text, stdout);
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        left_out_print(&observer->tables[i]);
    backlogs_print(view);
    putchar('\n');
    cp_limits_print(&view->limits, stdout);
    for (uint32_t i = 0; i < health->reason_count; i++)
        printf("%s%s\n", i == 0 ? "\n" : "", health->reasons[i]);
    for (uint32_t i = 0; i < health->notice_count; i++)
        printf("%snote: %s\n", i == 0 ? "\n" : "", health->notices[i]);
    return cp_output_finish();
}

/* The snapshot is not atomic: while rows pass, a ledger may seem off for a moment. What stays off is. */
static int look_settled(status_view *view)
{
    cp_observer *observer = &view->observer;
    int rc = CP_OK;
    for (int tries = 0; tries < SETTLE_TRIES; tries++) {
        const struct timespec pause = {.tv_nsec = SETTLE_PAUSE_NS};
        bool balanced = true;
        if (tries > 0)
            nanosleep(&pause, NULL);
        rc = cp_observer_look(observer);
        view->looked_ns = cp_boottime_ns();
        for (uint32_t i = 0; rc == CP_OK && i < observer->control.table_count; i++)
            balanced = balanced && observer->tables[i].balanced;
        if (rc < 0 || balanced)
            break;
    }
    return rc;
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * CP_NS_PER_MS};
    nanosleep(&pause, NULL);
}

/* One look, and a second a little later when rows have been refused before (are they still?), or when a table is behind
 * (how fast does it catch up?). */
static int look_twice(status_view *view)
{
    int rc = look_settled(view);
    if (rc < 0)
        return rc;
    cp_refusals_note(&view->refusals, &view->observer);
    cp_backlog_note(&view->backlogs, &view->observer);
    if (!view->refusals.any && !view->backlogs.any)
        return CP_OK;
    pause_ms(view->backlogs.any ? CP_BACKLOG_LOOK_MS : CP_HEALTH_LOOK_MS);
    rc = look_settled(view);
    for (int i = 0; rc == CP_OK && view->backlogs.any && i < CP_BACKLOG_LOOKS_MAX &&
                    cp_backlog_stands(&view->backlogs, &view->observer);
         i++) {
        pause_ms(CP_BACKLOG_LOOK_MS);
        rc = look_settled(view);
    }
    return rc;
}

/* The region that the options name, and the configuration where they do. */
static int status_open(status_view *view, const cp_common *common, char path[PATH_MAX], cp_error *err)
{
    int rc = CP_OK;
    if (common->config || !common->region)
        rc = cp_place_config(common, &view->config, err);
    if (rc == CP_OK)
        rc = cp_place_region_of(common, view->config, path, err);
    return rc == CP_OK ? cp_observer_open(&view->observer, path, err) : rc;
}

static void status_close(status_view *view)
{
    cp_observer_close(&view->observer);
    cp_config_free(view->config);
}

int cp_verb_status(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = cp_common_parse_only,
        .doc = "Shows the recorder's state and every table's ledger.\v"
               "Needs no running recorder: it reads the region. Of a critical table "
               "that is behind it says how fast it catches up. What limits there are and what is left of "
               "them comes last; some are "
               "known with the configuration only (--region alone names none). Exit codes: 0 "
               "all is well, 2 something is wrong or a limit is near (the reasons "
               "are listed), 69 no recorder runs or there is no region.",
        .children = children};
    static status_view view;
    cp_common common = {0};
    cp_error err = {0};
    char path[PATH_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &common);
    cp_sigbus_install();
    int rc = status_open(&view, &common, path, &err);
    if (rc == CP_OK && (rc = look_twice(&view)) < 0)
        cp_error_set(&err, rc, "%s: the region was just replaced; try again", path);
    if (rc != CP_OK) {
        status_close(&view);
        return cp_fail(&err);
    }
    cp_limits_look(&view.limits, view.config, &view.observer);
    cp_health_judge(&view.observer, &view.refusals, &view.health);
    cp_canary_view_read(&view.observer.control, cp_boottime_ns(), &view.canary);
    const int printed = common.json ? status_json(&view) : status_text(&view);
    status_close(&view);
    if (printed != CP_EXIT_OK)
        return printed;
    return !view.health.recorder_alive ? CP_EXIT_ABSENT : is_well(&view) ? CP_EXIT_OK : CP_EXIT_UNHEALTHY;
}
