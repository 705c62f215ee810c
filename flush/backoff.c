#include "flush/backoff.h"

#include <stdatomic.h>

#include "base/clock.h"

/* splitmix64 over a counter and the clock: jitter needs no better. */
static uint64_t random_word(void)
{
    static _Atomic uint64_t counter;
    uint64_t word = atomic_fetch_add_explicit(&counter, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed);
    word += cp_boottime_ns();
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

uint64_t cp_backoff_ns(const cp_sink_config *config, uint32_t attempt, bool park)
{
    const uint64_t least = (config->retry_min_ms ? config->retry_min_ms : 1) * (uint64_t)CP_NS_PER_MS;
    uint64_t most = config->retry_max_ms * (uint64_t)CP_NS_PER_MS;
    if (most < least)
        most = least;
    if (park)
        most *= CP_PARK_FACTOR;
    uint64_t wait = least;
    for (uint32_t i = 1; i < attempt && wait < most; i++)
        wait *= 2;
    wait = wait / 2 + random_word() % (wait + 1);
    return wait < most ? wait : most;
}
