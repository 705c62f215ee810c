/* A row as text, in ClickHouse's own forms: what cp_row_set_text reads. For tools that show rows.
 *
 *   TSV    1\t2026-01-31 23:59:59\t\N\t[1,'a\'b']          escaped as in FORMAT TSV
 *   JSON   {"id":1,"at":"2026-01-31 23:59:59","n":null}   as in FORMAT JSONEachRow, numbers of any size unquoted, nan and
 *                                                         infinities null
 *
 *   bytes of a String          TSV                JSON               JSON_RAW
 *   control characters         \x1b               \u001b             \u001b         no terminal obeys them
 *   no UTF-8                   \xff, each byte    \ufffd, each       as they are   JSON: valid, for programs that read it; JSON_RAW: as
 *                                                                                  ClickHouse writes and reads it; TSV: keeps all
 *
 * Provenance columns, which are no part of the row, are left out. A time in a column that names another zone than UTC is
 * written in UTC, with a Z. */
#ifndef CP_SCHEMA_ROW_TEXT_H
#define CP_SCHEMA_ROW_TEXT_H

#include <stdio.h>

#include "schema/table.h"

typedef enum cp_row_format { CP_ROW_TSV, CP_ROW_JSON, CP_ROW_JSON_RAW } cp_row_format;

/* Writes one row, without a newline, to out. bytes: 8-byte aligned, and cp_row_check must have passed them. Errors of the
 * stream are the caller's to ask for (ferror). */
void cp_row_print(FILE *out, const cp_table *table, const uint8_t *bytes, cp_row_format format);

/* The names of the columns that cp_row_print writes, tabs between them. */
void cp_row_print_names(FILE *out, const cp_table *table);

#endif
