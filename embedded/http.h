/* The HTTP server: libmicrohttpd in front of exchange.h. One thread per connection, so that a handler may
 * wait for the engine; connections, idle time and time per body are bounded.
 *
 *   /               statements (POST, GET with a query; GET alone: "Ok.")
 *   /ping           "Ok.", without authentication
 *   /replicas_status "Ok.": there are no replicas that could lag
 *   anything else   404
 *
 * A browser lets any page send requests to any server its user can reach, this one included; it says so with
 * an Origin header, or Sec-Fetch-Site where there is none. Such requests are answered 403 unless the page's
 * origin is the one that was allowed (https://fetch.spec.whatwg.org/#origin-header,
 * https://www.w3.org/TR/fetch-metadata/). */
#ifndef CP_EMBEDDED_HTTP_H
#define CP_EMBEDDED_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <coldpath/error.h>

#include "embedded/exchange.h"

enum { CP_HTTP_ADDRESS = 64 }; /* "[IPv6]:port" */

typedef struct cp_http cp_http;

typedef struct cp_http_options {
    const cp_service *service;
    const char *address; /* numeric, IPv4 or IPv6 */
    uint16_t port;       /* 0: any free one */
    unsigned max_connections;
    const char
        *allow_origin;     /* requests of web pages from there are let in; "*": from anywhere; NULL: none */
    unsigned idle_seconds; /* a connection without traffic is closed after that */
} cp_http_options;

/* Listens and serves. CP_E_BUSY: the port is taken; CP_E_INVAL: not an address; CP_E_PERM: a privileged port.
 */
int cp_http_start(const cp_http_options *options, cp_http **http, cp_error *err);

/* "127.0.0.1:8123" or "[::1]:8123", with the port that was chosen; lives as long as http. */
const char *cp_http_address(const cp_http *http);
uint16_t cp_http_port(const cp_http *http);

/* Stops accepting connections, and answers statements that still come in with error 236. */
void cp_http_quiesce(cp_http *http);

/* How many requests are being worked on. */
unsigned cp_http_active(const cp_http *http);

/* Ends all connections and frees; waits for handlers that are inside the engine. */
void cp_http_stop(cp_http *http);

/* True when the numeric address can be reached from this host only. */
bool cp_http_is_loopback(const char *address);

#endif
