#include "monitor/sample.h"

#include <math.h>

#include "base/clock.h"
#include "monitor/metric.h"
#include "shm/histogram.h"

void cp_sample_build(const cp_watch_view *view, const char *name, FILE *out)
{
    (void)view;
    fprintf(out, "%s{version=\"" COLDPATH_VERSION "\",abi=\"%d.%d\"} 1\n", name, CP_ABI_MAJOR, CP_ABI_MINOR);
}

static void sample(FILE *out, const char *name, const cp_table_view *table, const char *label,
                   const char *value, double number)
{
    fprintf(out, "%s{table=", name);
    cp_metric_label(table->entry->name, out);
    fprintf(out, ",%s=", label);
    cp_metric_label(value, out);
    fputs("} ", out);
    cp_metric_number(number, out);
    fputc('\n', out);
}

void cp_sample_discards(const cp_watch_view *view, const char *name, FILE *out)
{
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++) {
        const cp_table_view *table = &view->observer->tables[i];
        sample(out, name, table, "reason", "rejected", (double)table->rejected);
        sample(out, name, table, "reason", "downsampled", (double)table->suppressed);
        sample(out, name, table, "reason", "dropped", (double)table->dropped);
        sample(out, name, table, "reason", "quarantined", (double)table->quarantined);
        sample(out, name, table, "reason", "given_up", (double)table->given_up);
        sample(out, name, table, "reason", "ring_full", (double)table->full);
        sample(out, name, table, "reason", "too_big", (double)table->too_big);
    }
}

void cp_sample_insert_errors(const cp_watch_view *view, const char *name, FILE *out)
{
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++) {
        const cp_table_view *table = &view->observer->tables[i];
        sample(out, name, table, "class", "net", (double)table->counters.insert_errors_net);
        sample(out, name, table, "class", "server", (double)table->counters.insert_errors_server);
    }
}

void cp_sample_pressure_seconds(const cp_watch_view *view, const char *name, FILE *out)
{
    static const char *const levels[] = {"1", "2", "3"};
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++) {
        const cp_table_view *table = &view->observer->tables[i];
        for (size_t level = 0; level < sizeof levels / sizeof levels[0]; level++)
            sample(out, name, table, "level", levels[level],
                   (double)table->counters.pressure_ns[level] / CP_NS_PER_S);
    }
}

void cp_sample_producers(const cp_watch_view *view, const char *name, FILE *out)
{
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++) {
        const cp_table_view *table = &view->observer->tables[i];
        for (uint32_t slot = 0; slot < table->entry->slots; slot++) {
            const cp_ring_view *ring = &table->rings[slot];
            if (ring->pid == 0)
                continue;
            fprintf(out, "%s{table=", name);
            cp_metric_label(table->entry->name, out);
            fprintf(out, ",slot=\"%u\",producer=", slot);
            cp_metric_label(ring->producer, out);
            fprintf(out, "} %d\n", ring->live);
        }
    }
}

/* The last minute's, in milliseconds; the sum and the count are those of the region's life. */
void cp_sample_insert_latency(const cp_watch_view *view, const char *name, FILE *out)
{
    static const struct {
        const char *text;
        double share;
    } quantiles[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}, {"1", 1}};
    for (uint32_t i = 0; view->present && i < view->observer->control.table_count; i++) {
        const cp_table_view *table = &view->observer->tables[i];
        const cp_abi_histogram *recent = &view->tables[i].recent_inserts;
        const cp_abi_histogram *all = &view->tables[i].measures.insert_us;
        const bool any = cp_histogram_count(recent) > 0;
        for (size_t q = 0; q < sizeof quantiles / sizeof quantiles[0]; q++)
            sample(out, name, table, "quantile", quantiles[q].text,
                   any ? cp_histogram_quantile(recent, quantiles[q].share) / 1e3 : NAN);
        fprintf(out, "%s_sum{table=", name);
        cp_metric_label(table->entry->name, out);
        fputs("} ", out);
        cp_metric_number((double)all->sum / 1e3, out);
        fprintf(out, "\n%s_count{table=", name);
        cp_metric_label(table->entry->name, out);
        fprintf(out, "} %llu\n", (unsigned long long)cp_histogram_count(all));
    }
}

/* One sample for each ClickHouse endpoint. */
static void endpoint_samples(const cp_watch_view *view, const char *name, FILE *out,
                             double (*value)(const cp_abi_endpoint *endpoint))
{
    for (uint32_t i = 0; view->present && view->observer->control.endpoints && i < CP_ABI_ENDPOINTS; i++) {
        cp_abi_endpoint endpoint = view->observer->control.endpoints[i];
        endpoint.url[sizeof endpoint.url - 1] = '\0';
        if (endpoint.role == CP_ENDPOINT_NONE)
            continue;
        fprintf(out, "%s{endpoint=", name);
        cp_metric_label(endpoint.url, out);
        fputs("} ", out);
        cp_metric_number(value(&endpoint), out);
        fputc('\n', out);
    }
}

#define ENDPOINT_SAMPLES(function, field, expression)                                                        \
    static double field(const cp_abi_endpoint *endpoint)                                                     \
    {                                                                                                        \
        return (double)(expression);                                                                         \
    }                                                                                                        \
    void function(const cp_watch_view *view, const char *name, FILE *out)                                    \
    {                                                                                                        \
        endpoint_samples(view, name, out, field);                                                            \
    }

ENDPOINT_SAMPLES(cp_sample_endpoint_states, state_of, endpoint->state)
ENDPOINT_SAMPLES(cp_sample_endpoint_chosen, chosen_of, endpoint->role == CP_ENDPOINT_CHOSEN)
ENDPOINT_SAMPLES(cp_sample_endpoint_switches, switches_of, endpoint->chosen)
ENDPOINT_SAMPLES(cp_sample_endpoint_held, held_of, endpoint->held_rows)

void cp_sample_canary_rows(const cp_watch_view *view, const char *name, FILE *out)
{
    const struct {
        const char *stage;
        uint64_t rows;
    } stages[] = {{"put", view->canary.put_rows},
                  {"durable", view->canary.durable_rows},
                  {"delivered", view->canary.delivered_rows},
                  {"lost", view->canary.lost_rows},
                  {"refused", view->canary.refused_rows}};
    for (size_t i = 0; view->present && i < sizeof stages / sizeof stages[0]; i++)
        fprintf(out, "%s{stage=\"%s\"} %llu\n", name, stages[i].stage, (unsigned long long)stages[i].rows);
}

void cp_sample_canary_times(const cp_watch_view *view, const char *name, FILE *out)
{
    static const cp_metric_histogram how = {.scale = 1e-6, .first_power = 9, .last_power = 27};
    static const char *const labels[][2] = {{"stage", "durable"}, {"stage", "delivered"}};
    const cp_abi_histogram *histograms[] = {&view->canary_durable, &view->canary_delivered};
    for (size_t i = 0; view->present && i < sizeof labels / sizeof labels[0]; i++)
        cp_metric_histogram_write(out, name, labels[i], &how, histograms[i]);
}
