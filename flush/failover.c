#include "flush/failover.h"

void cp_failover_begin(cp_failover *failover, uint32_t count, uint64_t patience_ns)
{
    *failover = (cp_failover){.count = count, .patience_ns = patience_ns};
}

static uint64_t patience_of(const cp_failover *failover, const cp_failover_member *member)
{
    return failover->patience_ns << member->relapses;
}

void cp_failover_tell(cp_failover *failover, uint32_t member, cp_reach reach, uint64_t now_ns)
{
    cp_failover_member *of = &failover->members[member];
    if (of->reach == reach)
        return;
    of->reach = reach;
    of->since_ns = now_ns;
}

/* The chosen one is down. It may have been chosen too early. */
static void chosen_fell(cp_failover *failover, uint64_t now_ns)
{
    cp_failover_member *of = &failover->members[failover->chosen];
    const bool soon = of->chosen_ns != 0 && now_ns - of->chosen_ns < patience_of(failover, of);
    if (!soon)
        of->relapses = 0;
    else if (of->relapses < CP_FAILOVER_RELAPSES)
        of->relapses++;
    of->chosen_ns = 0;
}

bool cp_failover_choose(cp_failover *failover, uint64_t now_ns)
{
    const bool down = failover->members[failover->chosen].reach == CP_REACH_DOWN;
    for (uint32_t i = 0; i < failover->count; i++) {
        cp_failover_member *of = &failover->members[i];
        if (of->reach != CP_REACH_UP || (!down && i >= failover->chosen))
            continue;
        if (!down && now_ns - of->since_ns < patience_of(failover, of))
            continue;
        if (down)
            chosen_fell(failover, now_ns);
        else
            of->chosen_ns = now_ns;
        failover->chosen = i;
        return true;
    }
    return false;
}
