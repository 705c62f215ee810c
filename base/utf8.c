#include "base/utf8.h"

#include <stdbool.h>

size_t cp_utf8_length(const unsigned char *text, size_t left)
{
    const unsigned char first = text[0];
    const size_t length = first < 0x80                     ? 1
                          : first >= 0xc2 && first <= 0xdf ? 2
                          : (first & 0xf0) == 0xe0         ? 3
                          : first >= 0xf0 && first <= 0xf4 ? 4
                                                           : 0;
    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Longer than needed, half of a surrogate pair, or behind the last character. */
    const bool twisted = (first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
                         (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f);
    return twisted ? 0 : length;
}

void cp_utf8_clean(char *text)
{
    while (*text) {
        const size_t length = cp_utf8_length((const unsigned char *)text, CP_UTF8_MAX);
        if (length == 0)
            *text = '?';
        text += length ? length : 1;
    }
}

size_t cp_utf8_control(const unsigned char *text)
{
    if (text[0] == 0xc2 && (text[1] & 0xe0) == 0x80)
        return 2;
    return (text[0] != '\0' && text[0] < 0x20) || text[0] == 0x7f;
}

void cp_utf8_make_plain(char *text)
{
    cp_utf8_clean(text);
    while (*text) {
        size_t length = cp_utf8_control((const unsigned char *)text);
        for (; length > 1; length--)
            *text++ = '?';
        if (length == 1)
            *text = '?';
        text++;
    }
}
