/* The endpoints of a flusher: which one new batches go to, and when each is asked how it does.
 *
 * One is chosen (failover.h); the others are probed from time to time, so that what is known of them is fresh when they are
 * needed. An endpoint keeps its place from the configuration that names it first until nothing is under way to it after the last
 * one that does; deliveries may hold on to it meanwhile. The flusher's thread, except where another is named. */
#ifndef CP_FLUSH_ENDPOINTS_H
#define CP_FLUSH_ENDPOINTS_H

#include "flush/endpoint.h"
#include "flush/failover.h"

enum { CP_ENDPOINT_PLACES = 2 * CP_MAX_ENDPOINTS }; /* those configured, and as many that are leaving */

typedef struct cp_endpoints {
    const cp_sink_config *config;
    cp_http *http;
    uint32_t count;                       /* configured */
    uint32_t order[CP_MAX_ENDPOINTS];     /* their places, by preference */
    _Atomic uint32_t chosen;              /* place */
    cp_failover failover;                 /* of those in order */
    uint64_t abandoned[CP_MAX_ENDPOINTS]; /* ids; 0 behind the last */
    cp_endpoint places[CP_ENDPOINT_PLACES];
} cp_endpoints;

/* What another configuration makes of them; see cp_endpoints_plan. */
typedef struct cp_endpoints_plan {
    uint32_t count;
    char bases[CP_MAX_ENDPOINTS][CP_ENDPOINT_BASE];
    uint64_t abandoned[CP_MAX_ENDPOINTS]; /* ids; 0 behind the last */
    cp_endpoint fresh[CP_MAX_ENDPOINTS];  /* of bases that were not configured when it was made; else free */
    uint64_t failback_ns;
} cp_endpoints_plan;

/* Checks and makes those of config, which, like http, must outlive them. CP_E_INVAL (a URL, or one twice), CP_E_NOMEM. */
int cp_endpoints_create(cp_endpoints *endpoints, const cp_sink_config *config, cp_http *http, cp_error *err);
void cp_endpoints_destroy(cp_endpoints *endpoints);

/* Announces a table to all of them. CP_E_NOMEM. */
int cp_endpoints_add_table(cp_endpoints *endpoints, const char *database, const char *table);

/* Where new batches go. Any thread, while the configuration stays. */
cp_endpoint *cp_endpoints_chosen(cp_endpoints *endpoints);

/* The endpoint with this id, or NULL. */
cp_endpoint *cp_endpoints_find(cp_endpoints *endpoints, uint64_t id);

/* The configuration says that the endpoint with this id will not come back. */
bool cp_endpoints_is_abandoned(const cp_endpoints *endpoints, uint64_t id);

/* The one whose probe the exchange is, or NULL. */
cp_endpoint *cp_endpoints_of_probe(cp_endpoints *endpoints, const cp_http_exchange *exchange);

/* Starts the probes that are due. Returns when to call again (boot-time clock). */
uint64_t cp_endpoints_step(cp_endpoints *endpoints, uint64_t now_ns);

/* Chooses anew. True: new batches go elsewhere from now on. */
bool cp_endpoints_choose(cp_endpoints *endpoints, uint64_t now_ns);

/* Somebody may have mended what keeps one of them from answering. */
void cp_endpoints_ask_now(cp_endpoints *endpoints);

/* Makes ready what config names, on any thread, while nobody takes a plan. To be cleared in any case. CP_E_INVAL, CP_E_NOMEM. */
int cp_endpoints_plan_make(cp_endpoints_plan *plan, cp_endpoints *endpoints, const cp_sink_config *config,
                           cp_error *err);
void cp_endpoints_plan_clear(cp_endpoints_plan *plan);

/* True: the plan names the endpoint, or says that it will not come back. */
bool cp_endpoints_plan_has(const cp_endpoints_plan *plan, const cp_endpoint *endpoint);

/* True: there is a place for every endpoint of the plan. */
bool cp_endpoints_plan_fits(const cp_endpoints_plan *plan, const cp_endpoints *endpoints);

/* Takes a plan that fits. renewed: credentials have changed, all are to be probed anew. */
void cp_endpoints_plan_take(cp_endpoints *endpoints, cp_endpoints_plan *plan, bool renewed);

/* Frees the place of an endpoint that is leaving, when `busy` says that nothing is under way to it. */
void cp_endpoints_leave(cp_endpoints *endpoints, bool (*busy)(const void *ctx, const cp_endpoint *endpoint),
                        const void *ctx);

#endif
