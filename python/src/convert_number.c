/* Numbers: int, float, bool, Decimal, enum members and numpy's scalars into whole, floating and decimal columns.
 *
 * A whole column takes what is a whole number within its range, a float such as 3.0 too. A floating column stores the
 * nearest value it has. A Decimal column takes digits, never rounds: of a float the shortest digits that read back as
 * that float, as JSON would have them. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "classes.h"
#include "convert.h"

enum {
    DECIMAL_TEXT =
        128 /* characters of a decimal written out; 38 digits and a sign is the most that fits a column */
};

void cp_py_store(cp_fill *fill, const cp_py_column *column, uint64_t value, uint32_t at)
{
    uint8_t *to = fill->row.bytes + at;
    switch (column->type->value_size) { /* little-endian: the low bytes come first */
    case 1:
        memcpy(to, &value, 1);
        break;
    case 2:
        memcpy(to, &value, 2);
        break;
    case 4:
        memcpy(to, &value, 4);
        break;
    default:
        memcpy(to, &value, 8);
    }
}

static int out_of_range(const cp_py_column *column, PyObject *value)
{
    char text[96];
    snprintf(text, sizeof text, "is out of range: %lld to %llu", (long long)column->min,
             (unsigned long long)column->max);
    cp_py_value_fail(column, value, text);
    return -1;
}

int cp_py_int_within(const cp_py_column *column, PyObject *value, uint64_t *out)
{
    int overflow;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow > 0 && column->max > INT64_MAX) {
        const unsigned long long large = PyLong_AsUnsignedLongLong(value);
        if (large == (unsigned long long)-1 && PyErr_Occurred()) {
            PyErr_Clear();
            return out_of_range(column, value);
        }
        *out = large;
        return large > column->max ? out_of_range(column, value) : 0;
    }
    if (overflow != 0 || number < column->min || (number > 0 && (uint64_t)number > column->max))
        return out_of_range(column, value);
    *out = (uint64_t)number;
    return 0;
}

/* The value as an int object (new), NULL with an exception. */
static PyObject *whole_of(const cp_py_column *column, PyObject *value)
{
    if (cp_py_is_bool(value))
        return PyLong_FromLong(PyObject_IsTrue(value));
    if (cp_py_is_array(value)) {
        cp_py_type_fail(column, value, "an int");
        return NULL;
    }
    if (PyIndex_Check(value))
        return PyNumber_Index(value);
    const bool floating =
        PyFloat_Check(value) || cp_py_is_numpy(value, "float32") || cp_py_is_numpy(value, "float16");
    if (floating) {
        const double number = PyFloat_AsDouble(value);
        if (number == -1.0 && PyErr_Occurred())
            return NULL;
        if (floor(number) == number && isfinite(number))
            return PyLong_FromDouble(number);
        cp_py_value_fail(column, value, "is not a whole number; round it first");
        return NULL;
    }
    if (cp_py_is_decimal(value)) {
        PyObject *whole = PyNumber_Long(value);
        const int equal = whole ? PyObject_RichCompareBool(whole, value, Py_EQ) : -1;
        if (equal == 1)
            return whole;
        Py_XDECREF(whole);
        PyErr_Clear(); /* of a Decimal that is no number */
        cp_py_value_fail(column, value, "is not a whole number; round it first");
        return NULL;
    }
    cp_py_type_fail(column, value, "an int");
    return NULL;
}

/* An enum member stands for its value, in all columns but Enums. New reference; NULL: it is none, or an exception. */
static PyObject *member_value(PyObject *value)
{
    return cp_py_is_enum(value) ? PyObject_GetAttrString(value, "value") : NULL;
}

cp_fill_result cp_py_put_int(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    uint64_t number;
    if (PyLong_Check(value)) { /* bool and IntEnum are ints */
        if (cp_py_int_within(column, value, &number) < 0)
            return CP_FILL_RAISED;
        cp_py_store(fill, column, number, at);
        return CP_FILL_OK;
    }
    PyObject *member = member_value(value);
    if (!member && PyErr_Occurred())
        return CP_FILL_RAISED;
    PyObject *whole = whole_of(column, member ? member : value);
    Py_XDECREF(member);
    if (!whole)
        return CP_FILL_RAISED;
    const int rc = cp_py_int_within(column, whole, &number);
    Py_DECREF(whole);
    if (rc < 0)
        return CP_FILL_RAISED;
    cp_py_store(fill, column, number, at);
    return CP_FILL_OK;
}

/* Whether value is beyond what a float holds, though its __float__ says infinity instead of raising: a Decimal, a long
 * double. */
static bool is_beyond(PyObject *value, double number)
{
    PyObject *infinity = PyFloat_FromDouble(number);
    const int equal = infinity ? PyObject_RichCompareBool(value, infinity, Py_EQ) : -1;
    Py_XDECREF(infinity);
    return equal == 0;
}

static bool is_real(PyObject *value)
{
    const PyNumberMethods *methods = Py_TYPE(value)->tp_as_number;
    return methods && (methods->nb_float || methods->nb_index) && !PyUnicode_Check(value) &&
           !PyComplex_Check(value) && !cp_py_is_numpy_complex(value) &&
           !cp_py_is_numpy(value, "datetime64") && !cp_py_is_numpy(value, "timedelta64") &&
           !cp_py_is_array(value);
}

/* Anything but an exact float as a double. */
static bool double_of(const cp_py_column *column, PyObject *value, double *out)
{
    PyObject *member = PyLong_Check(value) || PyFloat_Check(value) ? NULL : member_value(value);
    if (!member && PyErr_Occurred())
        return false;
    PyObject *number = member ? member : value;
    if (cp_py_is_bool(number)) {
        *out = PyObject_IsTrue(number);
    } else if (is_real(number)) {
        *out = PyFloat_AsDouble(number);
        if (isinf(*out) && !PyFloat_Check(number) && is_beyond(number, *out))
            PyErr_SetNone(PyExc_OverflowError);
    } else {
        cp_py_type_fail(column, value, "a float or an int");
    }
    Py_XDECREF(member);
    if (!PyErr_Occurred())
        return true;
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        cp_py_value_fail(column, value, "is beyond the range of a float");
    } else if (cp_py_is_decimal(value) && PyErr_ExceptionMatches(PyExc_ValueError)) { /* a signalling NaN */
        PyErr_Clear();
        cp_py_value_fail(column, value, "is not a number");
    }
    return false;
}

cp_fill_result cp_py_put_float64(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    double number;
    if (PyFloat_CheckExact(value))
        number = PyFloat_AS_DOUBLE(value);
    else if (!double_of(column, value, &number))
        return CP_FILL_RAISED;
    memcpy(fill->row.bytes + at, &number, sizeof number);
    return CP_FILL_OK;
}

cp_fill_result cp_py_put_float32(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    double number;
    if (PyFloat_CheckExact(value))
        number = PyFloat_AS_DOUBLE(value);
    else if (!double_of(column, value, &number))
        return CP_FILL_RAISED;
    const float single = (float)number;
    if (isinf(single) && !isinf(number))
        return cp_py_value_fail(column, value,
                                "is beyond the range of Float32, about ±3.4e38; use Float64, or inf");
    memcpy(fill->row.bytes + at, &single, sizeof single);
    return CP_FILL_OK;
}

cp_fill_result cp_py_put_bool(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    int truth;
    if (PyBool_Check(value))
        truth = value == Py_True;
    else if (cp_py_is_bool(value))
        truth = PyObject_IsTrue(value);
    else if (PyIndex_Check(value) && !cp_py_is_array(value)) {
        PyObject *number = PyNumber_Index(value);
        const long small = number ? PyLong_AsLong(number) : -1;
        Py_XDECREF(number);
        PyErr_Clear(); /* a number that large is no truth value either */
        if (small != 0 && small != 1)
            return cp_py_value_fail(column, value, "is no truth value; give True, False, 1 or 0");
        truth = (int)small;
    } else
        return cp_py_type_fail(column, value, "a bool");
    fill->row.bytes[at] = (uint8_t)truth;
    return CP_FILL_OK;
}

/* Digits with an exponent, "1.25e-08", written out: "0.0000000125". The length, or 0 when it would not fit. */
static size_t exponent_expand(const char *text, size_t len, char out[DECIMAL_TEXT])
{
    char digits[DECIMAL_TEXT];
    size_t count = 0;
    long point = -1;
    size_t at = len > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    const bool negative = at > 0 && text[0] == '-';
    for (; at < len && text[at] != 'e' && text[at] != 'E'; at++) {
        if (text[at] == '.')
            point = (long)count;
        else if (count == sizeof digits)
            return 0;
        else
            digits[count++] = text[at];
    }
    const long exponent = at < len ? strtol(text + at + 1, NULL, 10) : 0; /* text ends with a NUL */
    if (exponent > DECIMAL_TEXT || exponent < -DECIMAL_TEXT)
        return 0;
    const long whole = (point < 0 ? (long)count : point) + exponent; /* digits before the point */
    const long zeros = whole < 0 ? -whole : 0;
    const long places = whole > (long)count ? whole : (long)count;
    if (places + zeros + 4 > DECIMAL_TEXT)
        return 0;
    size_t used = 0;
    if (negative)
        out[used++] = '-';
    if (whole <= 0)
        out[used++] = '0';
    for (long i = -zeros; i < places; i++) {
        if (i == (whole < 0 ? -zeros : whole))
            out[used++] = '.';
        out[used++] = i >= 0 && i < (long)count ? digits[i] : '0';
    }
    return used;
}

static cp_fill_result decimal_text_put(cp_fill *fill, const cp_py_column *column, PyObject *value,
                                       const char *text, uint32_t at)
{
    const size_t len = strlen(text);
    char plain[DECIMAL_TEXT];
    if (!strpbrk(text, "eE"))
        return cp_py_text_put(fill, column, text, len, at);
    const size_t used = exponent_expand(text, len, plain);
    if (used == 0)
        return cp_py_value_fail(column, value, "has more digits than the column");
    return cp_py_text_put(fill, column, plain, used, at);
}

static cp_fill_result decimal_put_float(cp_fill *fill, const cp_py_column *column, PyObject *value,
                                        uint32_t at)
{
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred())
        return CP_FILL_RAISED;
    if (!isfinite(number))
        return cp_py_value_fail(column, value, "is not a decimal number");
    char *text = PyOS_double_to_string(number, 'r', 0, 0, NULL);
    if (!text)
        return CP_FILL_RAISED;
    const cp_fill_result result = decimal_text_put(fill, column, value, text, at);
    PyMem_Free(text);
    return result;
}

cp_fill_result cp_py_put_decimal(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    if (PyFloat_Check(value))
        return decimal_put_float(fill, column, value, at);
    if (PyUnicode_Check(value))
        return cp_py_str_put(fill, column, value, at);
    if (cp_py_is_decimal(value) || cp_py_is_numpy(value, "float32") || cp_py_is_numpy(value, "float16")) {
        PyObject *text = PyObject_Str(value); /* of a float32 its own shortest digits */
        const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
        if (utf8 && (strstr(utf8, "nan") || strstr(utf8, "inf") || strstr(utf8, "N") || strstr(utf8, "I"))) {
            Py_DECREF(text);
            return cp_py_value_fail(column, value, "is not a decimal number");
        }
        const cp_fill_result result = utf8 ? decimal_text_put(fill, column, value, utf8, at) : CP_FILL_RAISED;
        Py_XDECREF(text);
        return result;
    }
    if (!cp_py_is_bool(value) && PyIndex_Check(value) && !cp_py_is_array(value)) {
        PyObject *whole = PyNumber_Index(value);
        PyObject *text = whole ? PyNumber_ToBase(whole, 10) : NULL;
        cp_fill_result result = CP_FILL_RAISED;
        if (text) {
            result = cp_py_str_put(fill, column, text, at);
        } else if (whole &&
                   PyErr_ExceptionMatches(PyExc_ValueError)) { /* thousands of digits are not written out */
            PyErr_Clear();
            cp_py_value_fail(column, value, "has more digits than the column");
        }
        Py_XDECREF(text);
        Py_XDECREF(whole);
        return result;
    }
    PyObject *member = member_value(value);
    if (member) {
        const cp_fill_result result = cp_py_is_enum(member) ? cp_py_type_fail(column, value, "a Decimal")
                                                            : cp_py_put_decimal(fill, column, member, at);
        Py_DECREF(member);
        return result;
    }
    return PyErr_Occurred()
               ? CP_FILL_RAISED
               : cp_py_type_fail(column, value, "a Decimal, an int, a float, or digits as a str");
}
