/* A growable byte string, and quoting for ClickHouse's SQL. A failed allocation marks the text (failed) and
 * is told once, at the end, by whoever uses it; appends to a failed text do nothing. Always NUL-terminated
 * once appended to. */
#ifndef CP_EMBEDDED_TEXT_H
#define CP_EMBEDDED_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cp_text {
    char *data; /* NULL while nothing was appended */
    size_t length;
    size_t capacity;
    bool failed;
} cp_text;

void cp_text_append(cp_text *text, const void *data, size_t length);
void cp_text_print(cp_text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends data between quote characters (' or `), escaping backslash, the quote and NUL. */
void cp_text_quote(cp_text *text, char quote, const char *data, size_t length);

/* Frees; the text is empty and usable again. */
void cp_text_free(cp_text *text);

#endif
