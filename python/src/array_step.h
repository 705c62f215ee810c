/* One field of numpy's structured rows on its way into its column. What there is to do is chosen once per array, so that a row is a
 * short list of steps, most of them copies:
 *
 *     dtype ".str" ─► choose ─► join ─► run, for every row        row of the array   │ px │ qty │ symbol    │ recv_ts │
 *                                                                                      copy, one    bytes      time
 *                                                                 row of the ring    │ px │ qty │ recv_ts │ … │ symbol */
#ifndef CP_PYTHON_ARRAY_STEP_H
#define CP_PYTHON_ARRAY_STEP_H

#include "column.h"

typedef enum cp_py_step_kind {
    CP_PY_STEP_COPY_1, /* the same bytes on both sides, of the commonest sizes */
    CP_PY_STEP_COPY_2,
    CP_PY_STEP_COPY_4,
    CP_PY_STEP_COPY_8,
    CP_PY_STEP_COPY,   /* of any size */
    CP_PY_STEP_INT,    /* a whole number into another width, or a time's count: range-checked */
    CP_PY_STEP_FLOAT,  /* any number into a float */
    CP_PY_STEP_BYTES,  /* 'S': bytes up to the trailing NULs */
    CP_PY_STEP_TEXT,   /* 'U': four bytes a character */
    CP_PY_STEP_TIME,   /* datetime64 */
    CP_PY_STEP_OBJECT, /* anything else, through a Python object */
} cp_py_step_kind;

typedef struct cp_py_step {
    const cp_py_column *column; /* this, source and size are set before it is chosen */
    uint32_t source;            /* where the field is in a row of the array */
    uint32_t size;              /* bytes there */
    cp_py_step_kind kind;
    char type; /* numpy's kind: i u f b S U M */
    uint32_t target;
    uint32_t null_offset; /* UINT32_MAX: none */
    int64_t multiply;     /* CP_PY_STEP_TIME: one of the two is 1 */
    int64_t divide;
} cp_py_step;

/* Chooses the step for a field of numpy's type text, "<f8". False: there is none. */
bool cp_py_step_choose(cp_py_step *step, const char *text);

/* Copies that lie side by side on both sides become one, when there are enough of them to be worth a copy of any size. Returns how
 * many steps remain. */
uint32_t cp_py_steps_join(cp_py_step *steps, uint32_t count);

/* One row, from begins its fields: into fill, which holds the defaults of all columns. */
cp_fill_result cp_py_steps_run(cp_fill *fill, const cp_py_step *steps, uint32_t count, const uint8_t *from);

#endif
