/* Floats from text. The form is checked here, then glibc's strtod_l and strtof_l do the rounding, once and
 * correctly, in the "C" locale whatever the process's locale is. */
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/value.h"

enum { FLOAT_TEXT_MAX = 1100 }; /* the longest exact decimal of a double has about 1075 digits */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static size_t skip_digits(const char *text, size_t len, size_t pos)
{
    while (pos < len && text[pos] >= '0' && text[pos] <= '9')
        pos++;
    return pos;
}

/* [+-] digits [. digits] [e [+-] digits], with at least one digit before the exponent and one in it. */
static bool form_good(const char *text, size_t len)
{
    size_t pos = len > 0 && (text[0] == '+' || text[0] == '-') ? 1 : 0;
    const size_t whole = pos;
    pos = skip_digits(text, len, pos);
    size_t digits = pos - whole;
    if (pos < len && text[pos] == '.') {
        const size_t fraction = ++pos;
        pos = skip_digits(text, len, pos);
        digits += pos - fraction;
    }
    if (digits == 0)
        return false;
    if (pos < len && (text[pos] == 'e' || text[pos] == 'E')) {
        pos++;
        pos += pos < len && (text[pos] == '+' || text[pos] == '-') ? 1 : 0;
        const size_t exponent = pos;
        pos = skip_digits(text, len, pos);
        if (pos == exponent)
            return false;
    }
    return pos == len;
}

/* nan, inf, infinity, with a sign, in any case. */
static bool special_good(const char *text, size_t len)
{
    const size_t sign = len > 0 && (text[0] == '+' || text[0] == '-') ? 1 : 0;
    const char *word = text + sign;
    len -= sign;
    return (len == 3 && (strncasecmp(word, "nan", 3) == 0 || strncasecmp(word, "inf", 3) == 0)) ||
           (len == 8 && strncasecmp(word, "infinity", 8) == 0);
}

const char *cp_value_parse_float(const cp_type *type, const char *text, size_t len, void *out)
{
    char copy[FLOAT_TEXT_MAX + 1];
    const bool special = special_good(text, len);
    if (len > FLOAT_TEXT_MAX)
        return "has too many digits for a float";
    if (!special && !form_good(text, len))
        return "is not a number; write one such as -1.5, 2e-3, nan or inf, with a point";
    memcpy(copy, text, len);
    copy[len] = '\0';
    pthread_once(&c_locale_once, c_locale_make);
    if (!c_locale)
        return "cannot be converted: out of memory for the C locale";
    if (type->kind == CP_FLOAT32) {
        const float value = strtof_l(copy, NULL, c_locale);
        if (!special && isinf(value))
            return "is beyond the range of Float32, about ±3.4e38; use Float64, or inf";
        memcpy(out, &value, sizeof value);
        return NULL;
    }
    const double value = strtod_l(copy, NULL, c_locale);
    if (!special && isinf(value))
        return "is beyond the range of Float64, about ±1.8e308; write inf if that is meant";
    memcpy(out, &value, sizeof value);
    return NULL;
}
