#include "flush/endpoints.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

enum { ASK_AGAIN_MS = 5000 }; /* an endpoint that answers, though nothing is sent there */

/* ---- what a configuration names ------------------------------------------------------------------------------- */

static int plan_add(cp_endpoints_plan *plan, const char *url, cp_error *err)
{
    char *base = plan->bases[plan->count];
    const int rc = cp_http_check_url(url, base, sizeof plan->bases[0], err);
    for (uint32_t i = 0; rc == CP_OK && i < plan->count; i++) {
        if (strcmp(plan->bases[i], base) == 0)
            return cp_error_set(err, CP_E_INVAL, "ClickHouse URL \"%.200s\" is given twice", base);
    }
    plan->count += rc == CP_OK;
    return rc;
}

static int plan_read(cp_endpoints_plan *plan, const cp_sink_config *config, cp_error *err)
{
    if (!config->url)
        return cp_error_set(err, CP_E_INVAL, "no ClickHouse URL is given");
    int rc = plan_add(plan, config->url, err);
    for (uint32_t i = 0; rc == CP_OK && i < CP_MAX_ENDPOINTS - 1 && config->others[i]; i++)
        rc = plan_add(plan, config->others[i], err);
    for (uint32_t i = 0; rc == CP_OK && i < CP_MAX_ENDPOINTS && config->abandoned[i]; i++) {
        char base[CP_ENDPOINT_BASE];
        rc = cp_http_check_url(config->abandoned[i], base, sizeof base, err);
        if (rc == CP_OK)
            plan->abandoned[i] = cp_endpoint_id(base);
    }
    plan->failback_ns = config->failback_ns;
    return rc;
}

/* One that is leaving may be gone when the plan is taken. */
static bool is_configured(const cp_endpoints *endpoints, const char *base)
{
    for (uint32_t i = 0; i < endpoints->count; i++) {
        if (strcmp(endpoints->places[endpoints->order[i]].base, base) == 0)
            return true;
    }
    return false;
}

int cp_endpoints_plan_make(cp_endpoints_plan *plan, cp_endpoints *endpoints, const cp_sink_config *config,
                           cp_error *err)
{
    int rc = plan_read(plan, config, err);
    const cp_endpoint *known = cp_endpoints_chosen(endpoints);
    for (uint32_t i = 0; rc == CP_OK && i < plan->count; i++) {
        if (is_configured(endpoints, plan->bases[i]))
            continue;
        rc = cp_endpoint_init(&plan->fresh[i], plan->bases[i], endpoints->http, endpoints->config, err);
        if (rc == CP_OK && known &&
            cp_abilities_add_tables_of(plan->fresh[i].abilities, known->abilities) < 0)
            rc = cp_error_set(err, CP_E_NOMEM, "no memory for an endpoint");
    }
    return rc;
}

void cp_endpoints_plan_clear(cp_endpoints_plan *plan)
{
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS; i++)
        cp_endpoint_clear(&plan->fresh[i]);
}

static bool id_is_abandoned(const uint64_t *abandoned, uint64_t id)
{
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS; i++) {
        if (abandoned[i] == id)
            return true;
    }
    return false;
}

static int plan_index(const cp_endpoints_plan *plan, const cp_endpoint *endpoint)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->bases[i], endpoint->base) == 0)
            return (int)i;
    }
    return -1;
}

bool cp_endpoints_plan_has(const cp_endpoints_plan *plan, const cp_endpoint *endpoint)
{
    return plan_index(plan, endpoint) >= 0 || id_is_abandoned(plan->abandoned, endpoint->id);
}

static cp_endpoint *place_free(cp_endpoints *endpoints)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        if (endpoints->places[i].base[0] == '\0')
            return &endpoints->places[i];
    }
    return NULL;
}

bool cp_endpoints_plan_fits(const cp_endpoints_plan *plan, const cp_endpoints *endpoints)
{
    uint32_t free_places = 0;
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++)
        free_places += endpoints->places[i].base[0] == '\0';
    for (uint32_t i = 0; i < plan->count; i++)
        wanted += plan->fresh[i].base[0] != '\0';
    return wanted <= free_places;
}

/* The place of the plan's i-th endpoint: the one it has, or a free one, where abilities find their base. */
static cp_endpoint *plan_place(cp_endpoints *endpoints, cp_endpoints_plan *plan, uint32_t i)
{
    cp_endpoint *place = cp_endpoints_find(endpoints, cp_endpoint_id(plan->bases[i]));
    if (place)
        return place;
    place = place_free(endpoints);
    *place = plan->fresh[i];
    cp_abilities_set_base(place->abilities, place->base);
    plan->fresh[i] = (cp_endpoint){.base = ""};
    return place;
}

void cp_endpoints_plan_take(cp_endpoints *endpoints, cp_endpoints_plan *plan, bool renewed)
{
    const cp_failover before = endpoints->failover;
    uint32_t places[CP_MAX_ENDPOINTS];
    memcpy(places, endpoints->order, sizeof places);
    cp_failover_begin(&endpoints->failover, plan->count, plan->failback_ns);
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        cp_endpoint *place = &endpoints->places[i];
        place->abandoned = id_is_abandoned(plan->abandoned, place->id);
        place->leaving = place->base[0] != '\0';
        if (renewed && place->leaving)
            cp_abilities_forget(place->abilities);
        if (renewed)
            place->refuses_until = 0;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        cp_endpoint *place = plan_place(endpoints, plan, i);
        place->leaving = false;
        endpoints->order[i] = (uint32_t)(place - endpoints->places);
        for (uint32_t was = 0; was < endpoints->count; was++) {
            if (places[was] != endpoints->order[i])
                continue;
            endpoints->failover.members[i] = before.members[was];
            if (was == before.chosen)
                endpoints->failover.chosen = i;
        }
    }
    endpoints->count = plan->count;
    memcpy(endpoints->abandoned, plan->abandoned, sizeof endpoints->abandoned);
    atomic_store(&endpoints->chosen, endpoints->order[endpoints->failover.chosen]);
}

void cp_endpoints_leave(cp_endpoints *endpoints, bool (*busy)(const void *ctx, const cp_endpoint *endpoint),
                        const void *ctx)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        cp_endpoint *place = &endpoints->places[i];
        if (place->leaving && !busy(ctx, place))
            cp_endpoint_clear(place);
    }
}

/* ---- creating ------------------------------------------------------------------------------------------------- */

int cp_endpoints_create(cp_endpoints *endpoints, const cp_sink_config *config, cp_http *http, cp_error *err)
{
    cp_endpoints_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return cp_error_set(err, CP_E_NOMEM, "no memory for endpoints");
    endpoints->config = config;
    endpoints->http = http;
    const int rc = cp_endpoints_plan_make(plan, endpoints, config, err);
    if (rc == CP_OK)
        cp_endpoints_plan_take(endpoints, plan, false);
    cp_endpoints_plan_clear(plan);
    free(plan);
    return rc;
}

void cp_endpoints_destroy(cp_endpoints *endpoints)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++)
        cp_endpoint_clear(&endpoints->places[i]);
}

int cp_endpoints_add_table(cp_endpoints *endpoints, const char *database, const char *table)
{
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && i < endpoints->count; i++)
        rc = cp_abilities_add_table(endpoints->places[endpoints->order[i]].abilities, database, table);
    return rc;
}

/* ---- finding -------------------------------------------------------------------------------------------------- */

cp_endpoint *cp_endpoints_chosen(cp_endpoints *endpoints)
{
    return endpoints->count ? &endpoints->places[atomic_load(&endpoints->chosen)] : NULL;
}

cp_endpoint *cp_endpoints_find(cp_endpoints *endpoints, uint64_t id)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        if (endpoints->places[i].base[0] && endpoints->places[i].id == id)
            return &endpoints->places[i];
    }
    return NULL;
}

bool cp_endpoints_is_abandoned(const cp_endpoints *endpoints, uint64_t id)
{
    return id_is_abandoned(endpoints->abandoned, id);
}

cp_endpoint *cp_endpoints_of_probe(cp_endpoints *endpoints, const cp_http_exchange *exchange)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        if (endpoints->places[i].base[0] && cp_abilities_owns(endpoints->places[i].abilities, exchange))
            return &endpoints->places[i];
    }
    return NULL;
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

uint64_t cp_endpoints_step(cp_endpoints *endpoints, uint64_t now_ns)
{
    const uint64_t pause_ns = ASK_AGAIN_MS * (uint64_t)CP_NS_PER_MS < endpoints->failover.patience_ns / 4
                                  ? ASK_AGAIN_MS * (uint64_t)CP_NS_PER_MS
                                  : endpoints->failover.patience_ns / 4 + CP_NS_PER_MS;
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        cp_endpoint *place = &endpoints->places[i];
        if (place->base[0] == '\0')
            continue;
        if (place != cp_endpoints_chosen(endpoints) && cp_abilities_known(place->abilities)) {
            if (now_ns - place->probed_ns >= pause_ns)
                cp_abilities_refresh(place->abilities);
            else if (place->probed_ns + pause_ns < next_ns)
                next_ns = place->probed_ns + pause_ns;
        }
        const uint64_t at = cp_abilities_step(place->abilities, now_ns);
        next_ns = at < next_ns ? at : next_ns;
    }
    return next_ns;
}

void cp_endpoints_ask_now(cp_endpoints *endpoints)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        if (endpoints->places[i].base[0])
            cp_abilities_ask_now(endpoints->places[i].abilities);
    }
}

bool cp_endpoints_choose(cp_endpoints *endpoints, uint64_t now_ns)
{
    cp_failover *failover = &endpoints->failover;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        const cp_endpoint *place = &endpoints->places[endpoints->order[i]];
        const bool known = cp_abilities_known(place->abilities);
        if (cp_endpoint_is_down(place, now_ns))
            cp_failover_tell(failover, i, CP_REACH_DOWN, now_ns);
        else if (known) /* while it is asked again after a failure, it stays what it was */
            cp_failover_tell(failover, i, CP_REACH_UP, now_ns);
    }
    const cp_endpoint *from = cp_endpoints_chosen(endpoints);
    if (!cp_failover_choose(failover, now_ns))
        return false;
    atomic_store(&endpoints->chosen, endpoints->order[failover->chosen]);
    const cp_endpoint *to = cp_endpoints_chosen(endpoints);
    const bool back = from->reason[0] == '\0';
    cp_log(back ? CP_LOG_INFO : CP_LOG_WARN,
           back ? "rows go to a preferred ClickHouse endpoint again"
                : "rows go to another ClickHouse endpoint",
           "from=%s to=%s remedy=\"coldpath status says what the first one lacks\"", from->base, to->base);
    return true;
}
