/* The tables and views that a database has, with the statements that made them; on one server, or on all of a cluster, which
 * may differ: a table has an entry for every form in which it is there. */
#ifndef CP_CLI_SCHEMA_CATALOG_H
#define CP_CLI_SCHEMA_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flush/query.h"

typedef struct cp_catalog_entry {
    char *name;
    char *engine;
    char *create;
    uint64_t servers; /* that have it in this form */
} cp_catalog_entry;

typedef struct cp_catalog {
    char *database;
    bool there;        /* the database itself, on all servers */
    uint64_t servers;  /* 1 without a cluster */
    bool all_replicas; /* of every shard; else one of each, as servers before 20.1 can only do */
    size_t count;
    cp_catalog_entry *entries;
} cp_catalog;

/* Asks the server. cluster: all servers of that cluster, or NULL; servers before 20.1 are asked for one of each shard. Errors
 * as cp_query_run; CP_E_PARSE: the answer is no list. */
int cp_catalog_load(cp_catalog *catalog, const cp_sink_config *sink, const char *database,
                    const char *cluster, cp_error *err);

/* The first entry of that name, or NULL. */
const cp_catalog_entry *cp_catalog_find(const cp_catalog *catalog, const char *name);

/* Whether all servers have something of that name. */
bool cp_catalog_has(const cp_catalog *catalog, const char *name);

void cp_catalog_free(cp_catalog *catalog);

#endif
