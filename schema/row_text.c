#include "schema/row_text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum {
    SECONDS_PER_DAY = 86400,
    VALUE_TEXT = 64, /* any value but strings and enums */
    FLOAT_DIGITS = 9,
    DOUBLE_DIGITS = 17
};

/* Where a value stands decides on its quotes and escapes. */
typedef enum place { PLACE_TSV, PLACE_TSV_ARRAY, PLACE_JSON, PLACE_JSON_RAW } place;

static bool is_json(place where)
{
    return where >= PLACE_JSON;
}

/* ---- strings --------------------------------------------------------------------------------------------------- */

/* What a terminal would obey rather than show, or is no text, as escapes; where no escape can say it, as U+FFFD. */
static void bytes_escape(FILE *out, const unsigned char *at, size_t length, bool is_text, place where)
{
    if (where == PLACE_JSON && !is_text)
        fputs("\\ufffd", out);
    else if (where == PLACE_JSON_RAW && !is_text)
        fputc(at[0], out);
    else if (is_json(where))
        fprintf(out, "\\u%04x", at[length - 1]); /* of two bytes the second is the character's number */
    else
        for (size_t i = 0; i < length; i++)
            fprintf(out, "\\x%02x", at[i]);
}

static void char_print(FILE *out, const unsigned char *at, size_t length, place where)
{
    static const char plain[] = "\b\f\n\r\t\\";
    static const char names[] = "bfnrt\\";
    const unsigned char c = at[0];
    const char *special = c ? strchr(plain, c) : NULL;
    const bool c1 = length == 2 && c == 0xc2 && at[1] < 0xa0; /* the controls behind ASCII */
    if (special)
        fprintf(out, "\\%c", names[special - plain]);
    else if (c == 0 && !is_json(where))
        fputs("\\0", out);
    else if (length == 0 || c < ' ' || c == 0x7f || c1)
        bytes_escape(out, at, length ? length : 1, length > 0, where);
    else if (c == (is_json(where) ? '"' : '\''))
        fprintf(out, "\\%c", c);
    else
        fwrite(at, 1, length, out);
}

static void string_print(FILE *out, const void *bytes, size_t length, place where)
{
    static const char *const quotes[] = {"", "'", "\"", "\""};
    const unsigned char *at = bytes;
    fputs(quotes[where], out);
    for (size_t i = 0, n; i < length; i += n ? n : 1) {
        n = cp_utf8_length(at + i, length - i);
        char_print(out, at + i, n, where);
    }
    fputs(quotes[where], out);
}

/* ---- times ----------------------------------------------------------------------------------------------------- */

/* Year, month and day of a count of days; after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int date_format(char *out, int64_t days)
{
    const int64_t z = days + 719468;
    const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    const int64_t doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    const int64_t day = doy - (153 * mp + 2) / 5 + 1;
    const int64_t month = mp < 10 ? mp + 3 : mp - 9;
    return snprintf(out, VALUE_TEXT, "%04" PRId64 "-%02" PRId64 "-%02" PRId64, yoe + era * 400 + (month <= 2),
                    month, day);
}

static int time_format(char *out, int64_t seconds)
{
    int64_t days = seconds / SECONDS_PER_DAY;
    int64_t rest = seconds % SECONDS_PER_DAY;
    if (rest < 0) {
        rest += SECONDS_PER_DAY;
        days--;
    }
    const int length = date_format(out, days);
    return length + snprintf(out + length, VALUE_TEXT - (size_t)length,
                             " %02" PRId64 ":%02" PRId64 ":%02" PRId64, rest / 3600, rest / 60 % 60,
                             rest % 60);
}

static void datetime64_format(char *out, int64_t ticks, uint32_t precision)
{
    int64_t scale = 1;
    for (uint32_t i = 0; i < precision; i++)
        scale *= 10;
    int64_t seconds = ticks / scale;
    int64_t fraction = ticks % scale;
    if (fraction < 0) {
        fraction += scale;
        seconds--;
    }
    const int length = time_format(out, seconds);
    if (precision)
        snprintf(out + length, VALUE_TEXT - (size_t)length, ".%0*" PRId64, (int)precision, fraction);
}

static void zone_format(const cp_type *type, char *out)
{
    const size_t length = strlen(out);
    if (type->timezone && strcmp(type->timezone, "UTC") != 0)
        snprintf(out + length, VALUE_TEXT - length, "Z");
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

/* The fewest digits that give the same number again. */
static void float_format(char *out, double value, bool narrow)
{
    if (isnan(value) || isinf(value)) {
        snprintf(out, VALUE_TEXT, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    const int most = narrow ? FLOAT_DIGITS : DOUBLE_DIGITS;
    for (int digits = 1; digits <= most; digits++) {
        snprintf(out, VALUE_TEXT, "%.*g", digits, value);
        if (narrow ? strtof(out, NULL) == (float)value : strtod(out, NULL) == value)
            return;
    }
}

static void decimal_format(char *out, __int128 value, uint32_t scale)
{
    char digits[VALUE_TEXT];
    uint32_t count = 0;
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    for (; rest != 0 || count <= scale; rest /= 10)
        digits[count++] = (char)('0' + (int)(rest % 10));
    char *at = out;
    if (value < 0)
        *at++ = '-';
    while (count > 0) {
        *at++ = digits[--count];
        if (count == scale && scale > 0)
            *at++ = '.';
    }
    /* As ClickHouse does: no zeros at the end of the fraction. */
    while (scale > 0 && at[-1] == '0')
        at--;
    if (scale > 0 && at[-1] == '.')
        at--;
    *at = 0;
}

static __int128 decimal_load(const cp_type *type, const uint8_t *at)
{
    if (type->kind == CP_DECIMAL32) {
        int32_t value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    if (type->kind == CP_DECIMAL64) {
        int64_t value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    cp_i128 value;
    memcpy(&value, at, sizeof value);
    return (__int128)(((unsigned __int128)(uint64_t)value.hi << 64) | value.lo);
}

/* A signed or unsigned little-endian number of so many bytes. */
static int64_t number_load(const uint8_t *at, uint32_t size, bool is_signed)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    if (is_signed && size < 8 && value >> (size * 8 - 1))
        value |= UINT64_MAX << (size * 8);
    return (int64_t)value;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static void uuid_format(char *out, const uint8_t *at)
{
    for (int i = 0; i < 16; i++)
        out += snprintf(out, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", at[i]);
}

static void address_format(char *out, const cp_type *type, const uint8_t *at)
{
    if (type->kind == CP_IPV6) {
        inet_ntop(AF_INET6, at, out, VALUE_TEXT);
        return;
    }
    uint32_t host;
    memcpy(&host, at, sizeof host);
    const struct in_addr address = {.s_addr = htonl(host)};
    inet_ntop(AF_INET, &address, out, VALUE_TEXT);
}

/* Everything that stands without quotes in JSON. False: it is none of that. */
static bool number_format(char *out, const cp_type *type, const uint8_t *at)
{
    float narrow;
    double wide;
    switch (type->kind) {
    case CP_INT8:
    case CP_INT16:
    case CP_INT32:
    case CP_INT64:
        snprintf(out, VALUE_TEXT, "%" PRId64, number_load(at, type->value_size, true));
        return true;
    case CP_UINT8:
    case CP_UINT16:
    case CP_UINT32:
    case CP_UINT64:
        snprintf(out, VALUE_TEXT, "%" PRIu64, (uint64_t)number_load(at, type->value_size, false));
        return true;
    case CP_FLOAT32:
        memcpy(&narrow, at, sizeof narrow);
        float_format(out, (double)narrow, true);
        return true;
    case CP_FLOAT64:
        memcpy(&wide, at, sizeof wide);
        float_format(out, wide, false);
        return true;
    case CP_BOOL:
        snprintf(out, VALUE_TEXT, "%s", *at ? "true" : "false");
        return true;
    case CP_DECIMAL32:
    case CP_DECIMAL64:
    case CP_DECIMAL128:
        decimal_format(out, decimal_load(type, at), type->scale);
        return true;
    default:
        return false;
    }
}

static void quoted_format(char *out, const cp_type *type, const uint8_t *at)
{
    switch (type->kind) {
    case CP_DATE:
        date_format(out, number_load(at, 2, false));
        return;
    case CP_DATE32:
        date_format(out, number_load(at, 4, true));
        return;
    case CP_DATETIME:
        time_format(out, number_load(at, 4, false));
        zone_format(type, out);
        return;
    case CP_DATETIME64:
        datetime64_format(out, number_load(at, 8, true), type->precision);
        zone_format(type, out);
        return;
    case CP_UUID:
        uuid_format(out, at);
        return;
    default:
        address_format(out, type, at);
        return;
    }
}

static void enum_print(FILE *out, const cp_type *type, const uint8_t *at, place where)
{
    const int64_t value = number_load(at, type->value_size, true);
    for (uint32_t i = 0; i < type->enum_count; i++) {
        const cp_enum_item *item = &type->enum_items[i];
        if (item->value == value) {
            string_print(out, item->name, strlen(item->name), where);
            return;
        }
    }
    fprintf(out, "%" PRId64, value); /* of a NULL's place, or none of the names */
}

static void value_print(FILE *out, const cp_type *type, const uint8_t *row, const uint8_t *at, place where)
{
    char text[VALUE_TEXT] = "";
    if (type->kind == CP_STRING) {
        cp_ref ref;
        memcpy(&ref, at, sizeof ref);
        string_print(out, row + ref.offset, ref.length, where);
    } else if (type->kind == CP_FIXED_STRING) {
        string_print(out, at, type->value_size, where);
    } else if (type->kind == CP_ENUM8 || type->kind == CP_ENUM16) {
        enum_print(out, type, at, where);
    } else if (number_format(text, type, at)) {
        const bool none = is_json(where) && strpbrk(text, "in") && type->kind != CP_BOOL;
        fputs(none ? "null" : text, out);
    } else {
        quoted_format(text, type, at);
        string_print(out, text, strlen(text), where);
    }
}

static void array_print(FILE *out, const cp_type *type, const uint8_t *row, const uint8_t *at, place where)
{
    cp_ref ref;
    memcpy(&ref, at, sizeof ref);
    const uint8_t *elements = row + ref.offset;
    const uint8_t *nulls = elements + (size_t)ref.length * type->value_size;
    fputc('[', out);
    for (uint32_t i = 0; i < ref.length; i++) {
        if (i > 0)
            fputc(',', out);
        if (type->nullable && nulls[i])
            fputs(is_json(where) ? "null" : "NULL", out);
        else
            value_print(out, type, row, elements + (size_t)i * type->value_size,
                        is_json(where) ? where : PLACE_TSV_ARRAY);
    }
    fputc(']', out);
}

void cp_row_print(FILE *out, const cp_table *table, const uint8_t *bytes, cp_row_format format)
{
    static const place places[] = {PLACE_TSV, PLACE_JSON, PLACE_JSON_RAW};
    const place where = places[format];
    bool first = true;
    if (is_json(where))
        fputc('{', out);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (column->provenance != CP_PROV_NONE)
            continue;
        if (!first)
            fputc(is_json(where) ? ',' : '\t', out);
        first = false;
        if (is_json(where)) {
            string_print(out, column->name, strlen(column->name), PLACE_JSON);
            fputc(':', out);
        }
        if (column->type.array)
            array_print(out, &column->type, bytes, bytes + column->offset, where);
        else if (column->type.nullable && bytes[column->null_offset])
            fputs(is_json(where) ? "null" : "\\N", out);
        else
            value_print(out, &column->type, bytes, bytes + column->offset, where);
    }
    if (is_json(where))
        fputc('}', out);
}

void cp_row_print_names(FILE *out, const cp_table *table)
{
    bool first = true;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].provenance != CP_PROV_NONE)
            continue;
        if (!first)
            fputc('\t', out);
        first = false;
        string_print(out, table->columns[i].name, strlen(table->columns[i].name), PLACE_TSV);
    }
}
