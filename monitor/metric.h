/* The metrics: one list, from which /metrics and docs/metrics.md are made, and against which alert rules and dashboard are
 * checked. A metric says how its samples come from a view; the text format is Prometheus's 0.0.4. */
#ifndef CP_MONITOR_METRIC_H
#define CP_MONITOR_METRIC_H

#include <stdio.h>

#include "monitor/watch.h"

typedef enum cp_metric_type {
    CP_METRIC_COUNTER,
    CP_METRIC_GAUGE,
    CP_METRIC_HISTOGRAM,
    CP_METRIC_SUMMARY
} cp_metric_type;

/* Of which of a table's histograms, in which unit, with which bounds. */
typedef struct cp_metric_histogram {
    size_t offset;        /* in cp_abi_measures; 0 is a histogram too: given is what counts */
    double scale;         /* makes the unit of a value the metric's */
    uint32_t first_power; /* bounds 2^first … 2^last, in the histogram's own unit */
    uint32_t last_power;
    bool given;
    bool whole; /* values are counts, not times: a bound says "at most" */
} cp_metric_histogram;

typedef struct cp_metric {
    const char *name;
    cp_metric_type type;
    const char *labels; /* as documented: "table", "table, reason", or "" */
    const char *help;   /* one line, without a point at its end */
    /* exactly one of these is given */
    double (*global)(const cp_watch_view *view);
    double (*table)(const cp_watch_view *view, uint32_t table);
    void (*samples)(const cp_watch_view *view, const char *name, FILE *out);
    cp_metric_histogram histogram;
} cp_metric;

/* All metrics, ended by an entry whose name is NULL. */
extern const cp_metric cp_metrics[];

/* Writes all samples of a view, each metric under its HELP and TYPE. */
void cp_metrics_write(const cp_watch_view *view, FILE *out);

/* The list as docs/metrics.md has it. */
void cp_metrics_document(FILE *out);

/* A label's value, quoted: what would end or break the line is escaped, what is not printable ASCII becomes '?'. */
void cp_metric_label(const char *value, FILE *out);

/* Writes the buckets, the sum and the count of a private copy; label: its name and value. Of how, the offset is not looked at. */
void cp_metric_histogram_write(FILE *out, const char *name, const char *const label[2],
                               const cp_metric_histogram *how, const cp_abi_histogram *histogram);

/* A sample's value. */
void cp_metric_number(double value, FILE *out);

#endif
