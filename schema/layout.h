/* From columns to bytes: offsets, sizes, the schema hash, and what cp_row_check has to look at. Private to
 * schema/. */
#ifndef CP_SCHEMA_LAYOUT_H
#define CP_SCHEMA_LAYOUT_H

#include "schema/table.h"

/* One thing that an untrusted row must be checked for. */
typedef enum cp_check_kind {
    CP_CHECK_FLAG,    /* a byte that is 0 or 1: a Bool */
    CP_CHECK_ENUM,    /* a value that is one of an Enum's */
    CP_CHECK_STRING,  /* a cp_ref to bytes */
    CP_CHECK_ARRAY,   /* a cp_ref to elements of stride bytes (null flag included), that need no look */
    CP_CHECK_ELEMENTS /* the same, and the elements need one: Bool, Enum, Nullable or String */
} cp_check_kind;

/* The values of an Enum as a bitmap from the least to the greatest. */
typedef struct cp_enum_set {
    int32_t min;
    uint32_t span; /* bits */
    uint64_t bits[];
} cp_enum_set;

typedef struct cp_check {
    uint32_t offset;
    uint32_t column;
    uint16_t stride; /* bytes of an element with its null flag, as they count against the row's size */
    uint8_t kind;
    uint8_t align_mask; /* the element's alignment - 1 */
    uint32_t
        null_offset; /* of a Nullable Enum: its value matters only when it is not NULL; else UINT32_MAX */
    cp_enum_set *enum_set; /* owned; NULL for other kinds */
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

/* Frees a plan; NULL is allowed. */
void cp_row_plan_free(cp_row_plan *plan);

#endif
