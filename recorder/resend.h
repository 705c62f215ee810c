/* Sending records of a critical table's log once more, on purpose: after a table was truncated, or restored from an old backup.
 *
 *   log (opened, and so locked) ──► batches of records lo … hi ──► flusher ──► ClickHouse
 *
 * No recorder may run: it has the log. Neither region nor checkpoint take part. The batches go out under tokens of their own,
 * derived from log and range, so that ClickHouse does not take them for the first delivery; the same range sent again
 * within the table's deduplication window is recognised, and adds nothing. */
#ifndef CP_RECORDER_RESEND_H
#define CP_RECORDER_RESEND_H

#include <stdbool.h>

#include "recorder/config/config.h"

typedef struct cp_resend cp_resend;

typedef struct cp_resend_progress {
    uint64_t next; /* LSN of the first record that is not acknowledged */
    uint64_t rows; /* acknowledged */
    bool done;
    bool failed;              /* the log cannot be read: text says why, and nothing more will come */
    char text[CP_ERROR_TEXT]; /* of the last failed attempt, "" after a good one */
} cp_resend_progress;

/* Opens the log of table (an index into config) and starts sending records lo … hi. Only delivered records may be sent again: the
 * others are still to come by themselves. CP_E_ABSENT: the log does not hold them; CP_E_INVAL: bad range, or hi is not
 * delivered; the errors of cp_wal_inspect, cp_wal_open and cp_flusher_create. config must outlive it. */
int cp_resend_start(cp_resend **out, const cp_config *config, uint32_t table, uint64_t lo, uint64_t hi,
                    cp_error *err);

/* Any thread. */
void cp_resend_look(cp_resend *resend, cp_resend_progress *progress);

/* Ends it, done or not. NULL is allowed. */
void cp_resend_stop(cp_resend *resend);

#endif
