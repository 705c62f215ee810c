/* Texts, bytes, enums, UUIDs and addresses. */
#include <string.h>

#include "classes.h"
#include "convert.h"

enum { UUID_BYTES = 16 };

/* The bytes of a str, bytes or bytearray. */
typedef struct text_bytes {
    const char *data;
    Py_ssize_t len;
    bool bad; /* an exception is set */
} text_bytes;

static bool bytes_of(const cp_py_column *column, PyObject *value, text_bytes *out)
{
    out->bad = false;
    if (PyUnicode_Check(value)) {
        if (PyUnicode_IS_COMPACT_ASCII(value)) {
            out->data = (const char *)PyUnicode_1BYTE_DATA(value);
            out->len = PyUnicode_GET_LENGTH(value);
            return true;
        }
        out->data = PyUnicode_AsUTF8AndSize(value, &out->len);
        if (!out->data) {
            PyErr_Clear();
            cp_py_value_fail(column, value,
                             "has a lone surrogate, which is no text; encode it to bytes first");
            out->bad = true;
        }
        return true;
    }
    if (PyBytes_Check(value)) {
        out->data = PyBytes_AS_STRING(value);
        out->len = PyBytes_GET_SIZE(value);
        return true;
    }
    if (PyByteArray_Check(value)) {
        out->data = PyByteArray_AS_STRING(value);
        out->len = PyByteArray_GET_SIZE(value);
        return true;
    }
    return false;
}

static cp_fill_result string_store(cp_fill *fill, const text_bytes *bytes, uint32_t at)
{
    cp_ref ref = {0, 0};
    if (bytes->len > 0) {
        const uint32_t used = fill->row.used;
        const cp_fill_result result = cp_fill_reach(fill, (uint64_t)used + (uint64_t)bytes->len);
        if (result != CP_FILL_OK)
            return result;
        memcpy(fill->row.bytes + used, bytes->data, (size_t)bytes->len);
        ref = (cp_ref){used, (uint32_t)bytes->len};
        fill->row.used = used + (uint32_t)bytes->len;
    }
    memcpy(fill->row.bytes + at, &ref, sizeof ref);
    return CP_FILL_OK;
}

/* What stands for a text: the value of an enum member, the digits of a UUID or address. New, or NULL: nothing does, or an
 * exception. */
static PyObject *text_instead(PyObject *value)
{
    if (cp_py_is_enum(value))
        return PyObject_GetAttrString(value, "value");
    return cp_py_is_uuid(value) || cp_py_is_address(value) ? PyObject_Str(value) : NULL;
}

cp_fill_result cp_py_put_string(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    text_bytes bytes;
    if (bytes_of(column, value, &bytes))
        return bytes.bad ? CP_FILL_RAISED : string_store(fill, &bytes, at);
    PyObject *text = text_instead(value);
    cp_fill_result result = CP_FILL_RAISED;
    if (text && bytes_of(column, text, &bytes))
        result = bytes.bad ? CP_FILL_RAISED : string_store(fill, &bytes, at);
    else if (!PyErr_Occurred())
        result = cp_py_type_fail(column, value, "a str or bytes");
    Py_XDECREF(text);
    return result;
}

cp_fill_result cp_py_put_fixed_string(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    text_bytes bytes;
    if (!bytes_of(column, value, &bytes))
        return cp_py_type_fail(column, value, "a str or bytes");
    if (bytes.bad)
        return CP_FILL_RAISED;
    if ((uint64_t)bytes.len > column->type->value_size)
        return cp_py_value_fail(column, value, "has more bytes than this FixedString holds");
    memcpy(fill->row.bytes + at, bytes.data, (size_t)bytes.len);
    memset(fill->row.bytes + at + bytes.len, 0, column->type->value_size - (size_t)bytes.len);
    return CP_FILL_OK;
}

/* ---- enums --------------------------------------------------------------------------------------------- */

static const cp_enum_item *item_by_number(const cp_type *type, PyObject *number)
{
    int overflow;
    const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    for (uint32_t i = 0; overflow == 0 && i < type->enum_count; i++) {
        if (type->enum_items[i].value == value)
            return &type->enum_items[i];
    }
    return NULL;
}

static const cp_enum_item *item_by_name(const cp_type *type, PyObject *name)
{
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(name, &len);
    if (!utf8)
        PyErr_Clear(); /* a lone surrogate: no name of ours */
    for (uint32_t i = 0; utf8 && i < type->enum_count; i++) {
        const char *item = type->enum_items[i].name;
        if (strlen(item) == (size_t)len && memcmp(item, utf8, (size_t)len) == 0)
            return &type->enum_items[i];
    }
    return NULL;
}

static void item_store(cp_fill *fill, const cp_py_column *column, const cp_enum_item *item, uint32_t at)
{
    cp_py_store(fill, column, (uint64_t)(int64_t)item->value, at);
}

/* A member of a Python Enum: by its value, a name or number of the column's, or by its own name. When both fit and mean
 * different things it is refused. */
static cp_fill_result member_put(cp_fill *fill, const cp_py_column *column, PyObject *member, uint32_t at)
{
    PyObject *value = PyObject_GetAttrString(member, "value");
    PyObject *name = value ? PyObject_GetAttrString(member, "name") : NULL;
    cp_fill_result result = CP_FILL_RAISED;
    if (name && PyUnicode_Check(name)) {
        const cp_enum_item *by_value = NULL;
        if (PyLong_Check(value))
            by_value = item_by_number(column->type, value);
        else if (PyUnicode_Check(value))
            by_value = item_by_name(column->type, value);
        const cp_enum_item *by_name = item_by_name(column->type, name);
        const cp_enum_item *item = by_value ? by_value : by_name;
        if (by_value && by_name && by_value->value != by_name->value) {
            result = cp_py_value_fail(
                column, member,
                "means one value by its name and another by its value; give name or value itself");
        } else if (!item) {
            result = cp_py_value_fail(column, member,
                                      "is no value of this Enum, neither by its value nor by its name");
        } else {
            item_store(fill, column, item, at);
            result = CP_FILL_OK;
        }
    }
    Py_XDECREF(name);
    Py_XDECREF(value);
    return result;
}

cp_fill_result cp_py_put_enum(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    if (cp_py_is_enum(value))
        return member_put(fill, column, value, at);
    if (PyUnicode_Check(value)) {
        const cp_enum_item *item = item_by_name(column->type, value);
        if (!item) /* a number as text, and the message with its suggestion */
            return cp_py_str_put(fill, column, value, at);
        item_store(fill, column, item, at);
        return CP_FILL_OK;
    }
    if (cp_py_is_bool(value) || !PyIndex_Check(value))
        return cp_py_type_fail(column, value, "a name or number of the Enum");
    PyObject *number = PyNumber_Index(value);
    if (!number)
        return CP_FILL_RAISED;
    const cp_enum_item *item = item_by_number(column->type, number);
    Py_DECREF(number);
    if (!item)
        return cp_py_value_fail(column, value, "is no number of this Enum");
    item_store(fill, column, item, at);
    return CP_FILL_OK;
}

/* ---- UUIDs and addresses ------------------------------------------------------------------------------- */

cp_fill_result cp_py_put_uuid(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    if (PyUnicode_Check(value))
        return cp_py_str_put(fill, column, value, at);
    PyObject *bytes = cp_py_is_uuid(value) ? PyObject_GetAttrString(value, "bytes") : NULL;
    cp_fill_result result = CP_FILL_RAISED;
    if (bytes && PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == UUID_BYTES) {
        memcpy(fill->row.bytes + at, PyBytes_AS_STRING(bytes), UUID_BYTES);
        result = CP_FILL_OK;
    } else if (!PyErr_Occurred()) {
        result = cp_py_type_fail(column, value, "a uuid.UUID, or its digits as a str");
    }
    Py_XDECREF(bytes);
    return result;
}

cp_fill_result cp_py_put_address(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    if (PyUnicode_Check(value) || cp_py_is_address(value))
        return cp_py_str_put(fill, column, value, at);
    return cp_py_type_fail(column, value, "an ipaddress object, or an address as a str");
}
