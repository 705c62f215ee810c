/* See print.h. */
#include "recorder/config/print.h"

#include <json-c/json.h>
#include <string.h>

#include "recorder/config/layer.h"

enum { ITEM_ROOM = CP_MAX_CONFIG_VALUE + 64, ORIGIN_COLUMN = 44 };

/* One key ready to print. */
typedef struct item {
    const cp_config_key *key;
    bool present; /* else there is no value: ~ or null */
    char text[ITEM_ROOM];
    char origin[CP_ERROR_TEXT];
} item;

static void set_origin(item *it, const cp_config_value *value)
{
    if (value)
        cp_config_place_format(&value->place, it->origin, sizeof it->origin);
    else
        snprintf(it->origin, sizeof it->origin, "default");
}

static void set_text(item *it, const char *text)
{
    it->present = text != NULL;
    snprintf(it->text, sizeof it->text, "%s", text ? text : "");
}

static void fill_global(item *it, const cp_config *config, cp_config_key_id id)
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

static void fill_table(item *it, const cp_config *config, uint32_t table, cp_config_table_key_id id)
{
    uint64_t number = 0;
    const cp_config_value *value = cp_config_layers_table_value(config->origins, table, id, &number);
    it->key = &cp_config_table_keys[id];
    it->present = true;
    set_origin(it, value);
    if (id == CP_TKEY_DDL)
        set_text(it, config->tables[table].ddl);
    else
        cp_config_value_format(it->key, number, it->text, sizeof it->text);
}

/* ---- YAML ---------------------------------------------------------------------------------------------- */

/* Text as a YAML scalar: in double quotes unless it is plainly harmless. Returns the bytes written. */
static int print_scalar(FILE *out, const char *text)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./()-";
    const char *rest = text + strspn(text, harmless);
    if ((*rest == '\0' || strncmp(rest, "://", 3) == 0) && *text && *text != '-')
        return fprintf(out, "%s", text);
    int n = fprintf(out, "\"");
    for (; *text; text++)
        n += fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    return n + fprintf(out, "\"");
}

/* section is the one that is open; the key's own section line is printed when it begins. */
static void print_item(FILE *out, const item *it, int indent, const char **section, bool origin)
{
    const char *path = it->key->path, *dot = strchr(path, '.');
    if (dot && (!*section || strncmp(*section, path, (size_t)(dot - path) + 1) != 0)) {
        fprintf(out, "%*s%.*s:\n", indent, "", (int)(dot - path), path);
        *section = path;
    }
    int n = fprintf(out, "%*s%s: ", indent + (dot ? 2 : 0), "", dot ? dot + 1 : path);
    n += it->present ? print_scalar(out, it->text) : fprintf(out, "~");
    if (origin)
        fprintf(out, "%*s# %s", n < ORIGIN_COLUMN ? ORIGIN_COLUMN - n : 1, "", it->origin);
    fputc('\n', out);
}

void cp_config_print_yaml(const cp_config *config, FILE *out, bool origin)
{
    item it;
    const char *section = NULL;
    for (int id = 0; id < CP_KEY_COUNT; id++) {
        fill_global(&it, config, (cp_config_key_id)id);
        if (it.key->secret) /* as a comment, so that the output reads back */
            fprintf(out, "  # %s: %s%s%s\n", strchr(it.key->path, '.') + 1, it.text, origin ? "  # " : "",
                    origin ? it.origin : "");
        else
            print_item(out, &it, 0, &section, origin);
    }
    fprintf(out, "tables:\n");
    for (uint32_t table = 0; table < config->table_count; table++) {
        fprintf(out, "  %s:\n", config->tables[table].name);
        section = NULL;
        for (int id = 0; id < CP_TKEY_COUNT; id++) {
            fill_table(&it, config, table, (cp_config_table_key_id)id);
            print_item(out, &it, 4, &section, origin);
        }
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static void add_item(struct json_object *object, const item *it, bool origin)
{
    struct json_object *value = NULL;
    if (it->present && it->key->kind == CP_CONFIG_COUNT)
        value = json_object_new_uint64(strtoull(it->text, NULL, 10));
    else if (it->present)
        value = json_object_new_string(it->text);
    if (origin) {
        struct json_object *pair = json_object_new_object();
        json_object_object_add(pair, "value", value);
        json_object_object_add(pair, "origin", json_object_new_string(it->origin));
        value = pair;
    }
    json_object_object_add(object, it->key->path, value);
}

void cp_config_print_json(const cp_config *config, FILE *out, bool origin)
{
    item it;
    struct json_object *root = json_object_new_object(), *values = json_object_new_object();
    struct json_object *tables = json_object_new_object();
    for (int id = 0; id < CP_KEY_COUNT; id++) {
        fill_global(&it, config, (cp_config_key_id)id);
        add_item(values, &it, origin);
    }
    for (uint32_t table = 0; table < config->table_count; table++) {
        struct json_object *object = json_object_new_object();
        for (int id = 0; id < CP_TKEY_COUNT; id++) {
            fill_table(&it, config, table, (cp_config_table_key_id)id);
            add_item(object, &it, origin);
        }
        json_object_object_add(tables, config->tables[table].name, object);
    }
    json_object_object_add(root, "schema_version", json_object_new_int(1));
    json_object_object_add(root, "file", json_object_new_string(config->path));
    json_object_object_add(root, "values", values);
    json_object_object_add(root, "tables", tables);
    fprintf(out, "%s\n",
            json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(root);
}
