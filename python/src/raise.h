/* The exceptions of the coldpath module, and how codes of the library become them.
 *
 *     Error(Exception)                      .code: the library's code, see <coldpath/error.h>
 *     ├── AbsentError                       no region, or no such table
 *     ├── SchemaError                       the table has other columns than when it was opened
 *     ├── ClosedError(ValueError)           the table was closed
 *     ├── ThreadError(RuntimeError)         another thread than the owner
 *     ├── UnknownColumnError(LookupError)   the table has no column of that name; .column
 *     ├── ColumnTypeError(TypeError)        a value of a type that the column does not take; .column
 *     └── ColumnValueError(ValueError)      a value that the column cannot hold; .column
 *
 * All functions here need the GIL, set a Python exception and return -1. */
#ifndef CP_PYTHON_RAISE_H
#define CP_PYTHON_RAISE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <coldpath/error.h>

extern PyObject *cp_py_error;
extern PyObject *cp_py_schema_error;
extern PyObject *cp_py_closed_error;
extern PyObject *cp_py_thread_error;
extern PyObject *cp_py_unknown_column;
extern PyObject *cp_py_column_type_error;
extern PyObject *cp_py_column_value_error;

/* Makes the exceptions and adds them to the module. 0, or -1. */
int cp_py_raise_init(PyObject *module);

/* Raises what err says, in the class that its code asks for. */
int cp_py_raise(const cp_error *err);

/* Raises kind with the text; column, if not NULL, becomes its attribute. */
int cp_py_raise_text(PyObject *kind, int code, const char *column, const char *text);

/* Raises ColumnTypeError: "column 'bid_px' (Float64): 'x' is a str; expected <expected>". The value's repr is cut. */
int cp_py_raise_type(const char *column, const char *type, PyObject *value, const char *expected);

/* Raises ColumnValueError: "column 'n' (UInt8): 300 <problem>". */
int cp_py_raise_value(const char *column, const char *type, PyObject *value, const char *problem);

/* Puts a number of rows on the exception that is set, as its attribute rows_put. */
void cp_py_raise_note_rows(Py_ssize_t rows);

#endif
