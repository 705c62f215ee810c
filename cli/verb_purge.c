/* `coldpath purge TABLE`: gives up rows of a critical table's log that ClickHouse does not have, because nobody wants them any more.
 *
 *   what is named ──► is it there, undelivered, in no batch under way? ──► plan ──► --yes --confirm=TABLE ──► files to trash/,
 *   --range 10-20, or                                                                                       empty records instead
 *   --before TIME: from the oldest one on
 *
 * Without a recorder only. The next one counts the rows as given up, so that the ledger goes on balancing (recorder/given_up.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/trash.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/place.h"
#include "cli/table_choice.h"
#include "cli/verb.h"
#include "recorder/log_open.h"
#include "shm/control.h"
#include "shm/sigbus_guard.h"
#include "wal/repair.h"

enum { OPTION_RANGE = 0x2500, OPTION_BEFORE, TIME_ROOM = 32 };

typedef struct purge_args {
    cp_common common;
    const char *table;
    cp_confirm confirm;
    uint64_t lo; /* 0: no range */
    uint64_t hi;
    uint64_t before_ns; /* real time; 0: not given */
} purge_args;

/* What would go. */
typedef struct purge_plan {
    char dir[PATH_MAX];
    uint64_t lo;
    uint64_t hi;
    uint64_t rows;
    uint64_t bytes;
    uint64_t oldest_ns; /* real time, when the recorder first saw them; 0: no rows */
    uint64_t newest_ns;
    uint32_t expired; /* files deleted in the trash */
    bool done;
} purge_plan;

/* ---- arguments -------------------------------------------------------------------------------------------------- */

static bool range_parse(purge_args *args, char *text)
{
    char *dash = strchr(text, '-');
    if (!dash)
        return false;
    *dash = '\0';
    const bool sound = cp_number_parse(text, 1, UINT64_MAX, &args->lo) &&
                       cp_number_parse(dash + 1, 1, UINT64_MAX, &args->hi);
    *dash = '-';
    return sound && args->lo <= args->hi;
}

/* "2026-11-21", "2026-11-21T03:04:05", with or without a Z: UTC. */
static bool time_parse(const char *text, uint64_t *ns)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm parts = {0};
        const char *end = strptime(text, forms[i], &parts);
        const int day = parts.tm_mday;
        const int second = parts.tm_sec;
        const time_t seconds = end && *end == '\0' ? timegm(&parts) : -1;
        if (seconds > 0 && parts.tm_mday == day && parts.tm_sec == second) { /* not the 31st of February */
            *ns = (uint64_t)seconds * CP_NS_PER_S;
            return true;
        }
    }
    return false;
}

/* ---- the plan --------------------------------------------------------------------------------------------------- */

typedef struct prefix_search {
    uint64_t before_ns;
    uint64_t hi;
    bool over;
} prefix_search;

/* Records are in the order in which they came: the first that is too young ends it. */
static int prefix_record(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    prefix_search *search = ctx;
    (void)payload;
    search->over = search->over || record->seen_ns >= search->before_ns;
    if (!search->over)
        search->hi = record->lsn;
    return CP_OK;
}

static int range_find(const purge_args *args, const cp_wal_view *view, purge_plan *plan, cp_error *err)
{
    plan->lo = args->lo;
    plan->hi = args->hi;
    if (!args->before_ns)
        return CP_OK;
    plan->lo = view->delivered_lsn + 1;
    prefix_search search = {.before_ns = args->before_ns};
    const int rc = plan->lo > view->end_lsn
                       ? CP_OK
                       : cp_wal_view_records(view, plan->lo, view->end_lsn, prefix_record, &search, err);
    if (rc < 0)
        return rc;
    if (search.hi == 0)
        return cp_error_set(err, CP_E_INVAL,
                            "%s holds nothing of before that time that ClickHouse does not have", view->dir);
    plan->hi = search.hi;
    return CP_OK;
}

static int sum_record(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    purge_plan *plan = ctx;
    (void)payload;
    plan->rows += record->rows;
    plan->bytes += record->size;
    if (record->rows > 0 && (plan->oldest_ns == 0 || record->seen_ns < plan->oldest_ns))
        plan->oldest_ns = record->seen_ns;
    if (record->rows > 0 && record->seen_ns > plan->newest_ns)
        plan->newest_ns = record->seen_ns;
    return CP_OK;
}

/* What the region says of the log; nothing when there is no region. */
static void known_read(const cp_config *config, const char *table, cp_wal_known *known)
{
    cp_control control;
    if (cp_control_open(&control, config->region_dir, false, NULL) < 0)
        return;
    const int index = cp_control_find(&control, table);
    if (index >= 0 && cp_sigbus_enter()) {
        *known = cp_log_known(&control.counters[index]);
        cp_sigbus_leave();
    }
    cp_control_close(&control);
}

static int purge_do(const purge_args *args, const cp_config *config, cp_wal_repair *repair, purge_plan *plan,
                    cp_error *err)
{
    const cp_wal_view *view = cp_wal_repair_view(repair);
    int rc = range_find(args, view, plan, err);
    if (rc == CP_OK)
        rc = cp_wal_repair_may_purge(repair, plan->lo, plan->hi, err);
    if (rc == CP_OK)
        rc = cp_wal_view_records(view, plan->lo, plan->hi, sum_record, plan, err);
    if (rc < 0 || !cp_confirm_is_given(&args->confirm))
        return rc;
    rc = cp_wal_repair_purge(repair, plan->lo, plan->hi, err);
    plan->done = rc == CP_OK;
    return rc < 0 ? rc
                  : cp_trash_expire(plan->dir, config->trash_keep_ns, cp_realtime_ns(), &plan->expired, err);
}

static int purge_run(const purge_args *args, const cp_config *config, purge_plan *plan, cp_error *err)
{
    const cp_table_config *table = NULL;
    cp_wal_repair *repair = NULL;
    int rc = cp_table_choose(config, args->table, &table, err);
    if (rc < 0)
        return rc;
    if (!table->critical)
        return cp_error_set(err, CP_E_INVAL, "table '%s' is of class lossy: it has no log", table->name);
    if (snprintf(plan->dir, sizeof plan->dir, "%s/%s", config->wal_dir, table->name) >= (int)sizeof plan->dir)
        return cp_error_set(err, CP_E_CONFIG, "wal.dir is longer than %zu bytes", sizeof plan->dir);
    cp_wal_known known = {0};
    known_read(config, table->name, &known);
    rc = cp_wal_repair_begin(&repair, plan->dir, &known, err);
    if (rc == CP_OK)
        rc = purge_do(args, config, repair, plan, err);
    cp_wal_repair_end(repair);
    return rc;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static const char *time_text(char text[TIME_ROOM], uint64_t ns)
{
    const time_t seconds = (time_t)(ns / CP_NS_PER_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, TIME_ROOM, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

static int purge_json(const purge_args *args, const purge_plan *plan)
{
    char time[TIME_ROOM];
    json_object *answer = cp_json_begin("purge");
    cp_json_add_string(answer, "table", args->table);
    cp_json_add_string(answer, "dir", plan->dir);
    cp_json_add_uint(answer, "lo", plan->lo);
    cp_json_add_uint(answer, "hi", plan->hi);
    cp_json_add_uint(answer, "rows", plan->rows);
    cp_json_add_uint(answer, "bytes", plan->bytes);
    cp_json_add_string(answer, "oldest", plan->oldest_ns ? time_text(time, plan->oldest_ns) : NULL);
    cp_json_add_string(answer, "newest", plan->oldest_ns ? time_text(time, plan->newest_ns) : NULL);
    cp_json_add_bool(answer, "done", plan->done);
    cp_json_add_uint(answer, "trash_deleted", plan->expired);
    return cp_json_end(answer);
}

static int purge_text(const purge_args *args, const purge_plan *plan)
{
    char rows[CP_HUMAN_TEXT];
    char bytes[CP_HUMAN_TEXT];
    char oldest[TIME_ROOM];
    char newest[TIME_ROOM];
    printf("%s: records %" PRIu64 " to %" PRIu64 ", %s rows, %s", args->table, plan->lo, plan->hi,
           cp_human_count(rows, plan->rows), cp_human_bytes(bytes, plan->bytes));
    if (plan->oldest_ns)
        printf(", seen %s to %s", time_text(oldest, plan->oldest_ns), time_text(newest, plan->newest_ns));
    printf("\n  %s\n", plan->done
                           ? "are given up; the files as they were lie in trash/ of the log's directory"
                           : "would be given up: never sent to ClickHouse, counted as given up");
    if (!plan->done)
        printf("  nothing was changed; add --yes --confirm=%s\n", args->table);
    if (plan->expired)
        printf("  %" PRIu32 " older files in trash/ were deleted (trash.keep)\n", plan->expired);
    return cp_output_finish();
}

static const struct argp_option purge_options[] = {
    {"range", OPTION_RANGE, "LO-HI", 0, "These records (LSNs; `coldpath wal dump` lists them)", 0},
    {"before", OPTION_BEFORE, "TIME", 0, "All that came before: 2026-11-21, or 2026-11-21T03:00:00; UTC", 0},
    {0},
};

static void check_arguments(const purge_args *args, struct argp_state *state)
{
    if (!args->table)
        argp_error(state, "of which TABLE?");
    if ((args->lo == 0) == (args->before_ns == 0))
        argp_error(state, "which rows: --range LO-HI, or --before TIME?");
    if (args->common.region)
        argp_error(state, "the region is the configuration's here: give --config");
    if (args->table)
        cp_confirm_check(&args->confirm, args->table, state);
}

static error_t purge_parse(int key, char *arg, struct argp_state *state)
{
    purge_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        state->child_inputs[1] = &args->confirm;
        return 0;
    case OPTION_RANGE:
        if (!range_parse(args, arg))
            argp_error(state, "--range '%s': write it as 10-20", arg);
        return 0;
    case OPTION_BEFORE:
        if (!time_parse(arg, &args->before_ns))
            argp_error(state, "--before '%s': write it as 2026-11-21, or 2026-11-21T03:00:00", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one TABLE at a time");
        args->table = arg;
        return 0;
    case ARGP_KEY_END:
        check_arguments(args, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_purge(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&cp_common_argp, 0, NULL, 0}, {&cp_confirm_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = purge_options,
        .parser = purge_parse,
        .args_doc = "TABLE",
        .doc = "Gives up rows of a critical table's log that ClickHouse does not have.\v"
               "Says what would go; --yes --confirm=TABLE does it. A log in use by a recorder is refused, "
               "and so are records "
               "that are not there, that ClickHouse has, or that are in a batch under way. The log's files "
               "as they were are "
               "moved to trash/ in its directory, and deleted by a recorder or a later purge when they have "
               "lain "
               "there for trash.keep; the "
               "next recorder counts the rows as given up. Exit codes: 0 done, 1 not possible, 2 not done: "
               "only said, 69 a "
               "recorder has the log.",
        .children = children};
    purge_args args = {0};
    static purge_plan plan;
    cp_config *config = NULL;
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    int rc = cp_place_config(&args.common, &config, &err);
    if (rc == CP_OK)
        rc = purge_run(&args, config, &plan, &err);
    cp_config_free(config);
    if (rc < 0 && !plan.done)
        return cp_fail(&err);
    const int output = args.common.json ? purge_json(&args, &plan) : purge_text(&args, &plan);
    if (rc < 0) /* purged, but the trash could not be emptied */
        return cp_fail(&err);
    return output != CP_EXIT_OK ? output : plan.done ? CP_EXIT_OK : CP_EXIT_UNHEALTHY;
}
