#include "classes.h"

#include <string.h>

static PyObject *decimal_class;
static PyObject *uuid_class;
static PyObject *enum_class;
static PyObject *address_classes; /* a tuple */

static PyObject *class_import(const char *module, const char *name)
{
    PyObject *from = PyImport_ImportModule(module);
    PyObject *found = from ? PyObject_GetAttrString(from, name) : NULL;
    Py_XDECREF(from);
    return found;
}

int cp_py_classes_init(void)
{
    decimal_class = class_import("decimal", "Decimal");
    uuid_class = decimal_class ? class_import("uuid", "UUID") : NULL;
    enum_class = uuid_class ? class_import("enum", "Enum") : NULL;
    PyObject *v4 = enum_class ? class_import("ipaddress", "IPv4Address") : NULL;
    PyObject *v6 = v4 ? class_import("ipaddress", "IPv6Address") : NULL;
    address_classes = v6 ? PyTuple_Pack(2, v4, v6) : NULL;
    Py_XDECREF(v4);
    Py_XDECREF(v6);
    return address_classes ? 0 : -1;
}

/* The check of a class that is a type costs a walk over the bases; no Python code runs. */
static bool is_a(PyObject *value, PyObject *class)
{
    return PyObject_TypeCheck(value, (PyTypeObject *)class);
}

bool cp_py_is_decimal(PyObject *value)
{
    return is_a(value, decimal_class);
}

bool cp_py_is_uuid(PyObject *value)
{
    return is_a(value, uuid_class);
}

bool cp_py_is_enum(PyObject *value)
{
    return is_a(value, enum_class);
}

bool cp_py_is_address(PyObject *value)
{
    return is_a(value, PyTuple_GET_ITEM(address_classes, 0)) ||
           is_a(value, PyTuple_GET_ITEM(address_classes, 1));
}

bool cp_py_is_numpy(PyObject *value, const char *name)
{
    static const char prefix[] = "numpy.";
    const char *class = Py_TYPE(value)->tp_name;
    return strncmp(class, prefix, sizeof prefix - 1) == 0 && strcmp(class + sizeof prefix - 1, name) == 0;
}

bool cp_py_is_numpy_complex(PyObject *value)
{
    static const char prefix[] = "numpy.complex";
    return strncmp(Py_TYPE(value)->tp_name, prefix, sizeof prefix - 1) == 0 ||
           cp_py_is_numpy(value, "clongdouble");
}

bool cp_py_is_masked(PyObject *value)
{
    PyObject *bases = Py_TYPE(value)->tp_mro; /* the class is written in Python: its name stands alone */
    for (Py_ssize_t i = 0; bases && i < PyTuple_GET_SIZE(bases); i++) {
        if (strcmp(((PyTypeObject *)PyTuple_GET_ITEM(bases, i))->tp_name, "MaskedArray") == 0)
            return true;
    }
    return false;
}

bool cp_py_has_length(PyObject *value)
{
    if (!PySequence_Check(value) || PyObject_Size(value) >= 0)
        return PySequence_Check(value);
    PyErr_Clear(); /* an array without dimensions, a scalar in fact */
    return false;
}

bool cp_py_is_array(PyObject *value)
{
    return cp_py_has_length(value) || cp_py_is_masked(value);
}

bool cp_py_is_bool(PyObject *value)
{
    return PyBool_Check(value) || cp_py_is_numpy(value, "bool_") || cp_py_is_numpy(value, "bool");
}
