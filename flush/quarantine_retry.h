/* Sending quarantined rows again: for `coldpath quarantine retry`, whether a recorder runs or not.
 *
 *   <table>.rows ──► <table>.retrying ──► batches ──► ClickHouse        refused again ──► <table>.rows
 *                          │                                            of another schema ──► <table>.rows
 *                          └── all settled ──► trash/
 *
 * The rows go through a flusher of their own: batches, tokens, pieces and all. What is under way stands in
 * <table>.progress, durable before it is sent, so that a retry that is killed goes on, under the same tokens, when it is asked
 * for again. One retry of a table at a time. */
#ifndef CP_FLUSH_QUARANTINE_RETRY_H
#define CP_FLUSH_QUARANTINE_RETRY_H

#include "flush/flusher.h"

typedef struct cp_quarantine_retry cp_quarantine_retry;

typedef struct cp_quarantine_result {
    uint64_t rows;      /* to be sent */
    uint64_t delivered; /* by this retry, and by the one that it goes on with */
    uint64_t refused;   /* again, and back in the quarantine */
    uint64_t kept;      /* of another schema, or damaged: back in the quarantine, not sent */
    bool done;          /* all of them are settled */
    bool stuck;         /* ClickHouse will not take them until somebody acts, or a file cannot be written */
    char text[CP_ERROR_TEXT]; /* why the last attempt failed; "" after a good one */
} cp_quarantine_result;

/* Starts sending the rows of table. sink->quarantine_dir and _limit say where they are; sink->instance names the namespace.
 * CP_E_ABSENT: there are none; CP_E_BUSY: another retry is at it; errors of reading and of cp_flusher_create. table must outlive
 * it. */
int cp_quarantine_retry_start(cp_quarantine_retry **out, const cp_sink_config *sink, const cp_table *table,
                              cp_error *err);

/* Any thread. */
void cp_quarantine_retry_look(cp_quarantine_retry *retry, cp_quarantine_result *result);

/* Ends it. What is not settled stays, and goes on with the next retry. NULL is allowed. */
void cp_quarantine_retry_stop(cp_quarantine_retry *retry);

#endif
