/* `coldpath init`: makes what the configuration describes, where it is not there yet: the region in shared memory, and
 * the databases and tables in ClickHouse. Can be run again at any time; what is there is left as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/sql_text.h"
#include "cli/verb.h"
#include "flush/query.h"
#include "recorder/config_apply.h"

enum { OPTION_NO_TABLES = 0x2000, OPTION_NO_REGION };

enum {
    NAME_SQL = 2 * CP_MAX_NAME + 3, /* a name in backticks */
    PLACE_SQL = 2 * NAME_SQL,       /* database.table */
    STATEMENT = PLACE_SQL + 64
};

typedef struct init_args {
    cp_common common;
    bool no_tables;
    bool no_region;
} init_args;

typedef struct init_run {
    const init_args *args;
    cp_config *config;
    json_object *answer; /* NULL without --json */
    json_object *tables;
} init_run;

static void region_report(const init_run *run, const char *what)
{
    if (!run->answer) {
        printf("region %s: %s\n", run->config->region_dir, what);
        return;
    }
    json_object *region = json_object_new_object();
    cp_json_add_string(region, "path", run->config->region_dir);
    cp_json_add_string(region, "result", what);
    cp_json_add(run->answer, "region", region);
}

static int init_region(const init_run *run, cp_error *err)
{
    cp_region_owner owner;
    const int rc = cp_config_own_region(run->config, &owner, err);
    if (rc == CP_E_BUSY && cp_region_is_owned(run->config->region_dir)) {
        region_report(run, "in use by a running recorder, left as it is");
        return CP_OK;
    }
    if (rc < 0)
        return cp_error_prefix(err, "region %s", run->config->region_dir);
    region_report(run, owner.created ? "created" : "already there");
    cp_region_release(&owner);
    return CP_OK;
}

/* The first byte of an answer that is 0 or 1. */
static int take_first(void *ctx, const void *data, size_t len)
{
    char *first = ctx;
    if (!*first && len > 0)
        *first = *(const char *)data;
    return 0;
}

/* 1, 0 or an error. */
static int ask_whether(const cp_sink_config *sink, const char *sql, cp_error *err)
{
    char first = '\0';
    const int rc = cp_query_run(sink, NULL, sql, take_first, &first, err);
    return rc < 0 ? rc : first == '1';
}

static int table_exists(const cp_sink_config *sink, const char *quoted, cp_error *err)
{
    char sql[STATEMENT];
    snprintf(sql, sizeof sql, "EXISTS TABLE %s FORMAT TSV", quoted);
    return ask_whether(sink, sql, err);
}

/* Asked of a table, for old servers know no EXISTS DATABASE; and asked at all, for CREATE … IF NOT EXISTS takes a right that the
 * recorder's user may lack. */
static int database_make(const cp_sink_config *sink, const char *database, const char *quoted, cp_error *err)
{
    char sql[STATEMENT];
    char text[NAME_SQL];
    if (!cp_sql_quote_text(text, sizeof text, database))
        return cp_error_set(err, CP_E_TOO_BIG, "the name %s is too long", database);
    snprintf(sql, sizeof sql, "SELECT count() FROM system.databases WHERE name = %s FORMAT TSV", text);
    const int there = ask_whether(sink, sql, err);
    if (there != 0)
        return there < 0 ? there : CP_OK;
    snprintf(sql, sizeof sql, "CREATE DATABASE IF NOT EXISTS %s", quoted);
    return cp_query_run(sink, NULL, sql, NULL, NULL, err);
}

static void table_report(const init_run *run, const char *database, const char *table, const char *what)
{
    if (!run->answer) {
        printf("table %s.%s: %s\n", database, table, what);
        return;
    }
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "database", database);
    cp_json_add_string(item, "table", table);
    cp_json_add_string(item, "result", what);
    json_object_array_add(run->tables, item);
}

static int table_make(const init_run *run, const cp_sink_config *sink, const cp_table *table, cp_error *err)
{
    const char *database = table->database ? table->database : run->config->database;
    char quoted_database[NAME_SQL];
    char quoted_table[NAME_SQL];
    char quoted[PLACE_SQL];
    if (!cp_sql_quote_name(quoted_database, sizeof quoted_database, database) ||
        !cp_sql_quote_name(quoted_table, sizeof quoted_table, cp_table_target(table)))
        return cp_error_set(err, CP_E_TOO_BIG, "the name %s.%s is too long", database,
                            cp_table_target(table));
    snprintf(quoted, sizeof quoted, "%s.%s", quoted_database, quoted_table);
    int rc = database_make(sink, database, quoted_database, err);
    if (rc == CP_OK)
        rc = table_exists(sink, quoted, err);
    if (rc == 1) {
        table_report(run, database, cp_table_target(table), "already there");
        return CP_OK;
    }
    if (rc == CP_OK)
        rc = cp_query_run(sink, database, table->create, NULL, NULL, err);
    if (rc < 0)
        return cp_error_prefix(err, "table %s.%s", database, cp_table_target(table));
    table_report(run, database, cp_table_target(table), "created");
    return CP_OK;
}

static int init_tables(const init_run *run, cp_error *err)
{
    cp_sink_config sink;
    cp_config_sink(run->config, &sink);
    for (uint32_t i = 0; i < run->config->table_count; i++) {
        if (!cp_config_is_latest(run->config, i))
            continue;
        const int rc = table_make(run, &sink, run->config->tables[i].table, err);
        if (rc < 0)
            return rc;
    }
    return CP_OK;
}

/* --region takes the place of the configuration's directory. */
static int region_override(init_run *run, cp_error *err)
{
    char path[PATH_MAX];
    int rc = cp_place_region_of(&run->args->common, run->config, path, err);
    char *copy = rc == CP_OK ? strdup(path) : NULL;
    if (rc == CP_OK && !copy)
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for a path");
    if (rc == CP_OK) {
        free(run->config->region_dir);
        run->config->region_dir = copy;
    }
    return rc;
}

static int init_execute(init_run *run)
{
    cp_error err = {0};
    int rc = cp_place_config(&run->args->common, &run->config, &err);
    if (rc == CP_OK)
        rc = region_override(run, &err);
    if (rc == CP_OK && !run->args->no_region)
        rc = init_region(run, &err);
    if (rc == CP_OK && !run->args->no_tables)
        rc = init_tables(run, &err);
    cp_place_name_next(run->config, "init", &err);
    int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    int printed = CP_EXIT_OK;
    if (run->answer) {
        cp_json_add(run->answer, "tables", run->tables);
        cp_json_add_string(run->answer, "error", rc < 0 ? err.text : NULL);
        printed = cp_json_end(run->answer);
    } else {
        printed = cp_output_finish();
    }
    cp_config_free(run->config);
    return status == CP_EXIT_OK ? printed : status;
}

static const struct argp_option init_options[] = {
    {"no-tables", OPTION_NO_TABLES, NULL, 0, "Only the region; ClickHouse is not contacted", 0},
    {"no-region", OPTION_NO_REGION, NULL, 0, "Only the tables in ClickHouse", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t init_parse(int key, char *arg, struct argp_state *state)
{
    init_args *args = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_NO_TABLES:
        args->no_tables = true;
        return 0;
    case OPTION_NO_REGION:
        args->no_region = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_init(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = init_options,
        .parser = init_parse,
        .doc = "Makes the region and, in ClickHouse, the databases and tables of the configuration.\v"
               "Can be run again: what is there is left as it is. The user in the configuration needs the "
               "right to create "
               "what is missing; where somebody else creates the tables, use --no-tables.",
        .children = children};
    init_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    init_run run = {.args = &args};
    if (args.common.json) {
        run.answer = cp_json_begin("init");
        run.tables = json_object_new_array();
    }
    return init_execute(&run);
}
