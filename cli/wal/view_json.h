/* A log that was looked at (wal/inspect.h) as JSON, and its sums, for `coldpath wal`. docs/schemas/ has the fields. */
#ifndef CP_CLI_WAL_VIEW_JSON_H
#define CP_CLI_WAL_VIEW_JSON_H

#include <json-c/json.h>

#include "recorder/config/config.h"
#include "wal/inspect.h"

/* Over all segments: what waits for ClickHouse, and what was verified. */
typedef struct cp_wal_sums {
    uint64_t records;
    uint64_t rows;
    uint64_t bytes;
    uint64_t since_ns; /* real time; 0: nothing waits */
    uint64_t scanned;  /* records verified */
    uint32_t used;     /* segments */
} cp_wal_sums;

cp_wal_sums cp_wal_view_sum(const cp_wal_view *view);

/* Seconds that something has waited by now. */
double cp_wal_waited_s(const cp_wal_sums *sums);

/* The caller's, as json-c has it. */
json_object *cp_wal_view_json(const cp_table_config *table, const cp_wal_view *view);
json_object *cp_wal_faults_json(const cp_wal_view *view);

#endif
