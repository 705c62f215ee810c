/* See print.h. */
#include "recorder/config/print.h"

#include <json-c/json.h>
#include <string.h>

#include "base/utf8.h"
#include "recorder/config/item.h"

enum { ORIGIN_COLUMN = 44 };

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

/* section is the path printed last; the lines of the key's own sections are printed where they begin. */
static void print_item(FILE *out, const cp_config_item *it, int indent, const char **section, bool origin)
{
    const char *path = it->key->path, *name = path, *dot;
    for (; (dot = strchr(name, '.')); name = dot + 1, indent += 2) {
        if (!*section || strncmp(*section, path, (size_t)(dot - path) + 1) != 0)
            fprintf(out, "%*s%.*s:\n", indent, "", (int)(dot - name), name);
    }
    *section = path;
    int n = fprintf(out, "%*s%s: ", indent, "", name);
    n += it->present ? print_scalar(out, it->text) : fprintf(out, "~");
    if (origin)
        fprintf(out, "%*s# %s", n < ORIGIN_COLUMN ? ORIGIN_COLUMN - n : 1, "", it->origin);
    fputc('\n', out);
}

void cp_config_print_yaml(const cp_config *config, FILE *out, bool origin)
{
    cp_config_item it;
    const char *section = NULL;
    for (int id = 0; id < CP_KEY_COUNT; id++) {
        cp_config_item_global(&it, config, (cp_config_key_id)id);
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
            cp_config_item_table(&it, config, table, (cp_config_table_key_id)id);
            print_item(out, &it, 4, &section, origin);
        }
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

/* Paths may have any bytes: a parser would refuse the whole document. */
static struct json_object *json_text(const char *text)
{
    char *clean = text ? strdup(text) : NULL;
    if (!clean)
        return NULL;
    cp_utf8_clean(clean);
    struct json_object *object = json_object_new_string(clean);
    free(clean);
    return object;
}

static void add_item(struct json_object *object, const cp_config_item *it, bool origin)
{
    struct json_object *value = NULL;
    if (it->present && it->key->kind == CP_CONFIG_COUNT)
        value = json_object_new_uint64(strtoull(it->text, NULL, 10));
    else if (it->present)
        value = json_text(it->text);
    if (origin) {
        struct json_object *pair = json_object_new_object();
        json_object_object_add(pair, "value", value);
        json_object_object_add(pair, "origin", json_text(it->origin));
        value = pair;
    }
    json_object_object_add(object, it->key->path, value);
}

struct json_object *cp_config_json(const cp_config *config, bool origin)
{
    cp_config_item it;
    struct json_object *root = json_object_new_object(), *values = json_object_new_object();
    struct json_object *tables = json_object_new_object();
    for (int id = 0; id < CP_KEY_COUNT; id++) {
        cp_config_item_global(&it, config, (cp_config_key_id)id);
        add_item(values, &it, origin);
    }
    for (uint32_t table = 0; table < config->table_count; table++) {
        struct json_object *object = json_object_new_object();
        for (int id = 0; id < CP_TKEY_COUNT; id++) {
            cp_config_item_table(&it, config, table, (cp_config_table_key_id)id);
            add_item(object, &it, origin);
        }
        json_object_object_add(tables, config->tables[table].name, object);
    }
    json_object_object_add(root, "schema_version", json_object_new_int(1));
    json_object_object_add(root, "file", json_text(config->path));
    json_object_object_add(root, "values", values);
    json_object_object_add(root, "tables", tables);
    return root;
}

void cp_config_print_json(const cp_config *config, FILE *out, bool origin)
{
    struct json_object *root = cp_config_json(config, origin);
    fprintf(out, "%s\n",
            json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(root);
}
