/* See config.h. The steps of loading:
 *
 *   older variables → file → conf.d → environment     config_env, config_file: each sets values in the layers
 *   rules between values                              config_check
 *   fill                                              layers → cp_config, the struct everyone reads
 *   DDL                                               schema, one file per table
 *   report                                            all problems together
 */
#include "recorder/config/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "recorder/config/check.h"
#include "recorder/config/env.h"
#include "recorder/config/file.h"
#include "recorder/config/pressure.h"
#include "recorder/config/print.h"
#include "recorder/config/shipped.h"
#include "wal/log.h"
#include "wal/segment.h"

enum { LIST_ROOM = 320 };

/* ---- filling --------------------------------------------------------------------------------------------- */

static bool copy_text(char **out, const cp_config_value *value, const char *fallback)
{
    const char *text = value->set && value->text ? value->text : fallback;
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

static uint64_t number_of(const cp_config_layers *layers, cp_config_key_id id)
{
    uint64_t number = 0;
    cp_config_layers_value(layers, id, &number);
    return number;
}

static int cpu_of(const cp_config_layers *layers, cp_config_key_id id)
{
    const uint64_t number = number_of(layers, id);
    return number == CP_CONFIG_ANY_CPU ? -1 : (int)number;
}

static uint32_t ms_of(const cp_config_layers *layers, cp_config_key_id id)
{
    return (uint32_t)((number_of(layers, id) + CP_NS_PER_MS - 1) / CP_NS_PER_MS);
}

static int fill_password(cp_config *config, cp_config_layers *layers)
{
    cp_config_value *password = &layers->global[CP_KEY_PASSWORD];
    const cp_config_value *file = &layers->global[CP_KEY_PASSWORD_FILE];
    if (file->set && (!password->set || file->place.source->rank > password->place.source->rank))
        return cp_config_file_password(layers, file, &config->password);
    config->password = password->text; /* moved, so that there is one copy to wipe */
    password->text = NULL;
    return CP_OK;
}

static int fill_names(cp_config *config, cp_config_layers *layers)
{
    const cp_config_value *global = layers->global;
    const char *name = global[CP_KEY_NAMESPACE].set ? global[CP_KEY_NAMESPACE].text : "";
    const char *dir = global[CP_KEY_REGION_DIR].set ? global[CP_KEY_REGION_DIR].text
                                                    : cp_config_keys[CP_KEY_REGION_DIR].fallback;
    char database[CP_MAX_CONFIG_NAME + 1];
    snprintf(database, sizeof database, "%s", name);
    for (char *c = database; *c; c++)
        if (*c == '-') /* so that it needs no quotes in SQL */
            *c = '_';
    if (asprintf(&config->region_dir, "%s/%s", dir, name) < 0)
        config->region_dir = NULL;
    const char *wal =
        global[CP_KEY_WAL_DIR].set ? global[CP_KEY_WAL_DIR].text : cp_config_keys[CP_KEY_WAL_DIR].fallback;
    if (asprintf(&config->wal_dir, "%s/%s", wal, name) < 0)
        config->wal_dir = NULL;
    const bool placed = global[CP_KEY_QUARANTINE_DIR].set;
    if (asprintf(&config->quarantine_dir, "%s%s/%s", placed ? global[CP_KEY_QUARANTINE_DIR].text : wal,
                 placed ? "" : "/quarantine", name) < 0)
        config->quarantine_dir = NULL;
    return config->quarantine_dir && config->wal_dir && config->region_dir &&
                   copy_text(&config->namespace_name, &global[CP_KEY_NAMESPACE], "") &&
                   copy_text(&config->region_group, &global[CP_KEY_REGION_GROUP], NULL) &&
                   copy_text(&config->control_group, &global[CP_KEY_CONTROL_GROUP], NULL) &&
                   copy_text(&config->user, &global[CP_KEY_USER], config->password ? "default" : NULL) &&
                   copy_text(&config->database, &global[CP_KEY_DATABASE], database) &&
                   copy_text(&config->ca_file, &global[CP_KEY_CA_FILE], NULL) &&
                   copy_text(&config->monitor_listen, &global[CP_KEY_MONITOR_LISTEN], NULL) &&
                   copy_text(&config->monitor_certificate_file, &global[CP_KEY_MONITOR_CERTIFICATE_FILE],
                             NULL) &&
                   copy_text(&config->monitor_key_file, &global[CP_KEY_MONITOR_KEY_FILE], NULL) &&
                   copy_text(&config->monitor_token_file, &global[CP_KEY_MONITOR_TOKEN_FILE], NULL) &&
                   copy_text(&config->stamp_source, &global[CP_KEY_STAMP_SOURCE], NULL) &&
                   copy_text(&config->stamp_environment, &global[CP_KEY_STAMP_ENVIRONMENT], NULL)
               ? CP_OK
               : CP_E_NOMEM;
}

/* One text for each URL of the list. */
static int fill_urls(const char *list, char **urls, uint32_t room)
{
    for (uint32_t i = 0; i < room && list && *list; i++) {
        list += strspn(list, " ");
        const size_t size = strcspn(list, ", ");
        urls[i] = strndup(list, size);
        if (!urls[i])
            return CP_E_NOMEM;
        list += size;
        list += strspn(list, ", ");
    }
    return CP_OK;
}

static int fill_endpoints(cp_config *config, const cp_config_layers *layers)
{
    const cp_config_value *url = &layers->global[CP_KEY_URL];
    char *urls[CP_MAX_ENDPOINTS] = {NULL};
    int rc = fill_urls(url->set ? url->text : cp_config_keys[CP_KEY_URL].fallback, urls, CP_MAX_ENDPOINTS);
    config->url = urls[0];
    memcpy(config->others, urls + 1, sizeof config->others);
    config->failback_ns = number_of(layers, CP_KEY_FAILBACK_AFTER);
    if (rc == CP_OK)
        rc = fill_urls(layers->global[CP_KEY_ABANDONED].text, config->abandoned, CP_MAX_ENDPOINTS);
    return config->url ? rc : CP_E_NOMEM;
}

static int fill_globals(cp_config *config, cp_config_layers *layers)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    int rc = fill_password(config, layers);
    if (rc == CP_OK)
        rc = fill_names(config, layers);
    if (rc == CP_OK)
        rc = fill_endpoints(config, layers);
    if (rc < 0)
        return rc;
    config->region_mode = (unsigned)number_of(layers, CP_KEY_REGION_MODE);
    config->drain_cpu = cpu_of(layers, CP_KEY_DRAIN_CPU);
    config->flush_cpu = cpu_of(layers, CP_KEY_FLUSH_CPU);
    config->mode = (cp_mode)number_of(layers, CP_KEY_MODE);
    config->daily_bytes = number_of(layers, CP_KEY_DAILY_BYTES);
    config->poll = (cp_poll_mode)number_of(layers, CP_KEY_POLL);
    config->memory_limit = number_of(layers, CP_KEY_MEMORY_LIMIT);
    config->stop_timeout_ns = number_of(layers, CP_KEY_STOP_TIMEOUT);
    config->confine = number_of(layers, CP_KEY_CONFINE) != 0;
    config->wal_backend = (cp_wal_backend)number_of(layers, CP_KEY_WAL_BACKEND);
    config->wal_sync = (cp_wal_sync)number_of(layers, CP_KEY_WAL_SYNC);
    config->wal_segment_size = number_of(layers, CP_KEY_WAL_SEGMENT_SIZE);
    config->wal_keep_ns = number_of(layers, CP_KEY_WAL_KEEP);
    config->monitor_health_open = number_of(layers, CP_KEY_MONITOR_HEALTH_OPEN) != 0;
    config->monitor_unprotected = number_of(layers, CP_KEY_MONITOR_UNPROTECTED) != 0;
    config->canary_interval_ns = number_of(layers, CP_KEY_CANARY_INTERVAL);
    config->canary_limit_ns = number_of(layers, CP_KEY_CANARY_LIMIT);
    config->quarantine_limit = number_of(layers, CP_KEY_QUARANTINE_LIMIT);
    config->trash_keep_ns = number_of(layers, CP_KEY_TRASH_KEEP);
    config->compression = (cp_compression)number_of(layers, CP_KEY_COMPRESSION);
    config->compression_level = (int)number_of(layers, CP_KEY_COMPRESSION_LEVEL);
    config->connect_timeout_ms = ms_of(layers, CP_KEY_CONNECT_TIMEOUT);
    config->request_timeout_ms = ms_of(layers, CP_KEY_REQUEST_TIMEOUT);
    config->stall_timeout_ms = ms_of(layers, CP_KEY_STALL_TIMEOUT);
    config->retry_min_ms = ms_of(layers, CP_KEY_RETRY_MIN);
    config->retry_max_ms = ms_of(layers, CP_KEY_RETRY_MAX);
    config->log_level = strdup(levels[number_of(layers, CP_KEY_LOG_LEVEL)]);
    return config->log_level ? CP_OK : CP_E_NOMEM;
}

static uint64_t table_number(const cp_config_layers *layers, uint32_t table, cp_config_table_key_id id)
{
    uint64_t number = 0;
    cp_config_layers_table_value(layers, table, id, &number);
    return number;
}

static int fill_table(cp_table_config *out, const cp_config_layers *layers, uint32_t i,
                      const cp_config *config)
{
    const cp_config_value *ddl = &layers->tables[i].values[CP_TKEY_DDL];
    out->critical = table_number(layers, i, CP_TKEY_CLASS) == CP_CLASS_CRITICAL;
    out->ring_size = table_number(layers, i, CP_TKEY_RING_SIZE);
    out->slots = (uint32_t)table_number(layers, i, CP_TKEY_SLOTS);
    out->wal_limit = table_number(layers, i, CP_TKEY_WAL_LIMIT);
    out->unique_window = (uint32_t)table_number(layers, i, CP_TKEY_UNIQUE_WINDOW);
    out->row_max = (uint32_t)table_number(layers, i, CP_TKEY_ROW_MAX);
    out->batch = (cp_batch_policy){
        .rows = (uint32_t)table_number(layers, i, CP_TKEY_FLUSH_ROWS),
        .max_rows = (uint32_t)table_number(layers, i, CP_TKEY_FLUSH_MAX_ROWS),
        .bytes = table_number(layers, i, CP_TKEY_FLUSH_BYTES),
        .max_bytes = table_number(layers, i, CP_TKEY_FLUSH_MAX_BYTES),
        .interval_ns = table_number(layers, i, CP_TKEY_FLUSH_INTERVAL),
    };
    cp_config_pressure_fill(&out->pressure, layers, i);
    out->name = strdup(layers->tables[i].name);
    out->ddl = ddl->set ? strdup(ddl->text)
                        : cp_shipped_table(config->schema_dir, config->schema_set, layers->tables[i].name);
    if (!copy_text(&out->version_of, &layers->tables[i].values[CP_TKEY_VERSION_OF], NULL))
        return CP_E_NOMEM;
    return out->name && out->ddl ? CP_OK : CP_E_NOMEM;
}

/* ---- DDL ------------------------------------------------------------------------------------------------- */

static void check_descriptor(cp_config_layers *layers, uint32_t i, const cp_table_config *table)
{
    const cp_config_value *ddl = &layers->tables[i].values[CP_TKEY_DDL];
    const cp_config_place *place = cp_config_table_place(layers, i, ddl->set ? ddl : NULL);
    const char *wanted = table->version_of ? table->version_of : table->name;
    if (strcmp(table->table->name, wanted) != 0)
        cp_config_problem_add(&layers->problems, place,
                              table->version_of
                                  ? "a version's CREATE TABLE names the table of which it is one"
                                  : "the key under tables: has to be the table's own name",
                              "%s creates table \"%s\", not \"%s\"", table->ddl, table->table->name, wanted);
    if (table->table->row_size > table->row_max) {
        uint64_t unused;
        const cp_config_value *max = cp_config_layers_table_value(layers, i, CP_TKEY_ROW_MAX, &unused);
        cp_config_problem_add(&layers->problems, cp_config_table_place(layers, i, max),
                              "raise row_max; Strings and Arrays come on top of it",
                              "table %s: row_max %u is less than its row's fixed part, %u bytes", table->name,
                              table->row_max, table->table->row_size);
    }
}

/* Duplicates are marked in the log; without one, a batch that is made again after a kill could not leave out the same rows. */
static void check_unique(cp_config_layers *layers, uint32_t i, cp_table_config *table)
{
    const cp_config_value *key = &layers->tables[i].values[CP_TKEY_UNIQUE_KEY];
    if (table->critical)
        cp_config_resolve_columns(layers, i, CP_TKEY_UNIQUE_KEY, table->table, &table->unique_key);
    else if (key->set)
        cp_config_problem_add(&layers->problems, &key->place, "add class: critical, or leave unique_key out",
                              "table %s: unique_key needs a log, which lossy tables have not", table->name);
}

/* As cp_wal_open has it, which would refuse to start: a recorder, perhaps long after the reload that took the configuration. */
static void check_log(cp_config_layers *layers, uint32_t i, const cp_config *config,
                      const cp_table_config *table)
{
    const uint64_t least = CP_WAL_MIN_SEGMENTS * config->wal_segment_size;
    const uint64_t most = CP_WAL_MAX_SEGMENTS * config->wal_segment_size;
    if (!table->critical || (table->wal_limit >= least && table->wal_limit <= most))
        return;
    uint64_t unused;
    const cp_config_value *limit = cp_config_layers_table_value(layers, i, CP_TKEY_WAL_LIMIT, &unused);
    cp_config_problem_add(&layers->problems, cp_config_table_place(layers, i, limit),
                          table->wal_limit < least ? "raise wal_limit, or lower wal.segment_size"
                                                   : "lower wal_limit, or raise wal.segment_size",
                          "table %s: wal_limit is %" PRIu64
                          " MiB, and its log has %d to %d segments of %" PRIu64 " MiB (wal.segment_size)",
                          table->name, table->wal_limit >> 20, CP_WAL_MIN_SEGMENTS, CP_WAL_MAX_SEGMENTS,
                          config->wal_segment_size >> 20);
}

static int load_ddl(cp_config_layers *layers, uint32_t i, const cp_config *config, cp_table_config *table)
{
    const cp_config_value *ddl = &layers->tables[i].values[CP_TKEY_DDL];
    const cp_config_place *place = cp_config_table_place(layers, i, ddl->set ? ddl : NULL);
    cp_error err;
    const int rc = cp_table_load(&table->table, table->ddl, &err);
    if (rc == CP_OK) {
        check_descriptor(layers, i, table);
        cp_config_pressure_check(layers, i, table);
        check_unique(layers, i, table);
        check_log(layers, i, config, table);
    } else if (rc == CP_E_ABSENT) {
        char remedy[LIST_ROOM];
        cp_shipped_describe(config->schema_dir, table->ddl, table->name, remedy, sizeof remedy);
        cp_config_problem_add(&layers->problems, place, remedy, "table %s: there is no file %s", table->name,
                              table->ddl);
    } else if (rc != CP_E_NOMEM) {
        cp_config_problem_foreign(&layers->problems, place, err.text);
    }
    return rc == CP_E_NOMEM ? rc : CP_OK;
}

/* A version goes by its key from here on; its rows go to the table that its DDL names. */
static int version_name(cp_table_config *table)
{
    char *name = strdup(table->name);
    if (!name)
        return CP_E_NOMEM;
    table->table->target = table->table->name;
    table->table->name = name;
    return CP_OK;
}

/* A version is of a table that is configured, and only adds columns to it and to the versions before. */
static void check_version(cp_config_layers *layers, const cp_config *config, uint32_t i)
{
    const cp_table_config *table = &config->tables[i];
    const cp_config_place *place =
        cp_config_table_place(layers, i, &layers->tables[i].values[CP_TKEY_VERSION_OF]);
    bool found = false;
    for (uint32_t j = 0; j < i; j++) {
        const cp_table_config *before = &config->tables[j];
        const bool first = strcmp(before->name, table->version_of) == 0;
        cp_error why;
        found = found || (first && !before->version_of);
        if ((!first && (!before->version_of || strcmp(before->version_of, table->version_of) != 0)) ||
            !before->table || cp_table_extends(before->table, table->table, &why) == CP_OK)
            continue;
        cp_config_problem_add(
            &layers->problems, place,
            "a version may only add columns; give the new form a table of its own, and move "
            "what is to be kept with INSERT … SELECT",
            "table %s is no version of %s: %.300s", table->name, before->name, why.text);
    }
    if (!found)
        cp_config_problem_add(&layers->problems, place,
                              "write it above, with its own CREATE TABLE, as it was",
                              "table %s: there is no table \"%s\" above it", table->name, table->version_of);
}

static int fill_versions(cp_config *config, cp_config_layers *layers)
{
    for (uint32_t i = 0; i < config->table_count; i++) {
        cp_table_config *table = &config->tables[i];
        if (!table->version_of || !table->table)
            continue;
        check_version(layers, config, i);
        if (version_name(table) < 0)
            return CP_E_NOMEM;
    }
    return CP_OK;
}

bool cp_config_is_latest(const cp_config *config, uint32_t table)
{
    const char *target = cp_table_target(config->tables[table].table);
    for (uint32_t i = table + 1; i < config->table_count; i++) {
        if (config->tables[i].version_of && strcmp(config->tables[i].version_of, target) == 0)
            return false;
    }
    return true;
}

static int fill_tables(cp_config *config, cp_config_layers *layers)
{
    const cp_config_value *dir = &layers->global[CP_KEY_SCHEMA_DIR];
    config->schema_dir = dir->set ? strdup(dir->text) : cp_shipped_dir();
    config->tables = calloc(layers->table_count ? layers->table_count : 1, sizeof *config->tables);
    int rc = config->schema_dir && config->tables ? CP_OK : CP_E_NOMEM;
    if (!copy_text(&config->schema_set, &layers->global[CP_KEY_SCHEMA_SET], NULL))
        rc = CP_E_NOMEM;
    for (uint32_t i = 0; i < layers->table_count && rc == CP_OK; i++) {
        config->table_count = i + 1;
        rc = fill_table(&config->tables[i], layers, i, config);
        if (rc == CP_OK)
            rc = load_ddl(layers, i, config, &config->tables[i]);
    }
    return rc == CP_OK ? fill_versions(config, layers) : rc;
}

/* ---- loading --------------------------------------------------------------------------------------------- */

static const char *find_path(const char *path)
{
    if (path)
        return path;
    const char *named = getenv("COLDPATH_CONFIG");
    if (named && *named)
        return named;
    return access("coldpath.yaml", F_OK) == 0 ? "coldpath.yaml" : "/etc/coldpath/coldpath.yaml";
}

static int apply_sources(cp_config_layers *layers, const char *path, cp_error *err)
{
    if (cp_config_env_apply_older(layers, environ) < 0)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    int rc = cp_config_file_apply_all(layers, path, err);
    if (rc < 0) {
        if (rc == CP_E_TOO_BIG)
            rc = CP_E_CONFIG;
        return cp_error_prefix(err, "configuration"), rc;
    }
    if (cp_config_env_apply(layers, environ) < 0)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    return CP_OK;
}

/* Lines of files are needed for the report only, and may hold a password. */
static void forget_texts(cp_config_layers *layers)
{
    for (cp_config_source *source = layers->sources; source; source = source->next) {
        if (source->text)
            explicit_bzero(source->text, source->len);
        free(source->text);
        source->text = NULL;
    }
}

static int load(cp_config *config, const char *path, FILE *diagnostics, cp_error *err)
{
    if (cp_config_layers_create(&config->origins) < 0)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    cp_config_layers *layers = config->origins;
    int rc = apply_sources(layers, path, err);
    if (rc < 0)
        return rc;
    cp_config_check(layers);
    config->path = strdup(path);
    rc = config->path ? fill_globals(config, layers) : CP_E_NOMEM;
    if (rc == CP_OK)
        rc = fill_tables(config, layers);
    if (rc < 0)
        return cp_error_set(err, rc, "out of memory");
    rc = cp_config_problems_report(&layers->problems, diagnostics, err);
    cp_config_problems_clear(&layers->problems);
    forget_texts(layers);
    return rc;
}

int cp_config_load(cp_config **out, const char *path, FILE *diagnostics, cp_error *err)
{
    *out = NULL;
    cp_config *config = calloc(1, sizeof *config);
    if (!config)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    const int rc = load(config, find_path(path), diagnostics, err);
    if (rc < 0)
        cp_config_free(config);
    else
        *out = config;
    return rc;
}

void cp_config_free(cp_config *config)
{
    if (!config)
        return;
    for (uint32_t i = 0; i < config->table_count; i++) {
        free(config->tables[i].name);
        free(config->tables[i].ddl);
        free(config->tables[i].version_of);
        cp_table_free(config->tables[i].table);
    }
    if (config->password)
        explicit_bzero(config->password, strlen(config->password));
    char *const texts[] = {config->path,
                           config->namespace_name,
                           config->region_dir,
                           config->wal_dir,
                           config->region_group,
                           config->control_group,
                           config->log_level,
                           config->url,
                           config->user,
                           config->password,
                           config->database,
                           config->ca_file,
                           config->schema_dir,
                           config->schema_set,
                           config->monitor_listen,
                           config->monitor_certificate_file,
                           config->monitor_key_file,
                           config->monitor_token_file,
                           config->quarantine_dir,
                           config->stamp_source,
                           config->stamp_environment};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (size_t i = 0; i < CP_MAX_ENDPOINTS - 1; i++)
        free(config->others[i]);
    for (size_t i = 0; i < CP_MAX_ENDPOINTS; i++)
        free(config->abandoned[i]);
    free(config->tables);
    cp_config_layers_free(config->origins);
    free(config);
}

void cp_config_print(const cp_config *config, FILE *out, bool origin, bool json)
{
    if (json)
        cp_config_print_json(config, out, origin);
    else
        cp_config_print_yaml(config, out, origin);
}
