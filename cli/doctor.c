/* The checks of the region, its sizes, and ClickHouse. See doctor.h. */
#include "cli/doctor.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/limits.h"
#include "cli/query_text.h"
#include "cli/schema/plan.h"
#include "monitor/health.h"
#include "recorder/config_apply.h"

enum { CLOCK_WRONG_MS = 1000 }; /* farther apart than this, times of different hosts do not order events */

void cp_doctor_find(cp_doctor *doctor, const char *check, cp_verdict verdict, const char *fmt, ...)
{
    va_list args;
    if (doctor->count == CP_DOCTOR_FINDINGS)
        return;
    cp_finding *finding = &doctor->list[doctor->count++];
    finding->check = check;
    finding->verdict = verdict;
    finding->remedy[0] = '\0';
    va_start(args, fmt);
    vsnprintf(finding->found, sizeof finding->found, fmt, args);
    va_end(args);
}

void cp_doctor_remedy(cp_doctor *doctor, const char *fmt, ...)
{
    va_list args;
    cp_finding *finding = &doctor->list[doctor->count - 1];
    va_start(args, fmt);
    vsnprintf(finding->remedy, sizeof finding->remedy, fmt, args);
    va_end(args);
}

/* ---- the region ------------------------------------------------------------------------------------------------ */

static void look_recorder(cp_doctor *doctor, const cp_observer *observer)
{
    cp_refusals refusals;
    cp_health health;
    cp_refusals_note(&refusals, observer);
    cp_health_judge(observer, &refusals, &health);
    if (health.sound)
        cp_doctor_find(doctor, "recorder", CP_VERDICT_OK, "runs, and is well");
    for (uint32_t i = 0; i < health.reason_count; i++) {
        cp_doctor_find(doctor, "recorder", CP_VERDICT_WRONG, "%s", health.reasons[i]);
        cp_doctor_remedy(doctor, "%s",
                         health.recorder_alive || i > 0 ? "`coldpath status` has the details"
                                                        : "start coldpathd (systemctl start coldpathd)");
    }
}

static void look_commands(cp_doctor *doctor, const cp_observer *observer)
{
    char found[CP_DOCTOR_TEXT];
    if (cp_health_takes_commands(observer, found, sizeof found))
        return;
    cp_doctor_find(doctor, "control socket", CP_VERDICT_WRONG, "%s", found);
    cp_doctor_remedy(
        doctor, "remove what is in its way (rm, rmdir); rows are recorded meanwhile, and signals obeyed");
}

static void look_limits(cp_doctor *doctor, const cp_config *config, const cp_observer *observer)
{
    static cp_limits limits;
    char text[CP_DOCTOR_TEXT];
    cp_limits_look(&limits, config, observer);
    for (uint32_t i = 0; i < limits.count; i++) {
        const cp_limit *limit = &limits.list[i];
        if (!limit->above)
            continue;
        cp_doctor_find(doctor, "room", CP_VERDICT_WRONG, "%s", cp_limit_text(limit, text, sizeof text));
        cp_doctor_remedy(doctor, "%s", limit->remedy);
    }
    if (!limits.above)
        cp_doctor_find(doctor, "room", CP_VERDICT_OK, "memory, shared memory and disks hold what may come");
}

void cp_doctor_region(cp_doctor *doctor, const cp_config *config, const char *region)
{
    cp_error err = {0};
    cp_observer observer;
    const bool there = cp_observer_open(&observer, region, &err) == CP_OK;
    if (!there) {
        cp_doctor_find(doctor, "region", CP_VERDICT_WRONG, "%s", err.text);
        if (err.code == CP_E_PERM)
            cp_doctor_remedy(doctor,
                             "run doctor as the recorder's user, or see region.mode and region.group");
    }
    const bool looked = there && cp_observer_look(&observer) == CP_OK;
    if (looked) {
        cp_doctor_find(doctor, "region", CP_VERDICT_OK, "%s, %" PRIu32 " tables", region,
                       observer.control.table_count);
        look_recorder(doctor, &observer);
        look_commands(doctor, &observer);
    }
    look_limits(doctor, config, looked ? &observer : NULL);
    if (there)
        cp_observer_close(&observer);
}

/* ---- ClickHouse ------------------------------------------------------------------------------------------------ */

static void look_clock(cp_doctor *doctor, const cp_sink_config *sink)
{
    uint64_t theirs_ms = 0;
    cp_error err = {0};
    const uint64_t asked_ms = cp_realtime_ns() / CP_NS_PER_MS;
    if (cp_query_number(sink, NULL, "SELECT toUnixTimestamp64Milli(now64(3))", &theirs_ms, &err) < 0) {
        cp_doctor_find(doctor, "clock of ClickHouse", CP_VERDICT_UNKNOWN, "%s", err.text);
        return;
    }
    const uint64_t answered_ms = cp_realtime_ns() / CP_NS_PER_MS;
    const int64_t apart = theirs_ms < asked_ms      ? -(int64_t)(asked_ms - theirs_ms)
                          : theirs_ms > answered_ms ? (int64_t)(theirs_ms - answered_ms)
                                                    : 0;
    const bool wrong = llabs(apart) > CLOCK_WRONG_MS;
    cp_doctor_find(doctor, "clock of ClickHouse", wrong ? CP_VERDICT_WRONG : CP_VERDICT_OK,
                   wrong ? "its clock and this host's are %" PRId64 " ms apart"
                         : "at most %" PRId64 " ms from this host's",
                   apart);
    if (wrong)
        cp_doctor_remedy(
            doctor,
            "synchronise both hosts' clocks (chrony, systemd-timesyncd): times of rows cannot be compared");
}

/* A plain MergeTree without a window takes a repeated insert for a new one; Replicated ones have a window by default. */
static void look_window(cp_doctor *doctor, const cp_catalog_entry *entry, const char *table,
                        uint64_t default_window)
{
    static const char setting[] = "non_replicated_deduplication_window = ";
    const char *at = strstr(entry->create, setting);
    const uint64_t window = at ? strtoull(at + sizeof setting - 1, NULL, 10) : default_window;
    const bool merge_tree = strstr(entry->engine, "MergeTree") != NULL;
    if (strncmp(entry->engine, "Replicated", 10) == 0 || strncmp(entry->engine, "Shared", 6) == 0)
        return;
    if (!merge_tree) {
        cp_doctor_find(doctor, "deduplication", CP_VERDICT_WRONG,
                       "%s: the engine %s remembers no inserts: a repeated one puts its rows in twice", table,
                       entry->engine);
        cp_doctor_remedy(doctor,
                         "insert into the MergeTree table behind it, or accept delivery at least once");
    } else if (window == 0) {
        cp_doctor_find(doctor, "deduplication", CP_VERDICT_WRONG,
                       "%s: its deduplication window is 0: a repeated insert puts its rows in twice", table);
        cp_doctor_remedy(doctor, "ALTER TABLE %s MODIFY SETTING non_replicated_deduplication_window = 10000",
                         table);
    }
}

static void look_tables(cp_doctor *doctor, const cp_plan *plan, uint64_t default_window)
{
    const uint32_t before = doctor->count;
    for (uint32_t d = 0; d < plan->database_count; d++) {
        const cp_catalog *catalog = &plan->databases[d].catalog;
        for (uint32_t i = 0; i < plan->config->table_count; i++) {
            const cp_catalog_entry *entry = cp_catalog_find(catalog, plan->config->tables[i].table->name);
            if (entry)
                look_window(doctor, entry, plan->config->tables[i].name, default_window);
        }
    }
    if (doctor->count == before)
        cp_doctor_find(doctor, "deduplication", CP_VERDICT_OK,
                       "every table that is there remembers inserts: exactly once");
    const uint32_t differences = cp_plan_count(plan);
    cp_doctor_find(doctor, "schema", differences ? CP_VERDICT_WRONG : CP_VERDICT_OK,
                   differences ? "%" PRIu32 " differences between what is declared and what ClickHouse has"
                               : "ClickHouse has what is declared (%" PRIu32 " differences)",
                   differences);
    if (differences)
        cp_doctor_remedy(
            doctor, "`coldpath schema diff` lists them, `coldpath schema apply` closes what can be closed");
}

static void look_endpoint(cp_doctor *doctor, const cp_config *config)
{
    cp_error err = {0};
    cp_sink_config sink;
    uint64_t window = 0;
    cp_config_sink(config, &sink);
    if (cp_query_number(
            &sink, NULL,
            "SELECT toUInt64(max(toUInt64OrZero(value))) FROM system.merge_tree_settings WHERE name = "
            "'non_replicated_deduplication_window'",
            &window, &err) < 0) {
        cp_doctor_find(doctor, "ClickHouse", CP_VERDICT_WRONG, "%s", err.text);
        cp_doctor_remedy(
            doctor, "%s",
            config->others[0]
                ? "that server; rows go to the first of clickhouse.url that answers: coldpath status"
                : "`coldpath query 'SELECT 1'` tries the same; rows wait in rings and logs meanwhile");
        return;
    }
    cp_doctor_find(doctor, "ClickHouse", CP_VERDICT_OK, "%s answers", config->url);
    look_clock(doctor, &sink);
    cp_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return;
    plan->config = config;
    if (cp_plan_make(plan, &err) == CP_OK)
        look_tables(doctor, plan, window);
    else
        cp_doctor_find(doctor, "schema", CP_VERDICT_UNKNOWN, "%s", err.text);
    cp_plan_free(plan);
    free(plan);
}

/* Which of several was looked at: to the findings from this one on. */
static void endpoint_name(cp_doctor *doctor, uint32_t from, const char *url)
{
    for (uint32_t i = from; i < doctor->count; i++) {
        char *text = doctor->list[i].found;
        const size_t used = strlen(text);
        if (!strstr(text, url))
            snprintf(text + used, CP_DOCTOR_TEXT - used, " (%s)", url);
    }
}

void cp_doctor_server(cp_doctor *doctor, cp_config *config)
{
    uint32_t from = doctor->count;
    look_endpoint(doctor, config);
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS - 1 && config->others[i]; i++) {
        char *before = config->url;
        endpoint_name(doctor, from, before);
        from = doctor->count;
        config->url = config->others[i];
        config->others[i] = before;
        look_endpoint(doctor, config);
        endpoint_name(doctor, from, config->url);
    }
}
