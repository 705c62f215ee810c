/* `coldpath check [FILE ...]`: is a configuration valid, what does it come to, how near are the limits; and of several, do their
 * namespaces keep apart. Reads files, the monitor's certificate, key and token among them, and asks the host for its room; touches neither
 * region nor ClickHouse. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/apart.h"
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/place.h"
#include "cli/verb.h"
#include "recorder/config/print.h"

enum { OPTION_ORIGIN = 0x2000, OPTION_VALUES };

enum { MAX_FILES = 16 };

typedef struct check_args {
    cp_common common;
    const char *files[MAX_FILES];
    uint32_t file_count; /* 0: the one that the options name */
    bool values;
    bool origin;
} check_args;

typedef struct check_run {
    const check_args *args;
    uint32_t count;
    cp_config *configs[MAX_FILES];
    cp_limits limits[MAX_FILES];
    cp_error monitors[MAX_FILES]; /* why the monitor would not start; code 0: it would */
    cp_apart apart;
} check_run;

static const struct argp_option check_options[] = {
    {"values", OPTION_VALUES, NULL, 0, "Print every value that holds; secrets only as set or not set", 0},
    {"origin", OPTION_ORIGIN, NULL, 0, "The same, and where each value came from", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t check_parse(int key, char *arg, struct argp_state *state)
{
    check_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_VALUES:
        args->values = true;
        return 0;
    case OPTION_ORIGIN:
        args->origin = true;
        return 0;
    case ARGP_KEY_ARG:
        if (args->file_count == MAX_FILES)
            argp_error(state, "at most %d files at a time", MAX_FILES);
        args->files[args->file_count++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int check_failed(const check_args *args, const cp_error *err)
{
    const int status = cp_fail(err);
    if (!args->common.json)
        return status;
    json_object *answer = cp_json_begin("check");
    cp_json_add_bool(answer, "valid", false);
    cp_json_add_string(answer, "error", err->text);
    cp_json_end(answer);
    return status;
}

/* All of them, also behind one that is not valid: every problem is to be seen. */
static int configs_load(check_run *run, cp_error *err)
{
    int rc = CP_OK;
    const uint32_t count = run->args->file_count ? run->args->file_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        cp_error here = {0};
        cp_common common = run->args->common;
        if (run->args->file_count)
            common.config = run->args->files[i];
        const int loaded = cp_place_config(&common, &run->configs[i], &here);
        if (loaded < 0 && rc == CP_OK) {
            *err = here;
            rc = loaded;
        } else if (loaded < 0) {
            cp_message("%s", here.text);
        }
        run->count = i + 1;
    }
    return rc;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

/* What is asked for are values: limits are neither shown nor judged. */
static bool values_only(const check_args *args)
{
    return args->values || args->origin;
}

/* Which of the configurations there may be this is, and what it comes to. */
static void summary_print(const cp_config *config)
{
    printf("ok: %s: namespace %s, %u table%s, region %s\n", config->path ? config->path : "defaults",
           config->namespace_name, config->table_count, config->table_count == 1 ? "" : "s",
           config->region_dir);
}

static int check_text(const check_run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        if (values_only(run->args)) {
            cp_config_print(run->configs[i], stdout, run->args->origin, false);
            continue;
        }
        summary_print(run->configs[i]);
        cp_limits_print(&run->limits[i], stdout);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->monitors[i].code < 0)
            cp_message("warning: %s: the monitor would not start: %s", run->configs[i]->path,
                       run->monitors[i].text);
    }
    for (uint32_t i = 0; i < run->apart.count; i++)
        cp_message("warning: %s", run->apart.texts[i]);
    return cp_output_finish();
}

static json_object *config_json(const check_run *run, uint32_t index)
{
    json_object *answer = cp_config_json(run->configs[index], run->args->origin);
    if (!values_only(run->args))
        cp_json_add_string(answer, "monitor",
                           run->monitors[index].code < 0 ? run->monitors[index].text : NULL);
    if (!values_only(run->args))
        cp_json_add(answer, "limits", cp_limits_json(&run->limits[index]));
    return answer;
}

/* Of one file the object is its configuration; of several, they are in a list. */
static int check_json(const check_run *run)
{
    json_object *shared = json_object_new_array();
    for (uint32_t i = 0; i < run->apart.count; i++)
        cp_json_append_string(shared, run->apart.texts[i]);
    if (run->count == 1) {
        json_object *answer = config_json(run, 0);
        cp_json_add_string(answer, "verb", "check");
        cp_json_add(answer, "shared", shared);
        return cp_json_end(answer);
    }
    json_object *answer = cp_json_begin("check");
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < run->count; i++)
        json_object_array_add(list, config_json(run, i));
    cp_json_add(answer, "configurations", list);
    cp_json_add(answer, "shared", shared);
    return cp_json_end(answer);
}

/* What the start would find wrong with the monitor's files. That it may serve at its address at all, the configuration's own check has
 * said (recorder/config/check.c). */
static void monitor_look(const cp_config *config, cp_error *err)
{
    cp_monitor_config settings = cp_place_monitor(config, config->region_dir);
    settings.access.unprotected = true;
    const bool halved = !settings.access.certificate_file != !settings.access.key_file;
    if (config->monitor_listen && !halved)
        (void)cp_monitor_check(&settings, err);
}

static int check_report(check_run *run)
{
    bool sound = true;
    for (uint32_t i = 0; i < run->count && !values_only(run->args); i++) {
        cp_limits_look(&run->limits[i], run->configs[i], NULL);
        monitor_look(run->configs[i], &run->monitors[i]);
        sound = sound && !run->limits[i].above && run->monitors[i].code == 0;
    }
    cp_apart_look(&run->apart, run->configs, run->count);
    const int printed = run->args->common.json ? check_json(run) : check_text(run);
    if (printed != CP_EXIT_OK)
        return printed;
    return sound && run->apart.count == 0 ? CP_EXIT_OK : CP_EXIT_UNHEALTHY;
}

int cp_verb_check(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = check_options,
                                     .parser = check_parse,
                                     .args_doc = "[FILE ...]",
                                     .doc = "Checks the configuration: one line when it is good, else every "
                                            "problem with its place; then the limits and the "
                                            "room that this host has for them.\v"
                                            "Of several files it also says what their namespaces share that "
                                            "they should not: directories, passwords. --json "
                                            "prints every value. Exit codes: 0 all is good; 2 a limit is "
                                            "near, something is shared, or the monitor's certificate, key "
                                            "or token cannot be used; 78 a configuration is "
                                            "not valid.",
                                     .children = children};
    check_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    check_run *run = calloc(1, sizeof *run);
    cp_error err = {0};
    if (!run) {
        cp_error_set(&err, CP_E_NOMEM, "no memory for %u configurations", args.file_count);
        return cp_fail(&err);
    }
    run->args = &args;
    const int status = configs_load(run, &err) < 0 ? check_failed(&args, &err) : check_report(run);
    for (uint32_t i = 0; i < run->count; i++)
        cp_config_free(run->configs[i]);
    free(run);
    return status;
}
