/* One ClickHouse endpoint of a flusher: its address, what it can do, whether it is to be asked.
 *
 * A batch is tied to the endpoint that may have stored it without saying so: nothing but another replica of the same table knows
 * its token, so it is sent again there and nowhere else (delivery_endpoint.c). An endpoint that the configuration does not name
 * any more stays, `leaving`, until nothing is under way to it. The flusher's thread. */
#ifndef CP_FLUSH_ENDPOINT_H
#define CP_FLUSH_ENDPOINT_H

#include "flush/abilities.h"
#include "flush/breaker.h"
#include "flush/http.h"

enum { CP_ENDPOINT_BASE = 1024, CP_ENDPOINT_REASON = 512 };

typedef struct cp_endpoint {
    char base[CP_ENDPOINT_BASE]; /* its URL; "": the place is free */
    uint64_t id;                 /* names it in intents */
    cp_abilities *abilities;
    cp_breaker breaker;
    bool leaving;
    bool
        abandoned; /* the configuration says that it will not come back: what may be there is sent elsewhere */
    uint64_t
        refuses_until; /* it refused an insert for what concerns all of them; 0: it did not, or took one since */
    uint64_t probed_ns;                   /* when its last probe ended */
    uint32_t in_flight;                   /* requests */
    cp_endpoint_health health;            /* as last told */
    char reason[CP_ENDPOINT_REASON];      /* of being down, with the remedy; "" */
    bool told, told_chosen, told_leaving; /* as health; likewise the reason */
    uint64_t told_held;                   /* rows */
    char told_reason[CP_ENDPOINT_REASON];
} cp_endpoint;

/* The id of a URL as cp_http_check_url gives it: never 0. */
uint64_t cp_endpoint_id(const char *base);

/* Makes an endpoint in a free place. base: as cp_http_check_url gave it. CP_E_NOMEM. */
int cp_endpoint_init(cp_endpoint *endpoint, const char *base, cp_http *http, const cp_sink_config *config,
                     cp_error *err);

/* Ends its probe and frees the place. Safe on a free one. */
void cp_endpoint_clear(cp_endpoint *endpoint);

/* What an insert's end says about it. config: how long it is not asked again when it refuses everything. */
void cp_endpoint_learn(cp_endpoint *endpoint, const cp_sink_config *config, const cp_http_reply *reply,
                       uint64_t now_ns);

/* A probe of it ended. True: it answers now, and did not before. */
bool cp_endpoint_probed(cp_endpoint *endpoint, cp_probe_result result, bool was_known,
                        const cp_http_reply *reply, uint64_t now_ns);

/* True: it does not answer, or takes nothing. */
bool cp_endpoint_is_down(const cp_endpoint *endpoint, uint64_t now_ns);

#endif
