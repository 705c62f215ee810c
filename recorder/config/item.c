/* See item.h. */
#include "recorder/config/item.h"

#include <stdio.h>
#include <string.h>

static void set_origin(cp_config_item *it, const cp_config_value *value)
{
    if (value)
        cp_config_place_format(&value->place, it->origin, sizeof it->origin);
    else
        snprintf(it->origin, sizeof it->origin, "default");
}

static void set_text(cp_config_item *it, const char *text)
{
    it->present = text != NULL;
    snprintf(it->text, sizeof it->text, "%s", text ? text : "");
}

void cp_config_item_global(cp_config_item *it, const cp_config *config, cp_config_key_id id)
{
    const cp_config_layers *layers = config->origins;
    const cp_config_value *value = &layers->global[id];
    it->key = &cp_config_keys[id];
    set_origin(it, value->set ? value : NULL);
    if (it->key->secret) {
        set_text(it, value->set ? "(set)" : "(not set)");
    } else if (id == CP_KEY_DATABASE) {
        set_text(it, config->database);
    } else if (id == CP_KEY_USER) {
        set_text(it, config->user);
    } else if (value->set && value->text) {
        set_text(it, value->text);
    } else if (value->set) {
        it->present = true;
        cp_config_value_format(it->key, value->number, it->text, sizeof it->text);
    } else {
        set_text(it, it->key->fallback);
    }
}

void cp_config_item_table(cp_config_item *it, const cp_config *config, uint32_t table,
                          cp_config_table_key_id id)
{
    uint64_t number = 0;
    const cp_config_value *value = cp_config_layers_table_value(config->origins, table, id, &number);
    it->key = &cp_config_table_keys[id];
    it->present = true;
    set_origin(it, value);
    if (id == CP_TKEY_DDL)
        set_text(it, config->tables[table].ddl);
    else if (it->key->kind == CP_CONFIG_NAMES || id == CP_TKEY_VERSION_OF)
        set_text(it, value ? value->text : NULL);
    else
        cp_config_value_format(it->key, number, it->text, sizeof it->text);
}
