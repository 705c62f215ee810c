/* See apply.h. */
#include "cli/schema/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/query_text.h"
#include "cli/schema/diff.h"
#include "recorder/config_apply.h"
#include "schema/cluster.h"
#include "schema/sql_write.h"

#define HISTORY "coldpath_schema_history"

typedef struct apply_run {
    const cp_plan *plan;
    cp_sink_config sink;
    bool dry_run;
    json_object *steps; /* NULL: text */
    uint32_t done;
} apply_run;

static char *stream_end(FILE *out, char **text)
{
    if (fclose(out) == 0)
        return *text;
    free(*text);
    return NULL;
}

/* CREATE DATABASE, and the history's CREATE TABLE. */
static char *database_statement(const apply_run *run, const char *database, bool history)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fprintf(out, "CREATE %s IF NOT EXISTS ", history ? "TABLE" : "DATABASE");
    cp_sql_write_name(out, database);
    if (history)
        fputs("." HISTORY, out);
    if (run->plan->cluster) {
        fputs(" ON CLUSTER ", out);
        cp_sql_write_name(out, run->plan->cluster);
    }
    if (history) {
        fprintf(out,
                " (step UInt32, applied_at DateTime DEFAULT now(), applied_by String, coldpath String, "
                "object String, what "
                "String, statement String)\nENGINE = %sMergeTree",
                run->plan->cluster ? "Replicated" : "");
        if (run->plan->cluster) {
            putc('(', out);
            cp_cluster_write_replica(out, database, HISTORY);
            putc(')', out);
        }
        fputs(" ORDER BY step", out);
    }
    return stream_end(out, &text);
}

static char *history_statement(const apply_run *run, const char *database, const char *object,
                               const char *what, const char *statement)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("INSERT INTO ", out);
    cp_sql_write_name(out, database);
    fputs("." HISTORY " (step, applied_by, coldpath, object, what, statement) SELECT max(step) + 1, ", out);
    cp_sql_write_text(out, run->sink.user ? run->sink.user : "default");
    fputs(", '" COLDPATH_VERSION "', ", out);
    cp_sql_write_text(out, object);
    fputs(", ", out);
    cp_sql_write_text(out, what);
    fputs(", ", out);
    cp_sql_write_text(out, statement);
    fputs(" FROM ", out);
    cp_sql_write_name(out, database);
    fputs("." HISTORY, out);
    return stream_end(out, &text);
}

static void step_report(const apply_run *run, const char *database, const char *object, const char *what,
                        const char *statement)
{
    if (run->steps) {
        json_object *step = json_object_new_object();
        cp_json_add_string(step, "database", database);
        cp_json_add_string(step, "object", object);
        cp_json_add_string(step, "what", what);
        cp_json_add_string(step, "statement", statement);
        cp_json_add_bool(step, "done", !run->dry_run);
        json_object_array_add(run->steps, step);
    } else if (run->dry_run) {
        printf("-- %s%s%s: %s\n%s;\n", database, *object ? "." : "", object, what, statement);
    } else {
        printf("%s%s%s: %s: done\n", database, *object ? "." : "", object, what);
    }
}

/* Runs one statement and notes it. note: false for what makes the history itself. */
static int step_run(apply_run *run, const char *database, const char *object, const char *what,
                    const char *statement, bool note, cp_error *err)
{
    int rc = statement ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    if (rc == CP_OK && !run->dry_run)
        rc = cp_query_run(&run->sink, strcmp(what, "database missing") == 0 ? NULL : database, statement,
                          NULL, NULL, err);
    if (rc < 0)
        return cp_error_prefix(err, "%s.%s: %s", database, object, what);
    run->done++;
    step_report(run, database, object, what, statement);
    if (run->dry_run || !note)
        return CP_OK;
    char *sql = history_statement(run, database, object, what, statement);
    rc = sql ? cp_query_run(&run->sink, NULL, sql, NULL, NULL, err)
             : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    return rc < 0 ? cp_error_prefix(err, "%s.%s was done, but not noted in " HISTORY, database, object)
                  : CP_OK;
}

static int database_prepare(apply_run *run, const cp_plan_database *database, cp_error *err)
{
    const char *name = database->catalog.database;
    int rc = CP_OK;
    if (!database->catalog.there) {
        char *sql = database_statement(run, name, false);
        rc = step_run(run, name, "", "database missing", sql, false, err);
        free(sql);
    }
    if (rc == CP_OK && !cp_catalog_has(&database->catalog, HISTORY)) {
        char *sql = database_statement(run, name, true);
        rc = step_run(run, name, HISTORY, "table missing", sql, false, err);
        free(sql);
    }
    return rc;
}

static int drift_apply(apply_run *run, const char *database, const cp_drift *drift, cp_error *err)
{
    char object[2 * CP_MAX_NAME + 2];
    if (!drift->statement) /* refused: of a dry run */
        return CP_OK;
    snprintf(object, sizeof object, "%s%s%s", drift->object, drift->column ? "." : "",
             drift->column ? drift->column : "");
    return step_run(run, database, object, drift->what, drift->statement, true, err);
}

static int database_apply(apply_run *run, const cp_plan_database *database, cp_error *err)
{
    const cp_drifts *drifts = &database->drifts;
    if (drifts->count == cp_drifts_refused(drifts) && database->catalog.there)
        return CP_OK;
    int rc = database_prepare(run, database, err);
    for (uint32_t i = 0; i < drifts->count && rc == CP_OK; i++)
        rc = drift_apply(run, database->catalog.database, &drifts->items[i], err);
    return rc;
}

/* What is refused, with its plan; to standard error, as nothing of it is done. */
static void refusals_print(const cp_plan *plan, json_object *refused)
{
    for (uint32_t d = 0; d < plan->database_count; d++) {
        const cp_plan_database *database = &plan->databases[d];
        for (uint32_t i = 0; i < database->drifts.count; i++) {
            const cp_drift *drift = &database->drifts.items[i];
            if (drift->statement)
                continue;
            if (refused)
                json_object_array_add(refused, cp_schema_drift_json(database->catalog.database, drift));
            else
                cp_message("%s.%s%s%s: %s: %s", database->catalog.database, drift->object,
                           drift->column ? "." : "", drift->column ? drift->column : "", drift->what,
                           drift->remedy);
        }
    }
}

/* What the server was told and what it now says must be the same, or the next run would find it again. */
static int apply_verify(const cp_plan *plan, cp_error *err)
{
    cp_plan *after = calloc(1, sizeof *after);
    if (!after)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a second look");
    *after = (cp_plan){.config = plan->config, .cluster = plan->cluster, .table = plan->table};
    int rc = cp_plan_make(after, err);
    if (rc == CP_OK && cp_plan_count(after) > 0) {
        const cp_drift *drift = NULL;
        for (uint32_t d = 0; d < after->database_count && !drift; d++)
            drift = after->databases[d].drifts.count ? &after->databases[d].drifts.items[0] : NULL;
        rc = cp_error_set(
            err, CP_E_SERVER,
            "all is done, yet %s still differs (%s: declared %.200s, on the server %.200s); write the "
            "declaration as the server gives it back",
            drift ? drift->object : "a database", drift ? drift->what : "missing",
            drift && drift->declared ? drift->declared : "-", drift && drift->server ? drift->server : "-");
    }
    cp_plan_free(after);
    free(after);
    return rc;
}

static int apply_end(apply_run *run, json_object *refused, const char *error)
{
    if (run->steps) {
        json_object *answer = cp_json_begin("schema");
        cp_json_add_string(answer, "action", "apply");
        cp_json_add_bool(answer, "dry_run", run->dry_run);
        cp_json_add(answer, "steps", run->steps);
        cp_json_add(answer, "refused", refused);
        cp_json_add_string(answer, "error", error);
        return cp_json_end(answer);
    }
    if (run->done == 0 && !error && cp_plan_refused(run->plan) == 0)
        puts("nothing to do: the server has what is declared");
    return cp_output_finish();
}

int cp_schema_apply(const cp_plan *plan, bool dry_run, bool json)
{
    apply_run run = {.plan = plan, .dry_run = dry_run, .steps = json ? json_object_new_array() : NULL};
    json_object *refused = json ? json_object_new_array() : NULL;
    cp_error err = {0};
    cp_config_sink(plan->config, &run.sink);
    const bool lossy = cp_plan_refused(plan) > 0;
    int rc = CP_OK;
    refusals_print(plan, refused);
    for (uint32_t d = 0; d < plan->database_count && rc == CP_OK && (!lossy || dry_run); d++)
        rc = database_apply(&run, &plan->databases[d], &err);
    if (rc == CP_OK && !lossy && !dry_run && run.done > 0)
        rc = apply_verify(plan, &err);
    int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    if (lossy) {
        cp_message("nothing %s: %u of %u differences cannot be closed without losing rows or values",
                   dry_run ? "would be changed" : "was changed", cp_plan_refused(plan), cp_plan_count(plan));
        status = CP_EXIT_FAILED;
    }
    for (uint32_t i = 0; i < plan->left_count; i++)
        cp_message("view %s is left out: it reads what the configuration does not declare",
                   plan->left[i]->name);
    const int printed = apply_end(&run, refused, rc < 0 ? err.text : NULL);
    return status == CP_EXIT_OK ? printed : status;
}
