/* A row under construction from Python values, and the columns that know how to put them there.
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

struct cp_py_column;
typedef cp_fill_result (*cp_py_convert)(cp_fill *fill, const struct cp_py_column *column, PyObject *value,
                                        uint32_t at);

/* What put needs of a column, gathered in a cache line or two. */
typedef struct cp_py_column {
    PyObject *name;        /* interned */
    cp_py_convert convert; /* of one value that is not None; of an Array, of one element: see array */
    const cp_type *type;   /* in the region's descriptors */
    const char *utf8_name; /* likewise */
    uint32_t index;        /* of the table's columns */
    uint32_t offset;
    uint32_t null_offset; /* UINT32_MAX: no null flag of its own */
    bool array;
    bool nullable; /* the value, or the elements */
    int64_t min;   /* whole numbers, times: what the column holds */
    uint64_t max;
    int64_t per_second; /* DateTime64: ticks */
} cp_py_column;

/* Raises that the process is a fork of the one that began the row. */
cp_fill_result cp_fill_forked(void);

/* Makes room for `bytes` in the row, grown in place. */
cp_fill_result cp_fill_reach(cp_fill *fill, uint64_t bytes);

/* The converter for a column's type, with its limits set in column. */
void cp_py_column_prepare(cp_py_column *column, const cp_table *table, uint32_t index);

/* Puts a value, None too, into its column. */
cp_fill_result cp_py_column_set(cp_fill *fill, const cp_py_column *column, PyObject *value);

/* Text, as cp_row_set_text has it, as one value at `at`. */
cp_fill_result cp_py_text_put(cp_fill *fill, const cp_py_column *column, const char *text, size_t len,
                              uint32_t at);

/* The same with the text of a str, or of whatever str() makes of value. */
cp_fill_result cp_py_str_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);

/* The converters (convert_number.c, convert_text.c, convert_time.c, convert_array.c). */
cp_fill_result cp_py_put_int(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_float32(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_float64(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_bool(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_decimal(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_string(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_fixed_string(cp_fill *fill, const cp_py_column *column, PyObject *value,
                                      uint32_t at);
cp_fill_result cp_py_put_enum(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_uuid(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_address(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_date(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_datetime(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);
cp_fill_result cp_py_put_array(cp_fill *fill, const cp_py_column *column, PyObject *value);

/* Stores a whole number of the column's size. */
void cp_py_store(cp_fill *fill, const cp_py_column *column, uint64_t value, uint32_t at);

/* A whole number within the column's limits from an int: 0, or -1 with an exception. */
int cp_py_int_within(const cp_py_column *column, PyObject *value, uint64_t *out);

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

/* Imports the classes above, and datetime. 0, or -1. */
int cp_py_classes_init(void);

/* Imports the C interface of datetime, in the file that uses it. 0, or -1. */
int cp_py_time_init(void);

/* Raises ColumnTypeError, ColumnValueError about a value: raise.h. */
cp_fill_result cp_py_type_fail(const cp_py_column *column, PyObject *value, const char *expected);
cp_fill_result cp_py_value_fail(const cp_py_column *column, PyObject *value, const char *problem);

#endif
