/* A changed configuration: the owner makes all of it ready and waits; the thread takes it between two steps, or refuses it; the owner
 * frees what is left, old or new. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "flush/flusher_private.h"
#include "flush/sink_config.h"

static int update_make(cp_flusher_update *update, cp_flusher *flusher, const cp_sink_config *sink,
                       const cp_batch_policy *policies, cp_error *err)
{
    cp_sink_config config = *sink;
    config.database = flusher->config.database;
    config.instance = flusher->config.instance;
    update->policies = policies;
    update->renewed = cp_sink_credentials_differ(sink, &flusher->config);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (policies[i].max_rows < 1 || policies[i].max_rows > CP_MAX_BATCH_ROWS ||
            policies[i].max_bytes < 1 || policies[i].max_bytes > flusher->max_bytes[i])
            return cp_error_set(err, CP_E_INVAL, "table %u: max_rows or max_bytes is out of range", i);
    }
    if (!cp_sink_config_copy(&update->config, &config))
        return cp_error_set(err, CP_E_NOMEM, "no memory for another configuration");
    update->endpoints = calloc(1, sizeof *update->endpoints);
    if (!update->endpoints)
        return cp_error_set(err, CP_E_NOMEM, "no memory for another configuration");
    int rc = cp_endpoints_plan_make(update->endpoints, &flusher->endpoints, sink, err);
    if (rc == CP_OK)
        rc = cp_http_headers_create(&update->headers, &update->config, err);
    if (rc == CP_OK && sink->compression != CP_COMPRESS_NONE)
        rc = cp_compressor_create(&update->compressor, sink->compression_level,
                                  sink->compression == CP_COMPRESS_AUTO, err);
    return rc;
}

static void refusal_say(cp_flusher_update *update, const cp_endpoint *at, const cp_table *table)
{
    cp_error_set(&update->refusal, CP_E_CONFIG,
                 "clickhouse.url does not name %s any more, where a batch of table %s may have been stored: "
                 "keep it, if only as the last of the list, until the batch is delivered; or, when it will "
                 "not come back, name it under clickhouse.abandoned",
                 at->base, table->name);
}

/* What may have been stored at an endpoint is waited for there: it cannot be forgotten by leaving it out. */
static bool update_refuse(const cp_flusher *flusher, cp_flusher_update *update)
{
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        const cp_endpoint *at = cp_delivery_endpoint(flusher->deliveries[i]);
        if (!at || !cp_delivery_holds_on(flusher->deliveries[i]) ||
            cp_endpoints_plan_has(update->endpoints, at))
            continue;
        refusal_say(update, at, cp_delivery_table(flusher->deliveries[i]));
        return true;
    }
    for (uint32_t i = 0; flusher->held && i < CP_ENDPOINT_PLACES; i++) {
        const cp_endpoint *at = &flusher->endpoints.places[i];
        const cp_table *table = at->base[0] ? cp_held_sender_waits_for(flusher->held, at->id) : NULL;
        if (table && !cp_endpoints_plan_has(update->endpoints, at)) {
            refusal_say(update, at, table);
            return true;
        }
    }
    if (!cp_endpoints_plan_fits(update->endpoints, &flusher->endpoints)) {
        cp_error_set(&update->refusal, CP_E_CONFIG,
                     "more than %d ClickHouse endpoints are used, with those that are leaving: reload again "
                     "when these are gone",
                     CP_ENDPOINT_PLACES);
        return true;
    }
    return false;
}

void cp_flusher_update_take_(cp_flusher *flusher, cp_flusher_update *update)
{
    update->refused = update_refuse(flusher, update);
    if (update->refused) {
        sem_post(&flusher->updated);
        return;
    }
    const cp_endpoint *chosen = cp_endpoints_chosen(&flusher->endpoints);
    const cp_sink_config config = flusher->config;
    cp_compressor *compressor = flusher->compressor;
    flusher->config = update->config;
    flusher->compressor = flusher->env.compressor = update->compressor;
    cp_http_configure(flusher->http, update->headers);
    cp_endpoints_plan_take(&flusher->endpoints, update->endpoints, update->renewed);
    const bool changed = update->renewed || cp_endpoints_chosen(&flusher->endpoints) != chosen;
    cp_flusher_poll_reset_(flusher);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        cp_delivery_configure(flusher->deliveries[i], &update->policies[i], changed);
        cp_flusher_poll_shorten_(flusher, &update->policies[i]);
    }
    update->config = config;
    update->compressor = compressor;
    update->headers = NULL;
    sem_post(&flusher->updated);
}

int cp_flusher_configure(cp_flusher *flusher, const cp_sink_config *sink, const cp_batch_policy *policies,
                         cp_error *err)
{
    cp_flusher_update update = {.headers = NULL};
    if (!flusher->running)
        return cp_error_set(err, CP_E_INVAL, "the flusher does not run");
    int rc = update_make(&update, flusher, sink, policies, err);
    if (rc == CP_OK) {
        atomic_store_explicit(&flusher->update, &update, memory_order_release);
        cp_http_wake(flusher->http);
        while (sem_wait(&flusher->updated) < 0 && errno == EINTR)
            ;
    }
    if (update.refused) {
        *err = update.refusal;
        rc = update.refusal.code;
    }
    if (update.endpoints)
        cp_endpoints_plan_clear(update.endpoints);
    free(update.endpoints);
    cp_http_headers_free(update.headers);
    cp_compressor_free(update.compressor);
    cp_sink_config_drop(&update.config);
    return rc;
}
