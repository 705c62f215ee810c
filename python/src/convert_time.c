/* Dates and times: datetime, date, ISO text, numpy's datetime64, and counts.
 *
 * Texts go to the parser of schema/, which is strict: what does not parse raises, here and now. A datetime with a zone is
 * turned into UTC; one without is taken as UTC where the column is UTC, and refused where the column names another zone,
 * as texts are. More digits of a second than the column has are refused, not cut. A str of digits alone, which the parser would
 * take for a count of ticks, is refused as a float is: whoever wrote it may have meant seconds. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <datetime.h>
#include <stdio.h>

#include "classes.h"
#include "convert.h"

enum { TIME_TEXT = 64, NANOS_LAST = 999 };

static const char date_expected[] = "a date, a str such as '2026-01-31', or days since 1970 as an int";
static const char time_expected[] =
    "a datetime, a str such as '2026-01-31 23:59:59', or an int, the count of the column's ticks since 1970";

int cp_py_time_init(void)
{
    PyDateTime_IMPORT;
    return PyDateTimeAPI ? 0 : -1;
}

static cp_fill_result count_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    uint64_t count;
    if (cp_py_int_within(column, value, &count) < 0)
        return CP_FILL_RAISED;
    cp_py_store(fill, column, count, at);
    return CP_FILL_OK;
}

/* Numpy's integers. */
static cp_fill_result index_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    PyObject *whole = PyNumber_Index(value);
    const cp_fill_result result = whole ? count_put(fill, column, whole, at) : CP_FILL_RAISED;
    Py_XDECREF(whole);
    return result;
}

/* Numpy's datetime64 is UTC, and its text is ISO, without saying so. One that counts years or months is no day: its text would
 * pass for a count. */
static cp_fill_result numpy_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    PyObject *text = PyObject_Str(value);
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    char utc[TIME_TEXT];
    cp_fill_result result = CP_FILL_RAISED;
    if (utf8) {
        const char *time = strchr(utf8, 'T');
        const bool to_time = column->type->kind == CP_DATETIME || column->type->kind == CP_DATETIME64;
        const char *colon = time ? strchr(time, ':') : NULL;
        const char *zone = !time || !to_time         ? ""
                           : !colon                  ? ":00:00Z"
                           : !strchr(colon + 1, ':') ? ":00Z"
                                                     : "Z";
        const int len = snprintf(utc, sizeof utc, "%s%s", utf8, zone);
        if (strcmp(utf8, "NaT") == 0)
            result = cp_py_value_fail(column, value, "is no time; give None for a NULL");
        else if (strlen(utf8) < sizeof "2026-01-31" - 1 || len >= (int)sizeof utc)
            result =
                cp_py_value_fail(column, value, "(datetime64) names no day; give .astype('datetime64[D]')");
        else
            result = cp_py_text_put(fill, column, utc, (size_t)len, at);
    }
    Py_XDECREF(text);
    return result;
}

/* What utcoffset() says: whether there is an offset, in seconds, and microseconds, which no zone has. -1: an exception. */
static int offset_of(PyObject *value, long *seconds, int *micros)
{
    *seconds = 0;
    *micros = 0;
    if (PyDateTime_DATE_GET_TZINFO(value) == Py_None)
        return 0;
    PyObject *delta = PyObject_CallMethod(value, "utcoffset", NULL);
    if (!delta)
        return -1;
    const bool aware = PyDelta_Check(delta); /* None: a tzinfo that does not know */
    if (aware) {
        *seconds = PyDateTime_DELTA_GET_DAYS(delta) * 86400L + PyDateTime_DELTA_GET_SECONDS(delta);
        *micros = PyDateTime_DELTA_GET_MICROSECONDS(delta);
    }
    Py_DECREF(delta);
    return aware;
}

/* Nanoseconds of the last microsecond, which pandas' Timestamp has, and other classes may. -1: an exception. */
static long nanos_of(PyObject *value)
{
    PyObject *nanos = PyDateTime_CheckExact(value) ? NULL : PyObject_GetAttrString(value, "nanosecond");
    if (!nanos) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    const long count = PyLong_Check(nanos) ? PyLong_AsLong(nanos) : 0;
    Py_DECREF(nanos);
    return count;
}

/* ".123", ".123456789", or nothing: the length. */
static int fraction_write(char *out, size_t size, int micros, long nanos)
{
    if (nanos > 0)
        return snprintf(out, size, ".%06d%03ld", micros, nanos);
    return micros != 0 ? snprintf(out, size, ".%06d", micros) : 0;
}

/* Writes a datetime as text for the parser, with its offset when it has one, and lets that decide. */
static cp_fill_result datetime_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    char text[TIME_TEXT];
    long offset;
    int offset_micros;
    const int aware = offset_of(value, &offset, &offset_micros);
    const long nanos = aware < 0 ? -1 : nanos_of(value);
    if (nanos < 0 && PyErr_Occurred())
        return CP_FILL_RAISED;
    if (nanos < 0 || nanos > NANOS_LAST)
        return cp_py_value_fail(column, value, "has an attribute nanosecond that is not 0 to 999");
    if (offset % 60 != 0 || offset_micros != 0)
        return cp_py_value_fail(column, value, "has an offset from UTC with seconds; turn it into UTC first");
    int len =
        snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d:%02d", PyDateTime_GET_YEAR(value),
                 PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value), PyDateTime_DATE_GET_HOUR(value),
                 PyDateTime_DATE_GET_MINUTE(value), PyDateTime_DATE_GET_SECOND(value));
    len +=
        fraction_write(text + len, sizeof text - (size_t)len, PyDateTime_DATE_GET_MICROSECOND(value), nanos);
    if (aware) {
        const long minutes = (offset < 0 ? -offset : offset) / 60;
        len += snprintf(text + len, sizeof text - (size_t)len, "%c%02ld:%02ld", offset < 0 ? '-' : '+',
                        minutes / 60, minutes % 60);
    }
    return cp_py_text_put(fill, column, text, (size_t)len, at);
}

static cp_fill_result date_text_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    char text[TIME_TEXT];
    const int len = snprintf(text, sizeof text, "%04d-%02d-%02d", PyDateTime_GET_YEAR(value),
                             PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value));
    return cp_py_text_put(fill, column, text, (size_t)len, at);
}

/* A count, as the parser of schema/ has it: digits alone, with or without a sign. */
static bool is_count(PyObject *str)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(str, &len);
    if (!text) {
        PyErr_Clear(); /* a lone surrogate: refused with words of its own */
        return false;
    }
    const Py_ssize_t sign = len > 0 && (text[0] == '-' || text[0] == '+');
    return len > sign && strspn(text + sign, "0123456789") == (size_t)(len - sign);
}

static cp_fill_result other_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at,
                                const char *expected)
{
    if (PyUnicode_Check(value) && is_count(value))
        return cp_py_value_fail(column, value,
                                "is digits alone, which leave the unit open; give a count as an int");
    if (PyUnicode_Check(value))
        return cp_py_str_put(fill, column, value, at);
    if (cp_py_is_numpy(value, "datetime64"))
        return numpy_put(fill, column, value, at);
    if (PyIndex_Check(value) && !cp_py_is_bool(value) && !cp_py_is_numpy(value, "timedelta64"))
        return index_put(fill, column, value, at);
    return cp_py_type_fail(column, value, expected);
}

cp_fill_result cp_py_put_date(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    if (PyLong_CheckExact(value))
        return count_put(fill, column, value, at);
    if (PyDateTime_Check(value))
        return cp_py_type_fail(column, value, "a date; of a datetime give .date()");
    if (PyDate_Check(value))
        return date_text_put(fill, column, value, at);
    return other_put(fill, column, value, at, date_expected);
}

cp_fill_result cp_py_put_datetime(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at)
{
    if (PyLong_CheckExact(value))
        return count_put(fill, column, value, at);
    if (PyDateTime_Check(value))
        return datetime_put(fill, column, value, at);
    if (PyDate_Check(value))
        return date_text_put(fill, column, value, at);
    if (PyFloat_Check(value))
        return cp_py_type_fail(
            column, value,
            "no float, whose digits would decide the unit: an int in the column's ticks, a datetime, "
            "or a str such as '2026-01-31 23:59:59'");
    return other_put(fill, column, value, at, time_expected);
}
