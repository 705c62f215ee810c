/* Sizes and canonical text of types: the spelling that ClickHouse's system.columns shows, whatever alias was
 * written. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/type_parser.h"

typedef struct kind_info {
    const char *name;
    uint8_t size; /* 0: depends on the type's argument */
    uint8_t align;
} kind_info;

static const kind_info kinds[CP_KIND_COUNT] = {
    [CP_INT8] = {"Int8", 1, 1},
    [CP_INT16] = {"Int16", 2, 2},
    [CP_INT32] = {"Int32", 4, 4},
    [CP_INT64] = {"Int64", 8, 8},
    [CP_UINT8] = {"UInt8", 1, 1},
    [CP_UINT16] = {"UInt16", 2, 2},
    [CP_UINT32] = {"UInt32", 4, 4},
    [CP_UINT64] = {"UInt64", 8, 8},
    [CP_FLOAT32] = {"Float32", 4, 4},
    [CP_FLOAT64] = {"Float64", 8, 8},
    [CP_BOOL] = {"Bool", 1, 1},
    [CP_DATE] = {"Date", 2, 2},
    [CP_DATE32] = {"Date32", 4, 4},
    [CP_DATETIME] = {"DateTime", 4, 4},
    [CP_DATETIME64] = {"DateTime64", 8, 8},
    [CP_STRING] = {"String", sizeof(cp_ref), 4},
    [CP_FIXED_STRING] = {"FixedString", 0, 1},
    [CP_ENUM8] = {"Enum8", 1, 1},
    [CP_ENUM16] = {"Enum16", 2, 2},
    [CP_UUID] = {"UUID", 16, 1},
    [CP_DECIMAL32] = {"Decimal", 4, 4},
    [CP_DECIMAL64] = {"Decimal", 8, 8},
    [CP_DECIMAL128] = {"Decimal", 16, 8},
    [CP_IPV4] = {"IPv4", 4, 4},
    [CP_IPV6] = {"IPv6", 16, 1},
};

/* A string literal as ClickHouse's writeQuotedString makes it. */
static void quoted_write(FILE *out, const char *text)
{
    static const char special[] = "\b\f\n\r\t\\'";
    static const char codes[] = "bfnrt\\'";
    putc('\'', out);
    for (; *text; text++) {
        const char *found = strchr(special, *text);
        if (found) {
            putc('\\', out);
            putc(codes[found - special], out);
        } else {
            putc(*text, out);
        }
    }
    putc('\'', out);
}

static int enum_item_order(const void *a, const void *b)
{
    const cp_enum_item *left = a;
    const cp_enum_item *right = b;
    return (left->value > right->value) - (left->value < right->value);
}

static void enum_write(FILE *out, const cp_type *type)
{
    cp_enum_item sorted[CP_MAX_ENUM_ITEMS]; /* ClickHouse shows them by value */
    for (uint32_t i = 0; i < type->enum_count; i++)
        sorted[i] = type->enum_items[i];
    qsort(sorted, type->enum_count, sizeof sorted[0], enum_item_order);
    for (uint32_t i = 0; i < type->enum_count; i++) {
        fputs(i ? ", " : "(", out);
        quoted_write(out, sorted[i].name);
        fprintf(out, " = %d", sorted[i].value);
    }
    putc(')', out);
}

static void kind_write(FILE *out, const cp_type *type)
{
    fputs(kinds[type->kind].name, out);
    switch (type->kind) {
    case CP_FIXED_STRING:
        fprintf(out, "(%" PRIu32 ")", type->value_size);
        break;
    case CP_DECIMAL32:
    case CP_DECIMAL64:
    case CP_DECIMAL128:
        fprintf(out, "(%u, %u)", type->precision, type->scale);
        break;
    case CP_DATETIME:
        if (type->timezone)
            fprintf(out, "('%s')", type->timezone);
        break;
    case CP_DATETIME64:
        fprintf(out, "(%u", type->precision);
        if (type->timezone)
            fprintf(out, ", '%s'", type->timezone);
        putc(')', out);
        break;
    case CP_ENUM8:
    case CP_ENUM16:
        enum_write(out, type);
        break;
    default:
        break;
    }
}

int cp_type_finish(cp_type *type)
{
    if (type->kind != CP_FIXED_STRING)
        type->value_size = kinds[type->kind].size;
    type->value_align = kinds[type->kind].align;
    size_t len = 0;
    FILE *out = open_memstream(&type->text, &len);
    if (!out)
        return CP_E_NOMEM;
    fputs(type->array ? "Array(" : "", out);
    fputs(type->low_cardinality ? "LowCardinality(" : "", out);
    fputs(type->nullable ? "Nullable(" : "", out);
    kind_write(out, type);
    for (int i = type->array + type->low_cardinality + type->nullable; i > 0; i--)
        putc(')', out);
    if (fclose(out) != 0 || !type->text)
        return CP_E_NOMEM;
    return len > CP_MAX_TYPE_TEXT ? CP_E_TOO_BIG : CP_OK;
}

void cp_type_free(cp_type *type)
{
    for (uint32_t i = 0; i < type->enum_count; i++)
        free(type->enum_items[i].name);
    free(type->enum_items);
    free(type->timezone);
    free(type->text);
    *type = (cp_type){0};
}
