/* See catalog.h. */
#include "cli/schema/catalog.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/query_text.h"
#include "schema/sql_write.h"

/* A statement with the database's name in it as a literal. malloc'd. */
static char *statement(const char *before, const char *database, const char *after)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs(before, out);
    cp_sql_write_text(out, database);
    fputs(after, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
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
        *entry =
            (cp_catalog_entry){member(row, "name"), member(row, "engine"), member(row, "create_table_query")};
        if (!entry->name || !entry->engine || !entry->create)
            rc = cp_error_set(err, CP_E_PARSE, "ClickHouse's list of tables has a line that is none: %.100s",
                              line);
    }
    json_object_put(row);
    return rc;
}

int cp_catalog_load(cp_catalog *catalog, const cp_sink_config *sink, const char *database, cp_error *err)
{
    *catalog = (cp_catalog){.database = strdup(database)};
    char *sql = statement("SELECT count() FROM system.databases WHERE name = ", database, " FORMAT TSV");
    char *answer = NULL;
    uint64_t there = 0;
    int rc = sql && catalog->database ? cp_query_number(sink, NULL, sql, &there, err)
                                      : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    catalog->there = there > 0;
    if (rc < 0 || !catalog->there)
        return rc;
    sql = statement("SELECT name, engine, create_table_query FROM system.tables WHERE database = ", database,
                    " ORDER BY name FORMAT JSONEachRow");
    rc = sql ? cp_query_text(sink, NULL, sql, &answer, err)
             : cp_error_set(err, CP_E_NOMEM, "no memory for a statement");
    free(sql);
    char *save = NULL;
    for (char *line = answer ? strtok_r(answer, "\n", &save) : NULL; line && rc == CP_OK;
         line = strtok_r(NULL, "\n", &save))
        rc = entry_take(catalog, line, err);
    free(answer);
    return rc;
}

const cp_catalog_entry *cp_catalog_find(const cp_catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->count; i++) {
        if (strcmp(catalog->entries[i].name, name) == 0)
            return &catalog->entries[i];
    }
    return NULL;
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
