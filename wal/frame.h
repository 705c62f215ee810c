/* A frame: records gathered in memory for one write. The writer's; one thread.
 *
 *   buffer: ├ room for a segment's headers ┼ record ┼ record ┼ … ┼ zeros to the block's end ┤
 *
 * While it fills, its records lack what is known only when the frame is written: the segment, the predecessor's CRC, how far
 * the log is durable. Sealing sets these; a frame that must be written again elsewhere is just sealed again. */
#ifndef CP_WAL_FRAME_H
#define CP_WAL_FRAME_H

#include "wal/log_private.h"

/* Adds a chunk as record lsn. False when there is no room. */
bool cp_frame_add(cp_frame *frame, uint64_t capacity, const cp_chunk *chunk, uint64_t lsn,
                  uint64_t schema_hash);

/* Makes it a frame of one mark. */
void cp_frame_mark(cp_frame *frame, uint64_t durable_lsn);

/* Seals all records for segment `active`, the first one following previous_crc, and pads. Returns the last one's CRC. */
uint32_t cp_frame_seal(cp_frame *frame, const cp_wal_origin *active, uint32_t previous_crc,
                       uint64_t durable_lsn, unsigned unsafe);

/* The records one after the other: *at is 0 at first; NULL behind the last. */
const cp_wal_record *cp_frame_next(const cp_frame *frame, uint32_t *at);

#endif
