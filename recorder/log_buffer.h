/* Room to read a batch from a log, and the reading: records into chunks, one behind the other.
 *
 *   records of the log   │ lo │ lo+1 │ … │      data:   ├ chunk 0 ┼ chunk 1 ┼ … ┤
 *                                               rows:   ├ row_at of 0 ┼ of 1 ┼ … ┤
 */
#ifndef CP_RECORDER_LOG_BUFFER_H
#define CP_RECORDER_LOG_BUFFER_H

#include "recorder/config/config.h"
#include "wal/reader.h"

enum {
    CP_LOG_CHUNK_MAX = 1024 * 1024 + 4096, /* bytes of the largest chunk: CP_MAX_ROW with its record header */
    CP_LOG_RECORD_MIN = 16                 /* bytes of the smallest record of a ring, header included */
};

/* Room to read a batch from a log, shared by all critical tables: the flusher's thread reads one at a time. */
typedef struct cp_log_buffer {
    uint8_t *data;
    uint64_t data_size;
    uint32_t *rows; /* room for row_at */
    uint64_t row_count;
    cp_chunk *chunks; /* CP_BATCH_CHUNKS */
    cp_chunk **pointers;
} cp_log_buffer;

/* Room for the largest batch of any critical table of config; nothing when there is none. CP_E_NOMEM. */
int cp_log_buffer_create(cp_log_buffer *buffer, const cp_config *config, cp_error *err);
void cp_log_buffer_destroy(cp_log_buffer *buffer);

/* Reads a batch: records lo, lo+1 … into the buffer's chunks, up to hi, CP_BATCH_CHUNKS and the policy's bounds. Returns how
 * many; fewer than there were room for, and err set, when one cannot be read. */
uint32_t cp_log_buffer_fill(cp_log_buffer *buffer, const cp_batch_policy *policy, cp_wal_reader *reader,
                            uint64_t lo, uint64_t hi, cp_error *err);

#endif
