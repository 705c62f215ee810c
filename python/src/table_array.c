/* Rows of a structured numpy array: the fields are matched with the columns once, then every row is a short list of
 * steps (array_step.h) on the array's own memory. numpy itself is never called and need not be there: the layout is
 * read from the array's dtype, the memory through the buffer protocol, or, since that knows no datetime64, through
 * __array_interface__. */
#include <string.h>

#include "array_step.h"
#include "classes.h"
#include "raise.h"
#include "table.h"

typedef struct array_rows {
    Py_buffer view; /* if view.obj */
    PyObject *interface;
    const uint8_t *data;
    Py_ssize_t count;
    Py_ssize_t stride;
    uint32_t step_count;
    cp_py_step *steps;
    uint64_t set[CP_MAX_COLUMNS / 64];
} array_rows;

/* ---- the layout ---------------------------------------------------------------------------------------- */

/* One field: its name, and the tuple (dtype, offset) of dtype.fields. */
static int field_add(cp_py_table *self, array_rows *rows, PyObject *name, PyObject *field)
{
    PyObject *number = PyDict_GetItemWithError(self->by_name, name);
    cp_py_step *it = &rows->steps[rows->step_count];
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
        else if (cp_py_step_choose(it, utf8))
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
        rows->step_count = cp_py_steps_join(rows->steps, rows->step_count);
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

/* ---- rows ------------------------------------------------------------------------------------------ */

static cp_fill_result row_run_aside(cp_py_table *self, cp_fill *fill, const array_rows *rows,
                                    const uint8_t *from)
{
    cp_fill_result result = cp_py_row_begin(self, fill);
    if (result != CP_FILL_OK)
        return result;
    result = cp_py_steps_run(fill, rows->steps, rows->step_count, from);
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
    const cp_fill_result result = cp_py_steps_run(fill, rows->steps, rows->step_count, from);
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
