#include "cli/top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "shm/histogram.h"

enum {
    STAT_TEXT = 1024,
    STAT_UTIME = 14
}; /* the field of /proc/<pid>/stat, counted from 1; the system's time is next */

/* ---- sampling -------------------------------------------------------------------------------------------------- */

/* Processor time of a process so far, in ticks; false when it is gone. */
static bool cpu_ticks(uint32_t pid, uint64_t *ticks)
{
    char path[64];
    char text[STAT_TEXT];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = '\0';
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < STAT_UTIME; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    char *end;
    *ticks = strtoull(at, &end, 10);
    *ticks += strtoull(end, NULL, 10);
    return true;
}

static double quantile_ms(const cp_abi_histogram *recent, const cp_abi_histogram *all, double share)
{
    const cp_abi_histogram *from = cp_histogram_count(recent) > 0 ? recent : all;
    return cp_histogram_count(from) > 0 ? cp_histogram_quantile(from, share) / 1e3 : -1;
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
    return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

static uint32_t dead_slots(const cp_table_view *table)
{
    uint32_t dead = 0;
    for (uint32_t slot = 0; slot < table->entry->slots; slot++)
        dead +=
            table->rings[slot].pid != 0 && !table->rings[slot].live && table->rings[slot].rows_in_ring > 0;
    return dead;
}

static void row_fill(cp_top_row *row, const cp_watch_view *view, uint32_t index, double seconds)
{
    const cp_table_view *table = &view->observer->tables[index];
    const cp_watch_table *measured = &view->tables[index];
    const bool known = strcmp(row->table, table->entry->name) == 0 && seconds > 0;
    const uint64_t oldest = cp_watch_oldest_ns(view, index);
    const cp_top_row before = *row;
    *row = (cp_top_row){
        .critical = table->entry->critical,
        .pressure = table->pressure,
        .producers = table->producers,
        .dead = dead_slots(table),
        .slots = table->entry->slots,
        .put = table->produced,
        .delivered = table->delivered,
        .waiting = table->in_ring + table->in_log + table->at_risk,
        .lost = table->dropped + table->given_up + table->full + table->too_big,
        .left_out = table->suppressed + table->rejected + table->quarantined,
        .put_per_s = known ? rate(table->produced, before.put, seconds) : 0,
        .delivered_per_s = known ? rate(table->delivered, before.delivered, seconds) : 0,
        .ring = table->usage_permille / 1000.0,
        .ring_peak = table->counters.peak_usage_permille / 1000.0,
        .oldest_unknown = oldest == CP_WATCH_AGE_UNKNOWN,
        .oldest_s = oldest && view->taken_ns > oldest ? (double)(view->taken_ns - oldest) / 1e9 : -1,
        .insert_p50_ms = quantile_ms(&measured->recent_inserts, &measured->measures.insert_us, 0.5),
        .insert_p99_ms = quantile_ms(&measured->recent_inserts, &measured->measures.insert_us, 0.99),
    };
    snprintf(row->table, sizeof row->table, "%s", table->entry->name);
}

/* When the first log reaches its limit, if they go on growing as in the seconds that the watch remembers. */
static double log_full_in(const cp_watch *watch, const cp_watch_view *view)
{
    double first = -1;
    for (uint32_t i = 0; i < view->observer->control.table_count; i++) {
        static cp_watch_point points[CP_WATCH_HISTORY];
        const cp_abi_measures *measures = &view->tables[i].measures;
        const uint32_t count = measures->log_limit ? cp_watch_history(watch, i, points) : 0;
        if (count < 2 || points[count - 1].log_bytes <= points[0].log_bytes)
            continue;
        const double per_second = (double)(points[count - 1].log_bytes - points[0].log_bytes) / (count - 1);
        const double left = measures->log_limit > measures->log_bytes
                                ? (double)(measures->log_limit - measures->log_bytes)
                                : 0;
        if (first < 0 || left / per_second < first)
            first = left / per_second;
    }
    return first;
}

static void logs_fill(cp_top *top, const cp_watch *watch, const cp_watch_view *view)
{
    cp_abi_histogram sync = {0};
    cp_abi_histogram durable = {0};
    top->log_bytes = top->log_limit = 0;
    for (uint32_t i = 0; i < view->observer->control.table_count; i++) {
        const cp_abi_measures *measures = &view->tables[i].measures;
        top->log_bytes += measures->log_bytes;
        top->log_limit += measures->log_limit;
        for (uint32_t b = 0; b < CP_ABI_HISTOGRAM_BUCKETS; b++) {
            sync.buckets[b] += measures->sync_us.buckets[b];
            durable.buckets[b] += measures->put_durable_us.buckets[b];
        }
    }
    top->sync_p99_ms = quantile_ms(&sync, &sync, 0.99);
    top->durable_p99_ms = quantile_ms(&durable, &durable, 0.99);
    top->log_full_s = log_full_in(watch, view);
}

static void recorder_fill(cp_top *top, const cp_watch_view *view, double seconds)
{
    const cp_abi_control *header = view->observer->control.header;
    const uint64_t now_real = view->taken_ns + view->real_minus_boot_ns;
    uint64_t ticks = 0;
    snprintf(top->name, sizeof top->name, "%.*s", CP_ABI_NAME - 1, header->namespace_name);
    top->health = view->health;
    top->state = cp_recorder_state_name(cp_control_state(&view->observer->control));
    top->sink = cp_sink_state_name(header->sink_state);
    top->up_s = header->started_ns && now_real > header->started_ns
                    ? (double)(now_real - header->started_ns) / 1e9
                    : -1;
    const bool known = view->observer->recorder_alive && cpu_ticks(header->recorder_pid, &ticks);
    top->cpu = known && seconds > 0 && top->pid == header->recorder_pid && ticks >= top->cpu_ticks
                   ? (double)(ticks - top->cpu_ticks) / (double)sysconf(_SC_CLK_TCK) / seconds
                   : -1;
    top->cpu_ticks = ticks;
    top->pid = header->recorder_pid;
}

bool cp_top_sample(cp_top *top, cp_watch *watch)
{
    const cp_watch_view *view = cp_watch_take(watch);
    const double seconds =
        top->taken_ns && view->taken_ns > top->taken_ns ? (double)(view->taken_ns - top->taken_ns) / 1e9 : 0;
    bool room = true;
    top->present = view->present;
    snprintf(top->region, sizeof top->region, "%s", view->dir);
    snprintf(top->absent, sizeof top->absent, "%s", view->absent);
    if (view->present) {
        const uint32_t count = view->observer->control.table_count;
        if (count > top->row_room) {
            cp_top_row *rows = reallocarray(top->rows, count, sizeof *rows);
            room = rows != NULL;
            if (room) {
                memset(rows + top->row_room, 0, (count - top->row_room) * sizeof *rows);
                top->rows = rows;
                top->row_room = count;
            }
        }
        top->row_count = room ? count : 0;
        for (uint32_t i = 0; i < top->row_count; i++)
            row_fill(&top->rows[i], view, i, seconds);
        recorder_fill(top, view, seconds);
        logs_fill(top, watch, view);
    }
    top->taken_ns = view->taken_ns;
    cp_watch_release(watch);
    return room;
}

void cp_top_free(cp_top *top)
{
    free(top->rows);
    *top = (cp_top){0};
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void add_known(json_object *object, const char *key, double value)
{
    if (value < 0)
        cp_json_add(object, key, NULL);
    else
        cp_json_add_double(object, key, value);
}

static json_object *row_json(const cp_top_row *row)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "table", row->table);
    cp_json_add_string(item, "class", row->critical ? "critical" : "lossy");
    cp_json_add_double(item, "put_per_s", row->put_per_s);
    cp_json_add_double(item, "delivered_per_s", row->delivered_per_s);
    cp_json_add_double(item, "ring_usage", row->ring);
    cp_json_add_double(item, "ring_usage_peak", row->ring_peak);
    cp_json_add_uint(item, "rows_waiting", row->waiting);
    add_known(item, "oldest_unshipped_s", row->oldest_s);
    add_known(item, "insert_p50_ms", row->insert_p50_ms);
    add_known(item, "insert_p99_ms", row->insert_p99_ms);
    cp_json_add_uint(item, "lost", row->lost);
    cp_json_add_uint(item, "left_out", row->left_out);
    cp_json_add_uint(item, "pressure", row->pressure);
    cp_json_add_uint(item, "producers", row->producers);
    cp_json_add_uint(item, "producers_gone_with_rows", row->dead);
    cp_json_add_uint(item, "slots", row->slots);
    return item;
}

void cp_top_json(const cp_top *top, json_object *answer)
{
    json_object *reasons = json_object_new_array();
    json_object *recorder = json_object_new_object();
    json_object *logs = json_object_new_object();
    json_object *tables = json_object_new_array();
    cp_json_add_string(answer, "region", top->region);
    cp_json_add_bool(answer, "present", top->present);
    cp_json_add_bool(answer, "healthy", top->present && top->health.sound);
    for (uint32_t i = 0; top->present && i < top->health.reason_count; i++)
        cp_json_append_string(reasons, top->health.reasons[i]);
    if (!top->present)
        cp_json_append_string(reasons, top->absent);
    cp_json_add(answer, "reasons", reasons);
    cp_json_add_bool(recorder, "alive", top->present && top->health.recorder_alive);
    cp_json_add_string(recorder, "state", top->state);
    cp_json_add_uint(recorder, "pid", top->pid);
    add_known(recorder, "cpu", top->cpu);
    cp_json_add_string(recorder, "clickhouse", top->sink);
    cp_json_add(answer, "recorder", recorder);
    cp_json_add_uint(logs, "bytes", top->log_bytes);
    cp_json_add_uint(logs, "limit", top->log_limit);
    add_known(logs, "full_in_s", top->log_full_s);
    add_known(logs, "sync_p99_ms", top->sync_p99_ms);
    add_known(logs, "put_to_durable_p99_ms", top->durable_p99_ms);
    cp_json_add(answer, "logs", logs);
    for (uint32_t i = 0; top->present && i < top->row_count; i++)
        json_object_array_add(tables, row_json(&top->rows[i]));
    cp_json_add(answer, "tables", tables);
}
