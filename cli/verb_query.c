/* `coldpath query [SQL]`: one statement to the configured ClickHouse; its result, as it comes, to standard output. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/sql_text.h"
#include "cli/verb.h"
#include "flush/query.h"
#include "recorder/config_apply.h"

enum { OPTION_FORMAT = 'f', OPTION_DATABASE = 'd' };

enum { SQL_MAX = 4 * 1024 * 1024 }; /* bytes; a server's own default limit is 256 KiB */

typedef struct query_args {
    cp_common common;
    const char *sql; /* NULL or "-": from standard input */
    const char *format;
    const char *database;
} query_args;

typedef struct query_output {
    bool json;
    bool any;
    char last; /* byte written */
} query_output;

static int output_write(void *ctx, const void *data, size_t len)
{
    query_output *output = ctx;
    if (len == 0)
        return 0;
    if (output->json && !output->any)
        printf("{\"schema_version\":%d,\"verb\":\"query\",\"result\":", CP_JSON_SCHEMA_VERSION);
    output->any = true;
    output->last = ((const char *)data)[len - 1];
    return fwrite(data, 1, len, stdout) == len ? 0 : -1;
}

static int output_end(const query_output *output)
{
    if (output->json && !output->any)
        printf("{\"schema_version\":%d,\"verb\":\"query\",\"result\":null", CP_JSON_SCHEMA_VERSION);
    if (output->json)
        fputs("}\n", stdout);
    else if (output->any && output->last != '\n')
        putchar('\n');
    return cp_output_finish();
}

/* All of standard input, NUL-terminated and malloc'd. */
static int sql_read(char **out, cp_error *err)
{
    char *text = malloc(SQL_MAX + 1);
    if (!text)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the statement");
    const size_t len = fread(text, 1, SQL_MAX, stdin);
    const bool more = len == SQL_MAX && getchar() != EOF;
    text[len] = '\0';
    *out = text;
    if (ferror(stdin))
        return cp_error_set(err, CP_E_IO, "cannot read the statement from standard input");
    if (more)
        return cp_error_set(err, CP_E_TOO_BIG, "the statement has more than %d bytes", SQL_MAX);
    if (memchr(text, '\0', len))
        return cp_error_set(err, CP_E_PARSE, "the statement holds a NUL byte");
    return CP_OK;
}

static const char *format_choose(const query_args *args)
{
    if (args->common.json)
        return "JSON";
    if (args->format)
        return args->format;
    return isatty(STDOUT_FILENO) ? "PrettyCompactMonoBlock" : "TSVWithNames";
}

static int query_send(const query_args *args, const char *text, cp_error *err)
{
    cp_config *config = NULL;
    char *sql = cp_sql_with_format(text, format_choose(args), args->common.json || args->format);
    if (!sql)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the statement");
    int rc = cp_place_config(&args->common, &config, err);
    if (rc == CP_OK) {
        if (cp_sql_answers_with_rows(text)) /* another statement may write: the first endpoint, or none */
            cp_place_reachable(config);
        query_output output = {.json = args->common.json};
        cp_sink_config sink;
        cp_config_sink(config, &sink);
        rc = cp_query_run(&sink, args->database ? args->database : config->database, sql, output_write,
                          &output, err);
        if (rc < 0 && ferror(stdout) && cp_output_closed()) /* the reader has seen enough */
            rc = CP_OK;
        else if (rc == CP_OK && output_end(&output) != CP_EXIT_OK)
            rc = cp_error_set(err, CP_E_IO, "the result could not be written");
    }
    cp_config_free(config);
    free(sql);
    return rc;
}

static const struct argp_option query_options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0,
     "Of the result, any that ClickHouse has (default: the statement's own; else PrettyCompactMonoBlock on a "
     "terminal, "
     "TSVWithNames elsewhere; --json wraps FORMAT JSON)",
     0},
    {"database", OPTION_DATABASE, "NAME", 0, "Of unqualified tables (default: the configuration's)", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t query_parse(int key, char *arg, struct argp_state *state)
{
    query_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_FORMAT:
        args->format = arg;
        return 0;
    case OPTION_DATABASE:
        args->database = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one statement; put it in quotes");
        args->sql = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_query(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = query_options,
                                     .parser = query_parse,
                                     .args_doc = "[SQL]",
                                     .doc =
                                         "Runs one statement on the configured ClickHouse.\v"
                                         "Without SQL, or with -, the statement is read from standard input.",
                                     .children = children};
    query_args args = {0};
    cp_error err = {0};
    char *from_stdin = NULL;
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    int rc = CP_OK;
    if (!args.sql || strcmp(args.sql, "-") == 0)
        rc = sql_read(&from_stdin, &err);
    if (rc == CP_OK)
        rc = query_send(&args, from_stdin ? from_stdin : args.sql, &err);
    free(from_stdin);
    return rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
}
