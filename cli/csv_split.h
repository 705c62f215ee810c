/* CSV records into fields, by libcsv (RFC 4180: quotes are doubled inside quotes; a quoted field may hold
 * newlines).
 *
 * A record is fed line by line until it is complete, so that the caller keeps the lines and can start again
 * behind the first one when a stray quote turns out to have swallowed the lines after it. An unquoted empty
 * field is `empty`, \N is NULL. */
#ifndef CP_CLI_CSV_SPLIT_H
#define CP_CLI_CSV_SPLIT_H

#include <csv.h>

#include "cli/fields.h"

typedef struct cp_csv_split {
    struct csv_parser parser;
    cp_fields *fields; /* the caller's */
    bool done;
    bool no_memory;
    bool stray_return;
} cp_csv_split;

int cp_csv_split_init(cp_csv_split *split, cp_fields *fields, cp_error *err);
void cp_csv_split_free(cp_csv_split *split);

/* Forgets a record begun. */
void cp_csv_split_reset(cp_csv_split *split);

/* Feeds one line with its newline (a last line without one: last true). Returns 1 when the record is
 * complete, 0 when it goes on in the next line, CP_E_PARSE or CP_E_NOMEM. After 1 or an error the next line
 * begins a new record. */
int cp_csv_split_line(cp_csv_split *split, const char *line, size_t len, bool last, cp_error *err);

#endif
