/* `coldpath schema show|gen TABLE`: a table's declaration, its row layout, and the C header of its typed row. TABLE is a
 * file with a CREATE TABLE (its name ends in .sql), else a table of the configuration, or with --region of the region.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "schema/suggest.h"
#include "shm/control.h"

typedef struct schema_args {
    cp_common common;
    const char *action;
    const char *table;
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
    const cp_config *config = source->config;
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (strcmp(config->tables[i].name, args->table) == 0) {
            source->table = config->tables[i].table;
            return CP_OK;
        }
    }
    cp_suggestion meant = {.word = args->table, .len = strlen(args->table)};
    for (uint32_t i = 0; i < config->table_count; i++)
        cp_suggest_offer(&meant, config->tables[i].name);
    return cp_error_set(err, CP_E_INVAL, "the configuration has no table '%s'%s%s%s", args->table,
                        meant.best ? "; did you mean '" : "", meant.best ? meant.best : "",
                        meant.best ? "'?" : "");
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

static int gen(const cp_table *table, bool json)
{
    char *header = cp_table_c_header(table);
    if (!header) {
        cp_message("no memory for the header of '%s'", table->name);
        return CP_EXIT_FAILED;
    }
    int status;
    if (json) {
        json_object *answer = cp_json_begin("schema");
        cp_json_add_string(answer, "table", table->name);
        cp_json_add_string(answer, "c_header", header);
        status = cp_json_end(answer);
    } else {
        fputs(header, stdout);
        status = cp_output_finish();
    }
    free(header);
    return status;
}

static error_t schema_parse(int key, char *arg, struct argp_state *state)
{
    schema_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "one TABLE at a time");
        if (state->arg_num == 0 && strcmp(arg, "show") != 0 && strcmp(arg, "gen") != 0)
            argp_error(state, "'%s' is neither show nor gen", arg);
        *(state->arg_num == 0 ? &args->action : &args->table) = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->table)
            argp_error(state, "show or gen, and which TABLE?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_schema(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = schema_parse,
        .args_doc = "show TABLE\ngen TABLE",
        .doc = "Shows a table's declaration and row layout, or generates the C header of its typed row.\v"
               "TABLE is a file that ends in .sql, or a table of the configuration, or, with --region, of "
               "the region.",
        .children = children};
    schema_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    schema_source source = {0};
    cp_error err = {0};
    const int rc = source_find(&source, &args, &err);
    int status;
    if (rc != CP_OK || !source.table)
        status = cp_fail(&err);
    else if (strcmp(args.action, "gen") == 0)
        status = gen(source.table, args.common.json);
    else
        status = args.common.json ? show_json(source.table) : show_text(source.table);
    cp_table_free(source.parsed);
    cp_config_free(source.config);
    return status;
}
