/* What the generated C header and what is built on it (C++, descriptor) agree on: names of struct and members, and their
 * C types. Private to schema/. */
#ifndef CP_SCHEMA_C_HEADER_H
#define CP_SCHEMA_C_HEADER_H

#include <stdio.h>

#include "schema/c_names.h"
#include "schema/table.h"

/* The struct's name ("quotes_row") and the prefix of its constants ("QUOTES_"). False when out of memory. */
bool cp_c_row_names(const cp_table *table, char struct_name[CP_C_NAME_MAX], char prefix[CP_C_NAME_MAX]);

/* Calls visit for every member of the struct, in order: the columns, then the NULL flags (flag) of Nullable ones. False when
 * out of memory. */
typedef void cp_c_member_visit(void *ctx, const cp_column *column, const char *name, uint32_t offset,
                               bool flag);
bool cp_c_members_visit(const cp_table *table, cp_c_member_visit *visit, void *ctx);

/* The C type of one value: "int64_t", "cp_ref"; of FixedString, UUID and IPv6 that of a byte. */
const char *cp_c_value_type(cp_kind kind);

/* Writes text as the inside of a C comment. */
void cp_c_comment_write(FILE *out, const char *text);

#endif
