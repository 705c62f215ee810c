/* `coldpath stat`: what happens per second, table by table, as vmstat shows a host: the difference of two snapshots of
 * the region's counters every interval. With --raw the counters themselves. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "monitor/health.h"
#include "shm/sigbus_guard.h"

enum { OPTION_RAW = 0x2000 };

typedef struct stat_args {
    cp_common common;
    const char *table; /* NULL: all */
    uint64_t interval_ns;
    uint64_t count; /* 0: until interrupted */
    bool raw;
} stat_args;

/* The counters of a table at one time; what they were an interval before is kept as another of these. */
typedef struct stat_sample {
    uint64_t put;
    uint64_t drained;
    uint64_t delivered;
    uint64_t body_bytes;
    uint64_t batches;
    uint64_t errors;
    uint64_t full;
    uint64_t rejected;
} stat_sample;

static volatile sig_atomic_t stat_stopped;

static void on_signal(int number)
{
    stat_stopped = number;
}

static stat_sample sample_of(const cp_table_view *table)
{
    const cp_abi_counters *counters = &table->counters;
    return (stat_sample){.put = table->produced,
                         .drained = counters->drained_rows,
                         .delivered = table->delivered,
                         .body_bytes = counters->delivered_body_bytes,
                         .batches = counters->delivered_batches,
                         .errors = counters->insert_errors_net + counters->insert_errors_server,
                         .full = table->full,
                         .rejected = table->rejected};
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
    return now > before ? (double)(now - before) / seconds : 0;
}

static json_object *rates_json(const cp_table_view *table, const stat_sample *now, const stat_sample *before,
                               double seconds)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "table", table->entry->name);
    cp_json_add_double(item, "put_per_s", rate(now->put, before->put, seconds));
    cp_json_add_double(item, "drained_per_s", rate(now->drained, before->drained, seconds));
    cp_json_add_double(item, "delivered_per_s", rate(now->delivered, before->delivered, seconds));
    cp_json_add_double(item, "sent_bytes_per_s", rate(now->body_bytes, before->body_bytes, seconds));
    cp_json_add_double(item, "batches_per_s", rate(now->batches, before->batches, seconds));
    cp_json_add_double(item, "insert_errors_per_s", rate(now->errors, before->errors, seconds));
    cp_json_add_double(item, "full_per_s", rate(now->full, before->full, seconds));
    cp_json_add_uint(item, "rows_in_ring", table->in_ring);
    cp_json_add_double(item, "ring_usage", table->usage_permille / 1000.0);
    cp_json_add_double(item, "last_insert_ms", (double)table->counters.last_insert_duration_ns / 1e6);
    return item;
}

static json_object *raw_json(const cp_table_view *table, const stat_sample *now)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "table", table->entry->name);
    cp_json_add_uint(item, "put", now->put);
    cp_json_add_uint(item, "drained", now->drained);
    cp_json_add_uint(item, "delivered", now->delivered);
    cp_json_add_uint(item, "rejected", now->rejected);
    cp_json_add_uint(item, "sent_bytes", now->body_bytes);
    cp_json_add_uint(item, "batches", now->batches);
    cp_json_add_uint(item, "insert_errors", now->errors);
    cp_json_add_uint(item, "full", now->full);
    cp_json_add_uint(item, "rows_in_ring", table->in_ring);
    return item;
}

static void table_print(cp_text_table *text, const stat_args *args, const cp_table_view *table,
                        const stat_sample *now, const stat_sample *before, double seconds)
{
    if (args->raw)
        cp_text_table_row(text,
                          "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                          "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64,
                          table->entry->name, now->put, now->drained, now->delivered, now->rejected,
                          now->body_bytes, now->batches, now->errors, now->full, table->in_ring);
    else
        cp_text_table_row(
            text, "%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t%.0f\t%" PRIu64 "\t%.1f\t%.1f", table->entry->name,
            rate(now->put, before->put, seconds), rate(now->drained, before->drained, seconds),
            rate(now->delivered, before->delivered, seconds),
            rate(now->body_bytes, before->body_bytes, seconds) / 1e6,
            rate(now->batches, before->batches, seconds), rate(now->errors, before->errors, seconds),
            rate(now->full, before->full, seconds), table->in_ring, table->usage_permille / 10.0,
            (double)table->counters.last_insert_duration_ns / 1e6);
}

static bool is_wanted(const stat_args *args, const cp_table_view *table)
{
    return !args->table || strcmp(args->table, table->entry->name) == 0;
}

/* One interval's answer: a table of text, or a line of JSON. */
static int interval_show(const stat_args *args, const cp_observer *observer, const stat_sample *before,
                         stat_sample *now, double seconds)
{
    cp_text_table *text = NULL;
    json_object *answer = NULL;
    json_object *tables = NULL;
    if (args->common.json) {
        answer = cp_json_begin("stat");
        tables = json_object_new_array();
        cp_json_add_double(answer, "seconds", seconds);
    } else if (args->raw) {
        text = cp_text_table_new(
            "table\tput\tdrained\tdelivered\trejected\tsent B\tbatches\terrors\tfull\tin ring", "lrrrrrrrrr");
    } else {
        text = cp_text_table_new("table\tput/s\tdrained/s\tdelivered/s\tsent "
                                 "MB/s\tbatches/s\terrors/s\tfull/s\tin ring\tring %\tinsert ms",
                                 "lrrrrrrrrrr");
    }
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        const cp_table_view *table = &observer->tables[i];
        now[i] = sample_of(table);
        if (!is_wanted(args, table))
            continue;
        if (text)
            table_print(text, args, table, &now[i], &before[i], seconds);
        else
            json_object_array_add(tables, args->raw ? raw_json(table, &now[i])
                                                    : rates_json(table, &now[i], &before[i], seconds));
    }
    if (answer) {
        cp_json_add(answer, "tables", tables);
        return cp_json_end(answer);
    }
    cp_text_table_print(text, stdout);
    putchar('\n');
    return cp_output_finish();
}

static int wanted_check(const stat_args *args, const cp_observer *observer, cp_error *err)
{
    if (!args->table || cp_control_find(&observer->control, args->table) >= 0)
        return CP_OK;
    return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists them",
                        args->table);
}

static int stat_loop(const stat_args *args, cp_observer *observer, stat_sample *samples)
{
    const uint32_t tables = observer->control.table_count;
    stat_sample *before = samples;
    stat_sample *now = samples + tables;
    uint64_t last_ns = cp_boottime_ns();
    int rc = cp_observer_look(observer);
    for (uint32_t i = 0; i < tables; i++)
        before[i] = sample_of(&observer->tables[i]);
    for (uint64_t shown = 0; rc == CP_OK && !stat_stopped && (args->count == 0 || shown < args->count);
         shown++) {
        if (!args->raw || shown > 0) {
            const struct timespec pause = {.tv_sec = (time_t)(args->interval_ns / CP_NS_PER_S),
                                           .tv_nsec = (long)(args->interval_ns % CP_NS_PER_S)};
            clock_nanosleep(CLOCK_BOOTTIME, 0, &pause, NULL);
        }
        rc = cp_observer_look(observer);
        const uint64_t now_ns = cp_boottime_ns();
        if (rc < 0 || (stat_stopped && shown > 0))
            break;
        const int printed = interval_show(args, observer, before, now, (double)(now_ns - last_ns + 1) / 1e9);
        if (printed != CP_EXIT_OK || cp_output_closed())
            return printed;
        memcpy(before, now, tables * sizeof *before);
        last_ns = now_ns;
    }
    if (rc == CP_OK)
        return CP_EXIT_OK;
    cp_message("the region was replaced; run stat again");
    return CP_EXIT_ABSENT;
}

static const struct argp_option stat_options[] = {
    {"interval", 'i', "TIME", 0, "Between two lines (1s)", 0},
    {"count", 'n', "N", 0, "Stop after N intervals (default: until interrupted)", 0},
    {"raw", OPTION_RAW, NULL, 0, "The counters themselves instead of their change per second", 0},
    {0},
};

static error_t stat_parse(int key, char *arg, struct argp_state *state)
{
    stat_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'i':
        if (!cp_duration_parse(arg, &args->interval_ns) || args->interval_ns == 0)
            argp_error(state, "--interval: '%s' is not a time; write 1s or 250ms", arg);
        return 0;
    case 'n':
        if (!cp_number_parse(arg, 1, UINT64_MAX, &args->count))
            argp_error(state, "--count: '%s' is not a number from 1 on", arg);
        return 0;
    case OPTION_RAW:
        args->raw = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one TABLE, or none for all");
        args->table = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int stat_run(const stat_args *args)
{
    cp_error err = {0};
    char path[PATH_MAX];
    cp_observer observer = {0};
    int rc = cp_place_region(&args->common, path, &err);
    if (rc == CP_OK)
        rc = cp_observer_open(&observer, path, &err);
    if (rc != CP_OK)
        return cp_fail(&err);
    stat_sample *samples = calloc(2u * observer.control.table_count + 1u, sizeof *samples);
    rc = samples ? wanted_check(args, &observer, &err)
                 : cp_error_set(&err, CP_E_NOMEM, "no memory for counters");
    const int status = rc < 0 ? cp_fail(&err) : stat_loop(args, &observer, samples);
    free(samples);
    cp_observer_close(&observer);
    return status;
}

int cp_verb_stat(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = stat_options,
                                     .parser = stat_parse,
                                     .args_doc = "[TABLE]",
                                     .doc = "Shows what happens per second, table by table.",
                                     .children = children};
    stat_args args = {.interval_ns = CP_NS_PER_S};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    cp_sigbus_install();
    return stat_run(&args);
}
