/* A row under construction from Python values.
 *
 *     dict ─► column ─► convert ─► bytes at the column's offset       numbers, times, enums
 *                              └─► tail, and a cp_ref at the offset   strings, arrays
 *
 * The row is built where it will stay, in the claimed slot of the ring: the claim begins with the size of a row
 * without strings and grows with every string, in place. A shared handle, whose rows several threads may build at a
 * time, builds in memory of its own instead (ring NULL). Either way a row that fails is simply given up.
 *
 * Conversions may run Python code (an __index__, a property), but never release the GIL themselves. What that code may do
 * meanwhile: take values out of the row, so whoever converts holds a reference; close the handle, so the row holds its link;
 * fork, after which link->ring is NULL in the child and row.bytes is memory of the child's own (link.h). */
#ifndef CP_PYTHON_FILL_H
#define CP_PYTHON_FILL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <coldpath/coldpath.h>
#include <stdbool.h>

#include "link.h"
#include "schema/row.h"

typedef enum cp_fill_result {
    CP_FILL_OK,
    CP_FILL_RAISED, /* a Python exception is set */
    CP_FILL_REFUSED /* the ring: cp_fill.refusal says why */
} cp_fill_result;

typedef struct cp_fill {
    cp_row row;
    cp_py_link *link; /* in whose ring row.bytes is a claim, or NULL: memory, of row.capacity bytes */
    int refusal;
} cp_fill;

/* Raises that the process is a fork of the one that began the row. */
cp_fill_result cp_fill_forked(void);

/* Makes room for `bytes` in the row, grown in place. */
cp_fill_result cp_fill_reach(cp_fill *fill, uint64_t bytes);

#endif
