/* See layout.h and the figure in table.h. */
#include "schema/layout.h"

#define XXH_INLINE_ALL
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ROW_ALIGN = 8 };

static uint32_t align_up(uint32_t value, uint32_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static bool has_ref(const cp_type *type)
{
    return type->array || type->kind == CP_STRING;
}

/* The sums cannot overflow: CP_MAX_COLUMNS × (CP_MAX_FIXED_STRING + alignment) is far below 2^32. */
_Static_assert((uint64_t)CP_MAX_COLUMNS *(CP_MAX_FIXED_STRING + 64) < UINT32_MAX, "row_size fits 32 bits");

static void offsets_make(cp_table *table)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        cp_column *column = &table->columns[i];
        if (column->provenance != CP_PROV_NONE)
            continue;
        const cp_type *type = &column->type;
        const uint32_t align = type->array ? (uint32_t) _Alignof(cp_ref) : type->value_align;
        const uint32_t size = type->array ? (uint32_t)sizeof(cp_ref) : type->value_size;
        column->offset = align_up(at, align);
        at = column->offset + size;
        table->has_tail = table->has_tail || has_ref(type);
    }
    for (uint32_t i = 0; i < table->column_count; i++) {
        cp_column *column = &table->columns[i];
        if (column->provenance == CP_PROV_NONE && column->type.nullable && !column->type.array)
            column->null_offset = at++;
    }
    table->row_size = align_up(at, ROW_ALIGN);
}

static void schema_hash_make(cp_table *table)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, table->name,
                       strlen(table->name) + 1); /* with the NULs: no two lists read alike */
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (column->provenance != CP_PROV_NONE)
            continue;
        XXH3_64bits_update(&state, column->name, strlen(column->name) + 1);
        XXH3_64bits_update(&state, column->type.text, strlen(column->type.text) + 1);
    }
    const uint64_t hash = XXH3_64bits_digest(&state);
    table->schema_hash = hash ? hash : 1;
}

static bool check_make(const cp_column *column, uint32_t index, cp_check *check)
{
    const cp_type *type = &column->type;
    *check = (cp_check){.offset = column->offset, .column = index};
    if (type->array) {
        const bool look = type->nullable || type->kind == CP_STRING || type->kind == CP_BOOL;
        check->kind = look ? CP_CHECK_ELEMENTS : CP_CHECK_ARRAY;
        check->stride = (uint16_t)(type->value_size + type->nullable);
        check->align_mask = (uint8_t)(type->value_align - 1);
    } else if (type->kind == CP_STRING) {
        check->kind = CP_CHECK_STRING;
        check->stride = 1;
    } else {
        check->kind = CP_CHECK_FLAG;
        return type->kind == CP_BOOL;
    }
    return true;
}

static int plan_make(cp_table *table)
{
    cp_row_plan *plan = calloc(1, sizeof *plan + table->column_count * sizeof plan->checks[0]);
    if (!plan)
        return CP_E_NOMEM;
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (column->provenance != CP_PROV_NONE)
            continue;
        if (check_make(column, i, &plan->checks[plan->check_count]))
            plan->check_count++;
        if (column->type.nullable && !column->type.array && plan->flags_count++ == 0)
            plan->flags_offset = column->null_offset;
    }
    if (plan->check_count == 0 && plan->flags_count == 0) {
        free(plan);
        plan = NULL;
    }
    table->plan = plan;
    return CP_OK;
}

int cp_layout_make(cp_table *table)
{
    offsets_make(table);
    if (table->row_size > CP_MAX_ROW)
        return CP_E_TOO_BIG;
    schema_hash_make(table);
    return plan_make(table);
}
