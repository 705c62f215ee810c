#include "flush/url.h"

#include <string.h>

void cp_url_begin(cp_url *url, char *buffer, size_t capacity)
{
    *url = (cp_url){.text = buffer, .capacity = capacity};
    buffer[0] = '\0';
}

static void add_bytes(cp_url *url, const char *bytes, size_t count)
{
    if (count >= url->capacity - url->size) {
        url->overflow = true;
        return;
    }
    memcpy(url->text + url->size, bytes, count);
    url->size += count;
    url->text[url->size] = '\0';
}

void cp_url_add(cp_url *url, const char *text)
{
    add_bytes(url, text, strlen(text));
}

static void add_encoded_byte(cp_url *url, unsigned char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
                       byte == '~';
    const char encoded[3] = {plain ? (char)byte : '%', digits[byte >> 4], digits[byte & 15]};
    add_bytes(url, encoded, plain ? 1 : sizeof encoded);
}

void cp_url_add_encoded(cp_url *url, const char *text)
{
    for (; *text; text++)
        add_encoded_byte(url, (unsigned char)*text);
}

void cp_url_add_identifier(cp_url *url, const char *name)
{
    add_encoded_byte(url, '`');
    for (; *name; name++) {
        if (*name == '`' || *name == '\\')
            add_encoded_byte(url, '\\');
        add_encoded_byte(url, (unsigned char)*name);
    }
    add_encoded_byte(url, '`');
}
