/* `coldpath latency [TABLE]`: how long rows take, table by table, out of the histograms in the region: from put to drained, to durable in
 * the log, to delivered, and how long inserts take. With or without a recorder. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "shm/control.h"
#include "shm/histogram.h"
#include "shm/sigbus_guard.h"

enum { OPTION_INTERVAL = 'i', STAGES = 4 };

typedef struct latency_args {
    cp_common common;
    const char *table;
    uint64_t interval_ns; /* 0: since the region was made */
} latency_args;

typedef cp_abi_histogram table_stages[STAGES];

typedef struct latency_run {
    const latency_args *args;
    cp_control control;
    table_stages *seen; /* per table */
} latency_run;

static const char *const stage_names[STAGES] = {"put_drained", "put_durable", "put_delivered", "insert"};
static const char *const stage_titles[STAGES] = {"put to drained", "put to durable", "put to delivered",
                                                 "insert"};
static const double shares[] = {0.5, 0.99, 0.999};
enum { SHARES = sizeof shares / sizeof shares[0] };

static bool is_wanted(const latency_run *run, uint32_t table)
{
    return !run->args->table || strcmp(run->args->table, run->control.directory[table].name) == 0;
}

static void stages_read(const cp_control *control, uint32_t table, table_stages copies)
{
    const cp_abi_histogram *const stages[STAGES] = {
        &control->latency[table].put_drained_us, &control->measures[table].put_durable_us,
        &control->latency[table].put_delivered_us, &control->measures[table].insert_us};
    for (int stage = 0; stage < STAGES; stage++)
        cp_histogram_read(stages[stage], &copies[stage]);
}

/* False when the file was truncated under us. */
static bool all_read(const cp_control *control, table_stages *seen)
{
    if (!cp_sigbus_enter())
        return false;
    for (uint32_t i = 0; i < control->table_count; i++)
        stages_read(control, i, seen[i]);
    cp_sigbus_leave();
    return true;
}

/* What came within the interval, if one was asked for. */
static int stages_collect(latency_run *run, cp_error *err)
{
    const uint32_t count = run->control.table_count;
    const struct timespec pause = {.tv_sec = (time_t)(run->args->interval_ns / CP_NS_PER_S),
                                   .tv_nsec = (long)(run->args->interval_ns % CP_NS_PER_S)};
    table_stages *before = calloc(count + 1u, sizeof *before);
    run->seen = calloc(count + 1u, sizeof *run->seen);
    int rc = before && run->seen ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for %u tables", count);
    bool whole = rc == CP_OK;
    if (whole && run->args->interval_ns) {
        whole = all_read(&run->control, before);
        nanosleep(&pause, NULL);
    }
    whole = whole && all_read(&run->control, run->seen);
    if (rc == CP_OK && !whole)
        rc = cp_error_set(err, CP_E_CORRUPT, "the region's control file was truncated");
    for (uint32_t i = 0; rc == CP_OK && run->args->interval_ns && i < count; i++) {
        for (int stage = 0; stage < STAGES; stage++)
            cp_histogram_subtract(&run->seen[i][stage], &before[i][stage]);
    }
    free(before);
    return rc;
}

/* No value was above it, in microseconds. */
static uint64_t most_of(const cp_abi_histogram *histogram)
{
    for (uint32_t bucket = CP_ABI_HISTOGRAM_BUCKETS; bucket > 0; bucket--) {
        if (histogram->buckets[bucket - 1])
            return cp_histogram_floor(bucket) - 1;
    }
    return 0;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static json_object *stage_json(const cp_abi_histogram *histogram)
{
    static const char *const names[SHARES] = {"p50_ms", "p99_ms", "p999_ms"};
    const uint64_t count = cp_histogram_count(histogram);
    json_object *item = json_object_new_object();
    cp_json_add_uint(item, "count", count);
    for (int i = 0; i < (int)SHARES; i++) {
        if (count)
            cp_json_add_double(item, names[i], cp_histogram_quantile(histogram, shares[i]) / 1e3);
        else
            cp_json_add(item, names[i], NULL);
    }
    if (count)
        cp_json_add_double(item, "max_ms", (double)most_of(histogram) / 1e3);
    else
        cp_json_add(item, "max_ms", NULL);
    return item;
}

static int latency_json(const latency_run *run)
{
    json_object *answer = cp_json_begin("latency");
    json_object *tables = json_object_new_array();
    cp_json_add_double(answer, "interval_s", (double)run->args->interval_ns / 1e9);
    for (uint32_t i = 0; i < run->control.table_count; i++) {
        if (!is_wanted(run, i))
            continue;
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "table", run->control.directory[i].name);
        for (int stage = 0; stage < STAGES; stage++)
            cp_json_add(item, stage_names[stage], stage_json(&run->seen[i][stage]));
        json_object_array_add(tables, item);
    }
    cp_json_add(answer, "tables", tables);
    return cp_json_end(answer);
}

static void stage_print(cp_text_table *text, const char *table, int stage, const cp_abi_histogram *histogram)
{
    char cells[SHARES + 1][CP_HUMAN_TEXT];
    char count[CP_HUMAN_TEXT];
    for (int i = 0; i < (int)SHARES; i++)
        cp_human_ns(cells[i], (uint64_t)(cp_histogram_quantile(histogram, shares[i]) * 1e3));
    cp_human_ns(cells[SHARES], most_of(histogram) * CP_NS_PER_US);
    cp_text_table_row(text, "%s\t%s\t%s\t%s\t%s\t%s\t%s", table, stage_titles[stage],
                      cp_human_count(count, cp_histogram_count(histogram)), cells[0], cells[1], cells[2],
                      cells[SHARES]);
}

static int latency_print(const latency_run *run)
{
    cp_text_table *text = cp_text_table_new("table\ttime\tcount\tp50\tp99\tp99.9\tmax", "llrrrrr");
    for (uint32_t i = 0; i < run->control.table_count; i++) {
        for (int stage = 0; is_wanted(run, i) && stage < STAGES; stage++) {
            if (cp_histogram_count(&run->seen[i][stage]))
                stage_print(text, run->control.directory[i].name, stage, &run->seen[i][stage]);
        }
    }
    cp_text_table_print(text, stdout);
    return cp_output_finish();
}

static int latency_execute(latency_run *run, cp_error *err)
{
    char dir[PATH_MAX];
    int rc = cp_place_region(&run->args->common, dir, err);
    if (rc == CP_OK)
        rc = cp_control_open(&run->control, dir, false, err);
    if (rc < 0)
        return rc;
    if (run->args->table && cp_control_find(&run->control, run->args->table) < 0)
        return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists them",
                            run->args->table);
    if (!run->control.latency || !run->control.measures)
        return cp_error_set(err, CP_E_ABI, "%s was made by an older version, which does not measure this",
                            dir);
    return stages_collect(run, err);
}

static const struct argp_option latency_options[] = {
    {"interval", OPTION_INTERVAL, "TIME", 0,
     "Of what comes within this time from now on (default: since the region was made)", 0},
    {0},
};

static error_t latency_parse(int key, char *arg, struct argp_state *state)
{
    latency_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_INTERVAL:
        if (!cp_duration_parse(arg, &args->interval_ns) || args->interval_ns == 0)
            argp_error(state, "--interval: '%s' is not a time such as 10s", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one TABLE at a time");
        args->table = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_latency(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = latency_options,
        .parser = latency_parse,
        .args_doc = "[TABLE]",
        .doc = "How long rows take: from put to drained, durable in the log, delivered; and inserts.\v"
               "Times from put are upper bounds: from when the drain last found the ring bare; no put is "
               "measured. Of the way to "
               "delivered one chunk of a ring at a time is followed. Values are known to a quarter. p50 to "
               "p99.9 and max; max is "
               "where the highest bucket ends.",
        .children = children};
    latency_args args = {0};
    latency_run run = {.args = &args};
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    const int rc = latency_execute(&run, &err);
    const int status = rc < 0 ? cp_fail(&err) : args.common.json ? latency_json(&run) : latency_print(&run);
    free(run.seen);
    cp_control_close(&run.control);
    return status;
}
