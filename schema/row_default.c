/* DEFAULTs of columns that a row does not give. A literal is put in here, as ClickHouse would; an expression
 * only ClickHouse can compute, and it computes none for a column that the insert names. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "schema/ddl_lexer.h"
#include "schema/row_private.h"

/* Without a DEFAULT: zero, empty or NULL, as cp_row_begin left it; of an Enum the least value, as in
 * ClickHouse, since zero need not be one of its values. */
static void zero_set(cp_row *row, uint32_t column)
{
    const cp_type *type = &row->table->columns[column].type;
    if ((type->kind != CP_ENUM8 && type->kind != CP_ENUM16) || type->array || type->nullable)
        return;
    int16_t least = type->enum_items[0].value;
    for (uint32_t i = 1; i < type->enum_count; i++) {
        if (type->enum_items[i].value < least)
            least = type->enum_items[i].value;
    }
    memcpy(row->bytes + row->table->columns[column].offset, &least, type->value_size);
}

/* Is the expression one literal? A string's text, else the expression's, goes to *text (malloc'd, may be NULL
 * when out of memory). */
static bool literal_read(const char *expr, char **text, bool *is_null)
{
    cp_ddl ddl;
    cp_ddl_init(&ddl, "", expr, strlen(expr), NULL);
    const cp_ddl_token first = ddl.tok;
    *is_null = cp_ddl_is(&ddl, "NULL");
    const bool word = *is_null || cp_ddl_is(&ddl, "true") || cp_ddl_is(&ddl, "false") ||
                      cp_ddl_is(&ddl, "inf") || cp_ddl_is(&ddl, "nan");
    if (cp_ddl_is_punct(&ddl, '[')) {
        *text = strdup(expr);
        return true; /* whether all of it is literal shows when it is set */
    }
    if (first.kind == CP_DDL_STRING) {
        *text = cp_ddl_decode(&ddl, first);
    } else {
        if (cp_ddl_accept_punct(&ddl, '-') || cp_ddl_accept_punct(&ddl, '+')) {
            if (ddl.tok.kind != CP_DDL_NUMBER && !cp_ddl_is(&ddl, "inf"))
                return false;
        } else if (first.kind != CP_DDL_NUMBER && !word) {
            return false;
        }
        *text = strdup(expr);
    }
    cp_ddl_next(&ddl);
    return ddl.tok.kind == CP_DDL_END && !ddl.failed;
}

int cp_row_set_default(cp_row *row, uint32_t column, cp_error *err)
{
    const cp_column *it = &row->table->columns[column];
    if (!it->default_expr) {
        zero_set(row, column);
        return CP_OK;
    }
    char *text = NULL;
    bool is_null = false;
    int code = CP_E_PARSE;
    const bool literal = literal_read(it->default_expr, &text, &is_null);
    if (literal && !text)
        code = cp_error_set(err, CP_E_NOMEM, "column '%s': out of memory for its DEFAULT", it->name);
    else if (literal && is_null && it->type.nullable)
        code = cp_row_set_null(row, column, err);
    else if (literal)
        code = cp_row_set_text(row, column, text, strlen(text), err);
    free(text);
    if (code != CP_E_PARSE)
        return code;
    return cp_error_set(
        err, CP_E_PARSE,
        "column '%s' must be given: its DEFAULT %.100s is an expression, which only the server could "
        "compute",
        it->name, it->default_expr);
}
