/* `coldpath schema diff`: the differences between what is declared and what the server has, in words and as JSON. */
#ifndef CP_CLI_SCHEMA_DIFF_H
#define CP_CLI_SCHEMA_DIFF_H

#include "cli/cli.h"
#include "cli/schema/plan.h"

/* Prints the plan's differences. Returns CP_EXIT_OK when there are none, CP_EXIT_UNHEALTHY when there are. */
int cp_schema_diff(const cp_plan *plan, bool json);

/* One difference as JSON: table, column, what, declared, server, statement, remedy. */
json_object *cp_schema_drift_json(const char *database, const cp_drift *drift);

#endif
