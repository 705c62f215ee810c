/* HTTP to one ClickHouse: libcurl's multi interface, with what this client wants of it.
 *
 * Keep-alive connections, renewed after CP_HTTP_CONNECTION_AGE so that DNS changes and load balancers are noticed; a
 * body sent from the caller's memory without a copy and without waiting for "100 Continue"; at most a bounded part of
 * the reply kept. HTTP and HTTPS only; certificates are verified; redirects are not followed; proxies are not taken
 * from the environment: rows must not take another way because of a variable somebody exported. Credentials travel as
 * X-ClickHouse-User and X-ClickHouse-Key headers, never in the URL.
 *
 * When a kept-alive connection turns out dead before a byte of the reply, libcurl sends the request once more on a new
 * one by itself: the same bytes under the same token, so no other than a retry of ours. What it says then is of the last one,
 * perhaps that the connection was refused; `unanswered` says that one before may have arrived.
 *
 * An exchange is one reusable request and reply; any number are under way at a time. One thread; cp_http_wake: any. */
#ifndef CP_FLUSH_HTTP_H
#define CP_FLUSH_HTTP_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flush/flusher.h"

enum {
    CP_HTTP_REPLY_BYTES = 16 * 1024, /* of an insert's reply: empty, or an error text */
    CP_HTTP_CONNECTION_AGE = 300,    /* s */
    CP_HTTP_URL_MAX = 1024 * 1024    /* ClickHouse's http_max_uri_size */
};

typedef struct cp_http_reply {
    int net;               /* CURLcode; not 0: no reply, or half of one */
    long status;           /* 0: none */
    bool exception_header; /* X-ClickHouse-Exception-Code was there */
    int exception_code;    /* its value, or what the body says ("Code: 60. …"); 0: none */
    size_t body_size;      /* bytes of the reply's body, kept or not */
    bool cut;              /* body holds less than body_size */
    bool whole;       /* the head ended, and said how long the body is: nothing of the reply can be missing */
    bool unanswered;  /* a request was begun to be sent, and had no reply: it may have been obeyed */
    const char *body; /* NUL-terminated */
    const char *net_text; /* curl's words for net; "" when 0 */
} cp_http_reply;

typedef struct cp_http cp_http;
typedef struct cp_http_exchange cp_http_exchange;

/* The headers that every request has: made on any thread, given over with cp_http_configure. */
typedef struct cp_http_headers cp_http_headers;

/* Called by cp_http_poll for each exchange that has ended. The reply is valid during the call; the exchange may be
 * started again in it. */
typedef void cp_http_done(void *ctx, cp_http_exchange *exchange, const cp_http_reply *reply);

/* Checks a server URL ("http://host:8123", "https://host") and copies it without a trailing slash. CP_E_INVAL says what
 * is wrong: another scheme, credentials, a path or a query inside, too long. */
int cp_http_check_url(const char *url, char *base, size_t size, cp_error *err);

/* config must outlive it. CP_E_NOMEM, CP_E_INVAL. */
int cp_http_create(cp_http **out, const cp_sink_config *config, cp_error *err);

/* All exchanges must have been freed. NULL is allowed. */
void cp_http_free(cp_http *http);

/* The headers that config asks for. CP_E_NOMEM, also when user or password are too long. */
int cp_http_headers_create(cp_http_headers **out, const cp_sink_config *config, cp_error *err);

/* NULL is allowed. */
void cp_http_headers_free(cp_http_headers *headers);

/* What http's config points to has changed: exchanges that start from now on take it from there, and these headers, which are
 * http's afterwards. Those under way end as they began. */
void cp_http_configure(cp_http *http, cp_http_headers *headers);

/* Makes an exchange that keeps reply_bytes of a reply. NULL when out of memory. */
cp_http_exchange *cp_http_exchange_create(cp_http *http, size_t reply_bytes, void *owner);

/* Also ends one under way. NULL is allowed. */
void cp_http_exchange_free(cp_http_exchange *exchange);

/* What create was given. */
void *cp_http_exchange_owner(const cp_http_exchange *exchange);

/* Starts a POST. body must stay as it is until the exchange ends; url is copied.
 * CP_E_NOMEM (also when libcurl refuses); then no done call follows. */
int cp_http_start(cp_http_exchange *exchange, const char *url, const void *body, size_t size, bool zstd);

/* All of the body of the exchange under way has been handed to the system. */
bool cp_http_body_is_taken(const cp_http_exchange *exchange);

/* Ends an exchange under way; its done is not called. */
void cp_http_cancel(cp_http_exchange *exchange);

/* Moves transfers on, waits up to timeout_ms for something to happen (or for cp_http_wake), moves on again. */
void cp_http_poll(cp_http *http, int timeout_ms, cp_http_done *done, void *ctx);

/* Ends the current or the next wait of cp_http_poll. Any thread. */
void cp_http_wake(cp_http *http);

/* The reply's first line, shortened, for people: curl's words, or the server's. */
void cp_http_reply_text(const cp_http_reply *reply, char *text, size_t size);

/* For query.c: what all requests have in common. CP_E_NOMEM. */
struct curl_slist;
int cp_http_global_init_(void);
int cp_http_options_(void *easy, const cp_sink_config *config);
struct curl_slist *cp_http_headers_(const cp_sink_config *config, bool zstd);
void cp_http_headers_free_(struct curl_slist *headers);
int cp_http_exception_in_(const char *body);

/* True when a response header, size bytes as libcurl hands it over, is ClickHouse's exception code; then also the code. */
bool cp_http_exception_code(const char *header, size_t size, int *code);

#endif
