/* One HTTP request as ClickHouse's interface understands it: what its URL parameters and headers say. Knows
 * neither the HTTP library nor the engine.
 *
 * A URL parameter is one of: `query`; a word of the interface itself (database, session_id, wait_end_of_query
 * …); `param_NAME`, a substitution; and everything else is a setting, which the engine knows or refuses
 * (error 115). The list of words is that of HTTPHandler.cpp. */
#ifndef CP_EMBEDDED_REQUEST_H
#define CP_EMBEDDED_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "embedded/fault.h"
#include "embedded/text.h"

enum {
    CP_REQUEST_PAIRS = 1024, /* settings, and substitutions, per request; the engine has 1,500 settings */
    CP_SESSION_TIMEOUT = 60, /* seconds; a server's default_session_timeout */
    CP_SESSION_TIMEOUT_LIMIT = 3600, /* a server's max_session_timeout */
    CP_BUFFER_SIZE = 1024 * 1024,    /* of a result before the headers go; a server's default */
    CP_QUERY_SIZE = 262144,          /* a server's default of max_query_size */
    CP_QUERY_SIZE_LIMIT = 64 << 20,  /* and what a request may raise it to: a statement is held whole */
    CP_COMPRESSION_LEVEL = 3         /* a server's default of http_zlib_compression_level */
};

typedef struct cp_pairs {
    size_t count;
    char *names[CP_REQUEST_PAIRS];
    size_t name_lengths[CP_REQUEST_PAIRS];
    char *values[CP_REQUEST_PAIRS];
    size_t value_lengths[CP_REQUEST_PAIRS];
} cp_pairs;

/* Where the user and password came from; a request may use one way only. */
typedef struct cp_credentials {
    char *user;
    char *password;
} cp_credentials;

typedef struct cp_request {
    cp_text query; /* the parameter, without a line break after it */
    char *database;
    char *default_format;
    char *query_id;
    char *session_id;
    char *role;
    unsigned session_timeout;
    bool session_check;
    bool close_session;
    bool wait_end_of_query;
    bool compress; /* the engine's own block compression was asked for */
    bool decompress;
    bool http_compression; /* enable_http_compression */
    int compression_level;
    size_t buffer_size;
    size_t query_size;
    cp_credentials by_url, by_header, by_basic;
    bool other_authorization; /* an Authorization header that is not Basic */
    cp_pairs settings;
    cp_pairs params;
} cp_request;

/* A request with a server's defaults; NULL when memory is out. */
cp_request *cp_request_new(void);
void cp_request_free(cp_request *request);

/* Takes in one decoded URL parameter. 0, or the fault's code. */
int cp_request_parameter(cp_request *request, const char *name, const char *value, size_t length,
                         cp_fault *fault);

/* Takes in one header; those of no concern are passed over. */
int cp_request_header(cp_request *request, const char *name, const char *value, cp_fault *fault);

/* Takes in the user and password of a Basic Authorization header, decoded. */
int cp_request_basic(cp_request *request, const char *user, const char *password, cp_fault *fault);

/* Compares the credentials with the only ones there are, in time that depends on the lengths given alone.
 * Fault 516 when they differ or came in two ways. */
int cp_request_authenticate(const cp_request *request, const char *user, const char *password,
                            cp_fault *fault);

/* "SET a = 'x', b = 'y'" of the settings; empty when there are none. */
void cp_request_set(const cp_request *request, cp_text *sql);

/* The same with DEFAULT for every value: undoes it in a session that goes on. */
void cp_request_unset(const cp_request *request, cp_text *sql);

#endif
