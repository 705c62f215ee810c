/* Decimals from text: digits are gathered into one integer of 128 bits, scaled by 10^S, exactly; nothing is
 * rounded. 38 digits need 127 bits, so that the sum of P digits cannot overflow. */
#include <string.h>

#include "schema/value.h"

__extension__ typedef unsigned __int128 u128;

typedef struct decimal_digits {
    u128 value;
    uint32_t whole;    /* digits before the point, from the first that is not 0 */
    uint32_t fraction; /* digits behind it, up to the scale */
    uint32_t seen;     /* digits of any kind, at most 1 counts */
    bool lost;         /* a digit other than 0 behind the scale */
} decimal_digits;

/* Gathers one digit; false when there are more before the point than the type has room for. */
static bool digit_take(decimal_digits *digits, const cp_type *type, uint32_t digit, bool behind_point)
{
    digits->seen = 1;
    if (behind_point && digits->fraction == type->scale) {
        digits->lost = digits->lost || digit != 0;
        return true;
    }
    if (behind_point)
        digits->fraction++;
    else if (digits->whole > 0 || digit != 0)
        digits->whole++;
    if (digits->whole > (uint32_t)(type->precision - type->scale))
        return false;
    digits->value = digits->value * 10 + digit;
    return true;
}

static void decimal_store(const cp_type *type, u128 magnitude, bool negative, void *out)
{
    const u128 value = negative ? 0 - magnitude : magnitude;
    memcpy(out, &value, type->value_size); /* little-endian, two's complement: any size is a prefix */
}

const char *cp_value_parse_decimal(const cp_type *type, const char *text, size_t len, void *out)
{
    decimal_digits digits = {0};
    const bool negative = len > 0 && text[0] == '-';
    bool behind_point = false;
    bool fits = true;
    for (size_t i = negative || (len > 0 && text[0] == '+') ? 1 : 0; i < len; i++) {
        const bool point = text[i] == '.' && !behind_point;
        if (!point && (text[i] < '0' || text[i] > '9'))
            return "is not a decimal number; write digits and a point, such as 61800.20, without an exponent";
        if (point)
            behind_point = true;
        else
            fits = fits && digit_take(&digits, type, (uint32_t)(text[i] - '0'), behind_point);
    }
    if (!digits.seen)
        return "is not a decimal number; write digits and a point, such as 61800.20";
    if (!fits)
        return "has more digits before the point than the type, whose first figure counts all digits";
    if (digits.lost)
        return "has more digits behind the point than the type's scale; round it first";
    for (uint32_t i = digits.fraction; i < type->scale; i++)
        digits.value *= 10;
    decimal_store(type, digits.value, negative, out);
    return NULL;
}
