/* The comparison of drift.h, shared by its parts: the table itself in drift.c, its columns in drift_columns.c, indexes,
 * constraints and projections in drift_entries.c. Private to schema/. */
#ifndef CP_SCHEMA_DRIFT_PRIVATE_H
#define CP_SCHEMA_DRIFT_PRIVATE_H

#include <coldpath/error.h>
#include <stdio.h>

#include "schema/drift.h"

/* One comparison under way. */
typedef struct cp_comparison {
    cp_drifts *drifts;
    const cp_drift_target *target;
    const cp_table *declared;
    const cp_table *server;
    bool front;                                 /* server is the Distributed table, which holds no rows */
    char object[CP_MAX_NAME + sizeof "_local"]; /* what the table on the server is called */
} cp_comparison;

/* Adds a difference; never NULL, without memory one that nobody reads. */
cp_drift *cp_drift_add(cp_drifts *drifts, const char *what, const char *object, const char *column);

/* Texts for a difference, malloc'd; NULL when out of memory, which is noted. cp_drift_copy: also of NULL. */
char *cp_drift_copy(cp_comparison *c, const char *text);
CP_PRINTF(2, 3) char *cp_drift_format(cp_comparison *c, const char *fmt, ...);

/* "ALTER TABLE `db`.`t` ON CLUSTER `c` ", begun in a stream that cp_alter_end ends. */
typedef struct cp_alter {
    FILE *out;
    char *text;
    size_t len;
} cp_alter;

/* false when out of memory, which is noted. */
bool cp_alter_begin(cp_comparison *c, cp_alter *alter);

/* The statement, malloc'd; NULL when out of memory, which is noted. */
char *cp_alter_end(cp_comparison *c, cp_alter *alter);

/* Whether rows or values go no sooner with the declared TTL than with the server's. */
bool cp_ttl_keeps_more(const char *declared, const char *held);

/* drift_columns.c, drift_entries.c */
void cp_drift_columns(cp_comparison *c);
void cp_drift_entries(cp_comparison *c);

#endif
