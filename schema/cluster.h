/* A declared table as it stands on a server, or on a cluster, where it is two:
 *
 *   trades_local   ReplicatedMergeTree('/clickhouse/tables/{shard}/database/trades_local', '{replica}'), holds the rows
 *   trades         Distributed('cluster', 'database', 'trades_local', cityHash64(symbol)), in front of the shards
 *
 * both ON CLUSTER. {shard} and {replica} are the macros of the servers' configuration. The shard key is the hash of the
 * first column of the order key that is no time (what belongs together stays together, and a retried insert splits in the
 * same way), else of its first column, else of the first column. */
#ifndef CP_SCHEMA_CLUSTER_H
#define CP_SCHEMA_CLUSTER_H

#include <stdio.h>

#include "schema/table.h"

/* Writes `database`.`table`, or with a cluster `database`.`table_local`. */
void cp_cluster_write_name(FILE *out, const char *database, const char *table, const char *cluster);

/* Writes the arguments of a Replicated engine: '/clickhouse/tables/{shard}/database/table_local', '{replica}'. Names stand in
 * the path as they are, since older servers know no macros for them. */
void cp_cluster_write_replica(FILE *out, const char *database, const char *table);

/* The declared CREATE TABLE for a database; with a cluster, that of the replicated table. malloc'd; NULL when out of memory. */
char *cp_cluster_create(const cp_table *table, const char *database, const char *cluster);

/* The CREATE TABLE of the Distributed table in front of it. malloc'd; NULL when out of memory. */
char *cp_cluster_distributed(const cp_table *table, const char *database, const char *cluster);

/* Its engine: "Distributed('cluster', 'database', 'trades_local', cityHash64(symbol))". As above. */
char *cp_cluster_engine(const cp_table *table, const char *database, const char *cluster);

/* The shard key: "cityHash64(symbol)". malloc'd; NULL when out of memory. */
char *cp_cluster_shard_key(const cp_table *table);

/* A MergeTree setting by the name it has for an engine: the deduplication window's differs for Replicated ones. */
const char *cp_cluster_setting_name(const char *setting, const char *engine);

#endif
