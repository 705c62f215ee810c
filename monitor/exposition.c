/* Prometheus's text format, version 0.0.4, and the same list as a document. See metric.h. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "monitor/metric.h"
#include "shm/histogram.h"

static const char *type_name(cp_metric_type type)
{
    static const char *const names[] = {"counter", "gauge", "histogram", "summary"};
    return names[type];
}

void cp_metric_label(const char *value, FILE *out)
{
    fputc('"', out);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        fputc(*value >= ' ' && *value <= '~' ? *value : '?', out);
    }
    fputc('"', out);
}

void cp_metric_number(double value, FILE *out)
{
    if (isnan(value))
        fputs("NaN", out);
    else
        fprintf(out, "%.15g", value);
}

/* label: its name and value, or NULL. */
static void sample_write(FILE *out, const char *name, const char *suffix, const char *const label[2],
                         const char *le, double value)
{
    fprintf(out, "%s%s", name, suffix);
    if (label) {
        fprintf(out, "{%s=", label[0]);
        cp_metric_label(label[1], out);
        if (le)
            fprintf(out, ",le=\"%s\"", le);
        fputc('}', out);
    }
    fputc(' ', out);
    cp_metric_number(value, out);
    fputc('\n', out);
}

void cp_metric_histogram_write(FILE *out, const char *name, const char *const label[2],
                               const cp_metric_histogram *how, const cp_abi_histogram *histogram)
{
    for (uint32_t power = how->first_power; power <= how->last_power; power++) {
        const uint64_t bound = UINT64_C(1) << power;
        char le[32];
        snprintf(le, sizeof le, "%.12g", (double)(bound - how->whole) * how->scale);
        sample_write(out, name, "_bucket", label, le, (double)cp_histogram_below(histogram, bound));
    }
    const double count = (double)cp_histogram_count(histogram);
    sample_write(out, name, "_bucket", label, "+Inf", count);
    sample_write(out, name, "_sum", label, NULL, (double)histogram->sum * how->scale);
    sample_write(out, name, "_count", label, NULL, count);
}

static void metric_write(const cp_metric *metric, const cp_watch_view *view, FILE *out)
{
    const uint32_t tables = view->present ? view->observer->control.table_count : 0;
    if (!metric->global && metric->samples == NULL && tables == 0)
        return;
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
            type_name(metric->type));
    if (metric->global)
        sample_write(out, metric->name, "", NULL, NULL, metric->global(view));
    if (metric->samples)
        metric->samples(view, metric->name, out);
    for (uint32_t i = 0; i < tables; i++) {
        const char *const label[] = {"table", view->observer->tables[i].entry->name};
        const uint8_t *measures = (const uint8_t *)&view->tables[i].measures;
        if (metric->table)
            sample_write(out, metric->name, "", label, NULL, metric->table(view, i));
        if (metric->histogram.given)
            cp_metric_histogram_write(
                out, metric->name, label, &metric->histogram,
                (const cp_abi_histogram *)(const void *)(measures + metric->histogram.offset));
    }
}

void cp_metrics_write(const cp_watch_view *view, FILE *out)
{
    for (const cp_metric *metric = cp_metrics; metric->name; metric++)
        metric_write(metric, view, out);
}

void cp_metrics_document(FILE *out)
{
    fputs("| metric | type | labels | meaning |\n|---|---|---|---|\n", out);
    for (const cp_metric *metric = cp_metrics; metric->name; metric++)
        fprintf(out, "| `%s` | %s | %s | %s |\n", metric->name, type_name(metric->type),
                metric->labels[0] ? metric->labels : "–", metric->help);
}
