/* The keys under `pressure:` of a table: filled into what the recorder takes, and checked against each other and the table. */
#ifndef CP_RECORDER_CONFIG_PRESSURE_H
#define CP_RECORDER_CONFIG_PRESSURE_H

#include "recorder/config/layer.h"

/* The columns that a key of the table lists, by their names in its descriptor; what is none is added to the problems. */
void cp_config_resolve_columns(cp_config_layers *layers, uint32_t table, cp_config_table_key_id id,
                               const cp_table *descriptor, cp_column_list *out);

/* Fills marks, times and rungs; columns come with the check. */
void cp_config_pressure_fill(cp_pressure_config *out, const cp_config_layers *layers, uint32_t table);

/* Resolves the columns, of a lossy table, and adds what is wrong to the problems. */
void cp_config_pressure_check(cp_config_layers *layers, uint32_t table, cp_table_config *config);

#endif
