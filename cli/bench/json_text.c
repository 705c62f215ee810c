#include "cli/bench/json_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

enum {
    VALUE_TEXT = 40, /* any value but Strings and Enums: "-" and 39 digits at most */
    ESCAPED = 6,     /* \u0001 */
    FLOAT_DIGITS = 9,
    DOUBLE_DIGITS = 17
};

static const char null_text[] = {'n', 'u', 'l', 'l'};

static uint64_t load(const uint8_t *at, uint32_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return value;
}

static int64_t load_signed(const uint8_t *at, uint32_t size)
{
    const uint32_t shift = 64 - 8 * size;
    return (int64_t)(load(at, size) << shift) >> shift;
}

static char *put_unsigned(char *to, uint64_t value)
{
    char digits[24];
    uint32_t count = 0;
    do {
        digits[count++] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value);
    while (count)
        *to++ = digits[--count];
    return to;
}

static char *put_signed(char *to, int64_t value)
{
    if (value < 0)
        *to++ = '-';
    return put_unsigned(to, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* A number of ticks of 10^-scale: without zeros at the end of the fraction. */
static char *put_decimal(char *to, int64_t value, uint32_t scale)
{
    uint64_t unit = 1;
    for (uint32_t i = 0; i < scale; i++)
        unit *= 10;
    if (value < 0)
        *to++ = '-';
    const uint64_t whole = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    to = put_unsigned(to, whole / unit);
    uint64_t rest = whole % unit;
    if (rest == 0)
        return to;
    *to++ = '.';
    while (rest) {
        unit /= 10;
        *to++ = (char)('0' + (int)(rest / unit));
        rest %= unit;
    }
    return to;
}

static char *put_string(char *to, const char *from, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    *to++ = '"';
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)from[i];
        if (c == '"' || c == '\\') {
            *to++ = '\\';
            *to++ = (char)c;
        } else if (c < ' ') {
            const char escape[ESCAPED] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            memcpy(to, escape, sizeof escape);
            to += sizeof escape;
        } else {
            *to++ = (char)c;
        }
    }
    *to++ = '"';
    return to;
}

static char *put_enum(char *to, const cp_type *type, int64_t value)
{
    for (uint32_t i = 0; i < type->enum_count; i++) {
        if (type->enum_items[i].value == value)
            return put_string(to, type->enum_items[i].name, strlen(type->enum_items[i].name));
    }
    return put_signed(to, value);
}

static char *put_float(char *to, const cp_type *type, const uint8_t *at)
{
    if (type->kind == CP_FLOAT32) {
        float value;
        memcpy(&value, at, sizeof value);
        return to + snprintf(to, VALUE_TEXT, "%.*g", FLOAT_DIGITS, (double)value);
    }
    double value;
    memcpy(&value, at, sizeof value);
    return to + snprintf(to, VALUE_TEXT, "%.*g", DOUBLE_DIGITS, value);
}

static bool is_signed(cp_kind kind)
{
    switch (kind) {
    case CP_INT8:
    case CP_INT16:
    case CP_INT32:
    case CP_INT64:
        return true;
    default:
        return false;
    }
}

static char *put_value(char *to, const cp_type *type, const uint8_t *row, const uint8_t *at)
{
    cp_ref ref;
    switch (type->kind) {
    case CP_STRING:
        memcpy(&ref, at, sizeof ref);
        return put_string(to, (const char *)row + (ref.length ? ref.offset : 0), ref.length);
    case CP_FLOAT32:
    case CP_FLOAT64:
        return put_float(to, type, at);
    case CP_ENUM8:
    case CP_ENUM16:
        return put_enum(to, type, load_signed(at, type->value_size));
    case CP_DATETIME64: /* without quotes ClickHouse reads ticks */
        return put_signed(to, load_signed(at, type->value_size));
    case CP_DECIMAL32:
    case CP_DECIMAL64:
        return put_decimal(to, load_signed(at, type->value_size), type->scale);
    default:
        return is_signed(type->kind) ? put_signed(to, load_signed(at, type->value_size))
                                     : put_unsigned(to, load(at, type->value_size));
    }
}

static uint64_t provenance(const cp_chunk *chunk, uint32_t index, cp_provenance which)
{
    return which == CP_PROV_EPOCH  ? chunk->epoch
           : which == CP_PROV_SLOT ? chunk->slot
                                   : cp_chunk_row_position(chunk, index);
}

int cp_json_text_check(const cp_table *table, cp_error *err)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_type *type = &table->columns[i].type;
        const bool wide = type->kind != CP_STRING && type->value_size > sizeof(uint64_t);
        if (type->array || wide || type->kind == CP_FIXED_STRING || type->kind == CP_IPV4)
            return cp_error_set(err, CP_E_UNSUPPORTED,
                                "bench encode writes no JSON for column '%s' (%s); numbers, times, Strings "
                                "and Enums only",
                                table->columns[i].name, type->text);
    }
    return CP_OK;
}

size_t cp_json_text_bound(const cp_table *table, uint32_t size)
{
    size_t bound = 4 + (size_t)size * ESCAPED;
    for (uint32_t i = 0; i < table->column_count; i++) {
        bound += strlen(table->columns[i].name) + VALUE_TEXT + 4;
        for (uint32_t k = 0; k < table->columns[i].type.enum_count; k++)
            bound += strlen(table->columns[i].type.enum_items[k].name) * ESCAPED;
    }
    return bound;
}

char *cp_json_text_row(char *to, const cp_table *table, const cp_chunk *chunk, uint32_t index)
{
    const uint8_t *row = cp_chunk_row(chunk, index);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        const size_t length = strlen(column->name);
        *to++ = i ? ',' : '{';
        *to++ = '"';
        memcpy(to, column->name, length);
        to += length;
        *to++ = '"';
        *to++ = ':';
        if (column->provenance != CP_PROV_NONE) {
            to = put_unsigned(to, provenance(chunk, index, column->provenance));
        } else if (column->type.nullable && row[column->null_offset]) {
            memcpy(to, null_text, sizeof null_text);
            to += sizeof null_text;
        } else {
            to = put_value(to, &column->type, row, row + column->offset);
        }
    }
    *to++ = '}';
    *to++ = '\n';
    return to;
}
