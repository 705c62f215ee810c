#include "column.h"

#include <string.h>

#include "convert.h"
#include "raise.h"

cp_fill_result cp_py_type_fail(const cp_py_column *column, PyObject *value, const char *expected)
{
    cp_py_raise_type(column->utf8_name, column->type->text, value, expected);
    return CP_FILL_RAISED;
}

cp_fill_result cp_py_value_fail(const cp_py_column *column, PyObject *value, const char *problem)
{
    cp_py_raise_value(column->utf8_name, column->type->text, value, problem);
    return CP_FILL_RAISED;
}

/* What schema/ says about a value becomes an exception. */
static cp_fill_result library_fail(const cp_py_column *column, const cp_error *err)
{
    cp_py_raise_text(cp_py_column_value_error, err->code, column->utf8_name, err->text);
    return CP_FILL_RAISED;
}

cp_fill_result cp_py_text_put(cp_fill *fill, const cp_py_column *column, const char *text, size_t len,
                              uint32_t at)
{
    cp_error err = {0};
    if (column->type->kind == CP_STRING) {
        const cp_fill_result result = cp_fill_reach(fill, (uint64_t)fill->row.used + len);
        if (result != CP_FILL_OK)
            return result;
    }
    return cp_row_write(&fill->row, column->index, text, len, at, &err) < 0 ? library_fail(column, &err)
                                                                            : CP_FILL_OK;
}

cp_fill_result cp_py_str_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    PyObject *text = PyUnicode_Check(value) ? Py_NewRef(value) : PyObject_Str(value);
    if (!text)
        return CP_FILL_RAISED;
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    cp_fill_result result;
    if (utf8) {
        result = cp_py_text_put(fill, column, utf8, (size_t)len, at);
    } else {
        PyErr_Clear();
        result = cp_py_value_fail(column, value,
                                  "has a lone surrogate, which is no text; encode it to bytes first");
    }
    Py_DECREF(text);
    return result;
}

static cp_fill_result null_set(cp_fill *fill, const cp_py_column *column)
{
    if (column->null_offset == UINT32_MAX)
        return cp_py_value_fail(
            column, Py_None,
            "cannot be stored: the column is not Nullable; give a value, or leave the column out");
    memset(fill->row.bytes + column->offset, 0, column->type->value_size);
    fill->row.bytes[column->null_offset] = 1;
    cp_row_mark(&fill->row, column->index);
    return CP_FILL_OK;
}

cp_fill_result cp_py_column_set(cp_fill *fill, const cp_py_column *column, PyObject *value)
{
    if (value == Py_None)
        return null_set(fill, column);
    const cp_fill_result result = column->array ? cp_py_put_array(fill, column, value)
                                                : column->convert(fill, column, value, column->offset);
    if (column->null_offset != UINT32_MAX && result == CP_FILL_OK)
        fill->row.bytes[column->null_offset] = 0;
    fill->row.set[column->index / 64] |= (uint64_t)1 << (column->index % 64);
    return result;
}

static void limits_of_int(cp_py_column *column)
{
    const uint32_t bits = column->type->value_size * 8;
    const bool is_signed = column->type->kind <= CP_INT64;
    column->max = UINT64_MAX >> (is_signed ? 65 - bits : 64 - bits);
    column->min = is_signed ? -(int64_t)column->max - 1 : 0;
}

/* What ClickHouse's dates and times reach, as schema/value_time.c has it. */
static void limits_of_time(cp_py_column *column)
{
    enum { DATE32_FIRST = -25567, DATE32_LAST = 120529, DAY = 86400 };
    switch (column->type->kind) {
    case CP_DATE:
        column->max = UINT16_MAX;
        break;
    case CP_DATE32:
        column->min = DATE32_FIRST;
        column->max = DATE32_LAST;
        break;
    case CP_DATETIME:
        column->max = UINT32_MAX;
        break;
    default:
        column->per_second = 1;
        for (uint32_t i = 0; i < column->type->precision; i++)
            column->per_second *= 10;
        const int64_t end = ((int64_t)DATE32_LAST + 1) * DAY;
        column->min = (int64_t)DATE32_FIRST * DAY * column->per_second;
        column->max =
            end > INT64_MAX / column->per_second ? INT64_MAX : (uint64_t)(end * column->per_second - 1);
    }
}

static const cp_py_convert converters[CP_KIND_COUNT] = {
    [CP_INT8] = cp_py_put_int,
    [CP_INT16] = cp_py_put_int,
    [CP_INT32] = cp_py_put_int,
    [CP_INT64] = cp_py_put_int,
    [CP_UINT8] = cp_py_put_int,
    [CP_UINT16] = cp_py_put_int,
    [CP_UINT32] = cp_py_put_int,
    [CP_UINT64] = cp_py_put_int,
    [CP_FLOAT32] = cp_py_put_float32,
    [CP_FLOAT64] = cp_py_put_float64,
    [CP_BOOL] = cp_py_put_bool,
    [CP_DATE] = cp_py_put_date,
    [CP_DATE32] = cp_py_put_date,
    [CP_DATETIME] = cp_py_put_datetime,
    [CP_DATETIME64] = cp_py_put_datetime,
    [CP_STRING] = cp_py_put_string,
    [CP_FIXED_STRING] = cp_py_put_fixed_string,
    [CP_ENUM8] = cp_py_put_enum,
    [CP_ENUM16] = cp_py_put_enum,
    [CP_UUID] = cp_py_put_uuid,
    [CP_DECIMAL32] = cp_py_put_decimal,
    [CP_DECIMAL64] = cp_py_put_decimal,
    [CP_DECIMAL128] = cp_py_put_decimal,
    [CP_IPV4] = cp_py_put_address,
    [CP_IPV6] = cp_py_put_address,
};

void cp_py_column_prepare(cp_py_column *column, const cp_table *table, uint32_t index)
{
    const cp_column *it = &table->columns[index];
    column->type = &it->type;
    column->utf8_name = it->name;
    column->index = index;
    column->offset = it->offset;
    column->array = it->type.array;
    column->nullable = it->type.nullable;
    column->null_offset = it->type.nullable && !it->type.array ? it->null_offset : UINT32_MAX;
    column->convert = converters[it->type.kind];
    column->min = 0;
    column->max = 0;
    if (it->type.kind <= CP_UINT64)
        limits_of_int(column);
    else if (it->type.kind >= CP_DATE && it->type.kind <= CP_DATETIME64)
        limits_of_time(column);
}
