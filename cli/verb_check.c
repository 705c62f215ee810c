/* `coldpath check`: is the configuration valid, and what does it come to. Touches neither region nor ClickHouse. */
#include <stdio.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/verb.h"

enum { OPTION_ORIGIN = 0x2000, OPTION_VALUES };

typedef struct check_args {
    cp_common common;
    bool values;
    bool origin;
} check_args;

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
        args->common.config = arg;
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

/* Which of the configurations there may be this is, and what it comes to. */
static void summary_print(const cp_config *config)
{
    printf("ok: %s: namespace %s, %u table%s, region %s\n", config->path ? config->path : "defaults",
           config->namespace_name, config->table_count, config->table_count == 1 ? "" : "s",
           config->region_dir);
}

int cp_verb_check(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = check_options,
        .parser = check_parse,
        .args_doc = "[FILE]",
        .doc = "Checks the configuration: one line when it is good, else every problem with its place.\v"
               "--json prints every value. Exit code 78 when the configuration is not valid.",
        .children = children};
    check_args args = {0};
    cp_config *config = NULL;
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    if (cp_place_config(&args.common, &config, &err) < 0)
        return check_failed(&args, &err);
    if (args.values || args.origin || args.common.json)
        cp_config_print(config, stdout, args.origin, args.common.json);
    else
        summary_print(config);
    cp_config_free(config);
    return cp_output_finish();
}
