/* `coldpath latest TABLE [--by KEY,…]`: the newest row of a table, or of every key: what a cache in memory needs after a
 * restart. The server finds the newest time of every key first and then the rows of those times, so that it never sorts
 * the table; the answer streams to standard output, or to a file that is there whole or not at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/query_text.h"
#include "cli/table_choice.h"
#include "cli/verb.h"
#include "cli/whole_file.h"
#include "flush/query.h"
#include "recorder/config_apply.h"
#include "schema/sql_write.h"

enum {
    OPTION_BY = 'b',
    OPTION_TIME = 't',
    OPTION_FORMAT = 'f',
    OPTION_OUTPUT = 'o',
    OPTION_FORCE = 'F' + 256
};

enum { MAX_KEYS = 16 };

typedef struct latest_args {
    cp_common common;
    const char *table;
    const char *by;
    const char *time;
    const char *format;
    const char *output;
    bool force;
} latest_args;

typedef struct latest_query {
    const cp_config *config;
    const cp_table *table;
    const cp_column *time;
    uint32_t key_count;
    const cp_column *keys[MAX_KEYS];
} latest_query;

/* --by symbol,venue */
static int keys_choose(latest_query *query, const char *by, cp_error *err)
{
    char *list = strdup(by ? by : "");
    char *save = NULL;
    int rc = list ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for the keys");
    for (char *name = list ? strtok_r(list, ",", &save) : NULL; name && rc == CP_OK;
         name = strtok_r(NULL, ",", &save)) {
        if (query->key_count == MAX_KEYS)
            rc = cp_error_set(err, CP_E_TOO_BIG, "a key has at most %d columns", MAX_KEYS);
        else
            rc = cp_column_choose(query->table, name, &query->keys[query->key_count++], err);
    }
    free(list);
    return rc;
}

static void keys_write(FILE *out, const latest_query *query, bool time)
{
    for (uint32_t i = 0; i < query->key_count; i++) {
        fputs(i ? ", " : "", out);
        cp_sql_write_name(out, query->keys[i]->name);
    }
    if (time) {
        fputs(query->key_count ? ", " : "", out);
        cp_sql_write_name(out, query->time->name);
    }
}

/* SELECT * FROM t WHERE (key, ts) GLOBAL IN (SELECT key, max(ts) FROM t GROUP BY key) ORDER BY key LIMIT 1 BY key
 * GLOBAL is for Distributed tables, whose shards each have some of the rows; a key that is NULL finds itself with
 * transform_null_in, which servers before 20 do not know. */
static char *sql_make(const latest_query *query, const char *format)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("SELECT * FROM ", out);
    cp_table_name_write(out, query->config, query->table);
    fputs(" WHERE (", out);
    keys_write(out, query, true);
    fputs(") GLOBAL IN (SELECT ", out);
    keys_write(out, query, false);
    fputs(query->key_count ? ", max(" : "max(", out);
    cp_sql_write_name(out, query->time->name);
    fputs(") FROM ", out);
    cp_table_name_write(out, query->config, query->table);
    if (query->key_count) {
        fputs(" GROUP BY ", out);
        keys_write(out, query, false);
        fputs(") ORDER BY ", out);
        keys_write(out, query, false);
        fputs(" LIMIT 1 BY ", out);
        keys_write(out, query, false);
    } else {
        fputs(") LIMIT 1", out);
    }
    bool nullable = false;
    for (uint32_t i = 0; i < query->key_count; i++)
        nullable = nullable || query->keys[i]->type.nullable;
    fprintf(out, "%s FORMAT %s", nullable ? " SETTINGS transform_null_in = 1" : "", format);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static int stdout_write(void *ctx, const void *data, size_t size)
{
    (void)ctx;
    return fwrite(data, 1, size, stdout) == size ? 0 : -1;
}

/* Whole or null: an answer that broke off would be no JSON. */
static int latest_json(const cp_sink_config *sink, const cp_config *config, const char *sql, cp_error *err)
{
    char *result = NULL;
    const int rc = cp_query_text(sink, config->database, sql, &result, err);
    json_object *answer = cp_json_begin("latest");
    cp_json_add_made(answer, "result", result);
    if (cp_json_end(answer) != CP_EXIT_OK && rc == CP_OK)
        return cp_error_set(err, CP_E_IO, "the rows could not be written");
    return rc;
}

static int latest_send(const latest_args *args, const cp_config *config, const char *sql, cp_error *err)
{
    cp_sink_config sink;
    cp_whole_file file;
    cp_config_sink(config, &sink);
    if (args->common.json)
        return latest_json(&sink, config, sql, err);
    if (!args->output) {
        int rc = cp_query_run(&sink, config->database, sql, stdout_write, NULL, err);
        if (rc < 0 && ferror(stdout) && cp_output_closed()) /* the reader has seen enough */
            return CP_OK;
        if (rc == CP_OK && cp_output_finish() != CP_EXIT_OK)
            rc = cp_error_set(err, CP_E_IO, "the rows could not be written");
        return rc;
    }
    int rc = cp_whole_file_begin(&file, args->output, args->force, err);
    if (rc < 0)
        return rc;
    rc = cp_query_run(&sink, config->database, sql, cp_whole_file_write, &file, err);
    if (rc == CP_OK)
        return cp_whole_file_end(&file, args->force, err);
    cp_whole_file_drop(&file);
    return rc;
}

static int latest_execute(const latest_args *args, cp_error *err)
{
    cp_config *config = NULL;
    const cp_table_config *table = NULL;
    latest_query query = {0};
    int rc = cp_place_config(&args->common, &config, err);
    if (rc == CP_OK)
        rc = cp_table_choose(config, args->table, &table, err);
    if (rc == CP_OK) {
        query.config = config;
        query.table = table->table;
        rc = cp_time_column_choose(query.table, args->time, &query.time, err);
    }
    if (rc == CP_OK)
        rc = keys_choose(&query, args->by, err);
    if (rc == CP_OK) {
        cp_place_reachable(config);
        char *sql = sql_make(&query, args->format        ? args->format
                                     : args->common.json ? "JSON"
                                                         : "JSONEachRow");
        rc = sql ? latest_send(args, config, sql, err)
                 : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
        free(sql);
    }
    cp_config_free(config);
    return rc;
}

static const struct argp_option latest_options[] = {
    {"by", OPTION_BY, "KEY", 0, "One row for every value of these columns: symbol,venue (default: one row)",
     0},
    {"time", OPTION_TIME, "COLUMN", 0, "What is newest goes by this column (default: the partition key's)",
     0},
    {"format", OPTION_FORMAT, "FORMAT", 0,
     "Any of ClickHouse's (default: JSONEachRow; --json wraps FORMAT JSON)", 0},
    {"output", OPTION_OUTPUT, "FILE", 0, "Into a file, which appears when it is whole", 0},
    {"force", OPTION_FORCE, NULL, 0, "Also where FILE is there already", 0},
    {0},
};

static error_t latest_parse(int key, char *arg, struct argp_state *state)
{
    latest_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_BY:
        args->by = arg;
        return 0;
    case OPTION_TIME:
        args->time = arg;
        return 0;
    case OPTION_FORMAT:
        args->format = arg;
        return 0;
    case OPTION_OUTPUT:
        args->output = arg;
        return 0;
    case OPTION_FORCE:
        args->force = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one TABLE at a time");
        args->table = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->table)
            argp_error(state, "of which TABLE?");
        if (args->common.json && (args->format || args->output))
            argp_error(state, "--json goes to standard output and has a format of its own");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_latest(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = latest_options,
        .parser = latest_parse,
        .args_doc = "TABLE",
        .doc = "Gives the newest row of a table, or of every key, from ClickHouse.\v"
               "Of several rows of a key at the same newest time, one is given.",
        .children = children};
    latest_args args = {0};
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    return latest_execute(&args, &err) < 0 ? cp_fail(&err) : CP_EXIT_OK;
}
