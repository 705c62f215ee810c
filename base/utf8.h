/* Telling text from bytes that are none. */
#ifndef CP_BASE_UTF8_H
#define CP_BASE_UTF8_H

#include <stddef.h>

enum { CP_UTF8_MAX = 4 }; /* bytes of a character */

/* Bytes of the well-formed UTF-8 character at text (RFC 3629), of which left ≥ 1 may be read; 0: there is none. Of a text that ends with a NUL
 * left may be CP_UTF8_MAX: a NUL is a character of its own, and ends any other. */
size_t cp_utf8_length(const unsigned char *text, size_t left);

/* Each byte that is part of no such character becomes '?'. */
void cp_utf8_clean(char *text);

/* Bytes of the control character at text, 1 (below U+0020, U+007F) or 2 (U+0080 to U+009F), which a terminal may obey; 0: it is none. Reads
 * no byte behind a NUL. */
size_t cp_utf8_control(const unsigned char *text);

/* As cp_utf8_clean, and so does each byte of a control character: one line that a terminal shows and does not obey. */
void cp_utf8_make_plain(char *text);

#endif
