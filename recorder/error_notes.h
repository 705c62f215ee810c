/* What the recorder logs as a warning or an error, noted in the region's file of errors (shm/error_log.h).
 *
 *   cp_log(CP_LOG_WARN, "rows rejected", "table=quotes … remedy=…") ──► a line, if not too many of them
 *                                                                   └─► one entry: message, table; count, last time, detail, remedy
 *
 * One per process, as the log is. */
#ifndef CP_RECORDER_ERROR_NOTES_H
#define CP_RECORDER_ERROR_NOTES_H

#include "recorder/config/config.h"
#include "shm/region.h"

/* From now on. The region is the caller's until close. Without the file, which is said in the log, nothing is noted. */
void cp_error_notes_open(const cp_config *config, const cp_region_owner *region);

/* Now and then, on the thread that opened: makes the file anew when somebody cut it short or took it away, and says so. */
void cp_error_notes_keep(const cp_config *config, const cp_region_owner *region);

/* Safe when it was never opened. */
void cp_error_notes_close(void);

#endif
