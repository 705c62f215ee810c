#include "fill.h"

cp_fill_result cp_fill_forked(void)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "the process was forked by the conversion of a value of this row: in the "
                    "child the row is not put, put it again");
    return CP_FILL_RAISED;
}

cp_fill_result cp_fill_reach(cp_fill *fill, uint64_t bytes)
{
    if (bytes <= fill->row.capacity)
        return CP_FILL_OK;
    cp_ring *ring = fill->link ? fill->link->ring : NULL;
    if (fill->link && !ring)
        return cp_fill_forked();
    if (ring && bytes <= ring->row_max) {
        /* The same place as before: a claim moves nothing until it is committed. */
        if (cp_claim(ring, (uint32_t)bytes)) {
            fill->row.capacity = (uint32_t)bytes;
            return CP_FILL_OK;
        }
        fill->refusal = cp_claim_refusal(ring, (uint32_t)bytes);
        return CP_FILL_REFUSED;
    }
    fill->refusal = CP_E_TOO_BIG;
    return CP_FILL_REFUSED;
}
