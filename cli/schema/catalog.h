/* The tables and views that a database on the server has, with the statements that made them. */
#ifndef CP_CLI_SCHEMA_CATALOG_H
#define CP_CLI_SCHEMA_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "flush/query.h"

typedef struct cp_catalog_entry {
    char *name;
    char *engine;
    char *create;
} cp_catalog_entry;

typedef struct cp_catalog {
    char *database;
    bool there; /* the database itself */
    size_t count;
    cp_catalog_entry *entries;
} cp_catalog;

/* Asks the server. Errors as cp_query_run; CP_E_PARSE: the answer is no list. */
int cp_catalog_load(cp_catalog *catalog, const cp_sink_config *sink, const char *database, cp_error *err);

/* The entry of that name, or NULL. */
const cp_catalog_entry *cp_catalog_find(const cp_catalog *catalog, const char *name);

void cp_catalog_free(cp_catalog *catalog);

#endif
