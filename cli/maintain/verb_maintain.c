/* `coldpath maintain [TABLE]`: what a table's declared TTL says is over goes, whole partitions at a time, after it was rolled up
 * where there is a roll-up; TTLs on the server are held against the declared ones, parts counted. Prints what it would do;
 * --yes does it, and for critical tables --confirm=TABLE as well. Meant for a timer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/maintain/retention.h"
#include "cli/place.h"
#include "cli/schema/plan.h"
#include "cli/table_choice.h"
#include "cli/verb.h"
#include "recorder/config_apply.h"

enum { OPTION_YES = 'y', OPTION_CONFIRM = 'c', OPTION_DRY_RUN = 'n', OPTION_CLUSTER = 256 };

enum { MAX_CONFIRMED = 64 };

typedef struct maintain_args {
    cp_common common;
    const char *table;   /* NULL: all */
    const char *cluster; /* or NULL */
    bool yes;
    bool dry_run;
    uint32_t confirmed_count;
    const char *confirmed[MAX_CONFIRMED];
} maintain_args;

typedef struct maintain_run {
    const maintain_args *args;
    cp_config *config;
    cp_sink_config sink;
    cp_plan *plan;       /* for what the server has otherwise */
    json_object *tables; /* NULL: text */
    uint32_t planned;
    uint32_t done;
    uint32_t unconfirmed;
    uint32_t findings; /* TTLs that differ, too many parts */
} maintain_run;

static const char *fate_text(cp_fate fate)
{
    static const char *const texts[] = {"keep", "roll up", "drop", "roll up, drop"};
    return texts[fate];
}

static bool is_confirmed(const maintain_args *args, const cp_table_config *table)
{
    bool found = !table->critical;
    for (uint32_t i = 0; i < args->confirmed_count && !found; i++)
        found = strcmp(args->confirmed[i], table->name) == 0;
    return found;
}

/* The TTL's difference, or a table that is missing. */
static const cp_drift *drift_find(const maintain_run *run, const cp_retention *r, const char *what)
{
    for (uint32_t d = 0; d < run->plan->database_count; d++) {
        const cp_plan_database *database = &run->plan->databases[d];
        if (strcmp(database->catalog.database, r->database) != 0)
            continue;
        for (uint32_t i = 0; i < database->drifts.count; i++) {
            const cp_drift *drift = &database->drifts.items[i];
            const char *table = cp_table_target(r->table->table);
            const size_t len = strlen(table);
            if (strcmp(drift->what, what) == 0 && strncmp(drift->object, table, len) == 0 &&
                (drift->object[len] == '\0' || (r->cluster && strcmp(drift->object + len, "_local") == 0)))
                return drift;
        }
    }
    return NULL;
}

/* ---- report --------------------------------------------------------------------------------------------------- */

static json_object *partition_json(const cp_partition *p)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "partition", p->id);
    cp_json_add_uint(item, "rows", p->rows);
    cp_json_add_uint(item, "bytes", p->bytes);
    cp_json_add_uint(item, "parts", p->parts);
    cp_json_add_string(item, "ends", p->ends);
    cp_json_add_string(item, "action", fate_text(p->fate));
    cp_json_add_bool(item, "needs_confirm", p->confirm);
    cp_json_add_bool(item, "done", p->done);
    return item;
}

static void table_json(const maintain_run *run, const cp_retention *r, const cp_drift *ttl)
{
    json_object *item = json_object_new_object();
    json_object *partitions = json_object_new_array();
    cp_json_add_string(item, "table", r->table->name);
    cp_json_add_string(item, "database", r->database);
    cp_json_add_string(item, "ttl", r->table->table->ttl);
    cp_json_add_bool(item, "ttl_understood", !r->table->table->ttl || r->ttl);
    cp_json_add_bool(item, "ttl_on_server", ttl == NULL);
    cp_json_add_uint(item, "parts_most", r->parts_most);
    for (size_t i = 0; i < r->count; i++)
        json_object_array_add(partitions, partition_json(&r->partitions[i]));
    cp_json_add(item, "partitions", partitions);
    json_object_array_add(run->tables, item);
}

static void table_text(const cp_retention *r)
{
    uint64_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        const cp_partition *p = &r->partitions[i];
        char rows[CP_HUMAN_TEXT];
        char bytes[CP_HUMAN_TEXT];
        kept += p->fate == CP_FATE_KEEP;
        if (p->fate == CP_FATE_KEEP)
            continue;
        printf("%s, partition %s: %s%s (%s rows, %s, over since %s)%s\n", r->table->name, p->id,
               fate_text(p->fate), p->done ? ": done" : "", cp_human_count(rows, p->rows),
               cp_human_bytes(bytes, p->bytes), p->ends,
               p->confirm ? " needs --confirm=TABLE: the table is critical" : "");
    }
    if (r->ttl)
        printf("%s: %" PRIu64 " partitions stay, at most %" PRIu64 " parts in one\n", r->table->name, kept,
               r->parts_most);
    else
        printf("%s: all partitions stay%s, at most %" PRIu64 " parts in one\n", r->table->name,
               r->table->table->ttl ? "" : ", as no TTL is declared", r->parts_most);
}

static void table_findings(maintain_run *run, const cp_retention *r, const cp_drift *ttl)
{
    if (ttl) {
        run->findings++;
        cp_message("table %s: TTL declared %s, on the server %s%s; `coldpath schema diff` says what to do",
                   r->table->name, ttl->declared ? ttl->declared : "none", ttl->server ? ttl->server : "none",
                   ttl->server ? "; nothing of it is dropped until they agree" : "");
    }
    if (r->table->table->ttl && !r->ttl)
        cp_message("table %s: TTL %s is left to the server; maintain knows '… + INTERVAL n unit' alone",
                   r->table->name, r->table->table->ttl);
    if (r->parts_most > CP_PARTITION_PARTS_MANY) {
        run->findings++;
        cp_message("table %s: %" PRIu64
                   " parts in one partition; merges do not keep up: fewer, larger batches, or OPTIMIZE",
                   r->table->name, r->parts_most);
    }
}

/* ---- work ------------------------------------------------------------------------------------------------------- */

/* While the server has another TTL nothing is dropped: one of the two wants the rows kept. Roll-ups lose nothing. A server that
 * has none may be one that knows none. */
static void drops_hold(cp_retention *r)
{
    for (size_t i = 0; i < r->count; i++) {
        cp_partition *p = &r->partitions[i];
        if (p->fate == CP_FATE_DROP)
            p->fate = CP_FATE_KEEP;
        else if (p->fate == CP_FATE_ROLL_UP_AND_DROP)
            p->fate = CP_FATE_ROLL_UP;
    }
}

/* One partition's failure keeps no other from its turn. */
static int partitions_do(maintain_run *run, cp_retention *r, cp_error *err)
{
    const bool confirmed = is_confirmed(run->args, r->table);
    int first = CP_OK;
    for (size_t i = 0; i < r->count; i++) {
        cp_partition *p = &r->partitions[i];
        cp_error why = {0};
        if (p->fate == CP_FATE_KEEP)
            continue;
        run->planned++;
        p->confirm = !confirmed && p->fate != CP_FATE_ROLL_UP;
        run->unconfirmed += p->confirm;
        if (!run->args->yes || p->confirm)
            continue;
        const int rc = cp_retention_do(r, p, &run->sink, &why);
        run->done += rc == CP_OK;
        if (rc < 0 && first == CP_OK) {
            first = rc;
            *err = why;
        } else if (rc < 0) {
            cp_message("%s", why.text);
        }
    }
    return first;
}

static int table_maintain(maintain_run *run, const cp_table_config *table, cp_error *err)
{
    cp_retention retention;
    cp_error why = {0};
    int rc = cp_retention_load(&retention, run->config, table, run->args->cluster, &run->sink, &why);
    if (rc < 0 && drift_find(run, &retention, "table missing")) {
        cp_retention_free(&retention);
        cp_message("table %s is not on the server; `coldpath schema apply` creates it", table->name);
        run->findings++;
        return CP_OK;
    }
    const cp_drift *ttl = drift_find(run, &retention, "TTL");
    if (ttl && ttl->server)
        drops_hold(&retention);
    if (rc == CP_OK)
        rc = partitions_do(run, &retention, &why);
    if (rc < 0 && err)
        *err = why;
    table_findings(run, &retention, ttl);
    if (run->tables)
        table_json(run, &retention, ttl);
    else
        table_text(&retention);
    cp_retention_free(&retention);
    return rc;
}

/* One table's failure keeps no other from its turn. */
static int tables_maintain(maintain_run *run, cp_error *err)
{
    int first = CP_OK;
    for (uint32_t i = 0; i < run->config->table_count; i++) {
        const cp_table_config *table = &run->config->tables[i];
        cp_error why = {0};
        if (!cp_config_is_latest(run->config, i) ||
            (run->plan->table && strcmp(run->plan->table, cp_table_target(table->table)) != 0))
            continue;
        const int rc = table_maintain(run, table, &why);
        if (rc == CP_OK)
            continue;
        if (first == CP_OK) {
            first = rc;
            *err = why;
        } else {
            cp_message("%s", why.text);
        }
    }
    return first;
}

static int maintain_prepare(maintain_run *run, cp_error *err)
{
    const cp_table_config *table = NULL;
    int rc = cp_place_config(&run->args->common, &run->config, err);
    const char *only = NULL;
    if (rc == CP_OK && run->args->table) {
        rc = cp_table_choose(run->config, run->args->table, &table, err);
        only = rc == CP_OK ? cp_table_target(table->table) : NULL;
    }
    for (uint32_t i = 0; i < run->args->confirmed_count && rc == CP_OK; i++)
        rc = cp_table_choose(run->config, run->args->confirmed[i], &table, err);
    if (rc < 0)
        return rc;
    cp_config_sink(run->config, &run->sink);
    rc = cp_retention_clock(&run->sink, err);
    if (rc < 0)
        return rc;
    run->plan = calloc(1, sizeof *run->plan);
    if (!run->plan)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a plan");
    *run->plan = (cp_plan){.config = run->config, .table = only, .cluster = run->args->cluster};
    return cp_plan_make(run->plan, err);
}

static int maintain_report(maintain_run *run, const char *error)
{
    if (run->tables) {
        json_object *answer = cp_json_begin("maintain");
        cp_json_add(answer, "tables", run->tables);
        cp_json_add_uint(answer, "planned", run->planned);
        cp_json_add_uint(answer, "done", run->done);
        cp_json_add_uint(answer, "unconfirmed", run->unconfirmed);
        cp_json_add_uint(answer, "findings", run->findings);
        cp_json_add_string(answer, "error", error);
        return cp_json_end(answer);
    }
    if (run->planned > run->done && !run->args->yes)
        printf("nothing was done; --yes does it\n");
    return cp_output_finish();
}

static int maintain_execute(const maintain_args *args)
{
    maintain_run run = {.args = args, .tables = args->common.json ? json_object_new_array() : NULL};
    cp_error err = {0};
    int rc = maintain_prepare(&run, &err);
    if (rc == CP_OK)
        rc = tables_maintain(&run, &err);
    cp_place_name_next(run.config, "maintain", &err);
    int status = rc < 0 ? cp_fail(&err) : run.findings ? CP_EXIT_UNHEALTHY : CP_EXIT_OK;
    if (rc == CP_OK && args->yes && run.unconfirmed > 0) {
        cp_message("%u partitions of critical tables are kept; --confirm=TABLE for each table lets them go",
                   run.unconfirmed);
        status = CP_EXIT_FAILED;
    }
    const int printed = maintain_report(&run, rc < 0 ? err.text : NULL);
    if (run.plan)
        cp_plan_free(run.plan);
    free(run.plan);
    cp_config_free(run.config);
    return status == CP_EXIT_OK ? printed : status;
}

static const struct argp_option maintain_options[] = {
    {"yes", OPTION_YES, NULL, 0, "Do it", 0},
    {"confirm", OPTION_CONFIRM, "TABLE", 0,
     "Partitions of this critical table may go, too; can be given several times", 0},
    {"cluster", OPTION_CLUSTER, "NAME", 0,
     "The tables are those of `coldpath schema apply --cluster NAME`: all shards are looked at, and dropped "
     "from ON "
     "CLUSTER NAME",
     0},
    {"dry-run", OPTION_DRY_RUN, NULL, 0, "Only say what would be done; so it is without --yes", 0},
    {0},
};

static error_t maintain_parse(int key, char *arg, struct argp_state *state)
{
    maintain_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_YES:
        args->yes = true;
        return 0;
    case OPTION_DRY_RUN:
        args->dry_run = true;
        return 0;
    case OPTION_CLUSTER:
        args->cluster = arg;
        return 0;
    case OPTION_CONFIRM:
        if (args->confirmed_count == MAX_CONFIRMED)
            argp_error(state, "--confirm can be given %d times", MAX_CONFIRMED);
        args->confirmed[args->confirmed_count++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one TABLE at a time, or none for all");
        args->table = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->cluster && (!*args->cluster || strlen(args->cluster) > CP_MAX_NAME))
            argp_error(state, "a cluster's name has 1 to %d bytes", CP_MAX_NAME);
        if (args->yes && args->dry_run)
            argp_error(state, "--yes or --dry-run?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_maintain(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = maintain_options,
                                     .parser = maintain_parse,
                                     .args_doc = "[TABLE]",
                                     .doc = "Drops the partitions in ClickHouse whose rows are all past "
                                            "their table's declared TTL, having rolled them up "
                                            "where the table has a roll-up; checks TTLs and counts parts.\v"
                                            "Without --yes it says what it would do. Exit codes: 0 done, or "
                                            "nothing to do; 1 failed, or critical "
                                            "partitions wait for --confirm; 2 a TTL on the server is not the "
                                            "declared one, a table is missing, or a "
                                            "partition has too many parts. Where ClickHouse's clock and this "
                                            "host's are more than five minutes "
                                            "apart, nothing is done.",
                                     .children = children};
    maintain_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    return maintain_execute(&args);
}
