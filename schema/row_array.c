/* Arrays of a row: elements one by one, or all from text.
 *
 *     "[1, 2, NULL]"    "['it''s', 'a\tb', NULL]"    "[]"
 *
 * The elements and their null flags are reserved together when the array begins, so that Strings, which grow
 * the tail while the array is built, come behind them. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "schema/ddl_lexer.h"
#include "schema/row_private.h"

int cp_row_array_begin(cp_row_array *array, cp_row *row, uint32_t column, uint32_t count, cp_error *err)
{
    if (column >= row->table->column_count || !row->table->columns[column].type.array)
        return cp_error_set(err, CP_E_PARSE, "column %u of table '%s' is not an Array", column,
                            row->table->name);
    const cp_type *type = &row->table->columns[column].type;
    const uint64_t bytes = (uint64_t)count * (type->value_size + type->nullable);
    *array = (cp_row_array){.row = row, .column = column, .capacity = count};
    const int code = cp_row_reserve(row, column, bytes, type->value_align, &array->offset, err);
    if (code == CP_OK)
        memset(row->bytes + array->offset, 0, (size_t)bytes);
    return code;
}

int cp_row_array_add(cp_row_array *array, const char *text, size_t len, bool is_null, cp_error *err)
{
    const cp_type *type = &array->row->table->columns[array->column].type;
    if (array->count == array->capacity)
        return cp_error_set(err, CP_E_TOO_BIG, "column '%s': more elements than the %u announced",
                            array->row->table->columns[array->column].name, array->capacity);
    const uint32_t flags = array->offset + array->capacity * type->value_size;
    if (is_null && !type->nullable)
        return cp_row_fail(array->row, array->column, CP_E_PARSE, "NULL", 4,
                           "cannot be an element: the Array's elements are not Nullable", err);
    if (is_null) {
        array->row->bytes[flags + array->count] = 1;
    } else {
        const uint32_t at = array->offset + array->count * type->value_size;
        const int code = cp_row_write(array->row, array->column, text, len, at, err);
        if (code < 0)
            return code;
    }
    array->count++;
    return CP_OK;
}

int cp_row_array_end(cp_row_array *array, cp_error *err)
{
    (void)err; /* nothing fails today */
    const cp_column *column = &array->row->table->columns[array->column];
    uint8_t *elements = array->row->bytes + array->offset;
    const cp_ref ref = {array->count ? array->offset : 0, array->count};
    if (column->type.nullable) /* the flags follow the last element, also when fewer came than announced */
        memmove(elements + (size_t)array->count * column->type.value_size,
                elements + (size_t)array->capacity * column->type.value_size, array->count);
    memcpy(array->row->bytes + column->offset, &ref, sizeof ref);
    cp_row_mark(array->row, array->column);
    return CP_OK;
}

/* One pass over the text of an array; the first only counts. */
typedef struct array_text {
    cp_ddl ddl; /* its lexer knows ClickHouse's quotes and escapes */
    cp_row *row;
    uint32_t column;
    bool building;
    cp_row_array array; /* if building */
    uint32_t count;
} array_text;

static int element_fail(array_text *text, cp_error *err)
{
    const cp_ddl_token tok = text->ddl.tok;
    const bool ended = tok.kind == CP_DDL_END;
    return cp_row_fail(text->row, text->column, CP_E_PARSE,
                       ended ? text->ddl.text : text->ddl.text + tok.begin,
                       ended ? text->ddl.len : tok.end - tok.begin,
                       ended ? "is not a complete array; write one such as [1, 2, NULL] or ['a', 'b']"
                             : "cannot stand here in an array; write one such as [1, 2, NULL] or ['a', 'b']",
                       err);
}

/* Where the bare element that begins at the token ends: at the next comma, bracket or blank. Dates and
 * addresses are several tokens to the lexer. */
static size_t bare_end(const cp_ddl *ddl)
{
    size_t end = ddl->tok.begin;
    while (end < ddl->len && !strchr(",[]' \t\r\n", ddl->text[end]))
        end++;
    return end;
}

static int element_add(array_text *text, cp_error *err)
{
    cp_ddl *ddl = &text->ddl;
    const cp_ddl_token tok = ddl->tok;
    text->count++;
    if (tok.kind == CP_DDL_STRING) {
        int code = CP_OK;
        if (text->building) {
            size_t len = 0;
            char *value = cp_ddl_decode_bytes(ddl, tok, &len);
            code = value ? cp_row_array_add(&text->array, value, len, false, err) : element_fail(text, err);
            free(value);
        }
        cp_ddl_next(ddl);
        return code;
    }
    const size_t end = bare_end(ddl);
    if (end == tok.begin || tok.kind == CP_DDL_END)
        return element_fail(text, err);
    const bool is_null = cp_ddl_is(ddl, "NULL") && end == tok.end;
    if (!is_null && text->row->table->columns[text->column].type.kind == CP_STRING)
        return cp_row_fail(text->row, text->column, CP_E_PARSE, ddl->text + tok.begin, end - tok.begin,
                           "must be in single quotes in an Array of Strings", err);
    int code = CP_OK;
    if (text->building)
        code = cp_row_array_add(&text->array, ddl->text + tok.begin, end - tok.begin, is_null, err);
    ddl->tok.end = end;
    cp_ddl_next(ddl);
    return code;
}

static int array_walk(array_text *text, const char *bytes, size_t len, cp_error *err)
{
    cp_ddl *ddl = &text->ddl;
    cp_ddl_init(ddl, "", bytes, len, NULL);
    text->count = 0;
    if (!cp_ddl_accept_punct(ddl, '['))
        return element_fail(text, err);
    while (!cp_ddl_is_punct(ddl, ']')) {
        const int code = element_add(text, err);
        if (code < 0)
            return code;
        if (!cp_ddl_accept_punct(ddl, ','))
            break;
    }
    if (!cp_ddl_accept_punct(ddl, ']') || ddl->tok.kind != CP_DDL_END || ddl->failed)
        return element_fail(text, err);
    return CP_OK;
}

int cp_row_set_array_text(cp_row *row, uint32_t column, const char *text, size_t len, cp_error *err)
{
    array_text walk = {.row = row, .column = column};
    const uint32_t used = row->used;
    int code = array_walk(&walk, text, len, err);
    if (code == CP_OK)
        code = cp_row_array_begin(&walk.array, row, column, walk.count, err);
    if (code == CP_OK) {
        walk.building = true;
        code = array_walk(&walk, text, len, err);
    }
    if (code < 0) {
        row->used = used;
        return code;
    }
    return cp_row_array_end(&walk.array, err);
}
