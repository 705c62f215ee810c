/* Building and reading rows column by column, from and to text: what the CLI, importers and language bindings
 * use. Hot paths fill the struct of the generated header instead.
 *
 * Building: begin, set columns in any order, end. Values are checked against the column's type: range,
 * precision, enum names, UTF-8 is not required. Text forms are ClickHouse's own for TSV/CSV, unescaped:
 *
 *   numbers      decimal; floats also nan, inf, -inf, exponents
 *   Bool         true, false, 1, 0
 *   Date         2026-01-31, or days since 1970
 *   DateTime     2026-01-31 23:59:59, or seconds since 1970; also with T and a zone (Z, +02:00), which it must have where the
 *                column names another zone than UTC; DateTime64 with a fraction, or a count of the column's ticks
 *   Decimal      digits with a point; more digits than the scale are an error, not a rounding
 *   Enum         the name, or its number
 *   UUID         8-4-4-4-12 hex digits
 *   IPv4, IPv6   as usual
 *   Array        [1, 2, NULL], with strings in single quotes
 *   String       the bytes as they are
 */
#ifndef CP_SCHEMA_ROW_H
#define CP_SCHEMA_ROW_H

#include <stdbool.h>

#include "schema/table.h"

typedef struct cp_row {
    const cp_table *table;
    uint8_t *bytes;    /* the caller's buffer, 8-byte aligned */
    uint32_t capacity; /* of it */
    uint32_t used;     /* bytes of the row so far: fixed part and tail */
    bool best_effort;  /* dates and times in other forms, too (best_effort.h); cp_row_begin says no */
    bool
        sized_digits; /* a time of digits alone is no count: its length says what it is, as in best_effort; cp_row_begin says no */
    bool
        cuts_digits; /* a Decimal with an exponent, or more digits than its scale, which are cut off, as ClickHouse reads one; cp_row_begin says no */
    uint64_t set[CP_MAX_COLUMNS / 64]; /* which columns have been given */
} cp_row;

/* Starts a row in buffer (8-byte aligned, capacity ≥ table->row_size): all columns zero, empty or NULL.
 * CP_E_INVAL when the buffer is too small. */
CP_PUBLIC int cp_row_begin(cp_row *row, const cp_table *table, void *buffer, uint32_t capacity);

/* Sets column (an index below column_count, no provenance column) from text as above. Errors: CP_E_PARSE or
 * CP_E_TOO_BIG, with the column, its type, the value (shortened) and the remedy in err; the row is then
 * unchanged in that column. Setting a column twice keeps the last value (the tail may grow both times). */
CP_PUBLIC int cp_row_set_text(cp_row *row, uint32_t column, const char *text, size_t len, cp_error *err);

/* Sets column to NULL; CP_E_PARSE when it is not Nullable. */
CP_PUBLIC int cp_row_set_null(cp_row *row, uint32_t column, cp_error *err);

/* An array from elements given one by one: begin, one add per element, end. For formats with arrays of their
 * own (JSON). is_null with text NULL adds a NULL. At most one array under construction per row. */
typedef struct cp_row_array {
    cp_row *row;
    uint32_t column;
    uint32_t capacity; /* elements reserved in the tail */
    uint32_t count;
    uint32_t offset;
} cp_row_array;
CP_PUBLIC int cp_row_array_begin(cp_row_array *array, cp_row *row, uint32_t column, uint32_t count,
                                 cp_error *err);
CP_PUBLIC int cp_row_array_add(cp_row_array *array, const char *text, size_t len, bool is_null,
                               cp_error *err);
CP_PUBLIC int cp_row_array_end(cp_row_array *array, cp_error *err);

/* The pieces that the functions above are made of, for language bindings, which put values of their own at a column's
 * offset.
 *
 * cp_row_fail     fails about a value: "column 'bid_px' (Decimal(18, 8)): 'x' <problem>"; returns code
 * cp_row_reserve  takes size bytes at a multiple of align from the tail; *offset is where they lie in the row.
 *                 CP_E_TOO_BIG, with err, when the buffer or CP_MAX_ROW is too small
 * cp_row_write    writes one value of the column's type, or of its elements' type, that is not NULL, at a byte of the row:
 *                 scalars by value, Strings into the tail. Errors of cp_row_set_text
 * cp_row_mark     marks a column as given */
CP_PUBLIC int cp_row_fail(const cp_row *row, uint32_t column, int code, const char *text, size_t len,
                          const char *problem, cp_error *err);
CP_PUBLIC int cp_row_reserve(cp_row *row, uint32_t column, uint64_t size, uint32_t align, uint32_t *offset,
                             cp_error *err);
CP_PUBLIC int cp_row_write(cp_row *row, uint32_t column, const char *text, size_t len, uint32_t at,
                           cp_error *err);
CP_PUBLIC void cp_row_mark(cp_row *row, uint32_t column);

/* Finishes a row: columns not given take their DEFAULT when it is a literal, else the type's zero value; a
 * column whose DEFAULT is an expression (now(), other columns) must be given: CP_E_PARSE names it. row->used
 * is then the size. */
CP_PUBLIC int cp_row_end(cp_row *row, cp_error *err);

/* Checks an untrusted row in private memory (bytes 8-byte aligned): size is at least row_size, every cp_ref
 * and every array lies inside [0, size), Array elements are aligned, Bool and NULL flags are 0 or 1, an
 * Enum's value that is not NULL is one of its own (an unknown one would break every later SELECT).
 * CP_E_CORRUPT names the column. With CP_OK every reader of the row is in bounds. Costs a comparison for a
 * table of plain numbers, else a few ns per column that needs a look. */
CP_PUBLIC int cp_row_check(const cp_table *table, const uint8_t *bytes, uint32_t size, cp_error *err);

#endif
