/* Arrays: any sequence of values into an Array column. The elements and their null flags are reserved together, at once;
 * Strings, which grow the tail further, come behind them. */
#include <string.h>

#include "classes.h"
#include "convert.h"

static const char too_many[] = "has more elements than a row has bytes";

static cp_fill_result elements_put(cp_fill *fill, const cp_py_column *column, PyObject *sequence,
                                   uint32_t count, uint32_t offset)
{
    const uint32_t size = column->type->value_size;
    for (uint32_t i = 0; i < count; i++) {
        if ((uint64_t)PySequence_Fast_GET_SIZE(sequence) != count)
            return cp_py_value_fail(column, sequence, "changed its length while it was read");
        PyObject *value = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        cp_fill_result result = CP_FILL_OK;
        if (value != Py_None)
            result = column->convert(fill, column, value, offset + i * size);
        else if (column->nullable)
            fill->row.bytes[offset + count * size + i] = 1;
        else
            result = cp_py_value_fail(column, Py_None,
                                      "cannot be an element: the Array's elements are not Nullable");
        Py_DECREF(value);
        if (result != CP_FILL_OK)
            return result;
    }
    return CP_FILL_OK;
}

static cp_fill_result sequence_put(cp_fill *fill, const cp_py_column *column, PyObject *sequence)
{
    const uint64_t count = (uint64_t)PySequence_Fast_GET_SIZE(sequence);
    const cp_type *type = column->type;
    cp_ref ref = {0, 0};
    if (count > CP_MAX_ROW)
        return cp_py_value_fail(column, sequence, too_many);
    if (count > 0) {
        const uint64_t bytes = count * (type->value_size + (type->nullable ? 1u : 0u));
        cp_error err;
        cp_fill_result result = cp_fill_reach(fill, fill->row.used + bytes + type->value_align - 1);
        if (result != CP_FILL_OK)
            return result;
        if (cp_row_reserve(&fill->row, column->index, bytes, type->value_align, &ref.offset, &err) < 0) {
            fill->refusal = CP_E_TOO_BIG;
            return CP_FILL_REFUSED;
        }
        memset(fill->row.bytes + ref.offset, 0, (size_t)bytes);
        ref.length = (uint32_t)count;
        result = elements_put(fill, column, sequence, ref.length, ref.offset);
        if (result != CP_FILL_OK)
            return result;
    }
    memcpy(fill->row.bytes + column->offset, &ref, sizeof ref);
    return CP_FILL_OK;
}

cp_fill_result cp_py_put_array(cp_fill *fill, const cp_py_column *column, PyObject *value)
{
    if (PyUnicode_Check(value) || PyBytes_Check(value) || PyByteArray_Check(value) || PyDict_Check(value) ||
        PyAnySet_Check(value) || !cp_py_has_length(value))
        return cp_py_type_fail(column, value, "a list, tuple or other sequence");
    if (cp_py_is_masked(value))
        return cp_py_type_fail(column, value,
                               "a sequence without a mask; .tolist() has None where it is set");
    if (PyObject_Size(value) > CP_MAX_ROW) /* before a range becomes a list */
        return cp_py_value_fail(column, value, too_many);
    PyObject *sequence = PySequence_Fast(value, "a sequence");
    if (!sequence)
        return CP_FILL_RAISED;
    const cp_fill_result result = sequence_put(fill, column, sequence);
    Py_DECREF(sequence);
    return result;
}
