/* See catalog.h. */
#include "cli/schema/catalog.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/query_text.h"
#include "schema/sql_write.h"

/* "SELECT <what> FROM <system table>", of one server or of all, and what stands behind it with the database's name in it as
 * a literal. malloc'd. */
typedef struct catalog_query {
    const cp_catalog *catalog;
    const char *cluster;  /* or NULL */
    const char *function; /* of the server: clusterAllReplicas, or cluster */
} catalog_query;

static char *statement(const catalog_query *query, const char *what, const char *table, const char *where,
                       const char *after)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fprintf(out, "SELECT %s FROM ", what);
    if (query->cluster) {
        fprintf(out, "%s(", query->function);
        cp_sql_write_text(out, query->cluster);
        fprintf(out, ", system.%s)", table);
    } else {
        fprintf(out, "system.%s", table);
    }
    if (where) {
        fputs(where, out);
        cp_sql_write_text(out, query->catalog->database);
    }
    fputs(after, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static int number(const cp_sink_config *sink, char *sql, uint64_t *value, cp_error *err)
{
    const int rc = sql ? cp_query_number(sink, NULL, sql, value, err)
                       : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    return rc;
}

static char *member(json_object *row, const char *name)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(row, name, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    return strdup(json_object_get_string(value));
}

static int entry_take(cp_catalog *catalog, const char *line, cp_error *err)
{
    json_object *row = json_tokener_parse(line);
    cp_catalog_entry *entries = reallocarray(catalog->entries, catalog->count + 1, sizeof *entries);
    int rc = entries ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for a list of tables");
    if (entries)
        catalog->entries = entries;
    if (rc == CP_OK) {
        cp_catalog_entry *entry = &catalog->entries[catalog->count++];
        char *servers = member(row, "servers");
        *entry = (cp_catalog_entry){.name = member(row, "name"),
                                    .engine = member(row, "engine"),
                                    .create = member(row, "create_table_query"),
                                    .servers = servers ? strtoull(servers, NULL, 10) : 0};
        free(servers);
        if (!entry->name || !entry->engine || !entry->create || entry->servers == 0)
            rc = cp_error_set(err, CP_E_PARSE, "ClickHouse's list of tables has a line that is none: %.100s",
                              line);
    }
    json_object_put(row);
    return rc;
}

static int tables_load(cp_catalog *catalog, const catalog_query *query, const cp_sink_config *sink,
                       cp_error *err)
{
    char *answer = NULL;
    char *sql =
        statement(query, "name, engine, create_table_query, toString(count()) AS servers", "tables",
                  " WHERE database = ",
                  " GROUP BY name, engine, create_table_query ORDER BY name, create_table_query FORMAT "
                  "JSONEachRow");
    int rc = sql ? cp_query_text(sink, NULL, sql, &answer, err)
                 : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    char *save = NULL;
    for (char *line = answer ? strtok_r(answer, "\n", &save) : NULL; line && rc == CP_OK;
         line = strtok_r(NULL, "\n", &save))
        rc = entry_take(catalog, line, err);
    free(answer);
    return rc;
}

int cp_catalog_load(cp_catalog *catalog, const cp_sink_config *sink, const char *database,
                    const char *cluster, cp_error *err)
{
    catalog_query query = {.catalog = catalog, .cluster = NULL, .function = "cluster"};
    uint64_t all_replicas = 0;
    uint64_t there = 0;
    *catalog = (cp_catalog){.database = strdup(database), .servers = 1};
    int rc = catalog->database ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for a name");
    if (rc == CP_OK && cluster) {
        rc = number(sink,
                    statement(&query, "count()", "table_functions", NULL,
                              " WHERE name = 'clusterAllReplicas' FORMAT TSV"),
                    &all_replicas, err);
        query.cluster = cluster;
        catalog->all_replicas = all_replicas > 0;
        query.function = all_replicas ? "clusterAllReplicas" : "cluster";
        if (rc == CP_OK)
            rc = number(sink, statement(&query, "count()", "one", NULL, " FORMAT TSV"), &catalog->servers,
                        err);
    }
    if (rc == CP_OK)
        rc = number(sink, statement(&query, "count()", "databases", " WHERE name = ", " FORMAT TSV"), &there,
                    err);
    catalog->there = there >= catalog->servers;
    return rc == CP_OK ? tables_load(catalog, &query, sink, err) : rc;
}

const cp_catalog_entry *cp_catalog_find(const cp_catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->count; i++) {
        if (strcmp(catalog->entries[i].name, name) == 0)
            return &catalog->entries[i];
    }
    return NULL;
}

bool cp_catalog_has(const cp_catalog *catalog, const char *name)
{
    uint64_t servers = 0;
    for (size_t i = 0; i < catalog->count; i++)
        servers += strcmp(catalog->entries[i].name, name) == 0 ? catalog->entries[i].servers : 0;
    return servers >= catalog->servers;
}

void cp_catalog_free(cp_catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++) {
        free(catalog->entries[i].name);
        free(catalog->entries[i].engine);
        free(catalog->entries[i].create);
    }
    free(catalog->entries);
    free(catalog->database);
    *catalog = (cp_catalog){0};
}
