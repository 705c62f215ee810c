/* The effective configuration as text: YAML that reads back as the same configuration (secrets aside), or
 * JSON. */
#ifndef CP_RECORDER_CONFIG_PRINT_H
#define CP_RECORDER_CONFIG_PRINT_H

#include "recorder/config/config.h"

/* One key per line, in sections; with origin a comment behind each: "# coldpath.yaml:3:8", "#
 * $COLDPATH_LOG__LEVEL",
 * "# default". */
void cp_config_print_yaml(const cp_config *config, FILE *out, bool origin);

/* {"schema_version": 1, "file": …, "values": {"clickhouse.url": …}, "tables": {"quotes": {"flush.rows": …}}};
 * with origin each value is {"value": …, "origin": …}. Counts are numbers, sizes and times text with their
 * unit. */
void cp_config_print_json(const cp_config *config, FILE *out, bool origin);

/* The same as an object, which the caller owns. */
struct json_object *cp_config_json(const cp_config *config, bool origin);

#endif
