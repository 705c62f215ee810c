/* See plan.h. */
#include "cli/schema/plan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/query_text.h"
#include "recorder/config_apply.h"
#include "schema/sql_write.h"

static const char *database_of(const cp_plan *plan, const cp_table *table)
{
    return table->database ? table->database : plan->config->database;
}

static cp_plan_database *database_find(cp_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->database_count; i++) {
        if (strcmp(plan->databases[i].catalog.database, name) == 0)
            return &plan->databases[i];
    }
    return NULL;
}

/* The database of that name, asked for at the first time. */
static int database_get(cp_plan *plan, const cp_sink_config *sink, const char *name, cp_plan_database **out,
                        cp_error *err)
{
    *out = database_find(plan, name);
    if (*out)
        return CP_OK;
    if (plan->database_count == CP_PLAN_DATABASES)
        return cp_error_set(err, CP_E_TOO_BIG, "the tables name more than %d databases", CP_PLAN_DATABASES);
    *out = &plan->databases[plan->database_count++];
    return cp_catalog_load(&(*out)->catalog, sink, name, plan->cluster, err);
}

/* ---- views ---------------------------------------------------------------------------------------------------- */

static int is_sql(const struct dirent *entry)
{
    const size_t len = strlen(entry->d_name);
    return len > 4 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 4, ".sql") == 0;
}

static int views_load(cp_plan *plan, cp_error *err)
{
    const cp_config *config = plan->config;
    struct dirent **names = NULL;
    char *dir = NULL;
    if (asprintf(&dir, "%s%s%s/views", config->schema_dir, config->schema_set ? "/" : "",
                 config->schema_set ? config->schema_set : "") < 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a path");
    int rc = CP_OK;
    const int found = scandir(dir, &names, is_sql, alphasort);
    if (found < 0 && errno != ENOENT)
        rc = cp_error_errno(err, CP_E_IO, errno, "cannot list the views in %s", dir);
    for (int i = 0; i < found; i++) {
        char *path = NULL;
        if (rc == CP_OK && plan->view_count == CP_PLAN_VIEWS)
            rc = cp_error_set(err, CP_E_TOO_BIG, "%s has more than %d views", dir, CP_PLAN_VIEWS);
        if (rc == CP_OK && asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0) {
            path = NULL;
            rc = cp_error_set(err, CP_E_NOMEM, "no memory for a path");
        }
        if (rc == CP_OK)
            rc = cp_view_load(&plan->views[plan->view_count], path, err);
        plan->view_count += rc == CP_OK;
        free(path);
        free(names[i]);
    }
    free(names);
    free(dir);
    return rc;
}

static bool is_declared(const cp_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->config->table_count; i++) {
        const cp_table *table = plan->config->tables[i].table;
        if (strcmp(cp_table_target(table), name) == 0 &&
            strcmp(database_of(plan, table), plan->config->database) == 0)
            return true;
    }
    return false;
}

/* Whether all that the view reads is declared, or a view that is done. */
static bool view_ready(const cp_plan *plan, const cp_view *view, const bool *done)
{
    for (uint32_t r = 0; r < view->read_count; r++) {
        bool ready = is_declared(plan, view->reads[r]);
        for (uint32_t v = 0; v < plan->view_count && !ready; v++)
            ready = done[v] && strcmp(plan->views[v]->name, view->reads[r]) == 0;
        if (!ready)
            return false;
    }
    return true;
}

/* CREATE OR REPLACE VIEW would drop a table of that name with its rows. */
static void view_compare(cp_plan_database *database, const cp_drift_target *target, const cp_view *view)
{
    uint64_t servers = 0;
    for (size_t i = 0; i < database->catalog.count; i++) {
        const cp_catalog_entry *held = &database->catalog.entries[i];
        if (strcmp(held->name, view->name) != 0)
            continue;
        servers += held->servers;
        if (strcmp(held->engine, "View") == 0) {
            cp_drift_view(&database->drifts, target, view, held->create);
            continue;
        }
        char why[1024];
        snprintf(
            why, sizeof why,
            "%.128s is a view here, but a %.64s on the server, and what that holds would be gone. Plan: "
            "RENAME TABLE %.128s TO %.128s_old, then `coldpath schema apply`; or give the view another name",
            view->name, held->engine, view->name, view->name);
        cp_drift_unreadable(&database->drifts, view->name, why);
    }
    if (servers < database->catalog.servers)
        cp_drift_view(&database->drifts, target, view, NULL);
}

/* Views in an order in which each finds what it reads; those that never do are left out. */
static void views_compare(cp_plan *plan, cp_plan_database *database)
{
    const cp_drift_target target = {database->catalog.database, plan->cluster,
                                    plan->cluster && database->catalog.all_replicas};
    bool done[CP_PLAN_VIEWS] = {false};
    for (bool more = true; more;) {
        more = false;
        for (uint32_t v = 0; v < plan->view_count; v++) {
            if (done[v] || !view_ready(plan, plan->views[v], done))
                continue;
            view_compare(database, &target, plan->views[v]);
            done[v] = more = true;
        }
    }
    cp_drifts_unify(&database->drifts);
    for (uint32_t v = 0; v < plan->view_count; v++) {
        if (!done[v])
            plan->left[plan->left_count++] = plan->views[v];
    }
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

/* What the server makes of a declaration: parentheses, arithmetic and the like as it writes them. NULL where it cannot say, as
 * servers before 22 cannot. */
static cp_table *declared_as_written(const cp_sink_config *sink, const cp_table *declared)
{
    char *sql = NULL;
    char *answer = NULL;
    size_t len = 0;
    cp_table *table = NULL;
    cp_error err = {0};
    FILE *out = open_memstream(&sql, &len);
    if (!out)
        return NULL;
    fputs("SELECT formatQuery(", out);
    cp_sql_write_text(out, declared->create);
    fputs(") FORMAT TSVRaw", out);
    if (fclose(out) == 0 && cp_query_text(sink, NULL, sql, &answer, &err) == CP_OK &&
        cp_table_parse(&table, declared->name, answer, strlen(answer), &err) < 0)
        table = NULL;
    free(answer);
    free(sql);
    return table;
}

/* One comparison: of the table itself, or of the Distributed one in front. */
typedef void compare_tables(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                            const cp_table *server);

/* Compares as declared; where that finds something, once more as the server would write the declaration. */
static void compare_twice(cp_drifts *drifts, const cp_sink_config *sink, const cp_drift_target *target,
                          const cp_table *declared, const cp_table *server, compare_tables *compare)
{
    const uint32_t before = drifts->count;
    compare(drifts, target, declared, server);
    const uint32_t found = drifts->count;
    cp_table *written = found > before ? declared_as_written(sink, declared) : NULL;
    if (!written)
        return;
    cp_table named = *written;
    named.name = declared->name;
    cp_drifts_cut(drifts, before);
    compare(drifts, target, &named, server);
    if (drifts->count == found) { /* they are real, and better shown in the declaration's own words */
        cp_drifts_cut(drifts, before);
        compare(drifts, target, declared, server);
    }
    cp_table_free(written);
}

/* Every form in which the servers have a table of that name, and that some do not have it. */
static int forms_compare(const cp_plan *plan, cp_plan_database *database, const cp_sink_config *sink,
                         const cp_table *declared, bool front, cp_error *err)
{
    const cp_drift_target target = {database->catalog.database, plan->cluster,
                                    plan->cluster && database->catalog.all_replicas};
    compare_tables *compare = front ? cp_drift_front : cp_drift_table;
    char name[CP_MAX_NAME + sizeof "_local"];
    uint64_t servers = 0;
    snprintf(name, sizeof name, "%s%s", declared->name, plan->cluster && !front ? "_local" : "");
    for (size_t i = 0; i < database->catalog.count; i++) {
        const cp_catalog_entry *held = &database->catalog.entries[i];
        cp_table *server = NULL;
        cp_error why = {0};
        if (strcmp(held->name, name) != 0)
            continue;
        servers += held->servers;
        if (cp_table_parse(&server, name, held->create, strlen(held->create), &why) == CP_OK)
            compare_twice(&database->drifts, sink, &target, declared, server, compare);
        else if (why.code == CP_E_NOMEM)
            return cp_error_set(err, CP_E_NOMEM, "no memory for a table");
        else
            cp_drift_unreadable(&database->drifts, name, why.text);
        cp_table_free(server);
    }
    if (servers < database->catalog.servers)
        compare(&database->drifts, &target, declared, NULL);
    return CP_OK;
}

/* In a cluster the rows are in name_local, and name is Distributed. */
static bool front_fits(cp_plan_database *database, const cp_table *table)
{
    for (size_t i = 0; i < database->catalog.count; i++) {
        const cp_catalog_entry *front = &database->catalog.entries[i];
        if (strcmp(front->name, table->name) != 0 || strcmp(front->engine, "Distributed") == 0)
            continue;
        char why[1024];
        snprintf(why, sizeof why,
                 "%.128s is a %.64s, where a cluster has a Distributed table. Plan: RENAME TABLE %.128s TO "
                 "%.128s_old; `coldpath schema apply --cluster`; INSERT INTO %.128s SELECT … FROM %.128s_old",
                 table->name, front->engine, table->name, table->name, table->name, table->name);
        cp_drift_unreadable(&database->drifts, table->name, why);
        return false;
    }
    return true;
}

static int table_compare(const cp_plan *plan, cp_plan_database *database, const cp_sink_config *sink,
                         const cp_table *table, cp_error *err)
{
    cp_table by_target = *table; /* of a version: the server knows the table, not the version's name */
    by_target.name = table->target ? table->target : table->name;
    if (plan->cluster && !front_fits(database, &by_target))
        return CP_OK;
    int rc = forms_compare(plan, database, sink, &by_target, false, err);
    if (rc == CP_OK && plan->cluster)
        rc = forms_compare(plan, database, sink, &by_target, true, err);
    cp_drifts_unify(&database->drifts);
    return rc;
}

int cp_plan_make(cp_plan *plan, cp_error *err)
{
    cp_sink_config sink;
    cp_plan_database *database = NULL;
    cp_config_sink(plan->config, &sink);
    int rc = plan->table ? CP_OK : views_load(plan, err);
    for (uint32_t i = 0; i < plan->config->table_count && rc == CP_OK; i++) {
        const cp_table *table = plan->config->tables[i].table;
        if (!cp_config_is_latest(plan->config, i) ||
            (plan->table && strcmp(cp_table_target(table), plan->table) != 0))
            continue;
        rc = database_get(plan, &sink, database_of(plan, table), &database, err);
        if (rc == CP_OK)
            rc = table_compare(plan, database, &sink, table, err);
    }
    if (rc == CP_OK && plan->view_count > 0)
        rc = database_get(plan, &sink, plan->config->database, &database, err);
    if (rc == CP_OK && plan->view_count > 0)
        views_compare(plan, database);
    for (uint32_t i = 0; i < plan->database_count && rc == CP_OK; i++) {
        if (plan->databases[i].drifts.no_memory)
            rc = cp_error_set(err, CP_E_NOMEM, "no memory for the differences");
    }
    return rc;
}

uint32_t cp_plan_count(const cp_plan *plan)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->database_count; i++)
        count += plan->databases[i].drifts.count + !plan->databases[i].catalog.there;
    return count;
}

uint32_t cp_plan_refused(const cp_plan *plan)
{
    uint32_t refused = 0;
    for (uint32_t i = 0; i < plan->database_count; i++)
        refused += cp_drifts_refused(&plan->databases[i].drifts);
    return refused;
}

void cp_plan_free(cp_plan *plan)
{
    for (uint32_t i = 0; i < plan->database_count; i++) {
        cp_catalog_free(&plan->databases[i].catalog);
        cp_drifts_clear(&plan->databases[i].drifts);
    }
    for (uint32_t i = 0; i < plan->view_count; i++)
        cp_view_free(plan->views[i]);
    plan->database_count = plan->view_count = plan->left_count = 0;
}
