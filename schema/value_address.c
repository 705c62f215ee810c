/* UUIDs and network addresses from text. */
#include <arpa/inet.h>
#include <string.h>

#include "schema/value.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static const char *uuid_parse(const char *text, size_t len, void *out)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    static const char problem[] = "is not a UUID; write 8-4-4-4-12 hexadecimal digits";
    uint8_t bytes[16] = {0};
    size_t nibble = 0;
    if (len != sizeof form - 1)
        return problem;
    for (size_t i = 0; i < len; i++) {
        if (form[i] == '-' && text[i] == '-')
            continue;
        const int digit = form[i] == '-' ? -1 : hex_digit(text[i]);
        if (digit < 0)
            return problem;
        bytes[nibble / 2] = (uint8_t)(bytes[nibble / 2] << 4 | digit);
        nibble++;
    }
    memcpy(out, bytes, sizeof bytes);
    return NULL;
}

static const char *ip_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    const bool four = type->kind == CP_IPV4;
    const char *problem = four ? "is not an IPv4 address; write one such as 192.0.2.1"
                               : "is not an IPv6 address; write one such as 2001:db8::1";
    char copy[INET6_ADDRSTRLEN];
    uint8_t bytes[sizeof(struct in6_addr)];
    if (len >= sizeof copy || memchr(text, '\0', len))
        return problem;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(four ? AF_INET : AF_INET6, copy, bytes) != 1)
        return problem;
    if (four) {
        uint32_t network;
        memcpy(&network, bytes, sizeof network);
        const uint32_t host = ntohl(network);
        memcpy(out, &host, sizeof host);
    } else {
        memcpy(out, bytes, sizeof bytes);
    }
    return NULL;
}

const char *cp_value_parse_address(const cp_type *type, const char *text, size_t len, void *out)
{
    return type->kind == CP_UUID ? uuid_parse(text, len, out) : ip_parse(type, text, len, out);
}
