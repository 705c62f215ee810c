/* Samples with labels besides the table's, for the list of metrics (metric.c): each writes all its samples of a view, and nothing when
 * there is no region. */
#ifndef CP_MONITOR_SAMPLE_H
#define CP_MONITOR_SAMPLE_H

#include <stdio.h>

#include "monitor/watch.h"

typedef void cp_sample_write(const cp_watch_view *view, const char *name, FILE *out);

cp_sample_write cp_sample_build; /* version, abi */

/* Of every table: reason, class, level, slot and producer, quantile (of the last minute, in milliseconds; sum and count are those of the
 * region's life). */
cp_sample_write cp_sample_discards;
cp_sample_write cp_sample_insert_errors;
cp_sample_write cp_sample_pressure_seconds;
cp_sample_write cp_sample_producers;
cp_sample_write cp_sample_insert_latency;

/* Of every ClickHouse endpoint. */
cp_sample_write cp_sample_endpoint_states;
cp_sample_write cp_sample_endpoint_chosen;
cp_sample_write cp_sample_endpoint_switches;
cp_sample_write cp_sample_endpoint_held;

/* Of the canary, by stage; all 0 without one. */
cp_sample_write cp_sample_canary_rows;
cp_sample_write cp_sample_canary_times;

#endif
