/* coldpath.Table: a handle on a table, through which rows are put.
 *
 *     put(dict) ─► fill ─► claim in the ring ─► commit        True
 *        │            └─► exception: the row is given up
 *        └─► ring full                                        False
 *
 * The columns are looked up once. put() remembers the keys of the row before, in their order, by address: a row of the same
 * literal keys finds each column by comparing one pointer.
 *
 * A handle has an owner, the thread that first put through it; another thread raises ThreadError. With shared=True any
 * thread may put: the row is built aside and copied into the ring in one step under the GIL.
 *
 * After a fork the child's handle takes a slot of its own with its first put. When the region was replaced the handle
 * attaches anew, at most every RETRY_NS, and puts the same row. A region whose files were deleted cannot say so: while the ring
 * is full its files are looked for, every LOOK_NS. */
#ifndef CP_PYTHON_TABLE_H
#define CP_PYTHON_TABLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "column.h"
#include "link.h"

typedef struct cp_py_key {
    PyObject *key; /* owned */
    const cp_py_column *column;
} cp_py_key;

typedef struct cp_py_table {
    PyObject_HEAD cp_py_link *link; /* NULL: not attached at present, or closed */
    const cp_table *table;          /* of link's region */
    unsigned long owner;            /* thread; 0: nobody yet */
    bool shared;
    bool closed;
    bool filling;     /* a row is under construction in the ring */
    bool forked;      /* the parent's ring was let go of, and there is none of our own yet */
    bool untracked;   /* rows lie in a ring that this handle no longer follows */
    cp_error problem; /* why the last attempt to attach failed */

    uint32_t column_count; /* of the row: without the provenance columns */
    cp_py_column *columns;
    PyObject *by_name; /* str → index into columns */
    uint32_t key_count;
    cp_py_key *keys;                        /* of the row before */
    uint64_t required[CP_MAX_COLUMNS / 64]; /* columns whose DEFAULT only the server could compute */
    bool any_required;
    cp_row template_row; /* a row with every column's default; its bytes are owned */
    uint8_t *scratch;    /* shared: where a row is built; NULL while it is in use */
    uint32_t row_max;

    char *path;
    char *name;
    char *producer;
    uint64_t schema_hash;
    uint64_t retry_ns; /* boot-time clock: not before this is a replaced region attached to again */
    uint64_t look_ns;  /* likewise: not before this is a region whose ring is full looked for */
    uint64_t put_rows;
    uint64_t refused_rows;
    uint64_t attach_count;
} cp_py_table;

extern PyTypeObject cp_py_table_type;

/* Opens a table of the region at path. New reference, or NULL with an exception. producer may be NULL. */
PyObject *cp_py_table_open(const char *path, const char *name, const char *producer, bool shared);

/* ---- within the extension: table_row.c, table_array.c ---- */

/* Checks that this thread may put, and that there is a ring; after a fork it is opened here. 1: go on, 0: no ring just now,
 * -1: an exception. */
int cp_py_table_enter(cp_py_table *self);

/* After a refusal: whether the region was replaced, or, which is looked at once a second, is not there any more. */
bool cp_py_table_stale(cp_py_table *self, int refusal);

/* When it is stale: attaches anew. As cp_py_table_enter. */
int cp_py_table_reattach(cp_py_table *self);

/* Builds the columns, the names and the template from self->table. 0, or -1. */
int cp_py_table_describe(cp_py_table *self);
void cp_py_table_undescribe(cp_py_table *self);

/* One row: 1 put, 0 refused because the ring is full, -1 an exception. */
int cp_py_table_put_dict(cp_py_table *self, PyObject *dict);
int cp_py_table_put_values(cp_py_table *self, PyObject *const *values, Py_ssize_t count);
int cp_py_table_put_list(cp_py_table *self, PyObject *list);

/* The steps of a row: begin, with all columns at their defaults; fill; end, which publishes it; free, in any case. */
cp_fill_result cp_py_row_begin(cp_py_table *self, cp_fill *fill);
cp_fill_result cp_py_row_end(cp_py_table *self, cp_fill *fill);
void cp_py_row_free(cp_py_table *self, cp_fill *fill);

/* Raise: no column is called key; the row was refused with CP_E_TOO_BIG; a column that must be given is not in set (0: none
 * is missing). */
int cp_py_row_unknown(const cp_py_table *self, PyObject *key);
int cp_py_row_too_big(const cp_py_table *self);
int cp_py_row_lacks(const cp_py_table *self, const uint64_t *set);

/* put_array (table_array.c). */
PyObject *cp_py_table_put_array(PyObject *self, PyObject *array);

#endif
