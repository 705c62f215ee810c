/* A table's partitions on the server, held against its declared TTL. A partition is expired when the TTL of every row in it is
 * over: the expression that the declaration has is evaluated by the server, on the rows that are there. */
#ifndef CP_CLI_MAINTAIN_RETENTION_H
#define CP_CLI_MAINTAIN_RETENTION_H

#include "cli/maintain/rollup.h"

enum {
    CP_CLOCK_APART_SECONDS = 300, /* far more than clocks that are kept, far less than any retention */
    CP_PARTITION_ID = 256,
    CP_PARTITION_PARTS_MANY =
        300, /* active parts of one partition: merges do not keep up; servers begin to slow inserts at
                                      a few hundred */
    CP_ROLLUP_AHEAD_DAYS =
        7 /* so long before it expires a partition is rolled up: its rows must all be there still */
};

typedef enum cp_fate { CP_FATE_KEEP, CP_FATE_ROLL_UP, CP_FATE_DROP, CP_FATE_ROLL_UP_AND_DROP } cp_fate;

typedef struct cp_partition {
    char id[CP_PARTITION_ID];
    char ends[64]; /* when the last row's TTL is over, in the server's words */
    uint64_t rows;
    uint64_t bytes;
    uint64_t parts;
    bool rolled_up; /* the roll-up's target stands for all its rows */
    cp_fate fate;
    bool confirm; /* critical, and not confirmed */
    bool done;
} cp_partition;

typedef struct cp_retention {
    const cp_table_config *table;
    const char *database;
    const char *cluster; /* the table is Distributed, in front of …_local on all its servers; or NULL */
    char *ttl; /* the expression; NULL: none is declared, or none of the form "… + INTERVAL n unit" */
    cp_rollup rollup;
    size_t count;
    cp_partition *partitions;
    uint64_t parts_most; /* of one partition */
} cp_retention;

/* Asks the server; with a cluster's name (or NULL) all its shards. Errors as cp_query_run, and of the roll-up's file. To be ended
 * with cp_retention_free in any case. */
int cp_retention_load(cp_retention *retention, const cp_config *config, const cp_table_config *table,
                      const char *cluster, const cp_sink_config *sink, cp_error *err);

/* CP_E_SERVER when the server's clock is more than CP_CLOCK_APART_SECONDS away from this host's, by which somebody's clock would
 * have partitions dropped that are not over. */
int cp_retention_clock(const cp_sink_config *sink, cp_error *err);

/* Does with a partition what its fate says. A partition that got rows since it was looked at is not dropped (CP_E_BUSY). */
int cp_retention_do(const cp_retention *retention, cp_partition *partition, const cp_sink_config *sink,
                    cp_error *err);

void cp_retention_free(cp_retention *retention);

#endif
