/* Decimals from text: digits are gathered into one integer of 128 bits, scaled by 10^S, exactly; nothing is
 * rounded, nor cut off but where that is asked for. 38 digits need 127 bits, so that the sum of P digits cannot overflow. */
#include <string.h>

#include "schema/value.h"

__extension__ typedef unsigned __int128 u128;

enum { EXPONENT_MOST = 1 << 30 };

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

static const char not_decimal[] = "is not a decimal number; write digits and a point, such as 61800.20";

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
        return not_decimal;
    if (!fits)
        return "has more digits before the point than the type, whose first figure counts all digits";
    if (digits.lost)
        return "has more digits behind the point than the type's scale; round it first";
    for (uint32_t i = digits.fraction; i < type->scale; i++)
        digits.value *= 10;
    decimal_store(type, digits.value, negative, out);
    return NULL;
}

/* The exponent behind the e at text: at most EXPONENT_MOST either way, which is more than any digits could make up for. False: there
 * is no number. */
static bool exponent_read(const char *text, size_t len, int64_t *exponent)
{
    const bool sign = len > 1 && (text[1] == '-' || text[1] == '+');
    size_t i = sign ? 2 : 1;
    const size_t begin = i;
    int64_t value = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        value = value < EXPONENT_MOST ? value * 10 + (text[i] - '0') : EXPONENT_MOST;
    *exponent = sign && text[1] == '-' ? -value : value;
    return i == len && i > begin;
}

const char *cp_value_cut_decimal(const cp_type *type, const char *text, size_t len, void *out)
{
    const bool negative = len > 0 && text[0] == '-';
    const size_t begin = negative || (len > 0 && text[0] == '+') ? 1 : 0;
    size_t point = len; /* where digits begin to stand behind the point */
    size_t end = begin;
    size_t digits = 0;
    int64_t exponent = 0;
    for (; end < len && text[end] != 'e' && text[end] != 'E'; end++) {
        if (text[end] == '.' && point == len)
            point = end;
        else if (text[end] < '0' || text[end] > '9')
            return not_decimal;
        else
            digits++;
    }
    if (digits == 0 || (end < len && !exponent_read(text + end, len - end, &exponent)))
        return not_decimal;
    if (point > end)
        point = end;
    u128 value = 0;
    int64_t left = type->scale; /* places between the last digit taken and the last one that is stored */
    for (size_t i = begin; i < end; i++) {
        /* A digit stands for itself times 10^place. */
        const int64_t place = (int64_t)point - (int64_t)i - (i < point) + exponent;
        if (i == point || place < -(int64_t)type->scale || (value == 0 && text[i] == '0'))
            continue;
        if (place >= type->precision - type->scale)
            return "has more digits before the point than the type, whose first figure counts all digits";
        value = value * 10 + (uint32_t)(text[i] - '0');
        left = place + type->scale;
    }
    for (; value != 0 && left > 0; left--)
        value *= 10;
    decimal_store(type, value, negative, out);
    return NULL;
}
