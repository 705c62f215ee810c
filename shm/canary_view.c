#include "shm/canary_view.h"

#include "base/clock.h"

static uint64_t get(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

void cp_canary_view_read(const cp_control *control, uint64_t now_ns, cp_canary_view *view)
{
    const cp_abi_canary *canary = control->canary;
    *view = (cp_canary_view){0};
    if (!canary || get(&canary->interval_ns) == 0)
        return;
    const uint64_t waiting_since = get(&canary->waiting_since_ns);
    const uint64_t waits = waiting_since ? since(waiting_since, now_ns) : 0;
    const uint64_t took = get(&canary->last_delivered_us) * CP_NS_PER_US;
    const uint64_t arrived = get(&canary->delivered_put_ns);
    const uint64_t started = get(&canary->started_ns);
    view->interval_ns = get(&canary->interval_ns);
    view->limit_ns = get(&canary->limit_ns);
    view->put_rows = get(&canary->put_rows);
    view->durable_rows = get(&canary->durable_rows);
    view->delivered_rows = get(&canary->delivered_rows);
    view->lost_rows = get(&canary->lost_rows);
    view->refused_rows = get(&canary->refused_rows);
    view->lag_ns = waits > took ? waits : took;
    view->arrived_ns = arrived > started ? arrived : started;
    view->age_ns = since(view->arrived_ns, now_ns);
    view->stale = view->age_ns > view->limit_ns;
}
