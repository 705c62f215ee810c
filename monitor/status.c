#include "monitor/status.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "shm/histogram.h"

/* json-c's constructors give NULL without memory, and objects take a NULL as null: the document then has holes, which
 * document_text refuses to print when even the object is missing. */

static void add_uint(json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

static void add_bool(json_object *object, const char *key, bool value)
{
    json_object_object_add(object, key, json_object_new_boolean(value));
}

static void add_double(json_object *object, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.12g", value);
    json_object_object_add(object, key, isfinite(value) ? json_object_new_double_s(value, text) : NULL);
}

/* Text out of shared memory: what is not printable ASCII becomes '?', so that the document is always valid UTF-8. */
static void add_text(json_object *object, const char *key, const char *text, size_t room)
{
    char clean[CP_ERROR_TEXT];
    size_t used = 0;
    for (; used < room && used + 1 < sizeof clean && text[used]; used++)
        clean[used] = text[used] >= ' ' && text[used] <= '~' ? text[used] : '?';
    clean[used] = '\0';
    json_object_object_add(object, key, json_object_new_string(clean));
}

static void add_word(json_object *object, const char *key, const char *word)
{
    json_object_object_add(object, key, json_object_new_string(word));
}

static double seconds_since(const cp_watch_view *view, uint64_t boot_ns)
{
    return view->taken_ns > boot_ns ? (double)(view->taken_ns - boot_ns) / 1e9 : 0;
}

static char *document_text(json_object *document)
{
    const char *text = document ? json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN) : NULL;
    char *copy = text ? strdup(text) : NULL;
    json_object_put(document);
    return copy;
}

static json_object *ledger_json(const cp_table_view *table)
{
    json_object *ledger = json_object_new_object();
    add_uint(ledger, "put", table->produced);
    add_uint(ledger, "delivered", table->delivered);
    add_uint(ledger, "in_ring", table->in_ring);
    add_uint(ledger, "in_log", table->in_log);
    add_uint(ledger, "at_risk", table->at_risk);
    add_uint(ledger, "suppressed", table->suppressed);
    add_uint(ledger, "quarantined", table->quarantined);
    add_uint(ledger, "held", table->held);
    add_uint(ledger, "rejected", table->rejected);
    add_uint(ledger, "dropped", table->dropped);
    add_uint(ledger, "doubtful", table->doubtful); /* of the dropped */
    add_uint(ledger, "given_up", table->given_up);
    add_bool(ledger, "balanced", table->balanced);
    return ledger;
}

static json_object *inserts_json(const cp_watch_view *view, uint32_t index)
{
    const cp_abi_counters *counters = &view->observer->tables[index].counters;
    const cp_abi_histogram *recent = &view->tables[index].recent_inserts;
    json_object *inserts = json_object_new_object();
    const bool any = cp_histogram_count(recent) > 0;
    add_double(inserts, "p50_ms", any ? cp_histogram_quantile(recent, 0.5) / 1e3 : NAN);
    add_double(inserts, "p99_ms", any ? cp_histogram_quantile(recent, 0.99) / 1e3 : NAN);
    add_double(inserts, "last_ms", (double)counters->last_insert_duration_ns / 1e6);
    add_uint(inserts, "attempts", counters->insert_attempts);
    add_uint(inserts, "acknowledged", counters->delivered_batches);
    add_uint(inserts, "errors_net", counters->insert_errors_net);
    add_uint(inserts, "errors_server", counters->insert_errors_server);
    add_uint(inserts, "sent_bytes", counters->delivered_body_bytes);
    add_bool(inserts, "retrying", counters->retry_at_ns != 0);
    add_double(inserts, "parked_since",
               counters->parked_since_ns ? (double)counters->parked_since_ns / 1e9 : NAN);
    add_text(inserts, "last_error", counters->last_error, sizeof counters->last_error);
    return inserts;
}

static json_object *log_json(const cp_abi_measures *measures)
{
    static const char *const states[] = {"none", "takes rows", "full", "failing"};
    json_object *log = json_object_new_object();
    add_word(log, "state",
             measures->log_state < sizeof states / sizeof states[0] ? states[measures->log_state]
                                                                    : "unknown");
    add_uint(log, "bytes", measures->log_bytes);
    add_uint(log, "limit", measures->log_limit);
    if (cp_histogram_count(&measures->sync_us) > 0) {
        add_double(log, "sync_p99_ms", cp_histogram_quantile(&measures->sync_us, 0.99) / 1e3);
        add_double(log, "put_to_durable_p99_ms",
                   cp_histogram_quantile(&measures->put_durable_us, 0.99) / 1e3);
    }
    return log;
}

static json_object *producers_json(const cp_table_view *table)
{
    json_object *list = json_object_new_array();
    for (uint32_t slot = 0; slot < table->entry->slots; slot++) {
        const cp_ring_view *ring = &table->rings[slot];
        if (ring->pid == 0)
            continue;
        json_object *item = json_object_new_object();
        add_uint(item, "slot", slot);
        add_text(item, "name", ring->producer, sizeof ring->producer);
        add_uint(item, "pid", ring->pid);
        add_bool(item, "alive", ring->live);
        add_word(item, "ring", cp_ring_fault_name(ring->ack.fault));
        json_object_array_add(list, item);
    }
    return list;
}

static json_object *table_json(const cp_watch_view *view, uint32_t index)
{
    const cp_table_view *table = &view->observer->tables[index];
    json_object *item = json_object_new_object();
    add_text(item, "table", table->entry->name, sizeof table->entry->name);
    add_word(item, "class", table->entry->critical ? "critical" : "lossy");
    add_word(item, "guarantee", cp_guarantee_name(table->counters.guarantee));
    json_object_object_add(item, "ledger", ledger_json(table));
    add_double(item, "ring_usage", table->usage_permille / 1000.0);
    add_double(item, "ring_usage_peak", table->counters.peak_usage_permille / 1000.0);
    add_uint(item, "ring_size", table->entry->ring_size);
    add_uint(item, "refused_full", table->full);
    add_uint(item, "refused_too_big", table->too_big);
    add_uint(item, "rings_broken", table->broken_rings);
    add_uint(item, "slots", table->entry->slots);
    add_uint(item, "live_producers", table->producers);
    json_object_object_add(item, "producers", producers_json(table));
    add_double(item, "paused_since",
               table->counters.paused_since_ns ? (double)table->counters.paused_since_ns / 1e9 : NAN);
    add_uint(item, "pressure", table->pressure);
    add_uint(item, "pressure_changes", table->counters.pressure_changes);
    add_double(item, "refused_ago_s",
               view->tables[index].refused_ns ? seconds_since(view, view->tables[index].refused_ns) : NAN);
    add_uint(item, "duplicate_rows", table->counters.duplicate_rows);
    add_uint(item, "unkeyed_rows", table->counters.unkeyed_rows);
    const uint64_t oldest = cp_watch_oldest_ns(view, index);
    add_double(item, "oldest_unshipped_s",
               oldest && oldest != CP_WATCH_AGE_UNKNOWN ? seconds_since(view, oldest) : NAN);
    json_object_object_add(item, "inserts", inserts_json(view, index));
    if (table->entry->critical)
        json_object_object_add(item, "log", log_json(&view->tables[index].measures));
    return item;
}

json_object *cp_status_canary(const cp_canary_view *canary)
{
    json_object *item = canary->interval_ns ? json_object_new_object() : NULL;
    if (!item)
        return NULL;
    add_double(item, "interval_s", (double)canary->interval_ns / 1e9);
    add_double(item, "limit_s", (double)canary->limit_ns / 1e9);
    add_bool(item, "stale", canary->stale);
    add_double(item, "age_s", (double)canary->age_ns / 1e9);
    add_double(item, "lag_s", (double)canary->lag_ns / 1e9);
    add_uint(item, "put", canary->put_rows);
    add_uint(item, "durable", canary->durable_rows);
    add_uint(item, "delivered", canary->delivered_rows);
    add_uint(item, "lost", canary->lost_rows);
    add_uint(item, "refused", canary->refused_rows);
    return item;
}

/* The counters, and how long rows took; null without a canary. */
static json_object *canary_json(const cp_watch_view *view)
{
    json_object *item = cp_status_canary(&view->canary);
    if (!item)
        return NULL;
    const bool durable = cp_histogram_count(&view->canary_durable) > 0;
    const bool delivered = cp_histogram_count(&view->canary_delivered) > 0;
    add_double(item, "durable_p50_ms",
               durable ? cp_histogram_quantile(&view->canary_durable, 0.5) / 1e3 : NAN);
    add_double(item, "durable_p99_ms",
               durable ? cp_histogram_quantile(&view->canary_durable, 0.99) / 1e3 : NAN);
    add_double(item, "delivered_p50_ms",
               delivered ? cp_histogram_quantile(&view->canary_delivered, 0.5) / 1e3 : NAN);
    add_double(item, "delivered_p99_ms",
               delivered ? cp_histogram_quantile(&view->canary_delivered, 0.99) / 1e3 : NAN);
    return item;
}

static json_object *recorder_json(const cp_watch_view *view)
{
    const cp_abi_control *header = view->observer->control.header;
    json_object *recorder = json_object_new_object();
    add_bool(recorder, "alive", view->observer->recorder_alive);
    add_word(recorder, "state", cp_recorder_state_name(cp_control_state(&view->observer->control)));
    add_uint(recorder, "pid", header->recorder_pid);
    add_double(recorder, "heartbeat_age_s",
               view->health.heartbeat_age_ns == UINT64_MAX ? NAN
                                                           : (double)view->health.heartbeat_age_ns / 1e9);
    add_double(recorder, "started_at", (double)header->started_ns / 1e9);
    add_word(recorder, "mode", cp_mode_name(__atomic_load_n(&header->mode, __ATOMIC_RELAXED)));
    add_word(recorder, "clickhouse", cp_sink_state_name(header->sink_state));
    add_text(recorder, "clickhouse_error", header->sink_error, sizeof header->sink_error);
    add_uint(recorder, "sent_day", header->sent_day); /* days since 1970, UTC, to which the next belongs */
    add_uint(recorder, "sent_day_bytes", header->sent_bytes);
    add_uint(recorder, "sent_day_limit", header->sent_limit);
    add_bool(recorder, "reload_refused", header->reload_result == CP_RELOAD_REFUSED);
    add_uint(recorder, "chunks", header->chunk_count);
    add_uint(recorder, "chunks_free", header->chunks_free);
    return recorder;
}

/* What health says, cleaned as all text is that may come out of shared memory. */
static json_object *lines_json(const char lines[][CP_HEALTH_TEXT], uint32_t count)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < count; i++) {
        json_object *holder = json_object_new_object();
        add_text(holder, "text", lines[i], CP_HEALTH_TEXT);
        json_object_array_add(list, json_object_get(json_object_object_get(holder, "text")));
        json_object_put(holder);
    }
    return list;
}

static json_object *reasons_json(const cp_watch_view *view)
{
    if (view->present)
        return lines_json(view->health.reasons, view->health.reason_count);
    json_object *reasons = json_object_new_array();
    json_object_array_add(reasons, json_object_new_string(view->absent));
    return reasons;
}

static json_object *document_begin(const cp_watch_view *view)
{
    json_object *document = json_object_new_object();
    if (!document)
        return NULL;
    add_uint(document, "schema_version", CP_STATUS_SCHEMA_VERSION);
    add_word(document, "version", COLDPATH_VERSION);
    add_double(document, "time", (double)(view->taken_ns + view->real_minus_boot_ns) / 1e9);
    add_text(document, "region", view->dir, CP_MAX_REGION_PATH);
    return document;
}

char *cp_status_document(const cp_watch_view *view)
{
    json_object *document = document_begin(view);
    if (!document)
        return NULL;
    json_object *tables = json_object_new_array();
    add_bool(document, "healthy", view->present && view->health.sound);
    json_object_object_add(document, "reasons", reasons_json(view));
    json_object_object_add(document, "notices",
                           lines_json(view->health.notices, view->present ? view->health.notice_count : 0));
    add_bool(document, "present", view->present);
    if (view->present) {
        const cp_abi_control *header = view->observer->control.header;
        add_text(document, "namespace", header->namespace_name, sizeof header->namespace_name);
        json_object_object_add(document, "recorder", recorder_json(view));
        json_object_object_add(document, "canary", canary_json(view));
    }
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++)
        json_object_array_add(tables, table_json(view, i));
    json_object_object_add(document, "tables", tables);
    return document_text(document);
}

static json_object *points_json(const cp_watch_point *points, uint32_t count)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < count; i++) {
        json_object *point = json_object_new_array();
        json_object_array_add(point, json_object_new_uint64(points[i].produced));
        json_object_array_add(point, json_object_new_uint64(points[i].delivered));
        json_object_array_add(point, json_object_new_uint64(points[i].lost));
        json_object_array_add(point, json_object_new_int((int)(points[i].usage * 1000 + 0.5F)));
        json_object_array_add(point, json_object_new_int64((int64_t)(points[i].insert_p99_ms * 1000 + 0.5F)));
        json_object_array_add(point, json_object_new_uint64(points[i].log_bytes));
        json_object_array_add(point, json_object_new_uint64(points[i].pressure));
        json_object_array_add(list, point);
    }
    return list;
}

char *cp_status_history(const cp_watch *watch, const cp_watch_view *view)
{
    static const char *const fields[] = {"put",           "delivered", "lost",    "ring_usage_permille",
                                         "insert_p99_us", "log_bytes", "pressure"};
    json_object *document = document_begin(view);
    if (!document)
        return NULL;
    json_object *names = json_object_new_array();
    json_object *tables = json_object_new_object();
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        json_object_array_add(names, json_object_new_string(fields[i]));
    json_object_object_add(document, "fields", names);
    add_uint(document, "interval_s", 1);
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++) {
        cp_watch_point points[CP_WATCH_HISTORY];
        const uint32_t count = cp_watch_history(watch, i, points);
        json_object_object_add(tables, view->observer->tables[i].entry->name, points_json(points, count));
    }
    json_object_object_add(document, "tables", tables);
    return document_text(document);
}
