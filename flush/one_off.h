/* A flusher for one table whose batches come out of a file that somebody sends on purpose: rows of the quarantine, records of a log. It
 * has no drain thread: nothing is submitted to it. */
#ifndef CP_FLUSH_ONE_OFF_H
#define CP_FLUSH_ONE_OFF_H

#include "flush/flusher.h"

typedef struct cp_one_off {
    const cp_sink_config *sink;
    const cp_table *table;
    const cp_batch_policy *policy;
    const cp_batch_source *source;
    const cp_flush_events *events; /* all but release and progress, which tell nobody */
} cp_one_off;

/* Makes it, to be started as any. What one_off points to is copied, or as cp_flusher_create and cp_flusher_add_table say. Errors as
 * theirs; *out is to be ended in any case. */
int cp_one_off_create(cp_flusher **out, const cp_one_off *one_off, cp_error *err);

/* Ends it at once, started or not: what is under way is given up, and is whoever's that begins next. NULL is allowed. */
void cp_one_off_end(cp_flusher *flusher);

#endif
