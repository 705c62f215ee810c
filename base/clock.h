/* Clocks. Liveness and intervals use the boot-time clock, which no administrator can step and which goes on while
 * the machine sleeps; what people and ClickHouse read uses the real-time clock. */
#ifndef CP_BASE_CLOCK_H
#define CP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { CP_NS_PER_US = 1000, CP_NS_PER_MS = 1000 * 1000, CP_NS_PER_S = 1000 * 1000 * 1000 };

static inline uint64_t cp_clock_ns_(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * (uint64_t)CP_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Nanoseconds since boot. */
static inline uint64_t cp_boottime_ns(void)
{
    return cp_clock_ns_(CLOCK_BOOTTIME);
}

/* Nanoseconds since 1970-01-01 UTC. */
static inline uint64_t cp_realtime_ns(void)
{
    return cp_clock_ns_(CLOCK_REALTIME);
}

#endif
