#include "ingest/ladder.h"

#include <stddef.h>

const char *cp_rung_name(uint32_t rung)
{
    static const char *const names[CP_RUNG_COUNT] = {"none", "suppress", "conflate", "drop"};
    return rung < CP_RUNG_COUNT ? names[rung] : "unknown";
}

void cp_ladder_init(cp_ladder *ladder, const cp_ladder_policy *policy)
{
    *ladder = (cp_ladder){.policy = *policy, .interval_ns = policy->interval_min_ns};
}

static bool rung_is_wanted(const cp_rung_policy *rung, const cp_load *load)
{
    return rung->enabled && (load->ring >= rung->ring_up || load->pool >= rung->pool_up ||
                             (rung->outage_ns && load->outage_ns >= rung->outage_ns));
}

static bool rung_is_calm(const cp_rung_policy *rung, const cp_load *load)
{
    return load->ring < rung->ring_down && load->pool < rung->pool_down &&
           (!rung->outage_ns || load->outage_ns < rung->outage_ns);
}

/* The next enabled rung above or below; CP_RUNG_NONE below the lowest. */
static cp_rung rung_next(const cp_ladder *ladder, int step)
{
    int rung = (int)ladder->level + step;
    while (rung > CP_RUNG_NONE && rung < CP_RUNG_COUNT && !ladder->policy.rungs[rung].enabled)
        rung += step;
    return (cp_rung)rung;
}

/* True when *since has stood for span at now. Starts it, or clears it when the condition does not hold. */
static bool held_for(uint64_t *since, bool holds, uint64_t span, uint64_t now_ns)
{
    if (!holds)
        *since = 0;
    else if (*since == 0)
        *since = now_ns;
    return holds && now_ns - *since >= span;
}

static void interval_step(cp_ladder *ladder, const cp_load *load, uint64_t now_ns)
{
    const cp_ladder_policy *policy = &ladder->policy;
    if (ladder->level < CP_RUNG_CONFLATE) {
        ladder->interval_ns = policy->interval_min_ns;
        ladder->grown_at = 0;
    } else if (!ladder->grown_at) {
        ladder->grown_at = now_ns;
    } else if (now_ns - ladder->grown_at >= policy->dwell_ns &&
               rung_is_wanted(&policy->rungs[CP_RUNG_CONFLATE], load)) {
        ladder->grown_at = now_ns;
        ladder->interval_ns = ladder->interval_ns < policy->interval_max_ns / 2 ? ladder->interval_ns * 2
                                                                                : policy->interval_max_ns;
    }
}

static void early_step(cp_ladder *ladder, const cp_load *load)
{
    const uint32_t mark = ladder->early ? ladder->policy.kept_down : ladder->policy.kept_up;
    ladder->early = ladder->level > CP_RUNG_NONE || (ladder->policy.early_release && load->kept >= mark);
}

bool cp_ladder_step(cp_ladder *ladder, const cp_load *load, uint64_t now_ns)
{
    const cp_ladder_policy *policy = &ladder->policy;
    const cp_rung before = ladder->level;
    bool higher = false;
    for (int rung = (int)before + 1; rung < CP_RUNG_COUNT; rung++)
        higher |= rung_is_wanted(&policy->rungs[rung], load);
    const bool calm = before > CP_RUNG_NONE && rung_is_calm(&policy->rungs[before], load);
    if (held_for(&ladder->pressed_since, higher, policy->dwell_ns, now_ns)) {
        ladder->level = rung_next(ladder, 1);
        ladder->pressed_since = now_ns;
    }
    if (held_for(&ladder->calm_since, calm && !higher, policy->calm_ns, now_ns)) {
        ladder->level = rung_next(ladder, -1);
        ladder->calm_since = 0;
    }
    interval_step(ladder, load, now_ns);
    early_step(ladder, load);
    return ladder->level != before;
}

bool cp_ladder_hold(cp_ladder *ladder, cp_rung rung, const cp_load *load, uint64_t now_ns)
{
    const cp_rung before = ladder->level;
    ladder->level = rung;
    ladder->pressed_since = 0;
    ladder->calm_since = 0;
    interval_step(ladder, load, now_ns);
    early_step(ladder, load);
    return rung != before;
}
