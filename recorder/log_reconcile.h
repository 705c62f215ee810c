/* A log whose checkpoint is lost does not know any more how far ClickHouse has it. The region does, as long as it stands: the
 * rings' acknowledgements say what is delivered, and the table's intent which batch was under way. From these a checkpoint is
 * made again. What neither covers (another boot, rings made anew, rows that went ahead of a backlog) is sent again. */
#ifndef CP_RECORDER_LOG_RECONCILE_H
#define CP_RECORDER_LOG_RECONCILE_H

#include "ingest/chunk.h"
#include "recorder/lane.h"
#include "wal/log.h"

/* Before the threads start, after cp_lane_init. into: a chunk with memory for the largest record. Reads the log up to the first
 * record that the region does not know as delivered or under way. Errors of readers and of cp_wal_checkpoint_write: nothing
 * was changed. */
int cp_log_reconcile(cp_wal *wal, const cp_lane *lane, const cp_chunk *into, cp_error *err);

#endif
