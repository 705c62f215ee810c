/* Where the region is, and, for verbs that need more of it, the configuration: --config, --region and what
 * they default to. */
#ifndef CP_CLI_PLACE_H
#define CP_CLI_PLACE_H

#include <limits.h>

#include "cli/cli.h"
#include "monitor/server.h"
#include "recorder/config/config.h"

/* Loads the configuration that the options name; its problems are printed to standard error, each with its
 * place. Errors: as cp_config_load. */
int cp_place_config(const cp_common *common, cp_config **out, cp_error *err);

/* For verbs that only read from ClickHouse, and do that on one server from their first statement to the last: where the first of
 * several endpoints cannot be reached, the next one that can takes its place in config; which one, and why, goes to standard error.
 * Where none can, the last one's error is left to the verb. A single endpoint is not asked. */
void cp_place_reachable(cp_config *config);

/* For verbs that write, and so ask the server that was meant or none: to an error of an endpoint that cannot be reached, *err adds
 * how the next of clickhouse.url is asked. verb: as it is typed, "init". */
void cp_place_name_next(const cp_config *config, const char *verb, cp_error *err);

/* The region's directory: --region as it is, else the configuration's. */
int cp_place_region(const cp_common *common, char path[PATH_MAX], cp_error *err);

/* The same with a configuration that is loaded already. */
int cp_place_region_of(const cp_common *common, const cp_config *config, char path[PATH_MAX], cp_error *err);

/* Whether both paths lead to one file that is there. */
bool cp_place_is_same_file(const char *a, const char *b);

/* What the configuration says of the monitor, borrowed; where it says nothing of an address, the default one. NULL: nothing. */
cp_monitor_config cp_place_monitor(const cp_config *config, const char *region);

#endif
