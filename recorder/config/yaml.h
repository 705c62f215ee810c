/* YAML text as a tree with positions.
 *
 * libfyaml's events become nodes; an alias is a pointer to the anchored node, so anchors can multiply
 * nothing; merge keys (<<) copy entry pointers under a total limit. What a configuration has no use for is
 * refused: tags, several documents, keys that are not plain text, the same key twice. The text is untrusted:
 * everything is bounded. */
#ifndef CP_RECORDER_CONFIG_YAML_H
#define CP_RECORDER_CONFIG_YAML_H

#include "recorder/config/problem.h"

enum {
    CP_MAX_YAML_NODES = 64 * 1024,
    CP_MAX_YAML_ENTRIES = 1024, /* of one mapping: 256 tables and room for mistakes */
    CP_MAX_YAML_DEPTH = 16,     /* the configuration itself has four levels */
    CP_MAX_YAML_ANCHORS = 256,
    CP_MAX_YAML_MERGED = 16 * 1024 /* entries copied by all merge keys */
};

typedef enum cp_yaml_kind { CP_YAML_SCALAR, CP_YAML_MAPPING, CP_YAML_SEQUENCE } cp_yaml_kind;

typedef struct cp_yaml_entry {
    struct cp_yaml_node *key; /* a scalar */
    struct cp_yaml_node *value;
} cp_yaml_entry;

typedef struct cp_yaml_node {
    cp_yaml_kind kind;
    bool null; /* a plain scalar that is empty, ~ or null */
    cp_config_place place;
    char *
        text; /* of a scalar, with a NUL behind it; may hold others. Of a sequence, its scalars: "a, b"; NULL: none */
    size_t len;
    bool nested;            /* a sequence that holds more than scalars, or too many of them */
    cp_yaml_entry *entries; /* of a mapping, in the order of the file */
    uint32_t count;
    uint32_t capacity;
    struct cp_yaml_node *next; /* of all nodes, for freeing */
} cp_yaml_node;

/* Parses source->text. On success *root is the tree, or NULL for an empty file; free it with
 * cp_yaml_free(*all), which owns every node. Problems found on the way are added; with a syntax error there
 * is no tree and the result is CP_E_CONFIG. Also CP_E_NOMEM. */
int cp_yaml_parse(const cp_config_source *source, cp_yaml_node **root, cp_yaml_node **all,
                  cp_config_problems *problems);

void cp_yaml_free(cp_yaml_node *all);

#endif
