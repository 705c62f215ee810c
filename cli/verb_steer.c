/* `coldpath pause`, `resume`, `degrade`, `rotate`: what an operator does to a running recorder, table by table, over its control socket
 * (recorder/command.h). What it comes to is in `coldpath status`. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/recorder_call.h"
#include "cli/verb.h"
#include "ingest/ladder.h"
#include "shm/control.h"
#include "shm/sigbus_guard.h"

enum { CALL_TIMEOUT_S = 30 /* the recorder may be reading its configuration */ };

typedef struct steer_args {
    cp_common common;
    cp_command_kind kind;
    const char *table;
    const char *level; /* of degrade */
} steer_args;

/* NULL: every table. One that is called "all" is meant when there is one. */
static const char *table_of(const steer_args *args, const cp_control *control)
{
    return args->table && strcmp(args->table, "all") == 0 && cp_control_find(control, "all") < 0
               ? NULL
               : args->table;
}

static int table_unknown(const cp_control *control, const char *table, cp_error *err)
{
    if (!table || cp_control_find(control, table) >= 0)
        return CP_OK;
    return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists them", table);
}

static int level_parse(const char *text, uint32_t *level, cp_error *err)
{
    for (*level = 0; *level < CP_RUNG_COUNT; ++*level) {
        if (strcmp(text, cp_rung_name(*level)) == 0)
            return CP_OK;
    }
    *level = CP_COMMAND_AUTO;
    if (strcmp(text, "auto") == 0)
        return CP_OK;
    return cp_error_set(err, CP_E_INVAL, "'%s' is no level: none, suppress, conflate, drop, or auto", text);
}

static int steer(const steer_args *args, const char *dir, const cp_control *control, cp_command_reply *reply,
                 cp_error *err)
{
    cp_command command;
    const char *table = table_of(args, control);
    int rc = table_unknown(control, table, err);
    if (rc == CP_OK && !cp_command_make(&command, args->kind, table))
        rc = cp_error_set(err, CP_E_INVAL, "no table has so long a name");
    if (rc == CP_OK && args->kind == CP_COMMAND_DEGRADE)
        rc = level_parse(args->level, &command.level, err);
    return rc == CP_OK ? cp_recorder_call(dir, &command, CALL_TIMEOUT_S * (uint64_t)CP_NS_PER_S, reply, err)
                       : rc;
}

static int report(const steer_args *args, const cp_command_reply *reply)
{
    static const char *const done[CP_COMMAND_KINDS] = {[CP_COMMAND_PAUSE] = "paused",
                                                       [CP_COMMAND_RESUME] = "resumed",
                                                       [CP_COMMAND_DEGRADE] = "set",
                                                       [CP_COMMAND_ROTATE] =
                                                           "open another segment with their next rows"};
    if (args->common.json) {
        json_object *answer = cp_json_begin(cp_command_name(args->kind));
        cp_json_add_string(answer, "table", args->table);
        if (args->kind == CP_COMMAND_DEGRADE)
            cp_json_add_string(answer, "level", args->level);
        cp_json_add_uint(answer, "tables", reply->tables);
        cp_json_add_uint(answer, "changed", reply->changed);
        return cp_json_end(answer);
    }
    if (args->kind == CP_COMMAND_ROTATE)
        cp_message("%" PRIu32 " %s %s", reply->tables, reply->tables == 1 ? "log" : "logs", done[args->kind]);
    else
        cp_message("%" PRIu32 " of %" PRIu32 " %s %s%s", reply->changed, reply->tables,
                   reply->tables == 1 ? "table" : "tables", done[args->kind],
                   reply->changed == reply->tables ? ""
                   : reply->changed > 0            ? "; the rest was so already"
                   : reply->tables == 1            ? ": it was so already"
                                                   : ": they were so already");
    return CP_EXIT_OK;
}

static error_t steer_parse(int key, char *arg, struct argp_state *state)
{
    steer_args *args = state->input;
    const bool levels = args->kind == CP_COMMAND_DEGRADE;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > (levels ? 1u : 0u))
            argp_error(state, levels ? "one TABLE and one LEVEL at a time" : "one TABLE at a time");
        *(state->arg_num == 0 ? &args->table : &args->level) = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->table && args->kind != CP_COMMAND_ROTATE)
            argp_error(state, levels ? "which TABLE, to which LEVEL?" : "which TABLE? (or: all)");
        if (levels && !args->level)
            argp_error(state, "to which LEVEL: none, suppress, conflate, drop, or auto?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int steer_run(cp_command_kind kind, const char *arguments, const char *doc, int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.parser = steer_parse, .args_doc = arguments, .doc = doc, .children = children};
    steer_args args = {.kind = kind};
    char dir[PATH_MAX];
    cp_control control = {0};
    cp_command_reply reply = {0};
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    int rc = cp_place_region(&args.common, dir, &err);
    if (rc == CP_OK)
        rc = cp_control_open(&control, dir, false, &err);
    if (rc == CP_OK)
        rc = steer(&args, dir, &control, &reply, &err);
    cp_control_close(&control);
    return rc < 0 ? cp_fail(&err) : report(&args, &reply);
}

#define WHO                                                                                                  \
    " Run it as the recorder's user, root, or a member of recorder.control_group; the recorder's log says "  \
    "who "                                                                                                   \
    "did. Exit codes: 0 done, 1 not possible, 69 no recorder runs, 74 this user may not."

int cp_verb_pause(int argc, char **argv)
{
    return steer_run(
        CP_COMMAND_PAUSE, "TABLE\nall",
        "Sends nothing more of a table to ClickHouse, until `coldpath resume`.\v"
        "What is being sent ends. A critical table goes on logging, up to its wal_limit; rows of a lossy one "
        "wait in their rings, and are shed as its pressure: says. It holds across restarts of the recorder, "
        "not of the host; coldpath status names paused tables and ends with 2." WHO,
        argc, argv);
}

int cp_verb_resume(int argc, char **argv)
{
    return steer_run(CP_COMMAND_RESUME, "TABLE\nall", "Sends again what `coldpath pause` held back.\v" WHO,
                     argc, argv);
}

int cp_verb_degrade(int argc, char **argv)
{
    return steer_run(
        CP_COMMAND_DEGRADE, "TABLE LEVEL",
        "Holds a lossy table on a rung of its pressure ladder, whatever its load is.\v"
        "LEVEL is none (nothing is shed, puts fail when rings are full), suppress, conflate or drop, of "
        "those "
        "that the table's pressure.rungs names, or auto: it moves by itself again, from where it stands. It "
        "holds across restarts of the recorder, not of the host." WHO,
        argc, argv);
}

int cp_verb_rotate(int argc, char **argv)
{
    return steer_run(CP_COMMAND_ROTATE, "[TABLE]",
                     "Lets the log of a critical table, or all logs, go on in another segment.\v"
                     "The next row opens it, as soon as one is ready. The one before is complete then, can "
                     "be copied, and is "
                     "used again when ClickHouse has all of it." WHO,
                     argc, argv);
}
