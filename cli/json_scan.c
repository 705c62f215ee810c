#include "cli/json_scan.h"

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of the string whose opening quote is at i: behind its closing quote, or len. */
static size_t string_end(const char *line, size_t len, size_t i)
{
    for (i++; i < len; i++) {
        if (line[i] == '\\')
            i++;
        else if (line[i] == '"')
            return i + 1;
    }
    return len;
}

static size_t digits_end(const char *line, size_t len, size_t i)
{
    while (i < len && is_digit(line[i]))
        i++;
    return i;
}

/* The end of the number at i, or i when there is none:  -? (0|[1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)?  */
static size_t number_end(const char *line, size_t len, size_t begin)
{
    size_t i = begin + (begin < len && line[begin] == '-');
    if (i == len || !is_digit(line[i]))
        return begin;
    i = line[i] == '0' ? i + 1 : digits_end(line, len, i);
    if (i < len && line[i] == '.') {
        const size_t end = digits_end(line, len, i + 1);
        if (end == i + 1)
            return begin;
        i = end;
    }
    if (i < len && (line[i] == 'e' || line[i] == 'E')) {
        const size_t sign = i + 1 < len && (line[i + 1] == '+' || line[i + 1] == '-');
        const size_t end = digits_end(line, len, i + 1 + sign);
        if (end == i + 1 + sign)
            return begin;
        i = end;
    }
    return i;
}

/* A value ends at i: a comma or the end of an array or object comes next. */
static bool value_ends(const char *line, size_t len, size_t i)
{
    while (i < len && is_blank(line[i]))
        i++;
    return i < len && (line[i] == ',' || line[i] == ']' || line[i] == '}');
}

static int scan_reserve(cp_json_scan *scan, size_t size)
{
    if (size <= scan->capacity)
        return CP_OK;
    char *text = realloc(scan->text, size);
    if (!text)
        return CP_E_NOMEM;
    scan->text = text;
    scan->capacity = size;
    return CP_OK;
}

int cp_json_scan_line(cp_json_scan *scan, const char *line, size_t len)
{
    char before = '\0'; /* the last byte outside strings that is no blank */
    size_t depth = 0;
    size_t i = 0;
    if (scan_reserve(scan, 2 * len + 1) < 0) /* a number, with the comma before it, has two bytes at least */
        return CP_E_NOMEM;
    char *out = scan->text;
    scan->members = 0;
    memset(scan->numbers, 0, sizeof scan->numbers);
    while (i < len) {
        const char c = line[i];
        size_t end = i + 1;
        bool quote = false;
        if (c == '"') {
            end = string_end(line, len, i);
        } else if ((is_digit(c) || c == '-') && (before == ':' || before == '[' || before == ',')) {
            const size_t number = number_end(line, len, i);
            quote = number > i && value_ends(line, len, number);
            if (quote && depth == 1 && before == ':' && scan->members <= CP_JSON_MARKED)
                scan->numbers[(scan->members - 1) / 64] |= (uint64_t)1 << (scan->members - 1) % 64;
            end = quote ? number : end;
        }
        depth += c == '{' || c == '[';
        depth -= (c == '}' || c == ']') && depth > 0;
        scan->members += c == ':' && depth == 1;
        before = is_blank(c) ? before : c;
        if (quote)
            *out++ = '"';
        memcpy(out, line + i, end - i);
        out += end - i;
        if (quote)
            *out++ = '"';
        i = end;
    }
    scan->len = (size_t)(out - scan->text);
    return CP_OK;
}

size_t cp_json_scan_origin(const cp_json_scan *scan, const char *line, size_t len, size_t at)
{
    size_t i = 0;
    for (size_t j = 0; j < at && j < scan->len; j++) {
        /* Where the two differ there is a quote that was put in: a number, a blank, or one of ,]} stands in the line. */
        if (i < len && scan->text[j] == line[i])
            i++;
    }
    return i;
}

const char *cp_json_scan_name(const char *line, size_t len, size_t *at, size_t *size)
{
    size_t depth = *at > 0; /* a name is followed by what is inside the outermost object */
    char before = '\0';
    for (size_t i = *at; i < len;) {
        const char c = line[i];
        const size_t end = c == '"' ? string_end(line, len, i) : i + 1;
        if (c == '"' && depth == 1 && (before == '{' || before == ',')) {
            *at = end;
            *size = end - i;
            return line + i;
        }
        depth += c == '{' || c == '[';
        depth -= (c == '}' || c == ']') && depth > 0;
        before = is_blank(c) ? before : c;
        i = end;
    }
    return NULL;
}

const char *cp_json_scan_value(const char *line, size_t len, size_t at, size_t *size)
{
    size_t depth = 0;
    while (at < len && (is_blank(line[at]) || line[at] == ':'))
        at++;
    const size_t begin = at;
    size_t end = begin; /* behind the last byte that is no blank */
    while (at < len && (depth > 0 || (line[at] != ',' && line[at] != '}'))) {
        const char c = line[at];
        depth += c == '{' || c == '[';
        depth -= (c == '}' || c == ']') && depth > 0;
        at = c == '"' ? string_end(line, len, at) : at + 1;
        end = is_blank(c) ? end : at;
    }
    *size = end - begin;
    return line + begin;
}

void cp_json_scan_free(cp_json_scan *scan)
{
    free(scan->text);
    *scan = (cp_json_scan){0};
}
