/* Rows of a structured numpy array: the fields are matched with the columns once, then every row is a short list of
 * steps, most of them copies, on the array's own memory. numpy itself is never called and need not be there: the layout is
 * read from the array's dtype, the memory through the buffer protocol, or, since that knows no datetime64, through
 * __array_interface__. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "raise.h"
#include "table.h"

typedef enum step_kind {
    STEP_COPY_1, /* the same bytes on both sides, of the commonest sizes */
    STEP_COPY_2,
    STEP_COPY_4,
    STEP_COPY_8,
    STEP_COPY,   /* of any size */
    STEP_INT,    /* a whole number into another width, or a time's count: range-checked */
    STEP_FLOAT,  /* any number into a float */
    STEP_BYTES,  /* 'S': bytes up to the trailing NULs */
    STEP_TEXT,   /* 'U': four bytes a character */
    STEP_TIME,   /* datetime64 */
    STEP_OBJECT, /* anything else, through a Python object */
} step_kind;

typedef struct step {
    const cp_py_column *column;
    step_kind kind;
    char type; /* numpy's kind: i u f b S U M */
    uint32_t source;
    uint32_t size; /* bytes at source */
    uint32_t target;
    uint32_t null_offset; /* UINT32_MAX: none */
    int64_t multiply;     /* STEP_TIME: one of the two is 1 */
    int64_t divide;
} step;

typedef struct array_rows {
    Py_buffer view; /* if view.obj */
    PyObject *interface;
    const uint8_t *data;
    Py_ssize_t count;
    Py_ssize_t stride;
    uint32_t step_count;
    step *steps;
    uint64_t set[CP_MAX_COLUMNS / 64];
} array_rows;

/* ---- the layout ---------------------------------------------------------------------------------------- */

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

static bool time_prepare(step *it, const char *text)
{
    const char *bracket = strchr(text, '[');
    const int64_t from = bracket ? unit_ns(bracket) : 0;
    const int64_t to = column_ns(it->column);
    if (from == 0 || to == 0)
        return false;
    it->kind = STEP_TIME;
    it->multiply = from >= to ? from / to : 1;
    it->divide = from >= to ? 1 : to / from;
    return true;
}

/* Chooses the step for a field of numpy's type text, "<f8". False: there is none. */
static bool step_prepare(step *it, const char *text)
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
        it->kind = same ? STEP_COPY : whole_column || counts ? STEP_INT : floats ? STEP_FLOAT : STEP_OBJECT;
        return true;
    }
    case 'f':
        it->kind = STEP_OBJECT;
        if (it->size != sizeof(float) && it->size != sizeof(double))
            return false;
        if (kind == CP_FLOAT32 || kind == CP_FLOAT64)
            it->kind = it->size == it->column->type->value_size ? STEP_COPY : STEP_FLOAT;
        return true;
    case 'b':
        it->kind = STEP_OBJECT;
        return true;
    case 'S':
        it->kind = kind == CP_STRING ? STEP_BYTES : STEP_OBJECT;
        return true;
    case 'U':
        it->kind = kind == CP_STRING ? STEP_TEXT : STEP_OBJECT;
        return true;
    case 'M':
        return time_prepare(it, text);
    default:
        return false;
    }
}

/* One field: its name, and the tuple (dtype, offset) of dtype.fields. */
static int field_add(cp_py_table *self, array_rows *rows, PyObject *name, PyObject *field)
{
    PyObject *number = PyDict_GetItemWithError(self->by_name, name);
    step *it = &rows->steps[rows->step_count];
    if (!number)
        return PyErr_Occurred() ? -1 : cp_py_row_unknown(self, name);
    it->column = &self->columns[PyLong_AsUnsignedLong(number)];
    PyObject *dtype = PyTuple_GetItem(field, 0);
    PyObject *offset = dtype ? PyTuple_GetItem(field, 1) : NULL;
    PyObject *text = offset ? PyObject_GetAttrString(dtype, "str") : NULL;
    PyObject *size = text ? PyObject_GetAttrString(dtype, "itemsize") : NULL;
    const char *utf8 = size ? PyUnicode_AsUTF8(text) : NULL;
    int rc = -1;
    if (utf8) {
        it->source = (uint32_t)PyLong_AsUnsignedLong(offset);
        it->size = (uint32_t)PyLong_AsUnsignedLong(size);
        if (PyErr_Occurred())
            rc = -1;
        else if (step_prepare(it, utf8))
            rc = 0;
        else
            cp_py_raise_type(it->column->utf8_name, it->column->type->text, dtype,
                             "numbers, times, 'S' or 'U' texts of a plain type in native byte order; "
                             "put_many() takes the rest");
    }
    if (rc == 0) {
        rows->step_count++;
        rows->set[it->column->index / 64] |= (uint64_t)1 << (it->column->index % 64);
    }
    Py_XDECREF(size);
    Py_XDECREF(text);
    return rc;
}

static bool is_copy(const step *it)
{
    return it->kind == STEP_COPY && it->column->null_offset == UINT32_MAX;
}

/* Copies that lie side by side on both sides become one, when there are enough of them to be worth a copy of any size. */
static void steps_join(array_rows *rows)
{
    enum { WORTH = 3 };
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rows->step_count;) {
        step it = rows->steps[i];
        uint32_t run = 1;
        for (; i + run < rows->step_count && is_copy(&it); run++) {
            const step *next = &rows->steps[i + run];
            if (!is_copy(next) || it.source + it.size != next->source || it.target + it.size != next->target)
                break;
            it.size += next->size;
        }
        if (run >= WORTH) {
            rows->steps[kept++] = it;
            i += run;
        } else {
            rows->steps[kept++] = rows->steps[i++];
        }
    }
    rows->step_count = kept;
    for (uint32_t i = 0; i < kept; i++) {
        step *it = &rows->steps[i];
        if (it->kind == STEP_COPY)
            it->kind = it->size == 1   ? STEP_COPY_1
                       : it->size == 2 ? STEP_COPY_2
                       : it->size == 4 ? STEP_COPY_4
                       : it->size == 8 ? STEP_COPY_8
                                       : STEP_COPY;
    }
}

/* Only numpy's own class says for certain that layout and memory belong together. */
static bool is_ndarray(PyObject *array)
{
    PyObject *bases = Py_TYPE(array)->tp_mro;
    for (Py_ssize_t i = 0; bases && i < PyTuple_GET_SIZE(bases); i++) {
        const PyTypeObject *class = (PyTypeObject *)PyTuple_GET_ITEM(bases, i);
        if (strcmp(class->tp_name, "numpy.ndarray") == 0 && !(class->tp_flags & Py_TPFLAGS_HEAPTYPE))
            return true;
    }
    return false;
}

static int layout_read(cp_py_table *self, array_rows *rows, PyObject *array)
{
    if (cp_py_is_masked(array)) {
        PyErr_SetString(PyExc_TypeError,
                        "put_array() takes no masked array: what is masked has no value; .filled() gives it "
                        "one, put_many(array.tolist()) puts None");
        return -1;
    }
    PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    PyObject *names = dtype ? PyObject_GetAttrString(dtype, "names") : NULL;
    PyObject *fields = names ? PyObject_GetAttrString(dtype, "fields") : NULL;
    int rc = -1;
    PyErr_Clear();
    if (!fields || !PyTuple_Check(names) || !is_ndarray(array)) {
        PyErr_Format(PyExc_TypeError,
                     "put_array() takes a structured numpy array, whose fields are columns; not a %s",
                     Py_TYPE(array)->tp_name);
    } else {
        const Py_ssize_t count = PyTuple_GET_SIZE(names);
        rows->steps = PyMem_Calloc((size_t)count + 1, sizeof *rows->steps);
        rc = rows->steps ? 0 : (PyErr_NoMemory(), -1);
        for (Py_ssize_t i = 0; i < count && rc == 0; i++) {
            PyObject *field = PyObject_GetItem(fields, PyTuple_GET_ITEM(names, i));
            rc = field ? field_add(self, rows, PyTuple_GET_ITEM(names, i), field) : -1;
            Py_XDECREF(field);
        }
        steps_join(rows);
        if (rc == 0)
            rc = cp_py_row_lacks(self, rows->set);
    }
    Py_XDECREF(fields);
    Py_XDECREF(names);
    Py_XDECREF(dtype);
    return rc;
}

/* ---- the memory ---------------------------------------------------------------------------------------- */

/* {"data": (address, …), "shape": (n,), "strides": None or (bytes,)} */
static int interface_read(array_rows *rows, PyObject *array)
{
    PyErr_Clear();
    rows->interface = PyObject_GetAttrString(array, "__array_interface__");
    if (!rows->interface || !PyDict_Check(rows->interface))
        return -1;
    PyObject *data = PyDict_GetItemString(rows->interface, "data");
    PyObject *shape = PyDict_GetItemString(rows->interface, "shape");
    PyObject *strides = PyDict_GetItemString(rows->interface, "strides");
    PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    PyObject *size = dtype ? PyObject_GetAttrString(dtype, "itemsize") : NULL;
    int rc = -1;
    if (data && PyTuple_Check(data) && shape && PyTuple_Check(shape) && PyTuple_GET_SIZE(shape) == 1 &&
        size) {
        rows->data = PyLong_AsVoidPtr(PyTuple_GET_ITEM(data, 0));
        rows->count = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, 0));
        rows->stride =
            PyLong_AsSsize_t(strides && PyTuple_Check(strides) ? PyTuple_GET_ITEM(strides, 0) : size);
        rc = PyErr_Occurred() ? -1 : 0;
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "put_array() takes an array of one dimension");
    }
    Py_XDECREF(size);
    Py_XDECREF(dtype);
    return rc;
}

static int memory_open(array_rows *rows, PyObject *array)
{
    if (PyObject_GetBuffer(array, &rows->view, PyBUF_STRIDED_RO) < 0)
        return interface_read(rows, array);
    if (rows->view.ndim != 1) {
        PyErr_SetString(PyExc_ValueError, "put_array() takes an array of one dimension");
        return -1;
    }
    rows->data = rows->view.buf;
    rows->count = rows->view.shape[0];
    rows->stride = rows->view.strides[0];
    return 0;
}

static void rows_close(array_rows *rows)
{
    if (rows->view.obj)
        PyBuffer_Release(&rows->view);
    Py_XDECREF(rows->interface);
    PyMem_Free(rows->steps);
}

/* ---- one row ------------------------------------------------------------------------------------------- */

static int64_t int_load(const step *it, const uint8_t *from)
{
    int64_t value = 0;
    memcpy(&value, from, it->size);
    if (it->type == 'i') { /* the sign */
        const int shift = 64 - 8 * (int)it->size;
        value = (int64_t)((uint64_t)value << shift) >> shift;
    }
    return value;
}

static double float_load(const step *it, const uint8_t *from)
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
static PyObject *object_load(const step *it, const uint8_t *from)
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

static cp_fill_result object_put(cp_fill *fill, const step *it, const uint8_t *from)
{
    PyObject *value = object_load(it, from);
    if (!value)
        return CP_FILL_RAISED;
    const cp_fill_result result = it->column->convert(fill, it->column, value, it->target);
    Py_DECREF(value);
    return result;
}

static cp_fill_result int_put(cp_fill *fill, const step *it, const uint8_t *from)
{
    const int64_t value = int_load(it, from);
    const bool fits =
        it->type == 'u' || value >= 0 ? (uint64_t)value <= it->column->max : value >= it->column->min;
    if (!fits)
        return object_put(fill, it, from); /* which raises */
    cp_py_store(fill, it->column, (uint64_t)value, it->target);
    return CP_FILL_OK;
}

static cp_fill_result float_put(cp_fill *fill, const step *it, const uint8_t *from)
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

static cp_fill_result bytes_put(cp_fill *fill, const step *it, const uint8_t *from)
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
static cp_fill_result text_put(cp_fill *fill, const step *it, const uint8_t *from)
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

static cp_fill_result time_fail(const step *it, int64_t value, const char *problem)
{
    PyObject *number = PyLong_FromLongLong(value);
    const cp_fill_result result = number ? cp_py_value_fail(it->column, number, problem) : CP_FILL_RAISED;
    Py_XDECREF(number);
    return result;
}

static cp_fill_result time_put(cp_fill *fill, const step *it, const uint8_t *from)
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

static cp_fill_result step_run(cp_fill *fill, const step *it, const uint8_t *from)
{
    uint8_t *to = fill->row.bytes + it->target;
    switch (it->kind) {
    case STEP_COPY_1:
        memcpy(to, from, 1);
        return CP_FILL_OK;
    case STEP_COPY_2:
        memcpy(to, from, 2);
        return CP_FILL_OK;
    case STEP_COPY_4:
        memcpy(to, from, 4);
        return CP_FILL_OK;
    case STEP_COPY_8:
        memcpy(to, from, 8);
        return CP_FILL_OK;
    case STEP_COPY:
        memcpy(to, from, it->size);
        return CP_FILL_OK;
    case STEP_INT:
        return int_put(fill, it, from);
    case STEP_FLOAT:
        return float_put(fill, it, from);
    case STEP_BYTES:
        return bytes_put(fill, it, from);
    case STEP_TEXT:
        return text_put(fill, it, from);
    case STEP_TIME:
        return time_put(fill, it, from);
    default:
        return object_put(fill, it, from);
    }
}

/* The fields of a row. A null flag is cleared first: a NaT may set it again. */
static cp_fill_result steps_run(cp_fill *fill, const array_rows *rows, const uint8_t *from)
{
    cp_fill_result result = CP_FILL_OK;
    for (const step *it = rows->steps; it < rows->steps + rows->step_count && result == CP_FILL_OK; it++) {
        if (it->null_offset != UINT32_MAX)
            fill->row.bytes[it->null_offset] = 0;
        result = step_run(fill, it, from + it->source);
    }
    return result;
}

static cp_fill_result row_run_aside(cp_py_table *self, cp_fill *fill, const array_rows *rows,
                                    const uint8_t *from)
{
    cp_fill_result result = cp_py_row_begin(self, fill);
    if (result != CP_FILL_OK)
        return result;
    result = steps_run(fill, rows, from);
    if (result == CP_FILL_OK)
        result = cp_py_row_end(self, fill);
    cp_py_row_free(self, fill);
    return result;
}

/* The same in the ring itself, with nothing but what a row needs: this is what a large array costs. */
static cp_fill_result row_run(const cp_py_table *self, cp_fill *fill, const array_rows *rows,
                              const uint8_t *from)
{
    const uint32_t size = self->template_row.used;
    cp_ring *ring = fill->link->ring;
    fill->row.bytes = cp_claim(ring, size);
    if (CP_UNLIKELY(!fill->row.bytes)) {
        fill->refusal = cp_claim_refusal(ring, size);
        return CP_FILL_REFUSED;
    }
    fill->row.used = fill->row.capacity = size;
    memcpy(fill->row.bytes, self->template_row.bytes, size);
    const cp_fill_result result = steps_run(fill, rows, from);
    if (CP_UNLIKELY(result != CP_FILL_OK)) {
        cp_abort(ring);
        return result;
    }
    if (fill->row.used != fill->row.capacity)
        (void)cp_claim(ring, fill->row.used);
    cp_commit(ring);
    return CP_FILL_OK;
}

/* All rows, until the ring is full: how many, -1 with an exception. */
static Py_ssize_t rows_put(cp_py_table *self, const array_rows *rows, Py_ssize_t *put)
{
    cp_fill fill = {0};
    int ready = cp_py_table_enter(self);
    while (ready > 0 && *put < rows->count) {
        const uint8_t *from = rows->data + *put * rows->stride;
        fill.row.table = self->table;
        fill.link = self->shared ? NULL : self->link;
        self->filling = !self->shared;
        const cp_fill_result result =
            self->shared ? row_run_aside(self, &fill, rows, from) : row_run(self, &fill, rows, from);
        self->filling = false;
        if (result == CP_FILL_OK) {
            ++*put;
            self->put_rows++;
        } else if (result == CP_FILL_RAISED) {
            return -1;
        } else if (fill.refusal == CP_E_TOO_BIG) {
            return cp_py_row_too_big(self);
        } else if (cp_py_table_stale(self, fill.refusal)) {
            ready = cp_py_table_reattach(self);
        } else {
            break;
        }
    }
    if (ready >= 0 && *put < rows->count)
        self->refused_rows++;
    return ready < 0 ? -1 : *put;
}

PyObject *cp_py_table_put_array(PyObject *object, PyObject *array)
{
    cp_py_table *self = (cp_py_table *)object;
    array_rows rows = {0};
    Py_ssize_t put = 0;
    /* Also before the layout is read: it needs the descriptors, which a closed handle has not. */
    int rc = cp_py_table_enter(self);
    if (rc == 0)
        return PyLong_FromLong(0);
    cp_py_link *link = rc > 0 ? self->link : NULL; /* kept, as in a put of one row */
    if (link)
        link->refs++;
    rc = rc > 0 ? layout_read(self, &rows, array) : -1;
    if (rc == 0)
        rc = memory_open(&rows, array);
    if (rc == 0 && rows_put(self, &rows, &put) < 0) {
        cp_py_raise_note_rows(put);
        rc = -1;
    }
    rows_close(&rows);
    cp_py_link_release(link);
    return rc < 0 ? NULL : PyLong_FromSsize_t(put);
}
