#include "base/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PORT = 65535 };

static bool port_parse(const char *text, size_t len, in_port_t *port)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *port = htons((in_port_t)value);
    return value <= MAX_PORT;
}

static bool host_parse(const char *host, bool bracketed, in_port_t port, cp_address *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
    memset(address, 0, sizeof *address);
    if (!bracketed && inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&address->socket, &v4, sizeof v4);
        address->size = sizeof v4;
        return true;
    }
    if (!bracketed || inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
        return false;
    memcpy(&address->socket, &v6, sizeof v6);
    address->size = sizeof v6;
    return true;
}

bool cp_address_parse(const char *text, size_t len, cp_address *address)
{
    char host[CP_ADDRESS_TEXT];
    in_port_t port;
    const char *colon = memrchr(text, ':', len);
    if (!colon || !port_parse(colon + 1, len - (size_t)(colon + 1 - text), &port))
        return false;
    size_t host_len = (size_t)(colon - text);
    const bool bracketed = host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']';
    if (bracketed) {
        text++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len >= sizeof host || memchr(text, '\0', host_len))
        return false;
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    return host_parse(host, bracketed, port, address);
}

bool cp_address_is_loopback(const cp_address *address)
{
    if (address->socket.ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, &address->socket, sizeof v4);
        return (ntohl(v4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, &address->socket, sizeof v6);
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

char *cp_address_format(const cp_address *address, char out[CP_ADDRESS_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";
    char port[8] = "?";
    getnameinfo((const struct sockaddr *)&address->socket, address->size, host, sizeof host, port,
                sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, CP_ADDRESS_TEXT, address->socket.ss_family == AF_INET6 ? "[%.45s]:%.5s" : "%.45s:%.5s",
             host, port);
    return out;
}
