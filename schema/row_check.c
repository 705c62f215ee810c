/* Checking a row that somebody else wrote. It runs on every row of the drain, so the table carries a plan of
 * what can be wrong at all (layout.h): nothing, for a table of plain numbers. All sums are in 64 bits and
 * cannot wrap.
 *
 * An Enum's value is checked too: ClickHouse takes an unknown one in Native without a word, and then every
 * SELECT of the column fails with "Unexpected value in enum". */
#include <string.h>

#include "base/error.h"
#include "schema/layout.h"
#include "schema/row.h"

static const char *const problems[] = {"a flag that is neither 0 nor 1",
                                       "a value that its Enum does not have",
                                       "a reference beyond the row's end", "elements that are not aligned"};
typedef enum row_problem {
    PROBLEM_FLAG,
    PROBLEM_ENUM,
    PROBLEM_BOUNDS,
    PROBLEM_ALIGN,
    PROBLEM_NONE
} row_problem;

static int __attribute__((noinline, cold))
row_bad(const cp_table *table, uint32_t column, row_problem problem, uint32_t size, cp_error *err)
{
    return cp_error_set(err, CP_E_CORRUPT,
                        "table '%s', column '%s': a row of %u bytes has %s; its producer is broken",
                        table->name, table->columns[column].name, size, problems[problem]);
}

static int __attribute__((noinline, cold)) row_short(const cp_table *table, uint32_t size, cp_error *err)
{
    return cp_error_set(err, CP_E_CORRUPT, "table '%s': a row of %u bytes, less than its fixed part of %u",
                        table->name, size, table->row_size);
}

/* Names the Nullable column whose flag is bad. */
static int __attribute__((noinline, cold))
flags_bad(const cp_table *table, const uint8_t *bytes, uint32_t size, cp_error *err)
{
    uint32_t column = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *it = &table->columns[i];
        if (it->provenance == CP_PROV_NONE && it->type.nullable && !it->type.array &&
            bytes[it->null_offset] > 1)
            column = i;
    }
    return row_bad(table, column, PROBLEM_FLAG, size, err);
}

static inline bool ref_inside(cp_ref ref, uint32_t stride, uint32_t size)
{
    return ref.length == 0 || (uint64_t)ref.offset + (uint64_t)ref.length * stride <= size;
}

static bool flags_good(const uint8_t *flags, uint32_t count)
{
    uint8_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all |= flags[i];
    return all <= 1;
}

static inline bool enum_good(const cp_enum_set *set, uint32_t value_size, const uint8_t *bytes)
{
    int16_t wide;
    int32_t value;
    if (value_size == sizeof wide) {
        memcpy(&wide, bytes, sizeof wide);
        value = wide;
    } else {
        value = bytes[0] < 0x80 ? bytes[0] : bytes[0] - 0x100; /* Enum8: the byte as a signed one */
    }
    const uint32_t bit = (uint32_t)(value - set->min);
    return bit < set->span && (set->bits[bit / 64] >> (bit % 64) & 1u) != 0;
}

/* The elements of an array that lies inside the row. */
static row_problem elements_check(const cp_type *type, const cp_check *check, const uint8_t *bytes,
                                  cp_ref ref, uint32_t size)
{
    const uint8_t *elements = bytes + ref.offset;
    const uint8_t *nulls = type->nullable ? elements + (size_t)ref.length * type->value_size : NULL;
    if (nulls && !flags_good(nulls, ref.length))
        return PROBLEM_FLAG;
    if (type->kind == CP_BOOL && !flags_good(elements, ref.length))
        return PROBLEM_FLAG;
    if (type->kind != CP_STRING && !check->enum_set)
        return PROBLEM_NONE;
    for (uint32_t i = 0; i < ref.length; i++) {
        const uint8_t *element = elements + (size_t)i * type->value_size;
        cp_ref inner = {0, 0};
        if (type->kind == CP_STRING)
            memcpy(&inner, element, sizeof inner);
        if (!ref_inside(inner, 1, size))
            return PROBLEM_BOUNDS;
        if (check->enum_set && !(nulls && nulls[i]) && !enum_good(check->enum_set, type->value_size, element))
            return PROBLEM_ENUM;
    }
    return PROBLEM_NONE;
}

static row_problem array_check(const cp_type *type, const cp_check *check, const uint8_t *bytes, cp_ref ref,
                               uint32_t size)
{
    if (ref.length == 0)
        return PROBLEM_NONE;
    if (!ref_inside(ref, check->stride, size))
        return PROBLEM_BOUNDS;
    if ((ref.offset & check->align_mask) != 0)
        return PROBLEM_ALIGN;
    return check->kind == CP_CHECK_ELEMENTS ? elements_check(type, check, bytes, ref, size) : PROBLEM_NONE;
}

static inline row_problem check_run(const cp_table *table, const cp_check *check, const uint8_t *bytes,
                                    uint32_t size)
{
    const cp_type *type = &table->columns[check->column].type;
    cp_ref ref;
    switch (check->kind) {
    case CP_CHECK_FLAG:
        return bytes[check->offset] <= 1 ? PROBLEM_NONE : PROBLEM_FLAG;
    case CP_CHECK_ENUM:
        if (check->null_offset != UINT32_MAX && bytes[check->null_offset])
            return PROBLEM_NONE;
        return enum_good(check->enum_set, type->value_size, bytes + check->offset) ? PROBLEM_NONE
                                                                                   : PROBLEM_ENUM;
    case CP_CHECK_STRING:
        memcpy(&ref, bytes + check->offset, sizeof ref);
        return ref_inside(ref, 1, size) ? PROBLEM_NONE : PROBLEM_BOUNDS;
    default:
        memcpy(&ref, bytes + check->offset, sizeof ref);
        return array_check(type, check, bytes, ref, size);
    }
}

int cp_row_check(const cp_table *table, const uint8_t *bytes, uint32_t size, cp_error *err)
{
    if (size < table->row_size)
        return row_short(table, size, err);
    const cp_row_plan *plan = table->plan;
    if (!plan)
        return CP_OK;
    if (!flags_good(bytes + plan->flags_offset, plan->flags_count))
        return flags_bad(table, bytes, size, err);
    for (uint32_t i = 0; i < plan->check_count; i++) {
        const row_problem problem = check_run(table, &plan->checks[i], bytes, size);
        if (problem != PROBLEM_NONE)
            return row_bad(table, plan->checks[i].column, problem, size, err);
    }
    return CP_OK;
}
