/* `coldpath errors`: what recorders of the region warned of and failed at, each kind once, out of the region's file of errors
 * (shm/error_log.h), with or without a recorder. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/verb.h"
#include "flush/error_class.h"
#include "shm/error_log.h"
#include "shm/region.h"

enum {
    OPTION_FOLLOW = 'f',
    OPTION_TABLE = 't',
    OPTION_CODES = 256,
    POLL_NS = 200 * CP_NS_PER_MS,
    TIME_ROOM = 32
};

typedef struct errors_args {
    cp_common common;
    const char *table;
    bool follow;
    bool codes;
} errors_args;

typedef struct errors_run {
    const errors_args *args;
    char dir[PATH_MAX];
    cp_error_view view;
    uint64_t shown; /* changes up to here */
} errors_run;

static const char *level_name(uint32_t level)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    return level < sizeof names / sizeof names[0] ? names[level] : "unknown";
}

static const char *time_text(char text[TIME_ROOM], uint64_t ns)
{
    const time_t seconds = (time_t)(ns / CP_NS_PER_S);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) || strftime(text, TIME_ROOM, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, TIME_ROOM, "unknown");
    return text;
}

static bool is_wanted(const errors_run *run, const cp_abi_error *entry)
{
    return entry->change > run->shown && (!run->args->table || strcmp(run->args->table, entry->table) == 0);
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static json_object *entry_json(const cp_abi_error *entry)
{
    char text[TIME_ROOM];
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "level", level_name(entry->level));
    cp_json_add_string(item, "table", entry->table[0] ? entry->table : NULL);
    cp_json_add_string(item, "message", entry->message);
    cp_json_add_string(item, "detail", entry->detail);
    cp_json_add_string(item, "remedy", entry->remedy[0] ? entry->remedy : NULL);
    cp_json_add_uint(item, "count", entry->count);
    cp_json_add_string(item, "first", time_text(text, entry->first_ns));
    cp_json_add_string(item, "last", time_text(text, entry->last_ns));
    cp_json_add_uint(item, "recorder_pid", entry->recorder_pid);
    return item;
}

static int errors_json(const errors_run *run)
{
    json_object *answer = cp_json_begin("errors");
    json_object *list = json_object_new_array();
    cp_json_add_bool(answer, "recorder_alive", cp_region_is_owned(run->dir));
    cp_json_add_uint(answer, "displaced", run->view.displaced);
    for (uint32_t i = 0; i < run->view.count; i++) {
        if (is_wanted(run, &run->view.entries[i]))
            json_object_array_add(list, entry_json(&run->view.entries[i]));
    }
    cp_json_add(answer, "errors", list);
    return cp_json_end(answer);
}

static void entry_print(const cp_abi_error *entry)
{
    char first[TIME_ROOM];
    char last[TIME_ROOM];
    char count[CP_HUMAN_TEXT];
    printf("%s  %s  %s%s%s", time_text(last, entry->last_ns), level_name(entry->level), entry->message,
           entry->table[0] ? "  table " : "", entry->table);
    if (entry->count > 1)
        printf("  %s times since %s", cp_human_count(count, entry->count), time_text(first, entry->first_ns));
    printf("\n");
    if (entry->detail[0])
        printf("    %s\n", entry->detail);
    if (entry->remedy[0])
        printf("    remedy: %s\n", entry->remedy);
}

static int errors_print(const errors_run *run)
{
    uint32_t shown = 0;
    for (uint32_t i = 0; i < run->view.count; i++) {
        if (!is_wanted(run, &run->view.entries[i]))
            continue;
        entry_print(&run->view.entries[i]);
        shown++;
    }
    if (shown == 0 && run->shown == 0)
        cp_message("no warning or error has been noted%s%s", run->args->table ? " of table " : "",
                   run->args->table ? run->args->table : "");
    return cp_output_finish();
}

/* What is new since the last time. */
static int errors_show(errors_run *run)
{
    const int status = run->args->common.json ? errors_json(run) : errors_print(run);
    run->shown = run->view.changes;
    return status;
}

static int errors_follow(errors_run *run, cp_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    int status = CP_EXIT_OK;
    while (status == CP_EXIT_OK && !cp_output_closed()) {
        nanosleep(&pause, NULL);
        const int rc = cp_error_log_read(&run->view, run->dir, err);
        if (rc < 0 && rc != CP_E_ABSENT)
            return cp_fail(err);
        if (rc == CP_OK && run->view.changes < run->shown) /* the file was made anew */
            run->shown = 0;
        if (rc == CP_OK && run->view.changes > run->shown)
            status = errors_show(run);
    }
    return status;
}

static const struct argp_option errors_options[] = {
    {"table", OPTION_TABLE, "TABLE", 0, "Of this table alone", 0},
    {"follow", OPTION_FOLLOW, NULL, 0, "And what comes, until a signal", 0},
    {"codes", OPTION_CODES, NULL, 0,
     "Print what the recorder makes of ClickHouse's error codes, as tables of Markdown, and end", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t errors_parse(int key, char *arg, struct argp_state *state)
{
    errors_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_TABLE:
        args->table = arg;
        return 0;
    case OPTION_FOLLOW:
        args->follow = true;
        return 0;
    case OPTION_CODES:
        args->codes = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_errors(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = errors_options,
        .parser = errors_parse,
        .doc = "Warnings and errors of the region's recorders, each kind once, the latest last.\v"
               "They are kept in the region, and read without a recorder; the recorder's log has each line, "
               "as far as it is not "
               "limited. What is below log.level is not noted. With --follow and --json, a line for each "
               "change. Exit codes: "
               "0, whatever there is; 69 no region, or no recorder has run on it.",
        .children = children};
    errors_args args = {0};
    static errors_run run;
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    if (args.codes) {
        cp_error_class_document(stdout);
        return cp_output_finish();
    }
    run.args = &args;
    int rc = cp_place_region(&args.common, run.dir, &err);
    if (rc == CP_OK)
        rc = cp_error_log_read(&run.view, run.dir, &err);
    if (rc < 0)
        return cp_fail(&err);
    const int status = errors_show(&run);
    return status == CP_EXIT_OK && args.follow ? errors_follow(&run, &err) : status;
}
