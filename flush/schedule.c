#include "flush/schedule.h"

void cp_schedule_want(cp_schedule *schedule, uint32_t table, bool wants)
{
    const uint64_t floor = schedule->floor[schedule->critical[table]];
    if (wants && !schedule->waiting[table] && schedule->served[table] < floor)
        schedule->served[table] = floor;
    schedule->waiting[table] = wants;
}

int cp_schedule_next(const cp_schedule *schedule)
{
    int best = -1;
    for (uint32_t i = 0; i < schedule->count; i++) {
        if (!schedule->waiting[i])
            continue;
        if (best < 0 || (schedule->critical[i] && !schedule->critical[best]) ||
            (schedule->critical[i] == schedule->critical[best] &&
             schedule->served[i] < schedule->served[best]))
            best = (int)i;
    }
    return best;
}

void cp_schedule_served(cp_schedule *schedule, uint32_t table, uint64_t cost)
{
    uint64_t *floor = &schedule->floor[schedule->critical[table]];
    if (schedule->served[table] > *floor)
        *floor = schedule->served[table];
    schedule->served[table] += cost;
    schedule->waiting[table] = false;
}
