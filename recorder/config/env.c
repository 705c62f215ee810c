/* See env.h. */
#include "recorder/config/env.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFIX "COLDPATH_"

enum { NAME_ROOM = 192, MAX_SECONDS = 3600 };

static int place_of(cp_config_layers *layers, const char *name, cp_config_place *place)
{
    char shown[NAME_ROOM + 2];
    snprintf(shown, sizeof shown, "$%.*s", NAME_ROOM, name);
    *place = (cp_config_place){.source = cp_config_layers_source(layers, shown, false)};
    return place->source ? CP_OK : CP_E_NOMEM;
}

static const char *find_variable(char *const *environment, const char *name)
{
    const size_t len = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return (*environment)[len + 1] ? *environment + len + 1 : NULL; /* empty counts as not set */
    return NULL;
}

/* ---- older recorders' variables ------------------------------------------------------------------------ */

/* "0.5" seconds as "500ms"; false when it is not a number of seconds with at most three decimals. */
static bool seconds_to_text(const char *seconds, char *out, size_t size)
{
    uint64_t ms = 0;
    int decimals = -1;
    for (const char *c = seconds; *c; c++) {
        if (*c == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (!isdigit((unsigned char)*c) || decimals == 3 || ms > (uint64_t)MAX_SECONDS * 1000)
            return false;
        ms = ms * 10 + (uint64_t)(*c - '0');
        decimals += decimals >= 0;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 3; i++)
        ms *= 10;
    snprintf(out, size, "%llums", (unsigned long long)ms);
    return *seconds != '\0';
}

static int set_older(cp_config_layers *layers, const char *variable, const char *text, cp_config_value *value,
                     const cp_config_key *key)
{
    cp_config_place place;
    if (place_of(layers, variable, &place) < 0)
        return CP_E_NOMEM;
    return cp_config_layers_set(layers, value, key, text, strlen(text), &place);
}

static int apply_older_text(cp_config_layers *layers, char *const *environment)
{
    static const struct {
        const char *variable;
        cp_config_key_id key;
    } older[] = {{"CH_URL", CP_KEY_URL},
                 {"CH_USER", CP_KEY_USER},
                 {"CH_PASS", CP_KEY_PASSWORD},
                 {"CH_DB", CP_KEY_DATABASE}};
    int rc = CP_OK;
    for (size_t i = 0; i < sizeof older / sizeof older[0] && rc == CP_OK; i++) {
        const char *text = find_variable(environment, older[i].variable);
        if (text)
            rc = set_older(layers, older[i].variable, text, &layers->global[older[i].key],
                           &cp_config_keys[older[i].key]);
    }
    return rc;
}

int cp_config_env_apply_older(cp_config_layers *layers, char *const *environment)
{
    char text[CP_MAX_CONFIG_VALUE];
    const char *host = find_variable(environment, "HFT_CLICKHOUSE_HOST");
    int rc = CP_OK;
    if (host) {
        snprintf(text, sizeof text, "%s%s%s", strstr(host, "://") ? "" : "http://", host,
                 strchr(host, ':') ? "" : ":8123");
        rc = set_older(layers, "HFT_CLICKHOUSE_HOST", text, &layers->global[CP_KEY_URL],
                       &cp_config_keys[CP_KEY_URL]);
    }
    if (rc == CP_OK)
        rc = apply_older_text(layers, environment);
    const char *rows = find_variable(environment, "CH_BATCH_SIZE");
    if (rc == CP_OK && rows)
        rc = set_older(layers, "CH_BATCH_SIZE", rows, &layers->defaults[CP_TKEY_FLUSH_ROWS],
                       &cp_config_table_keys[CP_TKEY_FLUSH_ROWS]);
    const char *seconds = find_variable(environment, "CH_FLUSH_INTERVAL_S");
    if (rc == CP_OK && seconds) {
        if (!seconds_to_text(seconds, text, sizeof text))
            snprintf(text, sizeof text, "%.64s", seconds); /* let the check refuse it as it stands */
        rc = set_older(layers, "CH_FLUSH_INTERVAL_S", text, &layers->defaults[CP_TKEY_FLUSH_INTERVAL],
                       &cp_config_table_keys[CP_TKEY_FLUSH_INTERVAL]);
    }
    return rc;
}

/* ---- COLDPATH_… ---------------------------------------------------------------------------------------- */

/* "CLICKHOUSE__URL" to "clickhouse.url". */
static bool path_of(const char *name, size_t len, char *path, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        if (used + 2 > size)
            return false;
        if (name[i] == '_' && i + 1 < len && name[i + 1] == '_') {
            path[used++] = '.';
            i++;
        } else {
            path[used++] = (char)tolower((unsigned char)name[i]);
        }
    }
    path[used] = '\0';
    return true;
}

/* The table whose name text begins with, up to a dot; capitals do not count, but an exact match wins. */
static cp_config_table_layer *find_table(cp_config_layers *layers, const char *text)
{
    const size_t len = strcspn(text, ".");
    for (uint32_t i = 0; i < layers->table_count; i++)
        if (strlen(layers->tables[i].name) == len && strncasecmp(layers->tables[i].name, text, len) == 0)
            return &layers->tables[i];
    return NULL;
}

static int refuse_variable(cp_config_layers *layers, const cp_config_place *place, const cp_config_key *keys,
                           int count, const char *path)
{
    char section[NAME_ROOM], near[NAME_ROOM], remedy[NAME_ROOM + 32] = "", shown[80];
    snprintf(section, sizeof section, "%s", path);
    char *dot = strrchr(section, '.');
    const char *last = dot ? dot + 1 : path;
    if (dot)
        *dot = '\0';
    if (cp_config_key_suggest(keys, count, dot ? section : "", last, NULL, near, sizeof near))
        snprintf(remedy, sizeof remedy, "did you mean \"%s\"?", near);
    cp_config_problem_add(&layers->problems, place, remedy, "there is no key \"%s\"",
                          cp_config_quote(shown, sizeof shown, path, strlen(path)));
    return CP_OK;
}

static int apply_variable(cp_config_layers *layers, const char *name, const char *path, const char *text)
{
    cp_config_place place;
    if (place_of(layers, name, &place) < 0)
        return CP_E_NOMEM;
    const cp_config_key *keys = cp_config_keys;
    cp_config_value *values = layers->global;
    int count = CP_KEY_COUNT;
    if (strncmp(path, "tables.", 7) == 0) {
        cp_config_table_layer *table = find_table(layers, path + 7);
        if (!table || !strchr(path + 7, '.')) {
            char shown[80];
            cp_config_problem_add(&layers->problems, &place,
                                  "variables change tables of the file, they add none",
                                  "no table \"%s\" is configured",
                                  cp_config_quote(shown, sizeof shown, path + 7, strcspn(path + 7, ".")));
            return CP_OK;
        }
        path = strchr(path + 7, '.') + 1;
        values = table->values;
    } else if (strncmp(path, "table_defaults.", 15) == 0) {
        path += 15;
        values = layers->defaults;
    }
    if (values != layers->global) {
        keys = cp_config_table_keys;
        count = CP_TKEY_COUNT;
    }
    const int found = cp_config_key_find(keys, count, path);
    if (found < 0)
        return refuse_variable(layers, &place, keys, count, path);
    return cp_config_layers_set(layers, &values[found], &keys[found], text, strlen(text), &place);
}

/* systemd's credential becomes password_file: it is read, and its rights checked, like any other. */
static int apply_credential(cp_config_layers *layers, char *const *environment)
{
    const char *dir = find_variable(environment, "CREDENTIALS_DIRECTORY");
    char path[CP_MAX_CONFIG_VALUE];
    if (!dir || snprintf(path, sizeof path, "%s/clickhouse_password", dir) >= (int)sizeof path)
        return CP_OK;
    FILE *file = fopen(path, "re");
    if (!file)
        return CP_OK; /* credentials of other purposes only */
    (void)fclose(file);
    return set_older(layers, "CREDENTIALS_DIRECTORY", path, &layers->global[CP_KEY_PASSWORD_FILE],
                     &cp_config_keys[CP_KEY_PASSWORD_FILE]);
}

int cp_config_env_apply(cp_config_layers *layers, char *const *environment)
{
    int rc = apply_credential(layers, environment);
    for (char *const *at = environment; *at && rc == CP_OK; at++) {
        const char *equals = strchr(*at, '=');
        if (!equals || !equals[1] || strncmp(*at, PREFIX, strlen(PREFIX)) != 0)
            continue;
        const char *key = *at + strlen(PREFIX);
        char name[NAME_ROOM], path[NAME_ROOM];
        snprintf(name, sizeof name, "%.*s", (int)(equals - *at), *at);
        if (!path_of(key, (size_t)(equals - key), path, sizeof path))
            continue;
        if (strcmp(path, "region_dir") == 0)
            rc = find_variable(environment, "COLDPATH_REGION__DIR")
                     ? CP_OK
                     : apply_variable(layers, name, "region.dir", equals + 1);
        else if (strchr(path, '.') || cp_config_key_find(cp_config_keys, CP_KEY_COUNT, path) >= 0)
            rc = apply_variable(layers, name, path, equals + 1);
    }
    return rc;
}
