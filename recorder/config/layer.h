/* What every source has set so far: one value per key, and where it came from. Sources are applied in the
 * order of their rank and the last one wins; a value is checked when it is set, so that a mistake in a file
 * is found even when a later source overrides it.
 *
 *   global[key]                    clickhouse.url …
 *   defaults[table key]            table_defaults
 *   tables[i].values[table key]    tables.<name>
 */
#ifndef CP_RECORDER_CONFIG_LAYER_H
#define CP_RECORDER_CONFIG_LAYER_H

#include "recorder/config/config.h"
#include "recorder/config/key.h"
#include "recorder/config/problem.h"
#include "recorder/config/yaml.h"

typedef struct cp_config_value {
    bool set;
    uint64_t number;
    char *text; /* of text kinds */
    cp_config_place place;
} cp_config_value;

typedef struct cp_config_table_layer {
    char *name;
    cp_config_place place; /* where it is declared first */
    cp_config_value values[CP_TKEY_COUNT];
} cp_config_table_layer;

/* This is struct cp_config_origins of config.h: it stays with the configuration. */
typedef struct cp_config_origins {
    cp_config_value global[CP_KEY_COUNT];
    cp_config_value defaults[CP_TKEY_COUNT];
    cp_config_table_layer tables[CP_MAX_CONFIG_TABLES];
    uint32_t table_count;
    bool table_limit_told;
    uint32_t next_rank;
    cp_config_source *sources;
    cp_config_source *none; /* the source "default" */
    char *base_dir;         /* relative paths of files begin here */
    cp_config_problems problems;
} cp_config_layers;

int cp_config_layers_create(cp_config_layers **out);
void cp_config_layers_free(cp_config_layers *layers);

/* A new source of the next rank, owned by layers; NULL when out of memory. */
cp_config_source *cp_config_layers_source(cp_config_layers *layers, const char *name, bool is_file);

/* Applies a file's tree (NULL: an empty file). CP_OK, also with problems; CP_E_NOMEM. */
int cp_config_layers_apply(cp_config_layers *layers, const cp_yaml_node *root);

/* Sets one value from text; a refusal becomes a problem at place. CP_OK or CP_E_NOMEM. */
int cp_config_layers_set(cp_config_layers *layers, cp_config_value *value, const cp_config_key *key,
                         const char *text, size_t len, const cp_config_place *place);

/* The value of a table's key that holds in the end; *number of the default when none is set anywhere. Returns
 * the value that set it, or NULL for the default. */
const cp_config_value *cp_config_layers_table_value(const cp_config_layers *layers, uint32_t table,
                                                    cp_config_table_key_id id, uint64_t *number);

/* The same for a global key of a numeric kind. */
const cp_config_value *cp_config_layers_value(const cp_config_layers *layers, cp_config_key_id id,
                                              uint64_t *number);

#endif
