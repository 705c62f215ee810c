/* The extension module coldpath._coldpath: attach, and the class Region. See the package's __init__.pyi. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "classes.h"
#include "convert.h"
#include "link.h"
#include "raise.h"
#include "table.h"

typedef struct cp_py_region {
    PyObject_HEAD cp_region *region; /* for looking; every table attaches by itself */
    char *path;
    PyObject *producer; /* str or None */
} cp_py_region;

static PyTypeObject region_type;

/* A path that stays the same when the process changes its directory, as daemons do. A bare name stays one. malloc'd. */
static char *path_copy(const char *path)
{
    char here[PATH_MAX];
    char *full = NULL;
    if (path[0] == '/' || !strchr(path, '/') || !getcwd(here, sizeof here))
        return strdup(path);
    return asprintf(&full, "%s/%s", here, path) < 0 ? NULL : full;
}

static PyObject *region_attach(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"region", "producer", NULL};
    PyObject *path = NULL;
    PyObject *producer = Py_None;
    cp_error err = {0};
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O&|O:attach", names, PyUnicode_FSConverter, &path,
                                     &producer))
        return NULL;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        Py_DECREF(path); /* whose classes, Decimal and UUID, are others than this module knows */
        return PyErr_Format(PyExc_RuntimeError, "coldpath works in the main interpreter alone");
    }
    if (producer != Py_None && !PyUnicode_Check(producer)) {
        Py_DECREF(path);
        return PyErr_Format(PyExc_TypeError, "producer is a str, not a %s", Py_TYPE(producer)->tp_name);
    }
    cp_py_region *self = PyObject_New(cp_py_region, &region_type);
    if (!self) {
        Py_DECREF(path);
        return NULL;
    }
    self->region = NULL;
    self->producer = Py_NewRef(producer);
    self->path = path_copy(PyBytes_AS_STRING(path));
    Py_DECREF(path);
    int rc = self->path ? cp_attach(&self->region, self->path, &err) : CP_E_NOMEM;
    if (rc < 0) {
        err.code = rc;
        cp_py_raise(&err);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void region_dealloc(PyObject *object)
{
    cp_py_region *self = (cp_py_region *)object;
    cp_detach(self->region);
    free(self->path);
    Py_XDECREF(self->producer);
    PyObject_Free(object);
}

static cp_py_region *region_opened(PyObject *object)
{
    cp_py_region *self = (cp_py_region *)object;
    if (self->region)
        return self;
    cp_py_raise_text(cp_py_closed_error, CP_E_INVAL, NULL, "the region was closed");
    return NULL;
}

static PyObject *region_table(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "producer", "shared", NULL};
    const char *name;
    PyObject *producer = Py_None;
    int shared = 0;
    const cp_py_region *self = region_opened(object);
    if (!self ||
        !PyArg_ParseTupleAndKeywords(args, keywords, "s|$Op:table", names, &name, &producer, &shared))
        return NULL;
    if (producer == Py_None)
        producer = self->producer;
    const char *text = NULL;
    if (producer != Py_None && !PyUnicode_Check(producer))
        return PyErr_Format(PyExc_TypeError, "producer is a str, not a %s", Py_TYPE(producer)->tp_name);
    if (producer != Py_None && !(text = PyUnicode_AsUTF8(producer)))
        return NULL;
    return cp_py_table_open(self->path, name, text, shared != 0);
}

static PyObject *region_close(PyObject *object, PyObject *unused)
{
    cp_py_region *self = (cp_py_region *)object;
    (void)unused;
    cp_detach(self->region);
    self->region = NULL;
    Py_RETURN_NONE;
}

static PyObject *region_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *region_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return region_close(self, NULL);
}

static PyObject *region_get_tables(PyObject *object, void *unused)
{
    const cp_py_region *self = region_opened(object);
    (void)unused;
    if (!self)
        return NULL;
    const uint32_t count = cp_region_table_count(self->region);
    PyObject *names = PyTuple_New(count);
    for (uint32_t i = 0; names && i < count; i++) {
        PyObject *name = PyUnicode_FromString(cp_region_table(self->region, i)->name);
        if (name)
            PyTuple_SET_ITEM(names, i, name);
        else
            Py_CLEAR(names);
    }
    return names;
}

static PyObject *region_get_alive(PyObject *object, void *unused)
{
    const cp_py_region *self = region_opened(object);
    (void)unused;
    return self ? PyBool_FromLong(cp_region_recorder_alive(self->region)) : NULL;
}

static PyObject *region_get_path(PyObject *object, void *unused)
{
    (void)unused;
    return PyUnicode_DecodeFSDefault(((cp_py_region *)object)->path);
}

static PyObject *region_repr(PyObject *object)
{
    const cp_py_region *self = (cp_py_region *)object;
    return PyUnicode_FromFormat("<coldpath.Region %s%s>", self->path, self->region ? "" : ", closed");
}

#define KEYWORD_METHOD(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef region_methods[] = {
    {"table", KEYWORD_METHOD(region_table), METH_VARARGS | METH_KEYWORDS,
     "table(name, *, producer=None, shared=False)\n--\n\nOpens a table: takes a producer slot of it."},
    {"close", region_close, METH_NOARGS, "close()\n--\n\nDetaches; tables that are open stay so."},
    {"__enter__", region_enter, METH_NOARGS, NULL},
    {"__exit__", KEYWORD_METHOD(region_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef region_getters[] = {
    {"tables", region_get_tables, NULL, "Names of the region's tables.", NULL},
    {"recorder_alive", region_get_alive, NULL, "Whether a recorder holds the region.", NULL},
    {"path", region_get_path, NULL, "The region's directory, or the bare name given to attach().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject region_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "coldpath.Region",
    .tp_basicsize = sizeof(cp_py_region),
    .tp_dealloc = region_dealloc,
    .tp_repr = region_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "An attached region. attach() makes them.",
    .tp_methods = region_methods,
    .tp_getset = region_getters,
};

static PyMethodDef module_functions[] = {
    {"attach", KEYWORD_METHOD(region_attach), METH_VARARGS | METH_KEYWORDS,
     "attach(region, producer=None)\n--\n\nAttaches to a region: a namespace's name, or the path of its "
     "directory."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "coldpath._coldpath",
    .m_doc = "The C half of coldpath.",
    .m_size = -1, /* one per process: handles are process-wide, and so are their fork handlers */
    .m_methods = module_functions,
};

PyMODINIT_FUNC PyInit__coldpath(void); /* found by its name */

PyMODINIT_FUNC PyInit__coldpath(void)
{
    if (cp_py_link_init() != 0) {
        PyErr_SetString(PyExc_ImportError, "coldpath: no fork handlers can be registered");
        return NULL;
    }
    if (cp_py_classes_init() < 0 || cp_py_time_init() < 0 || PyType_Ready(&region_type) < 0 ||
        PyType_Ready(&cp_py_table_type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&module_definition);
    if (module && (cp_py_raise_init(module) < 0 || PyModule_AddType(module, &region_type) < 0 ||
                   PyModule_AddType(module, &cp_py_table_type) < 0))
        Py_CLEAR(module);
    return module;
}
