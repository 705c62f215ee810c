/* Where a server listens, as people write it: "127.0.0.1:9464", "[::1]:9464", "0.0.0.0:9464". Numbers only: a name could mean another
 * address tomorrow. Port 0 lets the system choose. */
#ifndef CP_BASE_ADDRESS_H
#define CP_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

typedef struct cp_address {
    struct sockaddr_storage socket;
    socklen_t size;
} cp_address;

enum { CP_ADDRESS_TEXT = 64 }; /* "[<IPv6 address>]:65535" */

/* False when text is no address with a port. */
bool cp_address_parse(const char *text, size_t len, cp_address *address);

/* True for 127.0.0.0/8 and ::1: only programs of this host reach it. */
bool cp_address_is_loopback(const cp_address *address);

/* Writes it as parse reads it. Returns out. */
char *cp_address_format(const cp_address *address, char out[CP_ADDRESS_TEXT]);

#endif
