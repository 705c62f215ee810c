/* Building a row column by column: see row.h. The tail only grows; a value that is refused gives its bytes
 * back, one that is replaced leaves them unused. */
#include "schema/row.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "schema/best_effort.h"
#include "schema/row_private.h"
#include "schema/suggest.h"
#include "schema/value.h"

enum {
    VALUE_SHOWN = 48, /* bytes of a value in a message */
    TYPE_SHOWN = 120  /* of a type; long Enums are cut */
};

/* The value for a message: shortened and printable. */
static void value_show(char out[VALUE_SHOWN + 8], const char *text, size_t len)
{
    const size_t shown = len > VALUE_SHOWN ? VALUE_SHOWN : len;
    for (size_t i = 0; i < shown; i++)
        out[i] =
            text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i]; /* bytes from 0x80 on are negative: also '?' */
    memcpy(out + shown, len > VALUE_SHOWN ? "…" : "\0\0\0", sizeof "…");
}

int cp_row_fail(const cp_row *row, uint32_t column, int code, const char *text, size_t len,
                const char *problem, cp_error *err)
{
    const cp_column *it = &row->table->columns[column];
    char shown[VALUE_SHOWN + 8];
    value_show(shown, text, len);
    const bool is_enum = it->type.kind == CP_ENUM8 || it->type.kind == CP_ENUM16;
    cp_suggestion near = {.word = text, .len = len};
    for (uint32_t i = 0; is_enum && i < it->type.enum_count; i++)
        cp_suggest_offer(&near, it->type.enum_items[i].name);
    return cp_error_set(err, code, "column '%s' (%.*s): '%s' %s%s%.100s%s", it->name, TYPE_SHOWN,
                        it->type.text, shown, problem, near.best ? "; did you mean '" : "",
                        near.best ? near.best : "", near.best ? "'?" : "");
}

int cp_row_begin(cp_row *row, const cp_table *table, void *buffer, uint32_t capacity)
{
    if (capacity < table->row_size || ((uintptr_t)buffer & 7u) != 0)
        return CP_E_INVAL;
    *row = (cp_row){.table = table, .bytes = buffer, .capacity = capacity, .used = table->row_size};
    memset(buffer, 0, table->row_size);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (column->type.nullable && !column->type.array && column->provenance == CP_PROV_NONE)
            row->bytes[column->null_offset] = 1;
    }
    return CP_OK;
}

void cp_row_mark(cp_row *row, uint32_t column)
{
    row->set[column / 64] |= (uint64_t)1 << (column % 64);
}

int cp_row_reserve(cp_row *row, uint32_t column, uint64_t size, uint32_t align, uint32_t *offset,
                   cp_error *err)
{
    const uint64_t at = ((uint64_t)row->used + align - 1) & ~(uint64_t)(align - 1);
    const uint64_t limit = row->capacity < CP_MAX_ROW ? row->capacity : CP_MAX_ROW;
    if (at + size > limit)
        return cp_error_set(
            err, CP_E_TOO_BIG,
            "column '%s': with these %llu bytes the row would be larger than the %llu it may have",
            row->table->columns[column].name, (unsigned long long)size, (unsigned long long)limit);
    memset(row->bytes + row->used, 0,
           (size_t)(at - row->used)); /* no stray bytes of the buffer leave with the row */
    *offset = (uint32_t)at;
    row->used = (uint32_t)(at + size);
    return CP_OK;
}

static bool digits_alone(const char *text, size_t len)
{
    const size_t sign = len > 0 && (text[0] == '-' || text[0] == '+');
    size_t digits = sign;
    while (digits < len && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    return digits == len && digits > sign;
}

int cp_row_write(cp_row *row, uint32_t column, const char *text, size_t len, uint32_t at, cp_error *err)
{
    const cp_type *type = &row->table->columns[column].type;
    if (type->kind == CP_STRING) {
        cp_ref ref = {0, 0};
        if (len > 0) {
            const int code = cp_row_reserve(row, column, len, 1, &ref.offset, err);
            if (code < 0)
                return code;
            ref.length = (uint32_t)len;
            memcpy(row->bytes + ref.offset, text, len);
        }
        memcpy(row->bytes + at, &ref, sizeof ref);
        return CP_OK;
    }
    char strict[CP_BEST_EFFORT_TEXT];
    const bool time = type->kind >= CP_DATE && type->kind <= CP_DATETIME64;
    const bool sized = time && row->sized_digits && digits_alone(text, len);
    const size_t rewritten =
        time && (row->best_effort || sized) ? cp_best_effort_time(type, text, len, strict) : 0;
    if (rewritten && !cp_value_parse(type, strict, rewritten, row->bytes + at))
        return CP_OK;
    const bool cut = row->cuts_digits && type->kind >= CP_DECIMAL32 && type->kind <= CP_DECIMAL128;
    if (cut && !cp_value_cut_decimal(type, text, len, row->bytes + at))
        return CP_OK;
    const char *problem =
        sized ? "is digits alone, but neither a count of s, ms, µs or ns since 1970 nor YYYYMMDD[hhmmss]"
              : cp_value_parse(type, text, len, row->bytes + at);
    return problem ? cp_row_fail(row, column, CP_E_PARSE, text, len, problem, err) : CP_OK;
}

/* A column that callers may set? */
static int column_check(const cp_row *row, uint32_t column, cp_error *err)
{
    if (column >= row->table->column_count)
        return cp_error_set(err, CP_E_INVAL, "column %u of table '%s', which has %u", column,
                            row->table->name, row->table->column_count);
    if (row->table->columns[column].provenance != CP_PROV_NONE)
        return cp_error_set(err, CP_E_PARSE, "column '%s' is filled by the recorder; leave it out",
                            row->table->columns[column].name);
    return CP_OK;
}

int cp_row_set_text(cp_row *row, uint32_t column, const char *text, size_t len, cp_error *err)
{
    int code = column_check(row, column, err);
    if (code < 0)
        return code;
    const cp_column *it = &row->table->columns[column];
    if (it->type.array)
        return cp_row_set_array_text(row, column, text, len, err);
    code = cp_row_write(row, column, text, len, it->offset, err);
    if (code < 0)
        return code;
    if (it->type.nullable)
        row->bytes[it->null_offset] = 0;
    cp_row_mark(row, column);
    return CP_OK;
}

int cp_row_set_null(cp_row *row, uint32_t column, cp_error *err)
{
    const int code = column_check(row, column, err);
    if (code < 0)
        return code;
    const cp_column *it = &row->table->columns[column];
    if (!it->type.nullable || it->type.array)
        return cp_row_fail(
            row, column, CP_E_PARSE, "NULL", 4,
            "cannot be stored: the column is not Nullable; give a value, or leave the column out", err);
    memset(row->bytes + it->offset, 0, it->type.value_size);
    row->bytes[it->null_offset] = 1;
    cp_row_mark(row, column);
    return CP_OK;
}

int cp_row_end(cp_row *row, cp_error *err)
{
    for (uint32_t i = 0; i < row->table->column_count; i++) {
        const bool given = (row->set[i / 64] >> (i % 64) & 1u) != 0;
        if (given || row->table->columns[i].provenance != CP_PROV_NONE)
            continue;
        const int code = cp_row_set_default(row, i, err);
        if (code < 0)
            return code;
    }
    return CP_OK;
}
