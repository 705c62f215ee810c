/* Whole numbers, Bool, Enum and FixedString from text, and the way to the other kinds. See value.h. */
#include "schema/value.h"

#include <string.h>
#include <strings.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "rows are little-endian: the low bytes of a value come first");

cp_digits cp_digits_parse(const char *text, size_t len, int64_t min, uint64_t max, uint64_t *out)
{
    const bool negative = len > 0 && text[0] == '-';
    const size_t sign = negative || (len > 0 && text[0] == '+') ? 1 : 0;
    if (len == sign)
        return CP_DIGITS_NONE;
    const uint64_t limit = negative ? 0 - (uint64_t)min : max; /* of the magnitude */
    uint64_t value = 0;
    bool range = false;
    for (size_t i = sign; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return CP_DIGITS_NONE;
        const uint64_t digit = (uint64_t)(text[i] - '0');
        range = range || digit > limit || value > (limit - digit) / 10;
        value = range ? 0 : value * 10 + digit;
    }
    if (range)
        return CP_DIGITS_RANGE;
    *out = negative ? 0 - value : value;
    return CP_DIGITS_OK;
}

typedef struct integer_range {
    int64_t min;
    uint64_t max;
    const char *outside;
} integer_range;

static const integer_range integer_ranges[] = {
    [CP_INT8] = {INT8_MIN, INT8_MAX, "is out of range: -128 to 127"},
    [CP_INT16] = {INT16_MIN, INT16_MAX, "is out of range: -32768 to 32767"},
    [CP_INT32] = {INT32_MIN, INT32_MAX, "is out of range: -2147483648 to 2147483647"},
    [CP_INT64] = {INT64_MIN, INT64_MAX, "is out of range: -9223372036854775808 to 9223372036854775807"},
    [CP_UINT8] = {0, UINT8_MAX, "is out of range: 0 to 255"},
    [CP_UINT16] = {0, UINT16_MAX, "is out of range: 0 to 65535"},
    [CP_UINT32] = {0, UINT32_MAX, "is out of range: 0 to 4294967295"},
    [CP_UINT64] = {0, UINT64_MAX, "is out of range: 0 to 18446744073709551615"},
};

static const char *integer_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    const integer_range *range = &integer_ranges[type->kind];
    uint64_t value;
    switch (cp_digits_parse(text, len, range->min, range->max, &value)) {
    case CP_DIGITS_OK:
        memcpy(out, &value, type->value_size);
        return NULL;
    case CP_DIGITS_RANGE:
        return range->outside;
    default:
        return "is not a whole number; write decimal digits such as 42";
    }
}

static bool equals(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

static const char *bool_parse(const char *text, size_t len, void *out)
{
    const bool yes = equals(text, len, "true") || equals(text, len, "1");
    if (!yes && !equals(text, len, "false") && !equals(text, len, "0"))
        return "is no truth value; write true, false, 1 or 0";
    *(uint8_t *)out = yes;
    return NULL;
}

static const char *enum_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    uint64_t number = 0;
    const bool is_number = cp_digits_parse(text, len, INT16_MIN, INT16_MAX, &number) == CP_DIGITS_OK;
    const cp_enum_item *found = NULL;
    for (uint32_t i = 0; i < type->enum_count; i++) {
        const cp_enum_item *item = &type->enum_items[i];
        if (strlen(item->name) == len && memcmp(item->name, text, len) == 0) {
            found = item; /* a name goes before a number that reads the same */
            break;
        }
        if (is_number && item->value == (int16_t)number)
            found = item;
    }
    if (!found)
        return "is neither a name nor a number of this Enum";
    memcpy(out, &found->value, type->value_size);
    return NULL;
}

static const char *fixed_string_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    if (len > type->value_size)
        return "has more bytes than this FixedString holds";
    uint8_t *bytes = out;
    memcpy(bytes, text, len);
    memset(bytes + len, 0, type->value_size - len);
    return NULL;
}

const char *cp_value_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    switch (type->kind) {
    case CP_FLOAT32:
    case CP_FLOAT64:
        return cp_value_parse_float(type, text, len, out);
    case CP_BOOL:
        return bool_parse(text, len, out);
    case CP_DATE:
    case CP_DATE32:
    case CP_DATETIME:
    case CP_DATETIME64:
        return cp_value_parse_time(type, text, len, out);
    case CP_FIXED_STRING:
        return fixed_string_parse(type, text, len, out);
    case CP_ENUM8:
    case CP_ENUM16:
        return enum_parse(type, text, len, out);
    case CP_UUID:
    case CP_IPV4:
    case CP_IPV6:
        return cp_value_parse_address(type, text, len, out);
    case CP_DECIMAL32:
    case CP_DECIMAL64:
    case CP_DECIMAL128:
        return cp_value_parse_decimal(type, text, len, out);
    case CP_STRING:
    case CP_KIND_COUNT:
        return "has no fixed size";
    default:
        return integer_parse(type, text, len, out);
    }
}
