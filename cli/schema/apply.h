/* `coldpath schema apply`: closes the differences of a plan, statement by statement, each noted in the table
 * coldpath_schema_history of its database when it has succeeded. Where one difference cannot be closed without loss,
 * nothing at all is done, and the plan for it is printed. */
#ifndef CP_CLI_SCHEMA_APPLY_H
#define CP_CLI_SCHEMA_APPLY_H

#include "cli/cli.h"
#include "cli/schema/plan.h"

/* Runs the plan, or with dry_run prints it as SQL. Returns an exit code: CP_EXIT_FAILED when something is refused, or
 * the server refused a statement. */
int cp_schema_apply(const cp_plan *plan, bool dry_run, bool json);

#endif
