#include "base/log_limit.h"

#include "base/clock.h"

static cp_log_limit_event *event_find(cp_log_limit *limit, uint64_t key)
{
    cp_log_limit_event *quiet = &limit->events[0];
    for (uint32_t i = 0; i < CP_LOG_EVENTS; i++) {
        cp_log_limit_event *event = &limit->events[i];
        if (event->key == key && event->window_ns != 0)
            return event;
        if (event->seen_ns < quiet->seen_ns)
            quiet = event;
    }
    *quiet = (cp_log_limit_event){.key = key};
    return quiet;
}

bool cp_log_limit_take(cp_log_limit *limit, uint64_t key, uint64_t now_ns, uint32_t *left_out)
{
    cp_log_limit_event *event = event_find(limit, key);
    *left_out = 0;
    event->seen_ns = now_ns;
    if (event->window_ns == 0 || now_ns - event->window_ns >= CP_LOG_WINDOW_S * (uint64_t)CP_NS_PER_S) {
        event->window_ns = now_ns;
        event->lines = 0;
    }
    if (event->lines == CP_LOG_BURST) {
        event->left_out++;
        return false;
    }
    event->lines++;
    *left_out = event->left_out;
    event->left_out = 0;
    return true;
}
