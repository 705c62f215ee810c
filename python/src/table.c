#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#include "base/clock.h"
#include "raise.h"

#define LOOK_NS                                                                                              \
    ((uint64_t)CP_NS_PER_S) /* between looks for the files of a region whose ring is full: a system call */

enum {
    RETRY_NS = 20 * CP_NS_PER_MS,      /* between attempts to attach to a region that is being replaced */
    WAIT_SLICE_NS = 50 * CP_NS_PER_MS, /* of a wait, between looks at signals and at the region */
    SIGNAL_ROWS = 4096                 /* of put_many, between looks at signals: about a millisecond */
};

/* ---- attaching ----------------------------------------------------------------------------------------- */

static bool is_for_a_moment(int code)
{
    return code == CP_E_ABSENT || code == CP_E_BUSY || code == CP_E_CORRUPT || code == CP_E_RETIRED;
}

/* Points everything that lies in the region's descriptors to the new region's, whose columns are the same. */
static void link_take(cp_py_table *self, cp_py_link *link)
{
    self->link = link;
    self->table = cp_region_find_table(link->region, self->name);
    self->row_max = link->ring->row_max;
    self->forked = false;
    self->attach_count++;
    for (uint32_t i = 0; i < self->column_count; i++) {
        const cp_column *column = &self->table->columns[self->columns[i].index];
        self->columns[i].type = &column->type;
        self->columns[i].utf8_name = column->name;
    }
}

/* Lets go of the ring, and notes whether rows in it were still on their way. */
static void link_drop(cp_py_table *self, cp_ring_stats *last)
{
    memset(last, 0, sizeof *last);
    if (self->link && self->link->ring) {
        cp_ring_get_stats(self->link->ring, last);
        if (cp_position(self->link->ring, CP_DELIVERED) == last->written)
            memset(last, 0, sizeof *last);
    }
    cp_py_link_release(self->link);
    self->link = NULL;
}

static int attach_again(cp_py_table *self)
{
    const uint64_t now = cp_boottime_ns();
    if (now < self->retry_ns)
        return self->forked ? cp_py_raise(&self->problem) : 0;
    cp_ring_stats last;
    cp_py_link *link;
    link_drop(self, &last);
    const uint32_t row_max = self->row_max;
    int rc =
        cp_py_link_open(&link, self->path, self->name, self->schema_hash, self->producer, &self->problem);
    if (rc == CP_OK) {
        cp_ring_stats stats;
        cp_ring_get_stats(link->ring, &stats);
        if (last.epoch != 0 && (last.epoch != stats.epoch || last.slot != stats.slot))
            self->untracked = true;
        if (self->shared &&
            link->ring->row_max > row_max) { /* the memory for rows aside was for smaller ones */
            free(self->scratch);
            self->scratch = NULL;
        }
        link_take(self, link);
        return 1;
    }
    self->untracked = self->untracked || last.epoch != 0;
    self->retry_ns = now + RETRY_NS;
    if (self->problem.code == CP_E_SCHEMA) {
        snprintf(self->problem.text, sizeof self->problem.text,
                 "table %s has other columns than when it was opened: open it again", self->name);
        return cp_py_raise(&self->problem);
    }
    return is_for_a_moment(rc) && !self->forked ? 0 : cp_py_raise(&self->problem);
}

bool cp_py_table_stale(cp_py_table *self, int refusal)
{
    if (refusal != CP_FULL || !self->link || !self->link->region)
        return refusal == CP_E_RETIRED;
    const uint64_t now = cp_boottime_ns();
    if (now < self->look_ns)
        return false;
    self->look_ns = now + LOOK_NS;
    return !cp_region_in_place(self->link->region);
}

int cp_py_table_reattach(cp_py_table *self)
{
    return attach_again(self);
}

static int enter_slowly(cp_py_table *self)
{
    if (self->closed)
        return cp_py_raise_text(cp_py_closed_error, CP_E_INVAL, NULL, "the table was closed");
    if (self->link &&
        !self->link
             ->ring) { /* the process is a fork: nothing of the parent's is used, nobody owns this yet */
        cp_py_link_release(self->link);
        self->link = NULL;
        self->forked = true;
        self->filling = false;
        self->owner = 0;
        self->retry_ns = 0;
        self->untracked = false;
        self->put_rows = self->refused_rows = 0;
    }
    if (!self->shared && self->owner == 0)
        self->owner = PyThread_get_thread_ident();
    if (!self->shared && self->owner != PyThread_get_thread_ident()) {
        char text[256];
        snprintf(text, sizeof text,
                 "table %.100s is put to by another thread: open it in each thread, or once with shared=True",
                 self->name);
        return cp_py_raise_text(cp_py_thread_error, CP_E_INVAL, NULL, text);
    }
    if (self->filling) {
        PyErr_SetString(PyExc_RuntimeError,
                        "put() while a row is being put: from the conversion of one of its values");
        return -1;
    }
    return self->link ? 1 : attach_again(self);
}

int cp_py_table_enter(cp_py_table *self)
{
    if (CP_LIKELY(self->link && self->link->ring && !self->filling &&
                  (self->shared || self->owner == PyThread_get_thread_ident())))
        return 1;
    return enter_slowly(self);
}

static char *text_copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

PyObject *cp_py_table_open(const char *path, const char *name, const char *producer, bool shared)
{
    cp_error err = {0};
    cp_py_link *link = NULL;
    cp_py_table *self = PyObject_New(cp_py_table, &cp_py_table_type);
    if (!self)
        return NULL;
    memset((char *)self + sizeof(PyObject), 0, sizeof *self - sizeof(PyObject));
    self->shared = shared;
    self->path = text_copy(path);
    self->name = text_copy(name);
    self->producer = text_copy(producer);
    if (!self->path || !self->name || (producer && !self->producer)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    const int rc = cp_py_link_open(&link, path, name, 0, producer, &err);
    if (rc < 0) {
        Py_DECREF(self);
        cp_py_raise(&err);
        return NULL;
    }
    link_take(self, link);
    self->schema_hash = self->table->schema_hash;
    if (cp_py_table_describe(self) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void table_dealloc(PyObject *object)
{
    cp_py_table *self = (cp_py_table *)object;
    cp_py_table_undescribe(self);
    cp_py_link_release(self->link);
    free(self->scratch);
    free(self->path);
    free(self->name);
    free(self->producer);
    PyObject_Free(object);
}

/* ---- putting ------------------------------------------------------------------------------------------- */

static PyObject *truth_of(int result)
{
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *table_put(PyObject *object, PyObject *row)
{
    return truth_of(cp_py_table_put_dict((cp_py_table *)object, row));
}

static PyObject *table_append(PyObject *object, PyObject *const *values, Py_ssize_t count)
{
    return truth_of(cp_py_table_put_values((cp_py_table *)object, values, count));
}

static int any_put(cp_py_table *self, PyObject *row)
{
    if (PyTuple_Check(row))
        return cp_py_table_put_values(self, PySequence_Fast_ITEMS(row), PyTuple_GET_SIZE(row));
    if (PyList_Check(row))
        return cp_py_table_put_list(self, row);
    return cp_py_table_put_dict(self, row);
}

static PyObject *table_put_many(PyObject *object, PyObject *rows)
{
    PyObject *each = PyObject_GetIter(rows);
    Py_ssize_t put = 0;
    int result = 1;
    if (!each)
        return NULL;
    PyObject *row;
    while (result > 0 && (row = PyIter_Next(each))) {
        result = any_put((cp_py_table *)object, row);
        put += result > 0;
        Py_DECREF(row);
        if (put % SIGNAL_ROWS == 0 && PyErr_CheckSignals() < 0)
            result = -1;
    }
    Py_DECREF(each);
    if (PyErr_Occurred()) {
        cp_py_raise_note_rows(put);
        return NULL;
    }
    return PyLong_FromSsize_t(put);
}

/* ---- following ----------------------------------------------------------------------------------------- */

static int untracked_fail(const cp_py_table *self)
{
    char text[400];
    snprintf(text, sizeof text,
             "every row is in a ring, but the region was replaced meanwhile and some lie in one that is no "
             "longer followed: "
             "`coldpath status` says when all of table %.100s are delivered",
             self->name);
    return cp_py_raise_text(cp_py_error, CP_E_UNSUPPORTED, NULL, text);
}

/* Waits in slices without the GIL. 1 reached, 0 time over, -1 an exception. */
static int position_wait(cp_py_table *self, cp_stage stage, uint64_t timeout_ns)
{
    const uint64_t begin = cp_boottime_ns();
    cp_py_link *link = self->link;
    const uint64_t position = link->ring->write;
    int rc = CP_E_TIMEOUT;
    link->refs++;
    while (rc == CP_E_TIMEOUT) {
        const uint64_t waited = cp_boottime_ns() - begin;
        const uint64_t left = waited < timeout_ns ? timeout_ns - waited : 0;
        Py_BEGIN_ALLOW_THREADS rc =
            cp_wait(link->ring, stage, position, left < WAIT_SLICE_NS ? left : WAIT_SLICE_NS);
        Py_END_ALLOW_THREADS const int raised = PyErr_CheckSignals();
        if (raised < 0 || !link->ring) { /* or a handler forked: in the child nothing has been put yet */
            cp_py_link_release(link);
            return raised < 0 ? -1 : 1;
        }
        if (rc == CP_E_TIMEOUT && !cp_region_in_place(link->region))
            rc = CP_E_RETIRED;
        if (left == 0)
            break;
    }
    cp_py_link_release(link);
    return rc == CP_OK ? 1 : rc == CP_E_TIMEOUT ? 0 : rc;
}

static PyObject *table_wait(cp_py_table *self, cp_stage stage, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    double seconds = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &timeout))
        return NULL;
    if (timeout != Py_None && ((seconds = PyFloat_AsDouble(timeout)), PyErr_Occurred()))
        return NULL;
    const bool for_ever = timeout == Py_None || seconds > 1e9;
    const uint64_t timeout_ns = for_ever ? UINT64_MAX : seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
    if (self->closed)
        return cp_py_raise_text(cp_py_closed_error, CP_E_INVAL, NULL, "the table was closed"), NULL;
    if (self->untracked)
        return untracked_fail(self), NULL;
    if (!self->link ||
        !self->link->ring) /* forked, or between two regions: nothing was put that is not tracked */
        Py_RETURN_TRUE;
    int result = position_wait(self, stage, timeout_ns);
    if (self->closed && result != -1) /* meanwhile, by another thread */
        return cp_py_raise_text(cp_py_closed_error, CP_E_INVAL, NULL, "the table was closed"), NULL;
    if (result == CP_E_RETIRED && !self->filling &&
        (self->shared || self->owner == PyThread_get_thread_ident() || self->owner == 0)) {
        result = attach_again(self);
        if (result >= 0)
            result = self->untracked ? untracked_fail(self)
                     : result > 0    ? position_wait(self, stage, timeout_ns)
                                     : 0;
    }
    if (result < -1 && !PyErr_Occurred())
        untracked_fail(self);
    return truth_of(result);
}

static PyObject *table_wait_durable(PyObject *self, PyObject *args, PyObject *keywords)
{
    return table_wait((cp_py_table *)self, CP_DURABLE, args, keywords);
}

static PyObject *table_wait_delivered(PyObject *self, PyObject *args, PyObject *keywords)
{
    return table_wait((cp_py_table *)self, CP_DELIVERED, args, keywords);
}

static PyObject *table_stats(PyObject *object, PyObject *unused)
{
    const cp_py_table *self = (cp_py_table *)object;
    cp_ring_stats s = {0};
    (void)unused;
    const bool attached = self->link && self->link->ring;
    if (attached)
        cp_ring_get_stats(self->link->ring, &s);
    return Py_BuildValue("{sOsKsKsKsKsKsKsKsKsKsKsIsKsK}", "attached", attached ? Py_True : Py_False, "put",
                         self->put_rows, "refused", self->refused_rows, "rows", s.rows, "written", s.written,
                         "consumed", s.consumed, "durable",
                         attached ? cp_position(self->link->ring, CP_DURABLE) : 0, "delivered", s.delivered,
                         "delivered_rows", s.delivered_rows, "full", s.full, "too_big", s.too_big, "slot",
                         s.slot, "epoch", s.epoch, "capacity", s.capacity);
}

static PyObject *table_close(PyObject *object, PyObject *unused)
{
    cp_py_table *self = (cp_py_table *)object;
    (void)unused;
    if (self->filling && self->link && self->link->ring) {
        PyErr_SetString(PyExc_RuntimeError, "close() while a row is being put");
        return NULL;
    }
    cp_py_link_release(self->link);
    self->link = NULL;
    self->closed = true;
    Py_RETURN_NONE;
}

static PyObject *table_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *table_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return table_close(self, NULL);
}

/* ---- the class ----------------------------------------------------------------------------------------- */

static PyObject *table_get_columns(PyObject *object, void *unused)
{
    const cp_py_table *self = (cp_py_table *)object;
    (void)unused;
    PyObject *names = PyTuple_New(self->column_count);
    for (uint32_t i = 0; names && i < self->column_count; i++)
        PyTuple_SET_ITEM(names, i, Py_NewRef(self->columns[i].name));
    return names;
}

static PyObject *table_get_types(PyObject *object, void *unused)
{
    const cp_py_table *self = (cp_py_table *)object;
    (void)unused;
    PyObject *types = PyDict_New();
    if (!self->link || !self->link->region) {
        Py_XDECREF(types);
        return cp_py_raise_text(cp_py_closed_error, CP_E_INVAL, NULL, "the table is not attached"), NULL;
    }
    for (uint32_t i = 0; types && i < self->column_count; i++) {
        PyObject *text = PyUnicode_FromString(self->columns[i].type->text);
        if (!text || PyDict_SetItem(types, self->columns[i].name, text) < 0)
            Py_CLEAR(types);
        Py_XDECREF(text);
    }
    return types;
}

static PyObject *table_get_name(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(((cp_py_table *)self)->name);
}

static PyObject *table_get_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((cp_py_table *)self)->closed);
}

static PyObject *table_repr(PyObject *object)
{
    const cp_py_table *self = (cp_py_table *)object;
    return PyUnicode_FromFormat("<coldpath.Table %s in %s%s>", self->name, self->path,
                                self->closed ? ", closed" : "");
}

#define KEYWORD_METHOD(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef table_methods[] = {
    {"put", table_put, METH_O,
     "put(row, /)\n--\n\nPuts one row, a dict. True; False when the ring is full, nothing is put then. Never "
     "waits."},
    {"append", KEYWORD_METHOD(table_append), METH_FASTCALL,
     "append(*values)\n--\n\nPuts one row from its values, in the order of columns."},
    {"put_many", table_put_many, METH_O,
     "put_many(rows, /)\n--\n\nPuts dicts, or tuples in the order of columns. How many were put: fewer when "
     "the ring is full."},
    {"put_array", cp_py_table_put_array, METH_O,
     "put_array(array, /)\n--\n\nPuts the rows of a structured numpy array. How many were put: fewer when "
     "the ring is full."},
    {"wait_durable", KEYWORD_METHOD(table_wait_durable), METH_VARARGS | METH_KEYWORDS,
     "wait_durable(timeout=None)\n--\n\nWaits until every row put so far would survive the host. False when "
     "time is over."},
    {"wait_delivered", KEYWORD_METHOD(table_wait_delivered), METH_VARARGS | METH_KEYWORDS,
     "wait_delivered(timeout=None)\n--\n\nWaits until ClickHouse has every row put so far. False when time "
     "is over."},
    {"stats", table_stats, METH_NOARGS, "stats()\n--\n\nThe handle's and the ring's counters, a dict."},
    {"close", table_close, METH_NOARGS,
     "close()\n--\n\nGives the slot back; what was put stays and will be delivered."},
    {"__enter__", table_enter, METH_NOARGS, NULL},
    {"__exit__", KEYWORD_METHOD(table_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef table_getters[] = {
    {"columns", table_get_columns, NULL, "Names of the row's columns, in order.", NULL},
    {"types", table_get_types, NULL, "ClickHouse's types of the columns, by name.", NULL},
    {"name", table_get_name, NULL, NULL, NULL},
    {"closed", table_get_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject cp_py_table_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "coldpath.Table",
    .tp_basicsize = sizeof(cp_py_table),
    .tp_dealloc = table_dealloc,
    .tp_repr = table_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A table to put rows into. Region.table() makes them.",
    .tp_methods = table_methods,
    .tp_getset = table_getters,
};
