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

static bool is_enum(const cp_type *type)
{
    return type->kind == CP_ENUM8 || type->kind == CP_ENUM16;
}

/* The bitmap of an Enum; NULL when out of memory. */
static cp_enum_set *enum_set_make(const cp_type *type)
{
    int32_t min = INT16_MAX;
    int32_t max = INT16_MIN;
    for (uint32_t i = 0; i < type->enum_count; i++) {
        const int32_t value = type->enum_items[i].value;
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    const uint32_t span = (uint32_t)(max - min + 1);
    cp_enum_set *set = calloc(1, sizeof *set + (span + 63) / 64 * sizeof set->bits[0]);
    if (!set)
        return NULL;
    set->min = min;
    set->span = span;
    for (uint32_t i = 0; i < type->enum_count; i++) {
        const uint32_t bit = (uint32_t)(type->enum_items[i].value - min);
        set->bits[bit / 64] |= (uint64_t)1 << (bit % 64);
    }
    return set;
}

/* Fills what a column must be checked for, enum_set excepted; false when there is nothing. */
static bool check_make(const cp_column *column, uint32_t index, cp_check *check)
{
    const cp_type *type = &column->type;
    const bool look = type->nullable || type->kind == CP_STRING || type->kind == CP_BOOL || is_enum(type);
    *check = (cp_check){.offset = column->offset, .column = index, .stride = 1, .null_offset = UINT32_MAX};
    if (type->array) {
        check->kind = look ? CP_CHECK_ELEMENTS : CP_CHECK_ARRAY;
        check->stride = (uint16_t)(type->value_size + type->nullable);
        check->align_mask = (uint8_t)(type->value_align - 1);
        return true;
    }
    if (type->nullable)
        check->null_offset = column->null_offset;
    check->kind = type->kind == CP_STRING ? CP_CHECK_STRING : is_enum(type) ? CP_CHECK_ENUM : CP_CHECK_FLAG;
    return type->kind == CP_STRING || type->kind == CP_BOOL || is_enum(type);
}

void cp_row_plan_free(cp_row_plan *plan)
{
    if (!plan)
        return;
    for (uint32_t i = 0; i < plan->check_count; i++)
        free(plan->checks[i].enum_set);
    free(plan);
}

static int plan_fill(cp_table *table, cp_row_plan *plan)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (column->provenance != CP_PROV_NONE)
            continue;
        if (column->type.nullable && !column->type.array && plan->flags_count++ == 0)
            plan->flags_offset = column->null_offset;
        cp_check *check = &plan->checks[plan->check_count];
        if (!check_make(column, i, check))
            continue;
        plan->check_count++;
        if (is_enum(&column->type) && !(check->enum_set = enum_set_make(&column->type)))
            return CP_E_NOMEM;
    }
    return CP_OK;
}

static int plan_make(cp_table *table)
{
    cp_row_plan *plan = calloc(1, sizeof *plan + table->column_count * sizeof plan->checks[0]);
    if (!plan)
        return CP_E_NOMEM;
    const int code = plan_fill(table, plan);
    if (code < 0 || (plan->check_count == 0 && plan->flags_count == 0)) {
        cp_row_plan_free(plan);
        return code;
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
