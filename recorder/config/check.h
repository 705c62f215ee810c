/* Rules that concern more than one value, checked when every source has been applied. */
#ifndef CP_RECORDER_CONFIG_CHECK_H
#define CP_RECORDER_CONFIG_CHECK_H

#include "recorder/config/layer.h"

/* Adds what is wrong to layers->problems. */
void cp_config_check(cp_config_layers *layers);

/* The place to complain about a value: where it was set, or where its table is declared. */
const cp_config_place *cp_config_table_place(const cp_config_layers *layers, uint32_t table,
                                             const cp_config_value *value);

#endif
