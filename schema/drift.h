/* What lies between a declared table and the one on the server, and what would close the gap:
 *
 *   the server lacks a column, index, constraint or projection, or has a smaller type, another default, codec, comment,
 *   setting, order of columns, a shorter TTL                   → a statement that changes nothing that is stored
 *   the server has a column, index, constraint, projection or setting that is not declared, a larger type, another key,
 *   partition, engine, a longer TTL                            → refused: following the declaration would lose rows,
 *   values, or what somebody put there on purpose; a plan says how a person can do it
 *
 * Both tables are descriptors, the server's parsed from system.tables.create_table_query. In a cluster the Distributed table
 * in front is compared too; it holds no rows, so that its columns can always be made to follow. Not compared: STATISTICS and
 * SETTINGS of single columns, and the place of computed columns. */
#ifndef CP_SCHEMA_DRIFT_H
#define CP_SCHEMA_DRIFT_H

#include "schema/table.h"
#include "schema/view.h"

typedef struct cp_drift {
    const char *what; /* "column missing", "type" …: a literal */
    char *object;     /* table or view, as it is called on the server: in a cluster t_local, and t in front */
    char *column;     /* or the name of an index, setting …; NULL: the object itself */
    char *declared;   /* NULL: not there; likewise server */
    char *server;
    char *statement; /* that closes the gap; NULL: refused, see remedy */
    char *remedy;    /* what to do, for people: several lines when refused */
} cp_drift;

typedef struct cp_drifts {
    cp_drift *items;
    uint32_t count;
    uint32_t capacity;
    bool no_memory; /* some are missing */
} cp_drifts;

/* Where the statements are to run. */
typedef struct cp_drift_target {
    const char *database;
    const char *cluster; /* NULL: one server */
    bool
        conditional; /* with IF [NOT] EXISTS, as some servers of a cluster may have already what others lack */
} cp_drift_target;

/* Adds the differences of a declared table; server NULL: there is none. */
void cp_drift_table(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                    const cp_table *server);

/* Adds the differences of the Distributed table in front of a declared one; server NULL: there is none. */
void cp_drift_front(cp_drifts *drifts, const cp_drift_target *target, const cp_table *declared,
                    const cp_table *server);

/* Adds what is to do about a view. server: its create_table_query, NULL: there is none. */
void cp_drift_view(cp_drifts *drifts, const cp_drift_target *target, const cp_view *declared,
                   const char *server);

/* Adds a table that cannot be compared, and why. */
void cp_drift_unreadable(cp_drifts *drifts, const char *object, const char *why);

/* Leaves out what is there twice, as when several servers of a cluster were compared. */
void cp_drifts_unify(cp_drifts *drifts);

/* Takes back what was added since there were count. */
void cp_drifts_cut(cp_drifts *drifts, uint32_t count);

/* How many are refused. */
uint32_t cp_drifts_refused(const cp_drifts *drifts);

void cp_drifts_clear(cp_drifts *drifts);

#endif
