/* Taking up the batch that a killed recorder had under way.
 *
 * Its intent, in the control file, names the exact rows and the token. They are read out of their rings once more, checked as
 * the drain checks them, and handed to the flusher as a frozen batch under the old token, ahead of everything else; the
 * drain goes on behind them. Whether the first attempt had arrived, ClickHouse knows by the token. */
#ifndef CP_RECORDER_RESUME_H
#define CP_RECORDER_RESUME_H

#include "flush/flusher.h"
#include "ingest/drain.h"
#include "recorder/lane.h"

/* The rows of a batch that was taken up: they are needed until it is delivered. */
typedef struct cp_resumed cp_resumed;

/* Does so for one table, if there is an intent: before the flusher's and the drain's threads start. *out, when not NULL afterwards, is
 * to be freed when the table's first batch is delivered, or the flusher is gone. An intent that does not fit the rings
 * any more (they were tampered with) is dropped, loudly: its rows are then sent as new ones. Errors: CP_E_NOMEM, and
 * those of cp_flusher_resume. */
int cp_resume_table(cp_resumed **out, const cp_region_owner *region, uint32_t table,
                    const cp_table *descriptor, cp_lane *lane, cp_flusher *flusher, cp_drain *drain,
                    cp_error *err);

/* NULL is allowed. */
void cp_resumed_free(cp_resumed *resumed);

#endif
