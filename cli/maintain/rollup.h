/* What is kept of a partition's rows before they are dropped: a file rollups/<table>.sql beside the table's own, with one
 * statement that ClickHouse itself could run with a parameter:
 *
 *     INSERT INTO market_data_1m (…) SELECT … , count() AS ticks FROM market_data
 *     WHERE _partition_id = {partition:String} GROUP BY …
 *
 * The target has a column `ticks`, the number of rows that went into each of its own, and the same partition ids as the
 * source; so whether a partition has been rolled up, and completely, is a matter of counting. */
#ifndef CP_CLI_MAINTAIN_ROLLUP_H
#define CP_CLI_MAINTAIN_ROLLUP_H

#include <stdint.h>
#include <stdio.h>

#include "flush/query.h"
#include "recorder/config/config.h"

typedef struct cp_rollup {
    char *target;        /* table */
    char *text;          /* the statement, with {partition:String} in it */
    size_t select;       /* where in it the SELECT begins */
    const char *cluster; /* both tables are Distributed, in front of …_local; or NULL */
} cp_rollup;

/* Reads the roll-up of a table; target is NULL when it has none. cluster: or NULL. CP_E_PARSE, with file, line and column. */
int cp_rollup_load(cp_rollup *rollup, const cp_config *config, const char *table, const char *cluster,
                   cp_error *err);

/* Writes "ALTER TABLE … DROP PARTITION ID '…'": of the table, or of all of a cluster's local ones. */
void cp_partition_drop_write(FILE *out, const char *database, const char *table, const char *cluster,
                             const char *partition);

/* Rolls one partition of rows rows up, in place of what the target has of it, and counts: CP_E_SERVER when the target does
 * not stand for all of them afterwards; CP_E_INVAL, and nothing is touched, when the target has more of a bar than the
 * partition, or its partitions are others. */
int cp_rollup_run(const cp_rollup *rollup, const cp_sink_config *sink, const char *database,
                  const char *partition, uint64_t rows, cp_error *err);

void cp_rollup_free(cp_rollup *rollup);

#endif
