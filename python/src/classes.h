/* What class a Python value is of: those of the standard library that columns take, and numpy's by their names. */
#ifndef CP_PYTHON_CLASSES_H
#define CP_PYTHON_CLASSES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* Whether value is an instance of decimal.Decimal, uuid.UUID, enum.Enum, an ipaddress class; of a class that no module
 * has imported nothing is. */
bool cp_py_is_decimal(PyObject *value);
bool cp_py_is_uuid(PyObject *value);
bool cp_py_is_enum(PyObject *value);
bool cp_py_is_address(PyObject *value);

/* A scalar of numpy's, by the name of its class ("numpy.datetime64"). numpy is not imported. */
bool cp_py_is_numpy(PyObject *value, const char *name);

/* numpy's complex numbers, whose __float__ gives up the imaginary part; complex itself has none. */
bool cp_py_is_numpy_complex(PyObject *value);

/* An array of numpy's that has a mask: what is masked has no value, whatever its memory holds. */
bool cp_py_is_masked(PyObject *value);

/* Something with a length: a sequence, an array that has dimensions. */
bool cp_py_has_length(PyObject *value);

/* What is no number though it has __float__ or __index__: arrays of one element, which numpy takes for that element, and what
 * is masked, which it takes for a NaN. */
bool cp_py_is_array(PyObject *value);

/* Truth values: bool, and numpy's, whose __index__ is deprecated. */
bool cp_py_is_bool(PyObject *value);

/* Imports the classes above. 0, or -1. */
int cp_py_classes_init(void);

#endif
