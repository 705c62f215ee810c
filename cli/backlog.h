/* How far a critical table is behind, and when it will have caught up: from two snapshots a moment apart.
 *
 *   rows in the log ── delivered per second ──►        time left = rows / (delivered − put per second),
 *        ▲                                              none while it does not shrink
 *        └──────────── put per second
 *
 * New rows go to ClickHouse before the backlog (recorder/log_lane.h), so what shrinks it is the difference of the two
 * rates. A table that keeps up always has some rows in its log: below CP_BACKLOG_ROWS there is nothing to tell. */
#ifndef CP_CLI_BACKLOG_H
#define CP_CLI_BACKLOG_H

#include "shm/observer.h"

enum {
    CP_BACKLOG_ROWS =
        10000, /* in a log; several batches of a critical table as it is configured by default */
    CP_BACKLOG_LOOK_MS = 300, /* between two looks: several batches, when ClickHouse takes them */
    CP_BACKLOG_LOOKS_MAX = 4  /* looks more, while a table's rows have not moved: its batches are slow */
};

/* What the tables had at one snapshot. */
typedef struct cp_backlog_mark {
    uint64_t at_ns; /* boot-time clock */
    bool any;       /* some table has a backlog, and a recorder lives to work on it: look again */
    struct {
        uint64_t put;
        uint64_t delivered;
    } tables[CP_REGION_MAX_TABLES];
} cp_backlog_mark;

typedef struct cp_backlog {
    bool behind;
    uint64_t rows;    /* in the log, not delivered */
    double put_per_s; /* the next three: 0 when there was no second look */
    double delivered_per_s;
    double seconds_left; /* < 0: at these rates, never */
} cp_backlog;

/* Notes the observer's last snapshot. */
void cp_backlog_note(cp_backlog_mark *mark, const cp_observer *observer);

/* True while some table that is behind has delivered nothing since mark, and may be about to: ClickHouse answers. */
bool cp_backlog_stands(const cp_backlog_mark *mark, const cp_observer *observer);

/* Judges table index of the observer's last snapshot, taken at now_ns. */
void cp_backlog_judge(const cp_backlog_mark *mark, const cp_observer *observer, uint32_t index,
                      uint64_t now_ns, cp_backlog *backlog);

#endif
