#include "flush/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/error.h"
#include "flush/backoff.h"
#include "flush/error_class.h"

uint64_t cp_endpoint_id(const char *base)
{
    const uint64_t id = XXH3_64bits(base, strlen(base));
    return id ? id : 1;
}

int cp_endpoint_init(cp_endpoint *endpoint, const char *base, cp_http *http, const cp_sink_config *config,
                     cp_error *err)
{
    *endpoint = (cp_endpoint){.id = cp_endpoint_id(base)};
    snprintf(endpoint->base, sizeof endpoint->base, "%s", base);
    if (cp_abilities_create(&endpoint->abilities, http, config, endpoint->base) < 0) {
        endpoint->base[0] = '\0';
        return cp_error_set(err, CP_E_NOMEM, "no memory for an endpoint");
    }
    return CP_OK;
}

void cp_endpoint_clear(cp_endpoint *endpoint)
{
    cp_abilities_free(endpoint->abilities);
    *endpoint = (cp_endpoint){.base = ""};
}

static void reason_set(cp_endpoint *endpoint, const cp_http_reply *reply)
{
    char text[CP_ENDPOINT_REASON - 128];
    cp_http_reply_text(reply, text, sizeof text);
    snprintf(endpoint->reason, sizeof endpoint->reason, "%s%s", text, cp_error_remedy_of_reply(reply));
}

enum { TABLE_IS_READ_ONLY = 242 };

/* It takes nothing from this user; or its replica has lost Keeper, and another one has not. */
static bool refuses(const cp_sink_config *config, const cp_http_reply *reply, cp_error_class class)
{
    return class == CP_CLASS_PARK_ENDPOINT ||
           (reply->exception_code == TABLE_IS_READ_ONLY && config->others[0] != NULL);
}

/* Nothing came back, or only from a gateway before it, or an answer; and the answer may be that it takes nothing from this user. */
void cp_endpoint_learn(cp_endpoint *endpoint, const cp_sink_config *config, const cp_http_reply *reply,
                       uint64_t now_ns)
{
    const cp_error_class class = cp_error_classify(reply);
    const bool gateway = reply->exception_code == 0 && reply->status >= 502 && reply->status <= 504;
    const bool reached = class != CP_CLASS_TRANSIENT || reply->net == 0;
    if (reply->net == 0 && !gateway)
        cp_breaker_answered(&endpoint->breaker);
    else if (cp_breaker_failed(&endpoint->breaker, reached))
        cp_abilities_suspect(endpoint->abilities);
    if (refuses(config, reply, class)) {
        endpoint->refuses_until = now_ns + (uint64_t)CP_PARK_FACTOR * config->retry_max_ms * CP_NS_PER_MS;
        reason_set(endpoint, reply);
    } else if (class == CP_CLASS_OK) {
        endpoint->refuses_until = 0;
        endpoint->reason[0] = '\0';
    } else if (endpoint->breaker.state == CP_BREAKER_OPEN) {
        reason_set(endpoint, reply);
    }
}

bool cp_endpoint_probed(cp_endpoint *endpoint, cp_probe_result result, bool was_known,
                        const cp_http_reply *reply, uint64_t now_ns)
{
    if (result == CP_PROBE_GOING_ON)
        return false;
    endpoint->probed_ns = now_ns;
    cp_breaker_probed(&endpoint->breaker, result == CP_PROBE_DONE);
    if (result == CP_PROBE_FAILED)
        reason_set(endpoint, reply);
    else if (endpoint->refuses_until == 0)
        endpoint->reason[0] = '\0';
    return result == CP_PROBE_DONE && !was_known;
}

bool cp_endpoint_is_down(const cp_endpoint *endpoint, uint64_t now_ns)
{
    return endpoint->breaker.state == CP_BREAKER_OPEN || cp_abilities_failures(endpoint->abilities) > 0 ||
           now_ns < endpoint->refuses_until;
}
