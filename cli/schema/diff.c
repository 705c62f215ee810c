#include "cli/schema/diff.h"

#include <stdio.h>

json_object *cp_schema_drift_json(const char *database, const cp_drift *drift)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "database", database);
    cp_json_add_string(item, "object", drift->object);
    cp_json_add_string(item, "column", drift->column);
    cp_json_add_string(item, "what", drift->what);
    cp_json_add_string(item, "declared", drift->declared);
    cp_json_add_string(item, "server", drift->server);
    cp_json_add_string(item, "statement", drift->statement);
    cp_json_add_string(item, "remedy", drift->remedy);
    cp_json_add_bool(item, "refused", drift->statement == NULL);
    return item;
}

static void drift_print(const char *database, const cp_drift *drift)
{
    printf("%s.%s%s%s: %s", database, drift->object, drift->column ? "." : "",
           drift->column ? drift->column : "", drift->what);
    if (drift->declared && drift->server)
        printf(": declared %s, on the server %s", drift->declared, drift->server);
    else if (drift->declared)
        printf(": declared %s", drift->declared);
    else if (drift->server)
        printf(": on the server %s", drift->server);
    printf("\n    %s\n", drift->remedy);
}

static int diff_json(const cp_plan *plan)
{
    json_object *answer = cp_json_begin("schema");
    json_object *differences = json_object_new_array();
    json_object *missing = json_object_new_array();
    cp_json_add_string(answer, "action", "diff");
    for (uint32_t d = 0; d < plan->database_count; d++) {
        const cp_plan_database *database = &plan->databases[d];
        if (!database->catalog.there)
            cp_json_append_string(missing, database->catalog.database);
        for (uint32_t i = 0; i < database->drifts.count; i++)
            json_object_array_add(
                differences, cp_schema_drift_json(database->catalog.database, &database->drifts.items[i]));
    }
    json_object *left = json_object_new_array();
    for (uint32_t i = 0; i < plan->left_count; i++)
        cp_json_append_string(left, plan->left[i]->name);
    cp_json_add_bool(answer, "equal", cp_plan_count(plan) == 0);
    cp_json_add(answer, "databases_missing", missing);
    cp_json_add(answer, "differences", differences);
    cp_json_add(answer, "views_left_out", left);
    return cp_json_end(answer);
}

int cp_schema_diff(const cp_plan *plan, bool json)
{
    const uint32_t count = cp_plan_count(plan);
    int printed;
    if (json) {
        printed = diff_json(plan);
    } else {
        for (uint32_t d = 0; d < plan->database_count; d++) {
            const cp_plan_database *database = &plan->databases[d];
            if (!database->catalog.there)
                printf("%s: database missing\n    `coldpath schema apply` creates it\n",
                       database->catalog.database);
            for (uint32_t i = 0; i < database->drifts.count; i++)
                drift_print(database->catalog.database, &database->drifts.items[i]);
        }
        if (count == 0)
            puts("the server has what is declared");
        printed = cp_output_finish();
    }
    return printed != CP_EXIT_OK ? printed : count > 0 ? CP_EXIT_UNHEALTHY : CP_EXIT_OK;
}
