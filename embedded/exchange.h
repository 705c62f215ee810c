/* One request and its answer: from the bytes of the body to the engine and back. Knows nothing of the HTTP
 * library.
 *
 *   body ─► decoder ─► text of the statement ─┬─ INSERT with data ─► engine's insert stream (never held)
 *                                             ├─ SELECT ───────────► engine's result stream ─► reply
 *                                             └─ all else ─────────► engine's query ─────────► reply
 *
 * The text is collected until it can be told what it is (statement.h), at most max_query_size of it. An
 * INSERT's data is collected too, up to HELD_DATA, so that a slow client of a small insert does not hold a
 * place in the engine; from there on it flows. It is committed only when the whole body was there and its
 * coding ended properly.
 *
 * After a fault the rest of the body is passed over, and the answer is the fault. */
#ifndef CP_EMBEDDED_EXCHANGE_H
#define CP_EMBEDDED_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "embedded/engine.h"
#include "embedded/request.h"
#include "embedded/session.h"

enum { CP_EXCHANGE_HEADERS = 12 }; /* room for the headers of an answer */

/* What all exchanges of the program share; must outlive them. */
typedef struct cp_service {
    cp_engine *engine;
    cp_sessions *sessions;
    const char *user;
    const char *password;
    const char *directory;    /* where files may be made: the data directory */
    const char *display_name; /* this host, for X-ClickHouse-Server-Display-Name */
    uint64_t max_body;        /* bytes of a body, encoded and decoded */
} cp_service;

typedef struct cp_exchange cp_exchange;

/* What an exchange begins with; the strings are only looked at during the call. */
typedef struct cp_exchange_options {
    const cp_service *service;
    cp_request *request; /* taken over */
    const char *content_encoding;
    const char *accept_encoding;
    bool readonly; /* GET: nothing may be changed */
} cp_exchange_options;

/* Takes over the request and a fault that was found in it, if any (*fault is cleared). NULL when memory is
 * out; the request is freed then. */
cp_exchange *cp_exchange_new(const cp_exchange_options *options, cp_fault *fault);

/* Takes the next bytes of the body. False: it is beyond all bounds, cut the connection. May block. */
bool cp_exchange_body(cp_exchange *exchange, const void *data, size_t length);

/* The body is announced to be larger than allowed and will not be read: the answer says so. */
void cp_exchange_refuse_body(cp_exchange *exchange);

/* The body is complete: runs the statement. Afterwards the answer stands. May block. */
void cp_exchange_finish(cp_exchange *exchange);

/* The answer: status, headers (name and value; false behind the last), length of the body or -1, and its
 * bytes as cp_reply_read gives them. The body has cp_exchange_length bytes when that is not negative. */
unsigned cp_exchange_status(const cp_exchange *exchange);
bool cp_exchange_header(const cp_exchange *exchange, size_t index, const char **name, const char **value);
int64_t cp_exchange_length(const cp_exchange *exchange);
ssize_t cp_exchange_read(cp_exchange *exchange, char *buffer, size_t size);

/* Ends it, also in the middle: an open insert is cancelled, a running result too. NULL is allowed. */
void cp_exchange_free(cp_exchange *exchange);

#endif
