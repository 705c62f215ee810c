/* See layer.h. */
#include "recorder/config/layer.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 128 };

int cp_config_layers_create(cp_config_layers **out)
{
    cp_config_layers *layers = calloc(1, sizeof *layers);
    *out = layers;
    if (!layers)
        return CP_E_NOMEM;
    layers->none = cp_config_layers_source(layers, "default", false);
    return layers->none ? CP_OK : CP_E_NOMEM;
}

static void free_values(cp_config_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i].text)
            explicit_bzero(values[i].text, strlen(values[i].text));
        free(values[i].text);
    }
}

void cp_config_layers_free(cp_config_layers *layers)
{
    if (!layers)
        return;
    free_values(layers->global, CP_KEY_COUNT);
    free_values(layers->defaults, CP_TKEY_COUNT);
    for (uint32_t i = 0; i < layers->table_count; i++) {
        free_values(layers->tables[i].values, CP_TKEY_COUNT);
        free(layers->tables[i].name);
    }
    while (layers->sources) {
        cp_config_source *next = layers->sources->next;
        if (layers->sources->text)
            explicit_bzero(layers->sources->text, layers->sources->len);
        free(layers->sources->text);
        free(layers->sources->name);
        free(layers->sources);
        layers->sources = next;
    }
    cp_config_problems_clear(&layers->problems);
    free(layers->base_dir);
    free(layers);
}

cp_config_source *cp_config_layers_source(cp_config_layers *layers, const char *name, bool is_file)
{
    cp_config_source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->name = strdup(name);
    if (!source->name) {
        free(source);
        return NULL;
    }
    source->rank = layers->next_rank++;
    source->is_file = is_file;
    source->next = layers->sources;
    layers->sources = source;
    return source;
}

/* ---- setting ------------------------------------------------------------------------------------------- */

static char *resolve_path(const cp_config_layers *layers, const char *text, size_t len, bool in_file)
{
    char *path = NULL;
    if (in_file && text[0] != '/' && layers->base_dir && strcmp(layers->base_dir, ".") != 0) {
        if (asprintf(&path, "%s/%.*s", layers->base_dir, (int)len, text) < 0)
            return NULL;
        return path;
    }
    return strndup(text, len);
}

/* Written alike however they were written: "a, b", without a slash at the end of each. */
static char *urls_text(const char *text, size_t len)
{
    char *kept = malloc(2 * len + 1); /* a comma may gain a blank */
    size_t used = 0;
    for (size_t at = 0; kept && at < len; at += strspn(text + at, ", ")) {
        const size_t begin = at;
        while (at < len && text[at] != ',' && text[at] != ' ')
            at++;
        const size_t size = at - begin - (at > begin && text[at - 1] == '/');
        if (used > 0) {
            memcpy(kept + used, ", ", 2);
            used += 2;
        }
        memcpy(kept + used, text + begin, size);
        used += size;
    }
    if (kept)
        kept[used] = '\0';
    return kept;
}

static char *keep_text(const cp_config_layers *layers, const cp_config_key *key, const char *text, size_t len,
                       bool in_file)
{
    if (key->kind == CP_CONFIG_PATH)
        return resolve_path(layers, text, len, in_file);
    if (key->kind == CP_CONFIG_URLS)
        return urls_text(text, len);
    return strndup(text, len);
}

static bool is_text_kind(cp_config_kind kind)
{
    return kind == CP_CONFIG_TEXT || kind == CP_CONFIG_NAME || kind == CP_CONFIG_PATH ||
           kind == CP_CONFIG_URLS || kind == CP_CONFIG_NAMES || kind == CP_CONFIG_LISTEN;
}

/* The text may be set; else the problem is added. */
static bool check_value(cp_config_layers *layers, const cp_config_key *key, const char *text, size_t len,
                        const cp_config_place *place, uint64_t *number)
{
    cp_config_place shown = *place;
    cp_config_refusal why = {"", ""};
    shown.hidden = key->secret;
    if (!cp_config_value_parse(key, text, len, number, &why)) {
        cp_config_problem_add(&layers->problems, &shown, why.remedy, "%s", why.what);
        return false;
    }
    if (key->secret && place->source->world_readable) {
        cp_config_problem_add(&layers->problems, &shown,
                              "chmod o= the file, or move the password into one of its own: password_file",
                              "%s stands in a file that everyone can read", key->path);
        return false;
    }
    return true;
}

int cp_config_layers_set(cp_config_layers *layers, cp_config_value *value, const cp_config_key *key,
                         const char *text, size_t len, const cp_config_place *place)
{
    uint64_t number = 0;
    if (!check_value(layers, key, text, len, place, &number))
        return CP_OK;
    char *kept = NULL;
    if (is_text_kind(key->kind) && !(kept = keep_text(layers, key, text, len, place->source->is_file)))
        return CP_E_NOMEM;
    free_values(value, 1);
    *value = (cp_config_value){.set = true, .number = number, .text = kept, .place = *place};
    return CP_OK;
}

/* ---- walking a file ------------------------------------------------------------------------------------ */

static const char *const top_names[] = {"table_defaults", "tables", NULL};

static void add_unknown(cp_config_layers *layers, const cp_config_key *keys, int count, const char *section,
                        const char *where, const cp_yaml_node *key, const char *const *extra)
{
    char shown[80], near[PATH_ROOM], remedy[PATH_ROOM + 32] = "";
    if (!*section && keys == cp_config_table_keys &&
        cp_config_key_find(cp_config_keys, CP_KEY_COUNT, key->text) != CP_CONFIG_UNKNOWN)
        snprintf(remedy, sizeof remedy, "\"%s\" belongs at the top, not to a table", key->text);
    else if (cp_config_key_suggest(keys, count, section, key->text, extra, near, sizeof near))
        snprintf(remedy, sizeof remedy, "did you mean \"%s\"?", near);
    cp_config_problem_add(&layers->problems, &key->place, remedy, "unknown key \"%s\"%s%s",
                          cp_config_quote(shown, sizeof shown, key->text, key->len), *where ? " in " : "",
                          where);
}

static void add_not_mapping(cp_config_layers *layers, const cp_yaml_node *node, const char *what)
{
    cp_config_problem_add(&layers->problems, &node->place,
                          "write its keys below it, each on a line, indented",
                          "%s has to be a section with keys of its own", what);
}

static int set_from_node(cp_config_layers *layers, cp_config_value *value, const cp_config_key *key,
                         const cp_yaml_node *node)
{
    const bool list = key->kind == CP_CONFIG_NAMES || key->kind == CP_CONFIG_URLS;
    if (node->kind != CP_YAML_SCALAR && !(list && node->kind == CP_YAML_SEQUENCE && !node->nested)) {
        cp_config_problem_add(&layers->problems, &node->place,
                              list ? "write [a, b]" : "write one value behind the colon",
                              list ? "%s takes a list of %s" : "%s takes a single value", key->path,
                              key->kind == CP_CONFIG_URLS ? "URLs" : "names");
        return CP_OK;
    }
    if (key->kind == CP_CONFIG_URLS && key->fallback && node->kind == CP_YAML_SEQUENCE && node->len == 0) {
        cp_config_problem_add(&layers->problems, &node->place,
                              "name at least one, or leave the key out for the default",
                              "%s is an empty list", key->path);
        return CP_OK;
    }
    if (node->null || !node->text) { /* back to the default */
        free_values(value, 1);
        *value = (cp_config_value){.set = false};
        return CP_OK;
    }
    return cp_config_layers_set(layers, value, key, node->text, node->len, &node->place);
}

/* One mapping of keys below section ("" at the top), called where in messages; sections inside are walked
 * too. */
static int apply_mapping(cp_config_layers *layers, const cp_config_key *keys, int count,
                         cp_config_value *values, const char *section, const char *where,
                         const cp_yaml_node *mapping)
{
    int rc = CP_OK;
    for (uint32_t i = 0; i < mapping->count && rc == CP_OK; i++) {
        const cp_yaml_node *key = mapping->entries[i].key, *node = mapping->entries[i].value;
        const bool top = keys == cp_config_keys && !*section;
        if (top && (strcmp(key->text, "tables") == 0 || strcmp(key->text, "table_defaults") == 0))
            continue;
        char path[PATH_ROOM], inner[PATH_ROOM + CP_MAX_NAME];
        snprintf(path, sizeof path, "%s%s%s", section, *section ? "." : "", key->text);
        snprintf(inner, sizeof inner, "%s%s%s", where, *where ? "." : "", key->text);
        const int found = key->len < PATH_ROOM / 2 && !strchr(key->text, '.') && strlen(key->text) == key->len
                              ? cp_config_key_find(keys, count, path)
                              : CP_CONFIG_UNKNOWN;
        if (found >= 0)
            rc = set_from_node(layers, &values[found], &keys[found], node);
        else if (found == CP_CONFIG_UNKNOWN)
            add_unknown(layers, keys, count, section, where, key, top ? top_names : NULL);
        else if (node->kind == CP_YAML_MAPPING)
            rc = apply_mapping(layers, keys, count, values, path, inner, node);
        else if (!node->null)
            add_not_mapping(layers, node, inner);
    }
    return rc;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

static bool table_name_is_good(const char *name, size_t len)
{
    if (len == 0 || len > CP_MAX_CONFIG_NAME || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", name[i]) ||
            name[i] == '\0')
            return false;
    return true;
}

/* The table's layer, made when it is new; *out is NULL when its name or number is refused. */
static int declare_table(cp_config_layers *layers, const cp_yaml_node *key, cp_config_table_layer **out)
{
    char shown[80];
    *out = NULL;
    if (!table_name_is_good(key->text, key->len)) {
        cp_config_problem_add(
            &layers->problems, &key->place, "letters, digits and _, at most 63, no digit first",
            "\"%s\" cannot name a table here", cp_config_quote(shown, sizeof shown, key->text, key->len));
        return CP_OK;
    }
    for (uint32_t i = 0; i < layers->table_count; i++) {
        if (strcmp(layers->tables[i].name, key->text) == 0) {
            *out = &layers->tables[i];
            return CP_OK;
        }
    }
    if (layers->table_count == CP_MAX_CONFIG_TABLES) {
        if (!layers->table_limit_told)
            cp_config_problem_add(&layers->problems, &key->place, "at most 256; use a second namespace",
                                  "too many tables");
        layers->table_limit_told = true;
        return CP_OK;
    }
    cp_config_table_layer *table = &layers->tables[layers->table_count];
    table->name = strdup(key->text);
    if (!table->name)
        return CP_E_NOMEM;
    table->place = key->place;
    layers->table_count++;
    *out = table;
    return CP_OK;
}

static int apply_tables(cp_config_layers *layers, const cp_yaml_node *tables)
{
    if (tables->kind != CP_YAML_MAPPING) {
        if (!tables->null)
            cp_config_problem_add(&layers->problems, &tables->place,
                                  "write tables: { quotes: {}, trades: {} }",
                                  "tables has to be a section with one key per table");
        return CP_OK;
    }
    int rc = CP_OK;
    for (uint32_t i = 0; i < tables->count && rc == CP_OK; i++) {
        const cp_yaml_node *key = tables->entries[i].key, *node = tables->entries[i].value;
        cp_config_table_layer *table = NULL;
        char where[CP_MAX_NAME + 16];
        rc = declare_table(layers, key, &table);
        if (rc < 0 || !table)
            continue;
        snprintf(where, sizeof where, "tables.%s", table->name);
        if (node->kind == CP_YAML_MAPPING)
            rc = apply_mapping(layers, cp_config_table_keys, CP_TKEY_COUNT, table->values, "", where, node);
        else if (!node->null)
            add_not_mapping(layers, node, where);
    }
    return rc;
}

static int apply_defaults(cp_config_layers *layers, const cp_yaml_node *node)
{
    if (node->kind != CP_YAML_MAPPING) {
        if (!node->null)
            add_not_mapping(layers, node, "table_defaults");
        return CP_OK;
    }
    return apply_mapping(layers, cp_config_table_keys, CP_TKEY_COUNT, layers->defaults, "", "table_defaults",
                         node);
}

int cp_config_layers_apply(cp_config_layers *layers, const cp_yaml_node *root)
{
    if (!root || root->null)
        return CP_OK;
    if (root->kind != CP_YAML_MAPPING) {
        cp_config_problem_add(&layers->problems, &root->place, "begin with namespace: NAME",
                              "the configuration has to be keys with values");
        return CP_OK;
    }
    int rc = apply_mapping(layers, cp_config_keys, CP_KEY_COUNT, layers->global, "", "", root);
    for (uint32_t i = 0; i < root->count && rc == CP_OK; i++) {
        const char *key = root->entries[i].key->text;
        if (strcmp(key, "tables") == 0)
            rc = apply_tables(layers, root->entries[i].value);
        else if (strcmp(key, "table_defaults") == 0)
            rc = apply_defaults(layers, root->entries[i].value);
    }
    return rc;
}

/* ---- what holds in the end ----------------------------------------------------------------------------- */

static uint64_t parse_fallback(const cp_config_key *key, const char *text)
{
    cp_config_refusal why;
    uint64_t number = 0;
    if (text && !is_text_kind(key->kind))
        (void)cp_config_value_parse(key, text, strlen(text), &number, &why);
    return number;
}

const cp_config_value *cp_config_layers_value(const cp_config_layers *layers, cp_config_key_id id,
                                              uint64_t *number)
{
    const cp_config_value *value = &layers->global[id];
    *number = value->set ? value->number : parse_fallback(&cp_config_keys[id], cp_config_keys[id].fallback);
    return value->set ? value : NULL;
}

const cp_config_value *cp_config_layers_table_value(const cp_config_layers *layers, uint32_t table,
                                                    cp_config_table_key_id id, uint64_t *number)
{
    const cp_config_value *value = &layers->tables[table].values[id];
    if (!value->set)
        value = &layers->defaults[id];
    if (value->set) {
        *number = value->number;
        return value;
    }
    uint64_t class = CP_CLASS_LOSSY;
    if (id != CP_TKEY_CLASS)
        cp_config_layers_table_value(layers, table, CP_TKEY_CLASS, &class);
    *number =
        parse_fallback(&cp_config_table_keys[id], cp_config_table_fallback(id, class == CP_CLASS_CRITICAL));
    if (id == CP_TKEY_ROW_MAX) { /* a small ring brings it down with it */
        uint64_t ring = 0;
        cp_config_layers_table_value(layers, table, CP_TKEY_RING_SIZE, &ring);
        if (*number > ring / 4)
            *number = ring / 4;
    }
    return NULL;
}
