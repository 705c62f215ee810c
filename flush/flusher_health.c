/* How the endpoints are, for the flusher's owner: judged after every step, told when something is new. */
#include <stdio.h>
#include <string.h>

#include "flush/flusher_private.h"

static cp_endpoint_health health_judge(cp_flusher *flusher, const cp_endpoint *at, uint64_t now_ns)
{
    if (!cp_flusher_any_may_send_(flusher)) /* nobody asks it */
        return CP_ENDPOINT_UNKNOWN;
    if (cp_endpoint_is_down(at, now_ns))
        return CP_ENDPOINT_DOWN;
    if (!cp_abilities_known(at->abilities)) /* a probe is under way: it says */
        return at->health;
    /* Half open with nothing to try is no trouble. */
    bool trouble = at->breaker.state != CP_BREAKER_CLOSED && !cp_flusher_idle(flusher) &&
                   at == cp_endpoints_chosen(&flusher->endpoints);
    for (uint32_t i = 0; i < flusher->table_count; i++)
        trouble = trouble || (cp_delivery_at(flusher->deliveries[i]) == at &&
                              cp_delivery_in_trouble(flusher->deliveries[i]));
    return trouble ? CP_ENDPOINT_DEGRADED : CP_ENDPOINT_HEALTHY;
}

/* One endpoint's view, if the place is not free. True: it says something new. */
static bool view_make(cp_flusher *flusher, cp_endpoint *at, cp_endpoint_view *view, uint64_t now_ns)
{
    const bool chosen = at == cp_endpoints_chosen(&flusher->endpoints);
    const cp_endpoint_health health = health_judge(flusher, at, now_ns);
    const char *reason = health == CP_ENDPOINT_DOWN ? at->reason : "";
    const bool news = health != at->health || chosen != at->told_chosen || at->leaving != at->told_leaving ||
                      !at->told || strcmp(reason, at->told_reason) != 0;
    *view = (cp_endpoint_view){.url = at->base,
                               .id = at->id,
                               .health = health,
                               .chosen = chosen,
                               .leaving = at->leaving,
                               .reason = at->told_reason};
    if (flusher->held)
        cp_held_sender_count(flusher->held, at->id, &view->held_batches, &view->held_rows);
    const bool held_news = view->held_rows != at->told_held;
    at->told_held = view->held_rows;
    at->health = health;
    at->told_chosen = chosen;
    at->told_leaving = at->leaving;
    at->told = true;
    snprintf(at->told_reason, sizeof at->told_reason, "%s", reason);
    return news || held_news;
}

void cp_flusher_health_show_(cp_flusher *flusher, uint64_t now_ns)
{
    cp_endpoints *endpoints = &flusher->endpoints;
    cp_endpoint_view views[CP_ENDPOINT_PLACES];
    uint32_t count = 0;
    bool news = false;
    for (uint32_t i = 0; i < endpoints->count; i++)
        news |= view_make(flusher, &endpoints->places[endpoints->order[i]], &views[count++], now_ns);
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        if (endpoints->places[i].leaving)
            news |= view_make(flusher, &endpoints->places[i], &views[count++], now_ns);
    }
    news |= count != flusher->told_count;
    flusher->told_count = count;
    const cp_endpoint_health health = cp_endpoints_chosen(endpoints)->health;
    if (news && flusher->events.endpoints)
        flusher->events.endpoints(flusher->events.ctx, views, count);
    if (health != flusher->health && flusher->events.health)
        flusher->events.health(flusher->events.ctx, health);
    flusher->health = health;
}
