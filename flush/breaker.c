#include "flush/breaker.h"

void cp_breaker_answered(cp_breaker *breaker)
{
    breaker->failures = 0;
    breaker->state = CP_BREAKER_CLOSED;
}

bool cp_breaker_failed(cp_breaker *breaker, bool reached)
{
    if (breaker->failures < CP_BREAKER_FAILURES)
        breaker->failures++;
    const bool opens = breaker->state == CP_BREAKER_HALF_OPEN || !reached ||
                       (breaker->state == CP_BREAKER_CLOSED && breaker->failures >= CP_BREAKER_FAILURES);
    if (!opens)
        return false;
    breaker->state = CP_BREAKER_OPEN;
    return true;
}

void cp_breaker_probed(cp_breaker *breaker, bool answered)
{
    if (!answered)
        breaker->state = CP_BREAKER_OPEN;
    else if (breaker->state == CP_BREAKER_OPEN)
        breaker->state = CP_BREAKER_HALF_OPEN;
}

uint32_t cp_breaker_room(const cp_breaker *breaker, uint32_t in_flight, uint32_t most)
{
    if (breaker->state == CP_BREAKER_OPEN)
        return 0;
    if (breaker->state == CP_BREAKER_HALF_OPEN)
        most = 1;
    return in_flight < most ? most - in_flight : 0;
}
