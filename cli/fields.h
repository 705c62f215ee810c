/* The fields of one CSV or TSV record, and how they become the columns of a row.
 *
 * A splitter (csv_split.h, tsv_split.h) fills cp_fields; a cp_column_map, made from the table or from a
 * header line, says which column each field belongs to. */
#ifndef CP_CLI_FIELDS_H
#define CP_CLI_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/row.h"

enum { CP_MAX_FIELDS = 2 * CP_MAX_COLUMNS }; /* of a record; files may have columns that the table has not */

typedef struct cp_field {
    size_t offset; /* of the bytes in cp_fields.bytes */
    size_t len;
    bool null;  /* written as \N */
    bool empty; /* nothing there, not even quotes: the column's default */
} cp_field;

typedef struct cp_fields {
    char *bytes; /* unescaped, one field after another */
    size_t capacity;
    size_t used;
    uint32_t count;
    bool too_many; /* fields behind CP_MAX_FIELDS were dropped */
    cp_field field[CP_MAX_FIELDS];
} cp_fields;

void cp_fields_clear(cp_fields *fields);
void cp_fields_free(cp_fields *fields);

/* Makes room for size more bytes: CP_OK or CP_E_NOMEM. */
int cp_fields_reserve(cp_fields *fields, size_t size);

/* Adds a field whose bytes (used - offset of them) have been written already from offset on. */
void cp_fields_add(cp_fields *fields, size_t offset, bool null, bool empty);

typedef struct cp_column_map {
    const cp_table *table;
    uint32_t count;
    int column[CP_MAX_FIELDS]; /* per field: index of the table's column, or -1: skipped */
} cp_column_map;

/* Every column of the row, in the table's order. */
void cp_column_map_from_table(cp_column_map *map, const cp_table *table);

/* From the names of a header line. A name that is no column of the table is an error, CP_E_SCHEMA, with a
 * suggestion, or, with skip_unknown, skipped; a column named twice is an error. */
int cp_column_map_from_header(cp_column_map *map, const cp_table *table, const cp_fields *header,
                              bool skip_unknown, cp_error *err);

/* Says in err that the table has no column of that name, and which one was probably meant. Returns
 * CP_E_SCHEMA. */
int cp_unknown_column(const cp_table *table, const char *name, size_t len, cp_error *err);

/* Sets the columns of row (begun) from the fields of a record. line_ended false hints at a cut last line.
 * CP_E_PARSE, CP_E_TOO_BIG. */
int cp_fields_to_row(const cp_fields *fields, const cp_column_map *map, cp_row *row, bool line_ended,
                     cp_error *err);

#endif
