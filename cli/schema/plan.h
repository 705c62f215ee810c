/* What is declared, the tables of the configuration and the views of its set, held against the server: for every database
 * the differences, in the order in which they are to be closed. `schema diff` shows them, `schema apply` closes them. */
#ifndef CP_CLI_SCHEMA_PLAN_H
#define CP_CLI_SCHEMA_PLAN_H

#include "cli/schema/catalog.h"
#include "recorder/config/config.h"
#include "schema/drift.h"

enum { CP_PLAN_DATABASES = 16, CP_PLAN_VIEWS = 256 };

typedef struct cp_plan_database {
    cp_catalog catalog;
    cp_drifts drifts;
} cp_plan_database;

typedef struct cp_plan {
    const cp_config *config;
    const char *cluster; /* or NULL */
    const char *table;   /* only this one, no views; or NULL */
    uint32_t database_count;
    cp_plan_database databases[CP_PLAN_DATABASES];
    uint32_t view_count;
    cp_view *views[CP_PLAN_VIEWS]; /* in the order of their files' names */
    uint32_t left_count;           /* views left out, as what they read is not declared */
    const cp_view *left[CP_PLAN_VIEWS];
} cp_plan;

/* Reads the views' files, asks the server, compares. plan->config, cluster and table are given, the rest zero; to be
 * ended with cp_plan_free in any case. */
int cp_plan_make(cp_plan *plan, cp_error *err);

/* Differences in all databases; a missing database counts as one. */
uint32_t cp_plan_count(const cp_plan *plan);
uint32_t cp_plan_refused(const cp_plan *plan);

void cp_plan_free(cp_plan *plan);

#endif
