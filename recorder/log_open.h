/* Opening the log of a critical table where the configuration has it, and what the region remembers of it: which log it is, and how far
 * that is acknowledged. The memory holds for the boot that it was written in: a region outlives its recorder, not its host. */
#ifndef CP_RECORDER_LOG_OPEN_H
#define CP_RECORDER_LOG_OPEN_H

#include "recorder/config/config.h"
#include "shm/abi.h"
#include "wal/log.h"

/* Opens the log of a table (an index into config), and makes its directory; memory: what the last recorder left in the region, or
 * NULL; cp_wal_close closes it. CP_E_CONFIG: the path is too long; errors of mkdir and of cp_wal_open. */
int cp_log_open(cp_wal **out, const cp_config *config, uint32_t table, const cp_abi_counters *memory,
                const cp_wal_events *events, cp_error *err);

/* What the last recorder of this boot left in the region of a table's log. */
cp_wal_known cp_log_known(const cp_abi_counters *memory);

/* The recorder alone: from here on the region says how far this log is acknowledged. */
void cp_log_remember(const cp_wal *wal, cp_abi_counters *memory);

#endif
