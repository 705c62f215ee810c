/* The converters: one Python value, not None, into a column at `at` of the row (cp_py_convert). convert_number.c, convert_text.c,
 * convert_time.c and convert_array.c say which values each takes. */
#ifndef CP_PYTHON_CONVERT_H
#define CP_PYTHON_CONVERT_H

#include "column.h"

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

/* Imports the C interface of datetime, in the file that uses it. 0, or -1. */
int cp_py_time_init(void);

#endif
