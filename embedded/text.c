#include "embedded/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

/* Room for `more` bytes and a NUL; false when there is none. */
static bool text_reserve(cp_text *text, size_t more)
{
    if (text->failed || more > SIZE_MAX / 4 || text->length > SIZE_MAX / 4) {
        text->failed = true;
        return false;
    }
    const size_t need = text->length + more + 1;
    if (need <= text->capacity)
        return true;
    size_t capacity = text->capacity > 0 ? text->capacity : FIRST_CAPACITY;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void cp_text_append(cp_text *text, const void *data, size_t length)
{
    if (text_reserve(text, length)) {
        if (length > 0)
            memcpy(text->data + text->length, data, length);
        text->length += length;
        text->data[text->length] = '\0';
    }
}

void cp_text_print(cp_text *text, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *made = NULL;
    const int length = vasprintf(&made, fmt, args);
    va_end(args);
    if (length < 0) {
        text->failed = true;
        return;
    }
    cp_text_append(text, made, (size_t)length);
    free(made);
}

void cp_text_quote(cp_text *text, char quote, const char *data, size_t length)
{
    cp_text_append(text, &quote, 1);
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\\' || data[i] == quote || data[i] == '\0') {
            const char escaped[2] = {'\\', data[i] == '\0' ? '0' : data[i]};
            cp_text_append(text, data + from, i - from);
            cp_text_append(text, escaped, sizeof escaped);
            from = i + 1;
        }
    }
    cp_text_append(text, data + from, length - from);
    cp_text_append(text, &quote, 1);
}

void cp_text_free(cp_text *text)
{
    free(text->data);
    *text = (cp_text){0};
}
