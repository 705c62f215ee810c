/* `coldpath export TABLE --from DAY --to DAY --format …`: a table's rows as one file per day (UTC), named by it:
 *
 *     cold/2026-02-25.parquet   cold/2026-02-26.parquet …
 *
 * Rows stream from the server into <file>.part, which takes its name when it is whole and durable. So a run that was broken
 * off is continued by running it again: days whose file is there are left alone, --force writes them anew. A day that is
 * not over is left out, as its file would never be completed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/query_text.h"
#include "cli/table_choice.h"
#include "cli/verb.h"
#include "cli/whole_file.h"
#include "recorder/config_apply.h"
#include "schema/expression.h"
#include "schema/sql_write.h"

enum {
    OPTION_FROM = 256,
    OPTION_TO,
    OPTION_FORMAT = 'f',
    OPTION_DIR = 'd',
    OPTION_TIME = 't',
    OPTION_FORCE = 258
};

enum { SECONDS_PER_DAY = 86400, DAY_TEXT = 32 };

static const struct export_format {
    const char *name;
    const char *suffix;
} formats[] = {{"Parquet", "parquet"}, {"Arrow", "arrow"}, {"JSONEachRow", "jsonl"}};

typedef struct export_args {
    cp_common common;
    const char *table;
    const char *dir;
    const char *time;
    int64_t from; /* days since 1970; INT64_MIN: not given */
    int64_t to;   /* the last one */
    const struct export_format *format;
    bool force;
} export_args;

typedef struct export_run {
    const export_args *args;
    cp_config *config;
    cp_sink_config sink;
    const cp_table *table;
    const cp_column *time;
    const char *dir;
    json_object *files; /* NULL: text */
    uint64_t days;      /* that have rows */
    uint64_t rows;      /* of the files written by this run */
} export_run;

static void day_text(int64_t day, char text[DAY_TEXT])
{
    const time_t seconds = (time_t)(day * SECONDS_PER_DAY);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(text, DAY_TEXT, "%Y-%m-%d", &tm);
}

/* 2026-02-25, which strptime's leniency must not change. */
static bool day_parse(const char *text, int64_t *day)
{
    struct tm tm = {0};
    char again[DAY_TEXT];
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (!end || *end || strlen(text) != strlen("2026-02-25"))
        return false;
    *day = timegm(&tm) / SECONDS_PER_DAY;
    day_text(*day, again);
    return strcmp(again, text) == 0;
}

/* The beginning of a day, in the time column's type. */
static void bound_write(FILE *out, const cp_column *time, int64_t day)
{
    char text[DAY_TEXT];
    day_text(day, text);
    if (time->type.kind == CP_DATE)
        fprintf(out, "toDate('%s')", text);
    else if (time->type.kind == CP_DATETIME)
        fprintf(out, "toDateTime('%s 00:00:00', 'UTC')", text);
    else
        fprintf(out, "toDateTime64('%s 00:00:00', %u, 'UTC')", text, time->type.precision);
}

static void where_write(FILE *out, const export_run *run, int64_t first, int64_t last)
{
    fputs(" FROM ", out);
    cp_table_name_write(out, run->config, run->table);
    fputs(" WHERE ", out);
    cp_sql_write_name(out, run->time->name);
    fputs(" >= ", out);
    bound_write(out, run->time, first);
    fputs(" AND ", out);
    cp_sql_write_name(out, run->time->name);
    fputs(" < ", out);
    bound_write(out, run->time, last + 1);
}

static char *stream_end(FILE *out, char **text)
{
    if (fclose(out) == 0)
        return *text;
    free(*text);
    return NULL;
}

/* Which days have rows, and how many. */
static char *days_sql(const export_run *run)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    /* Date ends in 2149 and begins in 1970: a DateTime64 outside of it would be counted to another day. */
    const bool wide = run->time->type.kind != CP_DATE && run->time->type.kind != CP_DATETIME;
    fputs(wide ? "SELECT toInt64(floor(toUnixTimestamp64Milli(" : "SELECT toUInt32(toDate(", out);
    cp_sql_write_name(out, run->time->name);
    fputs(wide                              ? ") / 86400000)) AS _cp_day, count()"
          : run->time->type.kind == CP_DATE ? ")) AS _cp_day, count()"
                                            : ", 'UTC')) AS _cp_day, count()",
          out);
    where_write(out, run, run->args->from, run->args->to);
    fputs(" GROUP BY _cp_day ORDER BY _cp_day FORMAT TSV", out);
    return stream_end(out, &text);
}

/* One day, in the table's own order, which the server reads without sorting. */
static char *day_sql(const export_run *run, int64_t day)
{
    char *text = NULL;
    size_t len = 0;
    char *order = cp_expression_canonical(run->table->order_by);
    FILE *out = order ? open_memstream(&text, &len) : NULL;
    if (!out) {
        free(order);
        return NULL;
    }
    fputs("SELECT *", out);
    where_write(out, run, day, day);
    if (*order)
        fprintf(out, " ORDER BY %s", order);
    fprintf(out, " FORMAT %s", run->args->format->name);
    free(order);
    return stream_end(out, &text);
}

static void file_report(const export_run *run, const char *path, uint64_t rows, uint64_t bytes,
                        const char *what)
{
    if (run->files) {
        json_object *file = json_object_new_object();
        cp_json_add_string(file, "file", path);
        cp_json_add_uint(file, "rows", rows);
        cp_json_add_uint(file, "bytes", bytes);
        cp_json_add_string(file, "result", what);
        json_object_array_add(run->files, file);
        return;
    }
    char count[CP_HUMAN_TEXT];
    char size[CP_HUMAN_TEXT];
    if (bytes)
        printf("%s: %s rows, %s\n", path, cp_human_count(count, rows), cp_human_bytes(size, bytes));
    else
        printf("%s: %s\n", path, what);
    fflush(stdout);
}

static int day_export(export_run *run, int64_t day, uint64_t rows, cp_error *err)
{
    char text[DAY_TEXT];
    char path[PATH_MAX];
    cp_whole_file file;
    day_text(day, text);
    if (snprintf(path, sizeof path, "%s/%s.%s", run->dir, text, run->args->format->suffix) >=
        (int)sizeof path)
        return cp_error_set(err, CP_E_TOO_BIG, "the directory's path is too long");
    if (day >= time(NULL) / SECONDS_PER_DAY) {
        file_report(run, path, rows, 0, "left out: the day is not over");
        return CP_OK;
    }
    if (day < 0) { /* ClickHouse does not find its rows by their time, where the partition is a Date */
        file_report(run, path, rows, 0, "left out: before 1970");
        return CP_OK;
    }
    if (!run->args->force && access(path, F_OK) == 0) {
        file_report(run, path, rows, 0, "there already");
        return CP_OK;
    }
    char *sql = day_sql(run, day);
    int rc = sql ? cp_whole_file_begin(&file, path, run->args->force, err)
                 : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    if (rc == CP_OK) {
        rc = cp_query_run(&run->sink, run->config->database, sql, cp_whole_file_write, &file, err);
        if (rc == CP_OK)
            rc = cp_whole_file_end(&file, run->args->force, err);
        else
            cp_whole_file_drop(&file);
    }
    free(sql);
    if (rc < 0)
        return cp_error_prefix(err, "%s", path);
    run->rows += rows;
    file_report(run, path, rows, file.bytes, "written");
    return CP_OK;
}

static int days_export(export_run *run, cp_error *err)
{
    char *sql = days_sql(run);
    char *answer = NULL;
    char *save = NULL;
    int rc = sql ? cp_query_text(&run->sink, run->config->database, sql, &answer, err)
                 : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    for (char *line = answer ? strtok_r(answer, "\n", &save) : NULL; line && rc == CP_OK;
         line = strtok_r(NULL, "\n", &save)) {
        char *end = NULL;
        const int64_t day = strtoll(line, &end, 10);
        uint64_t rows = 0;
        run->days++;
        if (*end != '\t' || !cp_number_parse(end + 1, 0, UINT64_MAX, &rows))
            rc = cp_error_set(err, CP_E_SERVER, "ClickHouse's list of days has a line that is none: %.100s",
                              line);
        else
            rc = day_export(run, day, rows, err);
    }
    free(answer);
    return rc;
}

static int export_prepare(export_run *run, cp_error *err)
{
    const cp_table_config *table = NULL;
    int rc = cp_place_config(&run->args->common, &run->config, err);
    if (rc == CP_OK)
        rc = cp_table_choose(run->config, run->args->table, &table, err);
    if (rc < 0 || !table)
        return rc;
    run->table = table->table;
    run->dir = run->args->dir ? run->args->dir : table->name;
    rc = cp_time_column_choose(run->table, run->args->time, &run->time, err);
    if (rc == CP_OK && mkdir(run->dir, 0755) != 0 && errno != EEXIST)
        rc = cp_error_errno(err, CP_E_IO, errno, "cannot make the directory %s", run->dir);
    if (rc == CP_OK)
        cp_place_reachable(run->config);
    cp_config_sink(run->config, &run->sink);
    return rc;
}

static int export_execute(const export_args *args)
{
    export_run run = {.args = args, .files = args->common.json ? json_object_new_array() : NULL};
    cp_error err = {0};
    int rc = export_prepare(&run, &err);
    if (rc == CP_OK)
        rc = days_export(&run, &err);
    const int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    int printed;
    if (run.files) {
        json_object *answer = cp_json_begin("export");
        cp_json_add_string(answer, "table", args->table);
        cp_json_add(answer, "files", run.files);
        cp_json_add_uint(answer, "rows_written", run.rows);
        cp_json_add_string(answer, "error", rc < 0 ? err.text : NULL);
        printed = cp_json_end(answer);
    } else {
        if (rc == CP_OK && run.days == 0)
            puts("no rows in these days");
        printed = cp_output_finish();
    }
    cp_config_free(run.config);
    return status == CP_EXIT_OK ? printed : status;
}

static const struct argp_option export_options[] = {
    {"from", OPTION_FROM, "DAY", 0, "The first day, 2026-02-25; days are UTC", 0},
    {"to", OPTION_TO, "DAY", 0, "The last day (default: the first)", 0},
    {"format", OPTION_FORMAT, "FORMAT", 0, "Parquet (default), Arrow or JSONEachRow", 0},
    {"dir", OPTION_DIR, "DIR", 0, "Where the files go (default: ./TABLE); made if it is not there", 0},
    {"time", OPTION_TIME, "COLUMN", 0, "A row's day goes by this column (default: the partition key's)", 0},
    {"force", OPTION_FORCE, NULL, 0, "Write days anew whose file is there already", 0},
    {0},
};

static void format_choose(struct argp_state *state, export_args *args, const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcasecmp(formats[i].name, name) == 0) {
            args->format = &formats[i];
            return;
        }
    }
    argp_error(state, "'%s' is none of Parquet, Arrow and JSONEachRow", name);
}

static void args_check(struct argp_state *state, export_args *args)
{
    if (!args->table)
        argp_error(state, "which TABLE?");
    if (args->from == INT64_MIN)
        argp_error(state, "from which day? --from 2026-02-25");
    if (args->to == INT64_MIN)
        args->to = args->from;
    if (args->to < args->from)
        argp_error(state, "--to lies before --from");
}

static error_t export_parse(int key, char *arg, struct argp_state *state)
{
    export_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_FROM:
    case OPTION_TO:
        if (!day_parse(arg, key == OPTION_FROM ? &args->from : &args->to))
            argp_error(state, "'%s' is no day; write it like 2026-02-25", arg);
        return 0;
    case OPTION_FORMAT:
        format_choose(state, args, arg);
        return 0;
    case OPTION_DIR:
        args->dir = arg;
        return 0;
    case OPTION_TIME:
        args->time = arg;
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
        args_check(state, args);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_export(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = export_options,
        .parser = export_parse,
        .args_doc = "TABLE",
        .doc = "Writes a table's rows out of ClickHouse, one file for every day that has any.\v"
               "Run it again to go on where it was broken off: files that are there are left alone.",
        .children = children};
    export_args args = {.from = INT64_MIN, .to = INT64_MIN, .format = &formats[0]};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    return export_execute(&args);
}
