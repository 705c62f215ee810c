/* What the files of row.h share. Private to schema/. */
#ifndef CP_SCHEMA_ROW_PRIVATE_H
#define CP_SCHEMA_ROW_PRIVATE_H

#include "schema/row.h"

/* Fails about a value: "column 'bid_px' (Decimal(18, 8)): 'x' <problem>". Returns code. */
int cp_row_fail(const cp_row *row, uint32_t column, int code, const char *text, size_t len,
                const char *problem, cp_error *err);

/* Takes size bytes at a multiple of align from the tail; *offset is where they lie in the row. CP_E_TOO_BIG,
 * with err, when the buffer or CP_MAX_ROW is too small. */
int cp_row_reserve(cp_row *row, uint32_t column, uint64_t size, uint32_t align, uint32_t *offset,
                   cp_error *err);

/* Writes one value that is not NULL at bytes (inside the row): scalars by value, Strings into the tail. */
int cp_row_write(cp_row *row, uint32_t column, const char *text, size_t len, uint32_t at, cp_error *err);

/* Marks a column as given. */
void cp_row_mark(cp_row *row, uint32_t column);

/* "[1, 2, NULL]" (row_array.c). */
int cp_row_set_array_text(cp_row *row, uint32_t column, const char *text, size_t len, cp_error *err);

/* Gives an absent column its DEFAULT (row_default.c). */
int cp_row_set_default(cp_row *row, uint32_t column, cp_error *err);

#endif
