/* `coldpath import spool|jsonl|csv|wal`: rows of older recorders into the region, each once, however often it is killed on the
 * way and run again. import.h says how. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/import/import.h"
#include "cli/place.h"
#include "cli/row_source.h"
#include "cli/verb.h"
#include "schema/suggest.h"
#include "shm/control.h"
#include "shm/sigbus_guard.h"

enum {
    OPTION_FOLLOW = 0x2200,
    OPTION_HEADER,
    OPTION_QUARANTINE,
    OPTION_STAGE,
    OPTION_SKIP_UNKNOWN,
    OPTION_STRICT,
    OPTION_MAP,
    OPTION_IN_DOUBT,
    OPTION_TIMEOUT
};

enum { DEFAULT_TIMEOUT_S = 60, MAPS_MAX = 64 };

typedef enum import_kind { KIND_NONE, KIND_SPOOL, KIND_JSONL, KIND_CSV, KIND_WAL } import_kind;

typedef struct import_args {
    cp_common common;
    import_kind kind;
    const char *table;
    const char *path;
    const char *quarantine;
    const char *stage;
    char *maps[MAPS_MAX + 1];
    int map_count;
    bool follow;
    bool header;
    bool skip_unknown;
    bool strict;
    cp_in_doubt in_doubt;
    uint64_t timeout_ns;
} import_args;

typedef struct import_run {
    const import_args *args;
    cp_import import;
    char region_path[PATH_MAX];
    char stage_path[PATH_MAX];
    char quarantine_path[PATH_MAX];
    cp_import_spool spool;
    cp_import_file file;
    cp_import_wal wal;
    uint64_t started_ns;
    bool usage_wrong;
} import_run;

static const char *const kind_names[] = {
    [KIND_SPOOL] = "spool", [KIND_JSONL] = "jsonl", [KIND_CSV] = "csv", [KIND_WAL] = "wal"};

static const struct argp_option import_options[] = {
    {"follow", OPTION_FOLLOW, NULL, 0, "spool: go on as rows come, until SIGTERM", 0},
    {"header", OPTION_HEADER, NULL, 0, "csv: the first line names the columns", 0},
    {"quarantine", OPTION_QUARANTINE, "FILE", 0,
     "Where rows go that cannot be imported (<source>.quarantine.jsonl)", 0},
    {"stage", OPTION_STAGE, "FILE", 0,
     "jsonl, csv, wal: where the import keeps what it is at (beside the source)", 0},
    {"skip-unknown", OPTION_SKIP_UNKNOWN, NULL, 0,
     "jsonl, csv: skip fields that are no column, as spool and wal do", 0},
    {"strict", OPTION_STRICT, NULL, 0,
     "spool, wal: fields that are no column, nulls that no column takes, and times in other forms are errors",
     0},
    {"map", OPTION_MAP, "FROM=TO", 0, "wal: rows of table FROM go to TO", 0},
    {"in-doubt", OPTION_IN_DOUBT, "put|drop", 0,
     "What to do with rows of which it cannot be told whether they were put", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0,
     "How long to wait for room in a ring, and for rows to be safe (60s)", 0},
    {0},
};

static void on_signal(int number)
{
    cp_import_stopped = number;
}

static void kind_parse(import_args *args, const char *name, const struct argp_state *state)
{
    cp_suggestion meant = {.word = name, .len = strlen(name)};
    for (int i = KIND_SPOOL; i <= KIND_WAL; i++) {
        if (strcmp(kind_names[i], name) == 0)
            args->kind = (import_kind)i;
        cp_suggest_offer(&meant, kind_names[i]);
    }
    if (args->kind == KIND_NONE)
        argp_error(state, "spool, jsonl, csv or wal, not '%s'%s%s%s", name,
                   meant.best ? "; did you mean '" : "", meant.best ? meant.best : "",
                   meant.best ? "'?" : "");
}

static void argument_take(import_args *args, char *arg, const struct argp_state *state)
{
    const bool with_table = args->kind == KIND_JSONL || args->kind == KIND_CSV;
    if (args->kind == KIND_NONE)
        kind_parse(args, arg, state);
    else if (with_table && !args->table)
        args->table = arg;
    else if (!args->path)
        args->path = arg;
    else
        argp_error(state, "one source at a time");
}

static void map_take(import_args *args, char *arg, const struct argp_state *state)
{
    const char *equal = strchr(arg, '=');
    if (!equal || equal == arg || !equal[1])
        argp_error(state, "--map: '%s' is not FROM=TO", arg);
    if (args->map_count == MAPS_MAX)
        argp_error(state, "--map: at most %d of them", MAPS_MAX);
    args->maps[args->map_count++] = arg;
}

static void args_end(const import_args *args, const struct argp_state *state)
{
    if (args->kind == KIND_NONE || !args->path)
        argp_error(state, "what is to be imported?");
    if (args->path && strcmp(args->path, "-") == 0)
        argp_error(state,
                   "an import goes on where it was: it needs a file; `coldpath put` takes standard input");
    if (args->follow && args->kind != KIND_SPOOL)
        argp_error(state, "--follow goes with spool");
    if (args->stage && args->kind == KIND_SPOOL)
        argp_error(state, "--stage: a spool's rows are staged in the spool itself");
    if (args->map_count > 0 && args->kind != KIND_WAL)
        argp_error(state, "--map goes with wal");
}

static error_t import_parse(int key, char *arg, struct argp_state *state)
{
    import_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_FOLLOW:
        args->follow = true;
        return 0;
    case OPTION_HEADER:
        args->header = true;
        return 0;
    case OPTION_QUARANTINE:
        args->quarantine = arg;
        return 0;
    case OPTION_STAGE:
        args->stage = arg;
        return 0;
    case OPTION_SKIP_UNKNOWN:
        args->skip_unknown = true;
        return 0;
    case OPTION_STRICT:
        args->strict = true;
        return 0;
    case OPTION_MAP:
        map_take(args, arg, state);
        return 0;
    case OPTION_IN_DOUBT:
        if (strcmp(arg, "put") != 0 && strcmp(arg, "drop") != 0)
            argp_error(state, "--in-doubt: put or drop, not '%s'", arg);
        args->in_doubt = strcmp(arg, "put") == 0 ? CP_DOUBT_PUT : CP_DOUBT_DROP;
        return 0;
    case OPTION_TIMEOUT:
        if (!cp_duration_parse(arg, &args->timeout_ns))
            argp_error(state, "--timeout: '%s' is not a time; write 30s or 250ms", arg);
        return 0;
    case ARGP_KEY_ARG:
        argument_take(args, arg, state);
        return 0;
    case ARGP_KEY_END:
        args_end(args, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static int path_make(char out[PATH_MAX], const char *given, const char *source, const char *suffix,
                     cp_error *err)
{
    const int len =
        given ? snprintf(out, PATH_MAX, "%s", given) : snprintf(out, PATH_MAX, "%s%s", source, suffix);
    return len < PATH_MAX ? CP_OK : cp_error_set(err, CP_E_TOO_BIG, "%s: the path is too long", source);
}

static int tables_open(cp_import *import, cp_error *err)
{
    cp_control control = {0};
    int rc = cp_control_open(&control, import->region_path, false, err);
    const uint32_t count = cp_region_table_count(import->region);
    import->tables = rc == CP_OK ? calloc(count + 1u, sizeof *import->tables) : NULL;
    import->row_buffer = rc == CP_OK ? aligned_alloc(64, CP_MAX_ROW) : NULL;
    if (rc == CP_OK && (!import->tables || !import->row_buffer))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for the tables");
    for (uint32_t i = 0; rc == CP_OK && i < count; i++) {
        cp_import_table *table = &import->tables[import->table_count];
        table->table = cp_region_table(import->region, i);
        const int index = cp_control_find(&control, table->table->name);
        table->row_max = index < 0 ? 0 : control.directory[index].row_max;
        import->table_count++;
    }
    cp_control_close(&control);
    return rc;
}

/* What is in the way of a line there would be taken for one that a kill cut off. */
static int quarantine_open(import_run *run, cp_error *err)
{
    const char *path = run->quarantine_path;
    if (cp_place_is_same_file(path, run->args->path) || cp_place_is_same_file(path, run->stage_path)) {
        run->usage_wrong = true;
        return cp_error_set(err, CP_E_INVAL,
                            "--quarantine %s is the source or its stage: it would be written into", path);
    }
    return cp_rejects_open(&run->import.quarantine, path, run->import.stage.import_id, err);
}

static int stage_open(import_run *run, cp_error *err)
{
    const import_args *args = run->args;
    const char *suffix = args->kind == KIND_WAL ? "/.coldpath-import.sqlite3" : ".coldpath-import";
    const bool is_spool = args->kind == KIND_SPOOL;
    int rc = path_make(run->stage_path, is_spool ? args->path : args->stage, args->path, suffix, err);
    if (rc == CP_OK)
        rc = path_make(run->quarantine_path, args->quarantine, args->path,
                       args->kind == KIND_WAL ? "/quarantine.jsonl" : ".quarantine.jsonl", err);
    if (rc == CP_OK)
        rc = cp_staging_open(&run->import.stage, run->stage_path, !is_spool, err);
    return rc == CP_OK ? quarantine_open(run, err) : rc;
}

static int source_open(import_run *run, cp_import_source *source, cp_error *err)
{
    const import_args *args = run->args;
    if (args->kind == KIND_SPOOL) {
        *source = (cp_import_source){cp_import_spool_fill, &run->spool};
        return CP_OK;
    }
    if (args->kind == KIND_WAL) {
        *source = (cp_import_source){cp_import_wal_fill, &run->wal};
        return cp_import_wal_open(&run->wal, args->path, args->maps, err);
    }
    *source = (cp_import_source){cp_import_file_fill, &run->file};
    cp_import_table *table = cp_import_find(&run->import, args->table, strlen(args->table));
    if (!table) {
        run->usage_wrong = true;
        return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists its %u",
                            args->table, run->import.table_count);
    }
    const cp_row_source_options options = {.path = args->path,
                                           .format = args->kind == KIND_CSV ? CP_FORMAT_CSV
                                                                            : CP_FORMAT_JSON_EACH_ROW,
                                           .header = args->header,
                                           .skip_unknown = args->skip_unknown,
                                           .stopped = &cp_import_stopped};
    return cp_import_file_open(&run->file, &run->import, &options, table, err);
}

static int run_open(import_run *run, cp_import_source *source, cp_error *err)
{
    cp_import *import = &run->import;
    int rc = cp_place_region(&run->args->common, run->region_path, err);
    import->region_path = run->region_path;
    import->stage.lock_fd = -1;
    import->in_doubt = run->args->in_doubt;
    import->timeout_ns = run->args->timeout_ns;
    import->skip_unknown = import->defaults_for_null = import->best_effort = !run->args->strict;
    if (rc == CP_OK)
        rc = cp_attach(&import->region, run->region_path, err);
    if (rc == CP_OK)
        rc = tables_open(import, err);
    if (rc == CP_OK)
        rc = stage_open(run, err);
    if (rc == CP_OK)
        rc = source_open(run, source, err);
    return rc;
}

static void run_close(import_run *run)
{
    cp_import *import = &run->import;
    cp_import_file_close(&run->file);
    cp_import_wal_close(&run->wal);
    cp_rejects_close(&import->quarantine);
    cp_staging_close(&import->stage);
    for (uint32_t i = 0; i < import->table_count; i++) {
        if (import->tables[i].json_ready)
            cp_json_row_free(&import->tables[i].json);
    }
    free(import->tables);
    free(import->row_buffer);
    cp_detach(import->region);
}

/* ---- reporting ----------------------------------------------------------------------------------------- */

static uint64_t staged_rows(const cp_import *import)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < import->table_count; i++)
        sum += import->tables[i].staged;
    return sum;
}

static int report_json(const import_run *run, int rc, const cp_error *err)
{
    const cp_import *import = &run->import;
    json_object *answer = cp_json_begin("import");
    json_object *tables = json_object_new_array();
    for (uint32_t i = 0; i < import->table_count; i++) {
        const cp_import_table *table = &import->tables[i];
        if (table->staged + table->quarantined == 0)
            continue;
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "table", table->table->name);
        cp_json_add_uint(item, "rows_staged", table->staged);
        cp_json_add_uint(item, "rows_quarantined", table->quarantined);
        json_object_array_add(tables, item);
    }
    cp_json_add_uint(answer, "rows_staged", staged_rows(import));
    cp_json_add_uint(answer, "rows_put", import->put);
    cp_json_add_uint(answer, "rows_put_before", import->resumed);
    cp_json_add_uint(answer, "rows_quarantined", import->quarantine.rows);
    cp_json_add_uint(answer, "rows_left", import->left);
    cp_json_add_uint(answer, "rows_given_up", import->dropped);
    cp_json_add(answer, "tables", tables);
    cp_json_add_bool(answer, "interrupted", cp_import_stopped != 0);
    cp_json_add_string(answer, "error", rc < 0 ? err->text : NULL);
    return cp_json_end(answer);
}

static int report(const import_run *run, int rc, const cp_error *err)
{
    const cp_import *import = &run->import;
    if (run->args->common.json)
        return report_json(run, rc, err);
    char put[CP_HUMAN_TEXT];
    char before[CP_HUMAN_TEXT];
    char bad[CP_HUMAN_TEXT];
    cp_message("%s rows put (%s more by an import before this one), %s in quarantine%s%s, %.1f s%s",
               cp_human_count(put, import->put), cp_human_count(before, import->resumed),
               cp_human_count(bad, import->quarantine.rows), import->quarantine.rows ? " " : "",
               import->quarantine.rows ? run->quarantine_path : "",
               (double)(cp_boottime_ns() - run->started_ns) / 1e9,
               cp_import_stopped ? "; stopped by a signal" : "");
    if (import->left > 0)
        cp_message("%s rows are of tables that the region has not; they stay where they are",
                   cp_human_count(put, import->left));
    if (import->dropped > 0)
        cp_message("%s rows in doubt were given up", cp_human_count(put, import->dropped));
    return CP_EXIT_OK;
}

static int import_execute(import_run *run)
{
    cp_error err = {0};
    cp_import_source source;
    run->started_ns = cp_boottime_ns();
    int rc = run_open(run, &source, &err);
    if (rc < 0) {
        const int status = cp_fail(&err);
        return run->usage_wrong ? CP_EXIT_USAGE : status;
    }
    rc = cp_import_resume(&run->import, &err);
    if (rc == CP_OK)
        rc = cp_import_run(&run->import, &source, run->args->follow, &err);
    if (rc == CP_E_CORRUPT || rc == CP_E_SCHEMA) /* of the source or the stage, not of the region */
        rc = err.code = CP_E_INVAL;
    int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    const int reported = report(run, rc, &err);
    const cp_import *import = &run->import;
    const bool all = import->quarantine.rows == 0 && import->left == 0 && import->dropped == 0 &&
                     (!cp_import_stopped || run->args->follow);
    if (status == CP_EXIT_OK)
        status = all ? reported : CP_EXIT_FAILED;
    return status;
}

int cp_verb_import(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = import_options,
        .parser = import_parse,
        .args_doc = "spool FILE\njsonl TABLE FILE\ncsv TABLE FILE\nwal DIRECTORY",
        .doc = "Moves rows of older recorders into the region: the spool of ch_writer.py (SQLite), files of "
               "one table, or a "
               "directory of JSONL logs.\v"
               "Each row arrives once, however often the import is killed and run again. It ends when all "
               "rows are safe: in "
               "the log, or in ClickHouse. The old writer may go on adding rows to its spool meanwhile, but "
               "must not deliver "
               "them itself. The exit code is 1 when rows were left or put into quarantine.",
        .children = children};
    import_args args = {.timeout_ns = (uint64_t)DEFAULT_TIMEOUT_S * CP_NS_PER_S};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a signal ends a read */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    cp_sigbus_install();
    /* The same file is the same under every name: what is noted about it lies beside it. */
    char source[PATH_MAX];
    if (realpath(args.path, source))
        args.path = source; /* else opening it says what is wrong */
    import_run run = {.args = &args};
    const int status = import_execute(&run);
    run_close(&run);
    return status;
}
