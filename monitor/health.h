/* What a snapshot of the region says about the recorder's health: the one place that decides between exit codes 0 and 2
 * of `coldpath status`, and names the reason, each with the command that mends it or shows more. */
#ifndef CP_MONITOR_HEALTH_H
#define CP_MONITOR_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/observer.h"

enum {
    CP_HEALTH_REASONS = 16, /* further ones are not listed */
    CP_HEALTH_NOTICES = 16,
    CP_HEALTH_TEXT = 384,
    CP_HEALTH_STALE_MS = 3000,      /* a heartbeat older than this: the drain thread is stuck */
    CP_HEALTH_USAGE_PERMILLE = 900, /* a ring as full as this is about to refuse rows */
    CP_HEALTH_LOG_PERCENT = 80,     /* of wal_limit: a log as full as this is about to take no more rows */
    CP_HEALTH_BUDGET_PERCENT = 90,  /* of the day's budget, likewise */
    CP_HEALTH_LOOK_MS =
        150 /* between two looks at refusals: more than a slice of waiting of our own producers */
};

typedef struct cp_health {
    bool recorder_alive;
    bool serving; /* alive, heartbeat fresh: what it wrote about ClickHouse holds, and it takes commands */
    bool sound;   /* serving, and nothing below is wrong */
    uint64_t heartbeat_age_ns; /* UINT64_MAX: never beaten */
    uint32_t reason_count;
    char reasons[CP_HEALTH_REASONS][CP_HEALTH_TEXT];
    uint32_t notice_count; /* what is as it was asked for, or is over, and yet somebody should know */
    char notices[CP_HEALTH_NOTICES][CP_HEALTH_TEXT];
} cp_health;

/* What each table's rings have refused so far for want of room, as of one snapshot. Refusals of yesterday are no illness;
 * that the number grows is one. */
typedef struct cp_refusals {
    uint64_t full[CP_REGION_MAX_TABLES];
    bool any;
} cp_refusals;

/* Notes the refusals of the observer's last snapshot. When there are any, the caller looks again CP_HEALTH_LOOK_MS later,
 * before judging. */
void cp_refusals_note(cp_refusals *refusals, const cp_observer *observer);

/* Judges the observer's last snapshot; before is what an earlier one noted (or the same one: then nothing grows). */
void cp_health_judge(const cp_observer *observer, const cp_refusals *before, cp_health *health);

/* Whether a log has nearly all that wal_limit gives it: if it takes no rows, that is why, and not its disk. */
bool cp_health_log_at_limit(const cp_abi_measures *measures);

/* Whether a recorder that runs can be commanded; if not, *found says what is wrong with its control socket and what mends it. True also
 * when none runs: then that is what is wrong. */
bool cp_health_takes_commands(const cp_observer *observer, char *found, size_t size);

/* Words for the states of shm/abi.h: "running", "up", "exactly once". */
const char *cp_recorder_state_name(uint32_t state);
const char *cp_sink_state_name(uint32_t state);

/* "wal_first"; of cp_abi_control.mode. */
const char *cp_mode_name(uint32_t mode);
const char *cp_guarantee_name(uint32_t guarantee);
const char *cp_reload_result_name(uint32_t result);

#endif
