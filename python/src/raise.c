#include "raise.h"

#include <stdio.h>
#include <string.h>

enum {
    VALUE_SHOWN = 60 /* characters of a value's repr in a message */
};
#define TYPE_SHOWN "%.120s" /* of a column's type; long Enums are cut */

PyObject *cp_py_error;
PyObject *cp_py_schema_error;
PyObject *cp_py_closed_error;
PyObject *cp_py_thread_error;
PyObject *cp_py_unknown_column;
PyObject *cp_py_column_type_error;
PyObject *cp_py_column_value_error;

static PyObject *absent_error;

static PyObject *kind_make(PyObject *module, const char *name, PyObject *second_base, const char *doc)
{
    char full[64];
    snprintf(full, sizeof full, "coldpath.%s", name);
    PyObject *bases = NULL;
    if (cp_py_error)
        bases = second_base ? PyTuple_Pack(2, cp_py_error, second_base) : PyTuple_Pack(1, cp_py_error);
    if (cp_py_error && !bases)
        return NULL;
    PyObject *kind = PyErr_NewExceptionWithDoc(full, doc, bases, NULL);
    Py_XDECREF(bases);
    if (kind && PyModule_AddObjectRef(module, name, kind) < 0)
        Py_CLEAR(kind);
    return kind;
}

int cp_py_raise_init(PyObject *module)
{
    const struct {
        PyObject **kind;
        const char *name;
        PyObject *second_base;
        const char *doc;
    } kinds[] = {
        {&cp_py_error, "Error", NULL, "Whatever coldpath refuses or cannot do; code: the library's code."},
        {&absent_error, "AbsentError", NULL, "There is no such region or table."},
        {&cp_py_schema_error, "SchemaError", NULL, "The table has other columns than when it was opened."},
        {&cp_py_closed_error, "ClosedError", PyExc_ValueError, "The table was closed."},
        {&cp_py_thread_error, "ThreadError", PyExc_RuntimeError,
         "A table handle was used by another thread than its owner."},
        {&cp_py_unknown_column, "UnknownColumnError", PyExc_LookupError, "The table has no such column."},
        {&cp_py_column_type_error, "ColumnTypeError", PyExc_TypeError,
         "A value of a type that the column does not take."},
        {&cp_py_column_value_error, "ColumnValueError", PyExc_ValueError,
         "A value that the column cannot hold."},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        *kinds[i].kind = kind_make(module, kinds[i].name, kinds[i].second_base, kinds[i].doc);
        if (!*kinds[i].kind)
            return -1;
    }
    return 0;
}

/* Raises kind(message) with its attributes; takes message. */
static int raise_object(PyObject *kind, int code, const char *column, PyObject *message)
{
    if (!message)
        return -1;
    PyObject *exception = PyObject_CallOneArg(kind, message);
    Py_DECREF(message);
    PyObject *number = PyLong_FromLong(code);
    PyObject *name = column ? PyUnicode_FromString(column) : Py_NewRef(Py_None);
    if (exception && number && name && PyObject_SetAttrString(exception, "code", number) == 0 &&
        PyObject_SetAttrString(exception, "column", name) == 0)
        PyErr_SetObject(kind, exception);
    Py_XDECREF(name);
    Py_XDECREF(number);
    Py_XDECREF(exception);
    return -1;
}

int cp_py_raise_text(PyObject *kind, int code, const char *column, const char *text)
{
    /* "replace": a message that was cut may end inside a character */
    return raise_object(kind, code, column, PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"));
}

int cp_py_raise(const cp_error *err)
{
    PyObject *kind = cp_py_error;
    if (err->code == CP_E_NOMEM && !*err->text)
        return PyErr_NoMemory(), -1;
    if (err->code == CP_E_ABSENT)
        kind = absent_error;
    else if (err->code == CP_E_SCHEMA)
        kind = cp_py_schema_error;
    return cp_py_raise_text(kind, err->code, NULL, *err->text ? err->text : cp_strerror(err->code));
}

/* The value for a message: the first characters of its repr. A repr that fails gives its type. */
static PyObject *value_show(PyObject *value)
{
    PyObject *repr = PyObject_Repr(value);
    if (!repr) {
        PyErr_Clear();
        return PyUnicode_FromFormat("<%s>", Py_TYPE(value)->tp_name);
    }
    if (PyUnicode_GetLength(repr) <= VALUE_SHOWN)
        return repr;
    PyObject *head = PyUnicode_Substring(repr, 0, VALUE_SHOWN);
    PyObject *shown = head ? PyUnicode_FromFormat("%U...", head) : NULL;
    Py_XDECREF(head);
    Py_DECREF(repr);
    return shown;
}

int cp_py_raise_type(const char *column, const char *type, PyObject *value, const char *expected)
{
    PyObject *shown = value_show(value);
    if (!shown)
        return -1;
    PyObject *message = PyUnicode_FromFormat("column '%s' (" TYPE_SHOWN "): %U is of type %s; expected %s",
                                             column, type, shown, Py_TYPE(value)->tp_name, expected);
    Py_DECREF(shown);
    return raise_object(cp_py_column_type_error, CP_E_INVAL, column, message);
}

int cp_py_raise_value(const char *column, const char *type, PyObject *value, const char *problem)
{
    PyObject *shown = value_show(value);
    if (!shown)
        return -1;
    PyObject *message =
        PyUnicode_FromFormat("column '%s' (" TYPE_SHOWN "): %U %s", column, type, shown, problem);
    Py_DECREF(shown);
    return raise_object(cp_py_column_value_error, CP_E_PARSE, column, message);
}

void cp_py_raise_note_rows(Py_ssize_t rows)
{
    PyObject *kind = NULL;
    PyObject *value = NULL;
    PyObject *trace = NULL;
    PyErr_Fetch(&kind, &value, &trace);
    PyErr_NormalizeException(&kind, &value, &trace);
    PyObject *number = PyLong_FromSsize_t(rows);
    if (!number || !value || PyObject_SetAttrString(value, "rows_put", number) < 0)
        PyErr_Clear(); /* the exception itself matters more than its note */
    Py_XDECREF(number);
    PyErr_Restore(kind, value, trace);
}
