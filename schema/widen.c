/* See widen.h. Only changes are let through of which it is certain; all others a person decides. */
#include "schema/widen.h"

#include <string.h>

typedef struct integer {
    bool is;
    bool sign;
    int bits;
} integer;

static integer integer_of(cp_kind kind)
{
    if (kind <= CP_INT64)
        return (integer){true, true, 8 << (kind - CP_INT8)};
    if (kind <= CP_UINT64)
        return (integer){true, false, 8 << (kind - CP_UINT8)};
    return (integer){false, false, 0};
}

static const char *integer_loss(integer from, integer to)
{
    if (from.sign && !to.sign)
        return "negative values would wrap";
    if (from.sign == to.sign ? to.bits >= from.bits : to.bits > from.bits)
        return NULL;
    return "it narrows: large values would wrap";
}

/* Every name keeps its number. */
static const char *enum_loss(const cp_type *from, const cp_type *to)
{
    for (uint32_t i = 0; i < from->enum_count; i++) {
        bool kept = false;
        for (uint32_t j = 0; j < to->enum_count && !kept; j++)
            kept = from->enum_items[i].value == to->enum_items[j].value &&
                   strcmp(from->enum_items[i].name, to->enum_items[j].name) == 0;
        if (!kept)
            return "a name of the Enum would be gone, or get another number";
    }
    return NULL;
}

static const char *decimal_loss(const cp_type *from, const cp_type *to)
{
    if (to->scale < from->scale)
        return "digits after the point would be cut";
    if (to->precision - to->scale < from->precision - from->scale)
        return "digits before the point would not fit";
    return NULL;
}

static bool is_decimal(cp_kind kind)
{
    return kind == CP_DECIMAL32 || kind == CP_DECIMAL64 || kind == CP_DECIMAL128;
}

static bool is_enum(cp_kind kind)
{
    return kind == CP_ENUM8 || kind == CP_ENUM16;
}

static const char *kind_loss(const cp_type *from, const cp_type *to)
{
    static const char other[] = "it is another kind of type";
    const integer a = integer_of(from->kind);
    const integer b = integer_of(to->kind);
    if (a.is && b.is)
        return integer_loss(a, b);
    if (is_enum(from->kind) && is_enum(to->kind))
        return from->kind == CP_ENUM16 && to->kind == CP_ENUM8 ? "it narrows: 16 bits to 8"
                                                               : enum_loss(from, to);
    if (is_decimal(from->kind) && is_decimal(to->kind))
        return decimal_loss(from, to);
    if (from->kind == CP_DATETIME64 && to->kind == CP_DATETIME64) {
        if (to->precision < from->precision)
            return "digits of the second would be cut";
        return to->precision > 8 && from->precision < 9 ? "years beyond 2262 would not fit" : NULL;
    }
    if (from->kind == CP_DATETIME && to->kind == CP_DATETIME64)
        return NULL;
    if (from->kind == CP_FIXED_STRING && to->kind == CP_FIXED_STRING)
        return to->value_size < from->value_size ? "it narrows: longer values would be refused" : NULL;
    if (from->kind == to->kind)
        return NULL;
    if ((from->kind == CP_FLOAT32 && to->kind == CP_FLOAT64) ||
        (from->kind == CP_DATE && to->kind == CP_DATE32) || (from->kind == CP_BOOL && to->kind == CP_UINT8))
        return NULL;
    return from->kind == CP_FLOAT64 && to->kind == CP_FLOAT32 ? "it narrows: digits would be lost" : other;
}

const char *cp_type_loss(const cp_type *from, const cp_type *to)
{
    if (from->array != to->array)
        return "one is an Array, the other is not";
    if (from->nullable && !to->nullable)
        return "NULLs would be lost";
    return kind_loss(from, to);
}
