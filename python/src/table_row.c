/* Rows of a table handle: from a dict or from values in the table's order, into the ring. */
#include <stdlib.h>
#include <string.h>

#include "raise.h"
#include "schema/suggest.h"
#include "table.h"

enum { MESSAGE = 512 };

/* ---- describing ---------------------------------------------------------------------------------------- */

/* A row of defaults. A column whose DEFAULT is an expression is zero in it, and marked as required. */
static int template_make(cp_py_table *self)
{
    const cp_table *table = self->table;
    cp_error err = {0};
    uint8_t *bytes = aligned_alloc(64, ((size_t)self->row_max + 63) & ~(size_t)63);
    if (!bytes)
        return PyErr_NoMemory(), -1;
    if (cp_row_begin(&self->template_row, table, bytes, self->row_max) < 0) {
        free(bytes);
        cp_py_raise_text(cp_py_error, CP_E_TOO_BIG, NULL, "the table's row_max is smaller than its rows");
        return -1;
    }
    self->any_required = false;
    memset(self->required, 0, sizeof self->required);
    for (uint32_t i = 0; i < self->column_count; i++) {
        const uint32_t index = self->columns[i].index;
        cp_row probe = self->template_row; /* all columns but this one count as given */
        memset(probe.set, 0xff, sizeof probe.set);
        probe.set[index / 64] &= ~((uint64_t)1 << (index % 64));
        if (cp_row_end(&probe, &err) < 0) {
            self->required[index / 64] |= (uint64_t)1 << (index % 64);
            self->any_required = true;
        } else {
            self->template_row.used = probe.used;
        }
    }
    uint8_t *fitted = realloc(bytes, self->template_row.used); /* only ever copied from */
    self->template_row.bytes = fitted ? fitted : bytes;
    return 0;
}

int cp_py_table_describe(cp_py_table *self)
{
    const cp_table *table = self->table;
    self->columns = PyMem_Calloc(table->column_count + 1u, sizeof *self->columns);
    self->keys = PyMem_Calloc(table->column_count + 1u, sizeof *self->keys);
    self->by_name = PyDict_New();
    if (!self->columns || !self->keys || !self->by_name)
        return PyErr_NoMemory(), -1;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].provenance != CP_PROV_NONE)
            continue;
        cp_py_column *column = &self->columns[self->column_count];
        cp_py_column_prepare(column, table, i);
        column->name = PyUnicode_InternFromString(table->columns[i].name);
        if (!column->name)
            return -1;
        PyObject *number = PyLong_FromUnsignedLong(self->column_count++);
        const int rc = number ? PyDict_SetItem(self->by_name, column->name, number) : -1;
        Py_XDECREF(number);
        if (rc < 0)
            return -1;
    }
    return template_make(self);
}

void cp_py_table_undescribe(cp_py_table *self)
{
    for (uint32_t i = 0; i < self->column_count; i++)
        Py_CLEAR(self->columns[i].name);
    for (uint32_t i = 0; i < self->key_count; i++)
        Py_CLEAR(self->keys[i].key);
    PyMem_Free(self->columns);
    PyMem_Free(self->keys);
    Py_CLEAR(self->by_name);
    free(self->template_row.bytes);
    self->columns = NULL;
    self->keys = NULL;
    self->template_row.bytes = NULL;
    self->column_count = 0;
    self->key_count = 0;
}

/* ---- one row ------------------------------------------------------------------------------------------- */

cp_fill_result cp_py_row_begin(cp_py_table *self, cp_fill *fill)
{
    const uint32_t size = self->template_row.used;
    fill->refusal = CP_OK;
    fill->row.table = self->table;
    fill->row.used = size;
    memset(fill->row.set, 0, sizeof fill->row.set);
    fill->row.best_effort = false;
    fill->row.sized_digits = false;
    fill->row.cuts_digits = false;
    if (!self->shared) {
        fill->link = self->link;
        fill->row.bytes = cp_claim(fill->link->ring, size);
        fill->row.capacity = size;
        if (!fill->row.bytes) {
            fill->refusal = cp_claim_refusal(fill->link->ring, size);
            return CP_FILL_REFUSED;
        }
    } else {
        fill->link = NULL;
        fill->row.bytes =
            self->scratch ? self->scratch : aligned_alloc(64, ((size_t)self->row_max + 63) & ~(size_t)63);
        fill->row.capacity = self->row_max;
        self->scratch = NULL;
        if (!fill->row.bytes)
            return PyErr_NoMemory(), CP_FILL_RAISED;
    }
    memcpy(fill->row.bytes, self->template_row.bytes, size);
    self->filling = !self->shared;
    return CP_FILL_OK;
}

void cp_py_row_free(cp_py_table *self, cp_fill *fill)
{
    if (!self->shared)
        return;
    if (self->scratch || fill->row.capacity != self->row_max)
        free(fill->row.bytes);
    else
        self->scratch = fill->row.bytes;
}

int cp_py_row_lacks(const cp_py_table *self, const uint64_t *set)
{
    for (uint32_t i = 0; i < self->column_count; i++) {
        const cp_py_column *column = &self->columns[i];
        const uint64_t bit = (uint64_t)1 << (column->index % 64);
        if ((self->required[column->index / 64] & bit) && !(set[column->index / 64] & bit)) {
            char text[MESSAGE];
            snprintf(text, sizeof text,
                     "column '%s' must be given: its DEFAULT %.100s is an expression, which only the server "
                     "could compute",
                     column->utf8_name, self->table->columns[column->index].default_expr);
            return cp_py_raise_text(cp_py_column_value_error, CP_E_PARSE, column->utf8_name, text);
        }
    }
    return 0;
}

static bool lacks_required(const cp_py_table *self, const cp_fill *fill)
{
    for (uint32_t i = 0; i < (self->table->column_count + 63) / 64; i++) {
        if (self->required[i] & ~fill->row.set[i])
            return true;
    }
    return false;
}

cp_fill_result cp_py_row_end(cp_py_table *self, cp_fill *fill)
{
    if (!self->shared) {
        cp_ring *ring = fill->link->ring;
        if (fill->row.used != fill->row.capacity) /* an array took less than its alignment could have cost */
            (void)cp_claim(ring, fill->row.used);
        cp_commit(ring);
        return CP_FILL_OK;
    }
    /* The handle may have been closed, or have attached anew, by Python code that a conversion ran. */
    cp_ring *ring = self->link ? self->link->ring : NULL;
    fill->refusal = ring ? cp_put(ring, fill->row.bytes, fill->row.used) : CP_FULL;
    return fill->refusal == CP_OK ? CP_FILL_OK : CP_FILL_REFUSED;
}

int cp_py_row_too_big(const cp_py_table *self)
{
    char text[MESSAGE];
    snprintf(text, sizeof text,
             "the row with its strings and arrays is larger than the %u bytes that table %s takes (row_max)",
             self->row_max, self->name);
    return cp_py_raise_text(cp_py_column_value_error, CP_E_TOO_BIG, NULL, text);
}

/* ---- from a dict --------------------------------------------------------------------------------------- */

int cp_py_row_unknown(const cp_py_table *self, PyObject *key)
{
    Py_ssize_t len;
    const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8AndSize(key, &len) : NULL;
    if (!name || strlen(name) != (size_t)len) {
        PyErr_Clear();
        PyErr_Format(cp_py_unknown_column, "a row's keys are names of columns, as str; not %R", key);
        return -1;
    }
    const int index = cp_table_find(self->table, name, (size_t)len);
    const char *meant = cp_table_suggest(self->table, name, (size_t)len);
    char text[MESSAGE];
    if (index >= 0)
        snprintf(text, sizeof text, "column '%.127s' is filled by the recorder; leave it out", name);
    else if (meant)
        snprintf(text, sizeof text, "table %s has no column '%.127s'; did you mean '%s'?", self->name, name,
                 meant);
    else
        snprintf(text, sizeof text, "table %s has no column '%.127s'; `coldpath schema show %s` lists them",
                 self->name, name, self->name);
    return cp_py_raise_text(cp_py_unknown_column, CP_E_SCHEMA, name, text);
}

/* The column of a key that does not stand where it stood in the row before; it is remembered there. The key's own class may
 * run Python code: the caller holds references. */
static const cp_py_column *key_find(cp_py_table *self, uint32_t place, PyObject *key)
{
    PyObject *number = PyUnicode_CheckExact(key) ? PyDict_GetItemWithError(self->by_name, key) : NULL;
    if (!number && !PyErr_Occurred() &&
        PyUnicode_Check(key)) /* a str of a class of its own may hash as it likes */
        number = PyDict_GetItemWithError(self->by_name, key);
    if (!number) {
        if (!PyErr_Occurred())
            cp_py_row_unknown(self, key);
        return NULL;
    }
    const cp_py_column *column = &self->columns[PyLong_AsUnsignedLong(number)];
    if (place < self->column_count && place <= self->key_count) {
        PyObject *before = self->keys[place].key;
        self->keys[place] = (cp_py_key){.key = Py_NewRef(key), .column = column};
        if (place == self->key_count)
            self->key_count++;
        Py_XDECREF(before);
    }
    return column;
}

static cp_fill_result changed_fail(void)
{
    PyErr_SetString(PyExc_RuntimeError, "the row changed while it was read");
    return CP_FILL_RAISED;
}

static cp_fill_result dict_fill(cp_py_table *self, cp_fill *fill, PyObject *dict)
{
    const Py_ssize_t size = PyDict_GET_SIZE(dict);
    Py_ssize_t at = 0;
    uint32_t place = 0;
    PyObject *key;
    PyObject *value;
    while (PyDict_Next(dict, &at, &key, &value)) {
        const cp_py_column *column;
        Py_INCREF(value); /* a conversion may run code that takes it out of the dict */
        if (CP_LIKELY(place < self->key_count && self->keys[place].key == key)) {
            column = self->keys[place].column;
        } else {
            Py_INCREF(key);
            column = key_find(self, place, key);
            Py_DECREF(key);
        }
        const cp_fill_result result = column ? cp_py_column_set(fill, column, value) : CP_FILL_RAISED;
        Py_DECREF(value);
        if (CP_UNLIKELY(result != CP_FILL_OK))
            return result;
        place++;
        if (CP_UNLIKELY(PyDict_GET_SIZE(dict) != size))
            break;
    }
    if (place == (size_t)size && PyDict_GET_SIZE(dict) == size)
        return CP_FILL_OK;
    return changed_fail();
}

typedef struct row_values {
    PyObject *dict; /* or: */
    PyObject *list; /* or NULL, and: */
    PyObject *const *values;
    Py_ssize_t count;
} row_values;

static cp_fill_result values_fill(cp_py_table *self, cp_fill *fill, const row_values *row)
{
    cp_fill_result result = CP_FILL_OK;
    for (Py_ssize_t i = 0; i < row->count && result == CP_FILL_OK; i++) {
        if (row->list && PyList_GET_SIZE(row->list) != row->count)
            return changed_fail();
        PyObject *value = Py_NewRef(row->list ? PyList_GET_ITEM(row->list, i) : row->values[i]);
        result = cp_py_column_set(fill, &self->columns[i], value);
        Py_DECREF(value);
    }
    return result;
}

static cp_fill_result row_fill(cp_py_table *self, cp_fill *fill, const row_values *row)
{
    cp_py_link *link = self->link; /* kept: Python code that a conversion runs may close or exchange it */
    cp_fill_result result = cp_py_row_begin(self, fill);
    if (result != CP_FILL_OK)
        return result;
    link->refs++;
    result = row->dict ? dict_fill(self, fill, row->dict) : values_fill(self, fill, row);
    if (CP_UNLIKELY(!link->ring) && result != CP_FILL_RAISED)
        result = cp_fill_forked();
    if (result == CP_FILL_OK && self->any_required && lacks_required(self, fill)) {
        cp_py_row_lacks(self, fill->row.set);
        result = CP_FILL_RAISED;
    }
    if (result == CP_FILL_OK)
        result = cp_py_row_end(self, fill);
    else if (!self->shared && link->ring)
        cp_abort(link->ring);
    cp_py_row_free(self, fill);
    self->filling = false;
    cp_py_link_release(link);
    return result;
}

static int row_put(cp_py_table *self, const row_values *row)
{
    cp_fill fill;
    int ready = cp_py_table_enter(self);
    while (ready > 0) {
        switch (row_fill(self, &fill, row)) {
        case CP_FILL_OK:
            self->put_rows++;
            return 1;
        case CP_FILL_RAISED:
            return -1;
        default:
            break;
        }
        if (fill.refusal == CP_E_TOO_BIG)
            return cp_py_row_too_big(self);
        if (!cp_py_table_stale(self, fill.refusal)) {
            self->refused_rows++;
            return 0;
        }
        ready = cp_py_table_reattach(self);
    }
    if (ready == 0)
        self->refused_rows++;
    return ready;
}

int cp_py_table_put_dict(cp_py_table *self, PyObject *dict)
{
    if (CP_LIKELY(PyDict_Check(dict)))
        return row_put(self, &(row_values){.dict = dict});
    if (!PyMapping_Check(dict) || !PyObject_HasAttrString(dict, "keys")) { /* as dict() tells a mapping */
        PyErr_Format(PyExc_TypeError,
                     "a row is a dict of column names and values, not a %s; append() takes plain values",
                     Py_TYPE(dict)->tp_name);
        return -1;
    }
    PyObject *copy = PyDict_New();
    int result = copy ? PyDict_Update(copy, dict) : -1;
    if (result == 0)
        result = row_put(self, &(row_values){.dict = copy});
    Py_XDECREF(copy);
    return result;
}

static int count_check(const cp_py_table *self, Py_ssize_t count)
{
    if (count == (Py_ssize_t)self->column_count)
        return 0;
    PyErr_Format(PyExc_TypeError, "table %s takes %u values, in the order of Table.columns; %zd were given",
                 self->name, self->column_count, count);
    return -1;
}

int cp_py_table_put_values(cp_py_table *self, PyObject *const *values, Py_ssize_t count)
{
    return count_check(self, count) < 0 ? -1 : row_put(self, &(row_values){.values = values, .count = count});
}

int cp_py_table_put_list(cp_py_table *self, PyObject *list)
{
    const Py_ssize_t count = PyList_GET_SIZE(list);
    return count_check(self, count) < 0 ? -1 : row_put(self, &(row_values){.list = list, .count = count});
}
