/* CSV records out of lines: joins the lines of quoted fields that hold newlines, and recovers from stray
 * quotes.
 *
 *      lines kept:   begin            scan                 end
 *                      ├─ fed already ──┼─ to be fed again ──┤        then the line reader
 *
 * When a record fails (bad quoting, never closed, too long) its first line alone is rejected and scan goes
 * back to the second. */
#ifndef CP_CLI_CSV_RECORD_H
#define CP_CLI_CSV_RECORD_H

#include "base/line_reader.h"
#include "cli/csv_split.h"

typedef struct cp_csv_record cp_csv_record;

/* reader and fields are the caller's and must outlive it. */
int cp_csv_record_new(cp_csv_record **out, cp_line_reader *reader, cp_fields *fields, cp_error *err);
void cp_csv_record_free(cp_csv_record *record);

/* Reads one record into the fields (none for a blank line). Returns as cp_line_reader_next, also CP_E_PARSE:
 * a line is rejected, read on. first is the record as it stands in the input, all its lines, or the rejected
 * line (its text NULL when it was over the limit); valid until the next call. */
int cp_csv_record_next(cp_csv_record *record, cp_line *first, cp_error *err);

#endif
