/* What the files of row.h share. Private to schema/. */
#ifndef CP_SCHEMA_ROW_PRIVATE_H
#define CP_SCHEMA_ROW_PRIVATE_H

#include "schema/row.h"

/* "[1, 2, NULL]" (row_array.c). */
int cp_row_set_array_text(cp_row *row, uint32_t column, const char *text, size_t len, cp_error *err);

/* Gives an absent column its DEFAULT (row_default.c). */
int cp_row_set_default(cp_row *row, uint32_t column, cp_error *err);

#endif
