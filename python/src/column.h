/* A column, and how a Python value gets into it: by the converter of its type, as text, or not at all, with an exception that names
 * column, type and value. */
#ifndef CP_PYTHON_COLUMN_H
#define CP_PYTHON_COLUMN_H

#include "fill.h"

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

/* The converter for a column's type, with its limits set in column. */
void cp_py_column_prepare(cp_py_column *column, const cp_table *table, uint32_t index);

/* Puts a value, None too, into its column. */
cp_fill_result cp_py_column_set(cp_fill *fill, const cp_py_column *column, PyObject *value);

/* Text, as cp_row_set_text has it, as one value at `at`. */
cp_fill_result cp_py_text_put(cp_fill *fill, const cp_py_column *column, const char *text, size_t len,
                              uint32_t at);

/* The same with the text of a str, or of whatever str() makes of value. */
cp_fill_result cp_py_str_put(cp_fill *fill, const cp_py_column *column, PyObject *value, uint32_t at);

/* Raises ColumnTypeError, ColumnValueError about a value: raise.h. */
cp_fill_result cp_py_type_fail(const cp_py_column *column, PyObject *value, const char *expected);
cp_fill_result cp_py_value_fail(const cp_py_column *column, PyObject *value, const char *problem);

#endif
