/* Reading the log back, record by record, as the chunks that were appended: for the backlog after an outage, for batches in
 * doubt, for replay. Of a log that is being written to, only durable records are seen.
 *
 * A reader holds on to the segment it is in, which is not used again meanwhile. One thread. */
#ifndef CP_WAL_READER_H
#define CP_WAL_READER_H

#include "wal/log.h"

typedef struct cp_wal_reader cp_wal_reader;

/* A reader of records from `lsn` on. CP_E_ABSENT: the log begins behind lsn, the text says where; CP_E_NOMEM, CP_E_IO. The log
 * must outlive the reader. */
int cp_wal_reader_create(cp_wal_reader **out, cp_wal *wal, uint64_t lsn, cp_error *err);

/* Moves to another record. CP_E_ABSENT as above. */
int cp_wal_reader_seek(cp_wal_reader *reader, uint64_t lsn, cp_error *err);

/* Fills `into` (data, row_at and capacities are the caller's; data_capacity ≥ the log's max_chunk_bytes) with the next record, just
 * as the drain had filled it, and says which it is. CP_OK; CP_E_ABSENT: nothing more is durable now; CP_E_CORRUPT: this
 * record was acknowledged and is damaged, the text says where (the reader stays); CP_E_SCHEMA: it is of another schema
 * than the log's configuration (the reader stays; seek goes on behind it); CP_E_TOO_BIG: `into` is too small; CP_E_IO. */
int cp_wal_reader_next(cp_wal_reader *reader, cp_chunk *into, uint64_t *lsn, cp_error *err);

/* Lets go of the segment, so that it can be used again once it is delivered; for a reader that will not read for a while. It stays at
 * its record, and enters the segment anew when it goes on. */
void cp_wal_reader_rest(cp_wal_reader *reader);

/* The record that next would return. */
uint64_t cp_wal_reader_position(const cp_wal_reader *reader);

void cp_wal_reader_free(cp_wal_reader *reader);

#endif
