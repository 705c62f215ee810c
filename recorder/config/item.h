/* One key of a configuration with the value that holds, as text: what printing and comparing begin with. */
#ifndef CP_RECORDER_CONFIG_ITEM_H
#define CP_RECORDER_CONFIG_ITEM_H

#include "recorder/config/layer.h"

enum { CP_CONFIG_ITEM_ROOM = CP_MAX_CONFIG_VALUE + 64 };

typedef struct cp_config_item {
    const cp_config_key *key;
    bool present;                   /* else there is no value */
    char text[CP_CONFIG_ITEM_ROOM]; /* of a secret "(set)" or "(not set)" */
    char origin[CP_ERROR_TEXT];
} cp_config_item;

void cp_config_item_global(cp_config_item *it, const cp_config *config, cp_config_key_id id);
void cp_config_item_table(cp_config_item *it, const cp_config *config, uint32_t table,
                          cp_config_table_key_id id);

#endif
