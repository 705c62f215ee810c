/* How long to wait before the next attempt: doubling from retry_min_ms to retry_max_ms, ± 50 % at random so that many
 * recorders do not come back at the same instant, and never longer than retry_max_ms. For trouble that waits for a person (a missing table, a wrong
 * password) it goes on doubling to CP_PARK_FACTOR × retry_max_ms. */
#ifndef CP_FLUSH_BACKOFF_H
#define CP_FLUSH_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/flusher.h"

enum { CP_PARK_FACTOR = 4 };

/* Nanoseconds to wait after attempt number `attempt` (from 1). Any thread. */
uint64_t cp_backoff_ns(const cp_sink_config *config, uint32_t attempt, bool park);

#endif
