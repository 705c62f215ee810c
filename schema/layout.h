/* From columns to bytes: offsets, sizes, the schema hash, and what cp_row_check has to look at. Private to
 * schema/. */
#ifndef CP_SCHEMA_LAYOUT_H
#define CP_SCHEMA_LAYOUT_H

#include "schema/table.h"

/* One thing that an untrusted row must be checked for. */
typedef enum cp_check_kind {
    CP_CHECK_FLAG,    /* a byte that is 0 or 1: a Bool */
    CP_CHECK_STRING,  /* a cp_ref to bytes */
    CP_CHECK_ARRAY,   /* a cp_ref to elements of stride bytes (null flag included), that need no look */
    CP_CHECK_ELEMENTS /* the same, and the elements need one: Bool, Nullable or String */
} cp_check_kind;

typedef struct cp_check {
    uint32_t offset;
    uint16_t stride; /* bytes of an element with its null flag, as they count against the row's size */
    uint8_t kind;
    uint8_t align_mask; /* the element's alignment - 1 */
    uint32_t column;
} cp_check;

typedef struct cp_row_plan {
    uint32_t flags_offset; /* of the null flags, which are one run of bytes */
    uint32_t flags_count;
    uint32_t check_count;
    cp_check checks[];
} cp_row_plan;

/* Fills offset and null_offset of the columns, row_size, has_tail, schema_hash and plan. CP_E_TOO_BIG,
 * CP_E_NOMEM. */
int cp_layout_make(cp_table *table);

#endif
