#include "array_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

/* ---- choosing ------------------------------------------------------------------------------------------ */

static int64_t unit_ns(const char *unit)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"[ns]", 1},          {"[us]", 1000},         {"[ms]", 1000000},       {"[s]", 1000000000},
        {"[m]", 60000000000}, {"[h]", 3600000000000}, {"[D]", 86400000000000}, {"[W]", 604800000000000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ns;
    }
    return 0;
}

/* Nanoseconds of one tick of a time column; 0: none. */
static int64_t column_ns(const cp_py_column *column)
{
    switch (column->type->kind) {
    case CP_DATE:
    case CP_DATE32:
        return 86400000000000;
    case CP_DATETIME:
        return 1000000000;
    case CP_DATETIME64:
        return 1000000000 / column->per_second;
    default:
        return 0;
    }
}

static bool time_prepare(cp_py_step *it, const char *text)
{
    const char *bracket = strchr(text, '[');
    const int64_t from = bracket ? unit_ns(bracket) : 0;
    const int64_t to = column_ns(it->column);
    if (from == 0 || to == 0)
        return false;
    it->kind = CP_PY_STEP_TIME;
    it->multiply = from >= to ? from / to : 1;
    it->divide = from >= to ? 1 : to / from;
    return true;
}

bool cp_py_step_choose(cp_py_step *it, const char *text)
{
    const cp_kind kind = it->column->type->kind;
    const bool whole_column = kind <= CP_UINT64;
    it->type = text[1];
    it->target = it->column->offset;
    it->null_offset = it->column->null_offset;
    if (it->column->array || text[0] == '>')
        return false;
    switch (it->type) {
    case 'i':
    case 'u': {
        const bool same = whole_column && it->size == it->column->type->value_size &&
                          (it->type == 'i') == (kind <= CP_INT64);
        const bool counts = kind >= CP_DATE && kind <= CP_DATETIME64; /* days, seconds, ticks */
        const bool floats = kind == CP_FLOAT32 || kind == CP_FLOAT64;
        it->kind = same                     ? CP_PY_STEP_COPY
                   : whole_column || counts ? CP_PY_STEP_INT
                   : floats                 ? CP_PY_STEP_FLOAT
                                            : CP_PY_STEP_OBJECT;
        return true;
    }
    case 'f':
        it->kind = CP_PY_STEP_OBJECT;
        if (it->size != sizeof(float) && it->size != sizeof(double))
            return false;
        if (kind == CP_FLOAT32 || kind == CP_FLOAT64)
            it->kind = it->size == it->column->type->value_size ? CP_PY_STEP_COPY : CP_PY_STEP_FLOAT;
        return true;
    case 'b':
        it->kind = CP_PY_STEP_OBJECT;
        return true;
    case 'S':
        it->kind = kind == CP_STRING ? CP_PY_STEP_BYTES : CP_PY_STEP_OBJECT;
        return true;
    case 'U':
        it->kind = kind == CP_STRING ? CP_PY_STEP_TEXT : CP_PY_STEP_OBJECT;
        return true;
    case 'M':
        return time_prepare(it, text);
    default:
        return false;
    }
}

static bool is_copy(const cp_py_step *it)
{
    return it->kind == CP_PY_STEP_COPY && it->column->null_offset == UINT32_MAX;
}

uint32_t cp_py_steps_join(cp_py_step *steps, uint32_t count)
{
    enum { WORTH = 3 };
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count;) {
        cp_py_step it = steps[i];
        uint32_t run = 1;
        for (; i + run < count && is_copy(&it); run++) {
            const cp_py_step *next = &steps[i + run];
            if (!is_copy(next) || it.source + it.size != next->source || it.target + it.size != next->target)
                break;
            it.size += next->size;
        }
        if (run >= WORTH) {
            steps[kept++] = it;
            i += run;
        } else {
            steps[kept++] = steps[i++];
        }
    }
    for (uint32_t i = 0; i < kept; i++) {
        cp_py_step *it = &steps[i];
        if (it->kind == CP_PY_STEP_COPY)
            it->kind = it->size == 1   ? CP_PY_STEP_COPY_1
                       : it->size == 2 ? CP_PY_STEP_COPY_2
                       : it->size == 4 ? CP_PY_STEP_COPY_4
                       : it->size == 8 ? CP_PY_STEP_COPY_8
                                       : CP_PY_STEP_COPY;
    }
    return kept;
}

/* ---- running ------------------------------------------------------------------------------------------- */

static int64_t int_load(const cp_py_step *it, const uint8_t *from)
{
    int64_t value = 0;
    memcpy(&value, from, it->size);
    if (it->type == 'i') { /* the sign */
        const int shift = 64 - 8 * (int)it->size;
        value = (int64_t)((uint64_t)value << shift) >> shift;
    }
    return value;
}

static double float_load(const cp_py_step *it, const uint8_t *from)
{
    double value;
    float single;
    if (it->type == 'i')
        return (double)int_load(it, from);
    if (it->type == 'u')
        return (double)(uint64_t)int_load(it, from);
    if (it->size == sizeof single) {
        memcpy(&single, from, sizeof single);
        return (double)single;
    }
    memcpy(&value, from, sizeof value);
    return value;
}

/* The value as Python has it; slow, for steps that are rare and for messages. */
static PyObject *object_load(const cp_py_step *it, const uint8_t *from)
{
    Py_ssize_t len = (Py_ssize_t)it->size;
    switch (it->type) {
    case 'i':
        return PyLong_FromLongLong(int_load(it, from));
    case 'u':
        return PyLong_FromUnsignedLongLong((uint64_t)int_load(it, from));
    case 'b':
        return PyBool_FromLong(*from != 0);
    case 'f': {
        if (it->size == sizeof(double) || it->column->type->kind < CP_DECIMAL32 ||
            it->column->type->kind > CP_DECIMAL128)
            return PyFloat_FromDouble(float_load(it, from));
        char digits[32]; /* a float32 has digits of its own: 9 always say which one it is, fewer often */
        int precision = 6;
        const float single = (float)float_load(it, from);
        do
            snprintf(digits, sizeof digits, "%.*g", precision, (double)single);
        while (strtof(digits, NULL) != single && ++precision <= 9);
        return PyFloat_FromDouble(strtod(digits, NULL));
    }
    case 'S':
        while (len > 0 && from[len - 1] == 0)
            len--;
        return it->column->type->kind == CP_FIXED_STRING
                   ? PyBytes_FromStringAndSize((const char *)from, len)
                   : PyUnicode_DecodeUTF8((const char *)from, len, "surrogateescape");
    case 'U': {
        len /= 4;
        Py_UCS4 last;
        while (len > 0 && (memcpy(&last, from + 4 * (len - 1), 4), last == 0))
            len--;
        int order = 0;
        return PyUnicode_DecodeUTF32((const char *)from, 4 * len, "surrogatepass", &order);
    }
    default:
        return PyLong_FromLongLong(int_load(it, from));
    }
}

static cp_fill_result object_put(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    PyObject *value = object_load(it, from);
    if (!value)
        return CP_FILL_RAISED;
    const cp_fill_result result = it->column->convert(fill, it->column, value, it->target);
    Py_DECREF(value);
    return result;
}

static cp_fill_result int_put(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    const int64_t value = int_load(it, from);
    const bool fits =
        it->type == 'u' || value >= 0 ? (uint64_t)value <= it->column->max : value >= it->column->min;
    if (!fits)
        return object_put(fill, it, from); /* which raises */
    cp_py_store(fill, it->column, (uint64_t)value, it->target);
    return CP_FILL_OK;
}

static cp_fill_result float_put(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    const double value = float_load(it, from);
    if (it->column->type->kind == CP_FLOAT64) {
        memcpy(fill->row.bytes + it->target, &value, sizeof value);
        return CP_FILL_OK;
    }
    const float single = (float)value;
    if (isinf(single) && !isinf(value))
        return object_put(fill, it, from); /* which raises */
    memcpy(fill->row.bytes + it->target, &single, sizeof single);
    return CP_FILL_OK;
}

/* Symbols and the like are short: a call of memcpy would cost more than the copy. */
static inline void short_copy(uint8_t *to, const uint8_t *from, uint32_t len)
{
    if (len > 16) {
        memcpy(to, from, len);
    } else if (len >= 8) { /* two halves that may overlap */
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else {
        for (uint32_t i = 0; i < len; i++)
            to[i] = from[i];
    }
}

static cp_fill_result bytes_put(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    uint32_t len = it->size;
    cp_ref ref = {0, 0};
    while (len > 0 && from[len - 1] == 0)
        len--;
    if (len > 0) {
        ref = (cp_ref){fill->row.used, len};
        const cp_fill_result result = cp_fill_reach(fill, (uint64_t)ref.offset + len);
        if (result != CP_FILL_OK)
            return result;
        short_copy(fill->row.bytes + ref.offset, from, len);
        fill->row.used += len;
    }
    memcpy(fill->row.bytes + it->target, &ref, sizeof ref);
    return CP_FILL_OK;
}

/* Most texts are ASCII; others take the way over a str. */
static cp_fill_result text_put(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    const uint32_t most = it->size / 4;
    const uint32_t at = fill->row.used;
    uint32_t len = 0;
    Py_UCS4 all = 0;
    const cp_fill_result result = cp_fill_reach(fill, (uint64_t)at + most);
    if (result != CP_FILL_OK)
        return fill->refusal == CP_E_TOO_BIG ? object_put(fill, it, from) : result;
    for (uint32_t i = 0; i < most; i++) {
        Py_UCS4 character;
        memcpy(&character, from + 4 * (size_t)i, sizeof character);
        all |= character;
        if (character != 0)
            len = i + 1;
        fill->row.bytes[at + i] = (uint8_t)character;
    }
    if (all >= 0x80)
        return object_put(fill, it, from);
    const cp_ref ref = {len > 0 ? at : 0, len};
    fill->row.used = at + len;
    memcpy(fill->row.bytes + it->target, &ref, sizeof ref);
    return CP_FILL_OK;
}

static cp_fill_result time_fail(const cp_py_step *it, int64_t value, const char *problem)
{
    PyObject *number = PyLong_FromLongLong(value);
    const cp_fill_result result = number ? cp_py_value_fail(it->column, number, problem) : CP_FILL_RAISED;
    Py_XDECREF(number);
    return result;
}

static cp_fill_result time_put(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    const cp_py_column *column = it->column;
    const int64_t value = int_load(it, from);
    int64_t count;
    if (value == INT64_MIN && column->null_offset != UINT32_MAX)
        return cp_py_column_set(fill, column, Py_None);
    if (value == INT64_MIN)
        return time_fail(it, value, "is NaT, no time, and the column is not Nullable");
    if (value % it->divide != 0)
        return time_fail(it, value, "(datetime64) has more digits than the column's precision; cut them off");
    if (__builtin_mul_overflow(value / it->divide, it->multiply, &count) || count < column->min ||
        (count > 0 && (uint64_t)count > column->max))
        return time_fail(it, value, "(datetime64) is out of the range of the column");
    cp_py_store(fill, column, (uint64_t)count, it->target);
    return CP_FILL_OK;
}

static cp_fill_result step_run(cp_fill *fill, const cp_py_step *it, const uint8_t *from)
{
    uint8_t *to = fill->row.bytes + it->target;
    switch (it->kind) {
    case CP_PY_STEP_COPY_1:
        memcpy(to, from, 1);
        return CP_FILL_OK;
    case CP_PY_STEP_COPY_2:
        memcpy(to, from, 2);
        return CP_FILL_OK;
    case CP_PY_STEP_COPY_4:
        memcpy(to, from, 4);
        return CP_FILL_OK;
    case CP_PY_STEP_COPY_8:
        memcpy(to, from, 8);
        return CP_FILL_OK;
    case CP_PY_STEP_COPY:
        memcpy(to, from, it->size);
        return CP_FILL_OK;
    case CP_PY_STEP_INT:
        return int_put(fill, it, from);
    case CP_PY_STEP_FLOAT:
        return float_put(fill, it, from);
    case CP_PY_STEP_BYTES:
        return bytes_put(fill, it, from);
    case CP_PY_STEP_TEXT:
        return text_put(fill, it, from);
    case CP_PY_STEP_TIME:
        return time_put(fill, it, from);
    default:
        return object_put(fill, it, from);
    }
}

cp_fill_result cp_py_steps_run(cp_fill *fill, const cp_py_step *steps, uint32_t count, const uint8_t *from)
{
    cp_fill_result result = CP_FILL_OK;
    for (const cp_py_step *it = steps; it < steps + count && result == CP_FILL_OK; it++) {
        if (it->null_offset != UINT32_MAX)
            fill->row.bytes[it->null_offset] = 0; /* first: a NaT may set it again */
        result = step_run(fill, it, from + it->source);
    }
    return result;
}
