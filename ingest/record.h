/* Reading records out of a private copy of a ring's bytes: the one place where lengths that a producer wrote are
 * believed, after they have been checked. */
#ifndef CP_INGEST_RECORD_H
#define CP_INGEST_RECORD_H

#include "ingest/chunk.h"
#include "schema/table.h"

typedef enum cp_parse_result {
    CP_PARSE_WHOLE,   /* all bytes were whole records, or the chunk has taken as many rows as it can */
    CP_PARSE_PARTIAL, /* the last record continues behind the copy */
    CP_PARSE_BROKEN   /* a length that cannot be: the ring breaks the protocol from here on */
} cp_parse_result;

/* Indexes the records in chunk->data[0, copied).
 *   table    whose rows they should be
 *   row_max  largest row that the ring may hold
 *   last     true when nothing was published behind these bytes: a record that reaches past them is then broken
 * Sets chunk->row_at, row_count, rejected and byte_count (bytes of the whole records). A record whose frame is sound but
 * whose row is not (too short, a reference outside of it) is rejected: counted, left out, and the first one described in
 * *rejected. *broken says why the result is CP_PARSE_BROKEN. Either may be NULL. */
cp_parse_result cp_records_parse(cp_chunk *chunk, const cp_table *table, uint32_t row_max, uint64_t copied,
                                 bool last, cp_error *rejected, cp_error *broken);

#endif
