#include "cli/sql_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *skip_comments(const char *p)
{
    for (;;) {
        while (isspace((unsigned char)*p) || *p == '(')
            p++;
        if (strncmp(p, "--", 2) == 0) {
            p += strcspn(p, "\n");
        } else if (strncmp(p, "/*", 2) == 0) {
            const char *end = strstr(p + 2, "*/");
            if (!end)
                return p + strlen(p);
            p = end + 2;
        } else {
            return p;
        }
    }
}

static size_t word_length(const char *p)
{
    size_t len = 0;
    while (isalnum((unsigned char)p[len]) || p[len] == '_')
        len++;
    return len;
}

bool cp_sql_answers_with_rows(const char *sql)
{
    static const char *const words[] = {"SELECT", "WITH",   "SHOW",    "DESCRIBE",
                                        "DESC",   "EXISTS", "EXPLAIN", "CHECK"};
    const char *word = skip_comments(sql);
    const size_t len = word_length(word);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (len == strlen(words[i]) && strncasecmp(word, words[i], len) == 0)
            return true;
    }
    return false;
}

/* Where "FORMAT name" begins at the end of the first len bytes, or len. */
static size_t format_at(const char *sql, size_t len)
{
    size_t p = len;
    while (p > 0 && (isalnum((unsigned char)sql[p - 1]) || sql[p - 1] == '_'))
        p--;
    const size_t name = p;
    while (p > 0 && isspace((unsigned char)sql[p - 1]))
        p--;
    if (name == len || p == name || p < 7 || strncasecmp(sql + p - 6, "FORMAT", 6) != 0 ||
        !(isspace((unsigned char)sql[p - 7]) || sql[p - 7] == ')'))
        return len;
    return p - 6;
}

char *cp_sql_with_format(const char *sql, const char *format, bool override)
{
    size_t len = strlen(sql);
    while (len > 0 && (isspace((unsigned char)sql[len - 1]) || sql[len - 1] == ';'))
        len--;
    const size_t own = format_at(sql, len);
    const bool add = cp_sql_answers_with_rows(sql) && (own == len || override);
    const size_t keep = add ? own : len;
    const size_t size = keep + strlen(format) + sizeof "\nFORMAT ";
    char *text = malloc(size);
    if (text)
        snprintf(text, size, "%.*s%s%s", (int)keep, sql, add ? "\nFORMAT " : "", add ? format : "");
    return text;
}

static bool quote(char *out, size_t size, const char *name, char mark)
{
    size_t used = 0;
    if (size < 3)
        return false;
    out[used++] = mark;
    for (const char *p = name; *p; p++) {
        if (used + 4 > size)
            return false;
        if (*p == mark || *p == '\\')
            out[used++] = '\\';
        out[used++] = *p;
    }
    out[used++] = mark;
    out[used] = '\0';
    return true;
}

bool cp_sql_quote_name(char *out, size_t size, const char *name)
{
    return quote(out, size, name, '`');
}

bool cp_sql_quote_text(char *out, size_t size, const char *text)
{
    return quote(out, size, text, '\'');
}
