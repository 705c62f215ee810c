/* Building request URLs in a fixed buffer: pieces as they are, and pieces percent-encoded (RFC 3986). */
#ifndef CP_FLUSH_URL_H
#define CP_FLUSH_URL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cp_url {
    char *text; /* NUL-terminated */
    size_t size;
    size_t capacity; /* with the NUL */
    bool overflow;   /* something did not fit; text is then cut */
} cp_url;

/* An empty URL in buffer (capacity ≥ 1). */
void cp_url_begin(cp_url *url, char *buffer, size_t capacity);

/* Appends text as it is. */
void cp_url_add(cp_url *url, const char *text);

/* Appends text percent-encoded: everything but letters, digits and -._~ . */
void cp_url_add_encoded(cp_url *url, const char *text);

/* Appends a ClickHouse identifier in backticks, encoded. */
void cp_url_add_identifier(cp_url *url, const char *name);

#endif
