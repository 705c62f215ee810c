/* The simulation by itself: CP_SECONDS (default 20) of it, or CP_STATES states, from CP_SEED; prints totals, exits 1 on a violation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/wal/sim_run.h"

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
    const uint64_t began = cp_boottime_ns();
    const uint64_t seconds = number_of("CP_SECONDS", 20);
    const sim_options options = {.seed = number_of("CP_SEED", began),
                                 .max_states = number_of("CP_STATES", UINT64_MAX),
                                 .deadline_ns = began + seconds * (uint64_t)CP_NS_PER_S,
                                 .unsafe = (unsigned)number_of("CP_UNSAFE", 0),
                                 .faults = number_of("CP_FAULTS", 1),
                                 .damage = number_of("CP_DAMAGE", 1),
                                 .short_lives = number_of("CP_SHORT", 0)};
    sim_result result;
    printf("CP_SEED=%" PRIu64 "\n", options.seed);
    fflush(stdout);
    sim_run(&options, &result);
    printf("%" PRIu64 " crash states (%" PRIu64 " of them with damage) after %" PRIu64 " operations, %" PRIu64
           " of which with all outcomes; %" PRIu64 " recoveries, %" PRIu64 " records compared; %" PRIu64
           " logs, %" PRIu64 " records acknowledged in them, %" PRIu64 " segments given up, %" PRIu64
           " writes retried, %" PRIu64 " checkpoints failed; damage: %" PRIu64 " refused at open, %" PRIu64
           " at reading, %" PRIu64 " harmless, %" PRIu64 " took an unstated tail; %" PRIu64 " ms\n",
           result.states, result.damaged, result.operations, result.exhaustive, result.recoveries,
           result.records_compared, result.workloads, result.acknowledged, result.given_up, result.retries,
           result.faults_reported, result.refused, result.corrupt_read, result.unharmed, result.tail_lost,
           (cp_boottime_ns() - began) / CP_NS_PER_MS);
    if (result.violated)
        printf("VIOLATION: %s (repeat with CP_SEED=%" PRIu64 ")\n", result.text, options.seed);
    return result.violated ? 1 : 0;
}
