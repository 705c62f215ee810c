/* `coldpath schema show|gen TABLE`, `coldpath schema diff|apply`: a table's declaration and row layout, what is generated of
 * it, and the way from what is declared to what the server has (plan.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/schema/apply.h"
#include "cli/schema/diff.h"
#include "cli/schema/plan.h"
#include "cli/table_choice.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "shm/control.h"

enum { OPTION_AS = 'a', OPTION_DRY_RUN = 'n', OPTION_CLUSTER = 'c' + 256 };

typedef enum schema_action { ACTION_SHOW, ACTION_GEN, ACTION_DIFF, ACTION_APPLY } schema_action;
static const char *const actions[] = {"show", "gen", "diff", "apply"};

typedef struct schema_args {
    cp_common common;
    schema_action action;
    const char *table;   /* NULL: all, of diff and apply */
    const char *cluster; /* or NULL */
    size_t generator;    /* index in generators */
    bool dry_run;
} schema_args;

/* Where the table came from; what it is owned by lives as long. */
typedef struct schema_source {
    cp_table *parsed; /* owned, or NULL */
    cp_config *config;
    const cp_table *table;
} schema_source;

static int from_region(schema_source *source, const schema_args *args, cp_error *err)
{
    char path[PATH_MAX];
    cp_control control;
    int rc = cp_place_region(&args->common, path, err);
    if (rc == CP_OK)
        rc = cp_control_open(&control, path, false, err);
    if (rc < 0)
        return rc;
    const int index = cp_control_find(&control, args->table);
    if (index < 0)
        rc = cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists them",
                          args->table);
    else
        rc = cp_control_parse_table(&control, (uint32_t)index, &source->parsed, err);
    cp_control_close(&control);
    source->table = source->parsed;
    return rc;
}

static int from_config(schema_source *source, const schema_args *args, cp_error *err)
{
    const int rc = cp_place_config(&args->common, &source->config, err);
    if (rc < 0)
        return rc;
    const cp_table_config *table = NULL;
    const int found = cp_table_choose(source->config, args->table, &table, err);
    source->table = found == CP_OK ? table->table : NULL;
    return found;
}

static int source_find(schema_source *source, const schema_args *args, cp_error *err)
{
    const size_t len = strlen(args->table);
    if (len > 4 && strcmp(args->table + len - 4, ".sql") == 0) {
        const int rc = cp_table_load(&source->parsed, args->table, err);
        source->table = source->parsed;
        if (rc == CP_E_ABSENT) /* of the file, not of the region */
            err->code = CP_E_IO;
        return rc;
    }
    return args->common.region ? from_region(source, args, err) : from_config(source, args, err);
}

static json_object *column_json(const cp_column *column)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "name", column->name);
    cp_json_add_string(item, "type", column->type.text);
    cp_json_add_bool(item, "provenance", column->provenance != CP_PROV_NONE);
    if (column->provenance == CP_PROV_NONE)
        cp_json_add_uint(item, "offset", column->offset);
    cp_json_add_string(item, "default", column->default_expr);
    cp_json_add_string(item, "comment", column->comment);
    return item;
}

static int show_json(const cp_table *table)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, table->schema_hash);
    json_object *answer = cp_json_begin("schema");
    json_object *columns = json_object_new_array();
    cp_json_add_string(answer, "table", table->name);
    cp_json_add_string(answer, "schema_hash", hash);
    cp_json_add_uint(answer, "row_bytes", table->row_size);
    cp_json_add_string(answer, "engine", table->engine);
    cp_json_add_string(answer, "partition_by", table->partition_by);
    cp_json_add_string(answer, "order_by", table->order_by);
    cp_json_add_string(answer, "ttl", table->ttl);
    for (uint32_t i = 0; i < table->column_count; i++)
        json_object_array_add(columns, column_json(&table->columns[i]));
    cp_json_add(answer, "columns", columns);
    cp_json_add_string(answer, "create", table->create);
    return cp_json_end(answer);
}

static int show_text(const cp_table *table)
{
    printf("table %s, schema hash %016" PRIx64 ", row of %u bytes%s\n\n", table->name, table->schema_hash,
           table->row_size, table->has_tail ? " and a tail" : "");
    cp_text_table *text = cp_text_table_new("column\ttype\toffset\tdefault\tcomment", "llrll");
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        char offset[16] = "-";
        if (column->provenance == CP_PROV_NONE)
            snprintf(offset, sizeof offset, "%u", column->offset);
        cp_text_table_row(text, "%s\t%s\t%s\t%s\t%s", column->name, column->type.text, offset,
                          column->default_expr ? column->default_expr : "",
                          column->comment ? column->comment : "");
    }
    cp_text_table_print(text, stdout);
    printf("\n%s;\n", table->create);
    return cp_output_finish();
}

/* What gen can make of a table. */
static const struct generator {
    const char *name;
    char *(*make)(const cp_table *table);
    const char *key; /* under --json */
} generators[] = {{"c", cp_table_c_header, "c_header"},
                  {"c++", cp_table_cpp_header, "cpp_header"},
                  {"json", cp_table_descriptor, "descriptor"},
                  {"pyi", cp_table_pyi, "pyi"}};

static int gen(const cp_table *table, const schema_args *args)
{
    const struct generator *generator = &generators[args->generator];
    char *text = generator->make(table);
    if (!text) {
        cp_message("no memory for what is made of '%s'", table->name);
        return CP_EXIT_FAILED;
    }
    int status;
    if (args->common.json) {
        json_object *answer = cp_json_begin("schema");
        cp_json_add_string(answer, "table", table->name);
        cp_json_add_string(answer, generator->key, text);
        status = cp_json_end(answer);
    } else {
        fputs(text, stdout);
        status = cp_output_finish();
    }
    free(text);
    return status;
}

/* The server could not be asked, or what is declared not be read. */
static int plan_fail(const schema_args *args, const cp_error *err)
{
    if (args->common.json) {
        json_object *answer = cp_json_begin("schema");
        cp_json_add_string(answer, "action", actions[args->action]);
        cp_json_add_string(answer, "error", err->text);
        cp_json_end(answer);
    }
    return cp_fail(err);
}

/* diff and apply: against the server. */
static int run_plan(const schema_args *args)
{
    cp_error err = {0};
    schema_source source = {0};
    cp_plan *plan = calloc(1, sizeof *plan);
    int rc = plan ? CP_OK : cp_error_set(&err, CP_E_NOMEM, "no memory for a plan");
    if (rc == CP_OK)
        rc = args->table ? from_config(&source, args, &err)
                         : cp_place_config(&args->common, &source.config, &err);
    if (rc == CP_OK) {
        *plan = (cp_plan){.config = source.config,
                          .cluster = args->cluster,
                          .table = source.table ? cp_table_target(source.table) : NULL};
        if (args->action == ACTION_DIFF)
            cp_place_reachable(source.config);
        rc = cp_plan_make(plan, &err);
        if (args->action != ACTION_DIFF)
            cp_place_name_next(source.config, "schema apply", &err);
    }
    int status;
    if (rc < 0)
        status = plan_fail(args, &err);
    else if (args->action == ACTION_DIFF)
        status = cp_schema_diff(plan, args->common.json);
    else
        status = cp_schema_apply(plan, args->dry_run, args->common.json);
    if (plan)
        cp_plan_free(plan);
    free(plan);
    cp_config_free(source.config);
    return status;
}

static int run_table(const schema_args *args)
{
    schema_source source = {0};
    cp_error err = {0};
    const int rc = source_find(&source, args, &err);
    int status;
    if (rc != CP_OK || !source.table)
        status = cp_fail(&err);
    else if (args->action == ACTION_GEN)
        status = gen(source.table, args);
    else
        status = args->common.json ? show_json(source.table) : show_text(source.table);
    cp_table_free(source.parsed);
    cp_config_free(source.config);
    return status;
}

static void generator_choose(struct argp_state *state, schema_args *args, const char *name)
{
    for (size_t i = 0; i < sizeof generators / sizeof generators[0]; i++) {
        if (strcmp(generators[i].name, name) == 0) {
            args->generator = i;
            return;
        }
    }
    argp_error(state, "'%s' is none of c, c++, json and pyi", name);
}

static void action_choose(struct argp_state *state, schema_args *args, const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i], name) == 0) {
            args->action = (schema_action)i;
            return;
        }
    }
    argp_error(state, "'%s' is none of show, gen, diff and apply", name);
}

static void args_check(struct argp_state *state, const schema_args *args)
{
    const bool server = args->action == ACTION_DIFF || args->action == ACTION_APPLY;
    if (state->arg_num == 0)
        argp_error(state, "show, gen, diff or apply?");
    if (!server && !args->table)
        argp_error(state, "%s which TABLE?", actions[args->action]);
    if (args->dry_run && args->action != ACTION_APPLY)
        argp_error(state, "--dry-run belongs to apply");
    if (args->cluster && !server)
        argp_error(state, "--cluster belongs to diff and apply");
    if (args->cluster && (!*args->cluster || strlen(args->cluster) > CP_MAX_NAME))
        argp_error(state, "a cluster's name has 1 to %d bytes", CP_MAX_NAME);
}

static const struct argp_option schema_options[] = {
    {"as", OPTION_AS, "FORM", 0,
     "What gen makes: c (the struct, with asserts; the default), c++ (a builder around it), json (the "
     "descriptor), pyi",
     0},
    {"dry-run", OPTION_DRY_RUN, NULL, 0, "apply prints the statements as SQL and changes nothing", 0},
    {"cluster", OPTION_CLUSTER, "NAME", 0,
     "diff and apply: every table as a Replicated one, TABLE_local, and a Distributed one in front, ON "
     "CLUSTER NAME",
     0},
    {0},
};

static error_t schema_parse(int key, char *arg, struct argp_state *state)
{
    schema_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_AS:
        generator_choose(state, args, arg);
        return 0;
    case OPTION_DRY_RUN:
        args->dry_run = true;
        return 0;
    case OPTION_CLUSTER:
        args->cluster = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "one TABLE at a time");
        if (state->arg_num == 0)
            action_choose(state, args, arg);
        else
            args->table = arg;
        return 0;
    case ARGP_KEY_END:
        args_check(state, args);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_schema(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = schema_options,
        .parser = schema_parse,
        .args_doc = "show TABLE\ngen TABLE [--as FORM]\ndiff [TABLE]\napply [TABLE] [--dry-run]",
        .doc = "Shows a table's declaration and row layout, generates its typed row, compares what is "
               "declared with what "
               "the server has, or brings the server there.\v"
               "TABLE is a table of the configuration; for show and gen also a file that ends in .sql, or, "
               "with --region, a "
               "table of the region. diff ends with 2 when there is a difference. apply creates databases, "
               "tables and views, "
               "adds columns and changes what loses nothing; if anything would lose rows or values it "
               "changes nothing and "
               "says how to do it by hand. What it did stands in the table coldpath_schema_history.",
        .children = children};
    schema_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const bool server = args.action == ACTION_DIFF || args.action == ACTION_APPLY;
    return server ? run_plan(&args) : run_table(&args);
}
