#include "cli/tsv_split.h"

#include <string.h>

#include "base/error.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte behind a backslash at p (p[0] is the byte after it, left ≥ 1). Returns how many bytes were used.
 */
static size_t escape_decode(const char *p, size_t left, char *out)
{
    static const char names[] = "tnrbf0ave";
    static const char values[] = {'\t', '\n', '\r', '\b', '\f', '\0', '\a', '\v', 0x1b};
    if (*p == 'x' && left >= 3 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        *out = (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
        return 3;
    }
    const char *name = memchr(names, *p, sizeof names - 1);
    *out = name ? values[name - names] : *p;
    return 1;
}

/* Copies one raw field, unescaped, behind what fields has; there is room. False when it ends in a lone
 * backslash. */
static bool field_unescape(cp_fields *fields, const char *raw, size_t len)
{
    size_t i = 0;
    while (i < len) {
        const char *backslash = memchr(raw + i, '\\', len - i);
        const size_t plain = backslash ? (size_t)(backslash - (raw + i)) : len - i;
        memcpy(fields->bytes + fields->used, raw + i, plain);
        fields->used += plain;
        i += plain;
        if (!backslash)
            break;
        if (++i == len)
            return false;
        i += escape_decode(raw + i, len - i, fields->bytes + fields->used++);
    }
    return true;
}

int cp_tsv_split(cp_fields *fields, const char *line, size_t len, cp_error *err)
{
    cp_fields_clear(fields);
    if (cp_fields_reserve(fields, len + 1) < 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a line of %zu bytes", len);
    if (len > 0 && line[len - 1] == '\r')
        len--;
    const char *p = line;
    const char *end = line + len;
    for (;;) {
        const char *tab = memchr(p, '\t', (size_t)(end - p));
        const size_t raw = (size_t)((tab ? tab : end) - p);
        const size_t offset = fields->used;
        const bool null = raw == 2 && p[0] == '\\' && p[1] == 'N';
        if (!null && !field_unescape(fields, p, raw))
            return cp_error_set(err, CP_E_PARSE,
                                "field %u ends in a lone backslash; a backslash is written \\\\",
                                fields->count + 1);
        cp_fields_add(fields, offset, null, false);
        if (!tab)
            return CP_OK;
        p = tab + 1;
    }
}
