#include "embedded/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

enum {
    CONNECTION_MEMORY =
        1280 * 1024, /* a request line of 1 MiB, a server's http_max_uri_size, and its headers */
    CONNECTION_INCREMENT =
        128 * 1024,           /* how the read buffer grows: bodies come in pieces of about this size */
    REPLY_BLOCK = 128 * 1024, /* bytes asked of a reply at a time */
    BODY_SECONDS = 600,       /* for a body to arrive: bounds who sends a byte now and then */
    BACKLOG = 128,
    NOT_FOUND = 320 /* room for the text of a 404, with the beginning of the path */
};

struct cp_http {
    const cp_service *service;
    struct MHD_Daemon *daemon;
    unsigned idle_seconds;
    const char *allow_origin;
    char address[CP_HTTP_ADDRESS];
    uint16_t port;
    char keep_alive[32];
    atomic_bool stopping;
    atomic_uint active;
};

/* One request. */
typedef struct call {
    cp_http *http;
    struct MHD_Connection *connection;
    cp_exchange *exchange; /* NULL: answered without a statement */
    char *text;            /* the answer then: text_ok, text_none or not_found */
    char not_found[NOT_FOUND];
    unsigned status;
    uint64_t begun_ns;
} call;

static char text_ok[] = "Ok.\n";
static char text_none[] = "";
static char text_page[] =
    "Requests of web pages are refused: start coldpath-chdb with --allow-origin ORIGIN to let "
    "those of a page in.\n";

/* Collects the URL parameters or the headers into a request. */
typedef struct collector {
    cp_request *request;
    cp_fault *fault;
    size_t parameters;
} collector;

static enum MHD_Result take_parameter(void *context, enum MHD_ValueKind kind, const char *key,
                                      size_t key_size, const char *value, size_t value_size)
{
    (void)kind;
    collector *into = context;
    into->parameters++;
    if (strlen(key) != key_size) {
        cp_fault_set(into->fault, CP_FAULT_BAD_ARGUMENTS, "The name of a URL parameter has a NUL in it.");
        return MHD_NO;
    }
    const int code =
        cp_request_parameter(into->request, key, value ? value : "", value ? value_size : 0, into->fault);
    return code == 0 ? MHD_YES : MHD_NO;
}

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    collector *into = context;
    return cp_request_header(into->request, key, value ? value : "", into->fault) == 0 ? MHD_YES : MHD_NO;
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void take_authorization(struct MHD_Connection *connection, cp_request *request, cp_fault *fault)
{
    const char *header = header_of(connection, "Authorization");
    if (!header)
        return;
    char *password = NULL;
    char *user = MHD_basic_auth_get_username_password(connection, &password);
    if (user)
        cp_request_basic(request, user, password, fault);
    else
        request->other_authorization = true;
    if (password) {
        explicit_bzero(password, strlen(password));
        MHD_free(password);
    }
    MHD_free(user);
}

/* What must hold of the request's framing before its body is read. */
static void framing_check(const cp_http *http, struct MHD_Connection *connection, const char *method,
                          cp_fault *fault)
{
    const char *type = header_of(connection, "Content-Type");
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0 && !header_of(connection, "Content-Length") &&
        !header_of(connection, "Transfer-Encoding")) {
        cp_fault_set(
            fault, CP_FAULT_HTTP_LENGTH_REQUIRED,
            "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request.");
    } else if (type && strncasecmp(type, "multipart/form-data", strlen("multipart/form-data")) == 0) {
        cp_fault_set(fault, CP_FAULT_NOT_IMPLEMENTED,
                     "External data (multipart/form-data) is not supported by the embedded engine.");
    } else if (atomic_load(&http->stopping)) {
        cp_fault_set(fault, CP_FAULT_ABORTED, "The server is shutting down.");
    }
}

/* Makes the exchange of a statement; sets the call's plain answer instead when there is none to run. */
static bool call_open(call *now, struct MHD_Connection *connection, const char *method)
{
    cp_fault fault = {0};
    collector into = {.request = cp_request_new(), .fault = &fault};
    if (!into.request)
        return false;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &into);
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, take_parameter, &into);
    const bool post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    if (!post && into.parameters == 0) {
        cp_request_free(into.request);
        cp_fault_clear(&fault);
        now->text = text_ok;
        return true;
    }
    take_authorization(connection, into.request, &fault);
    framing_check(now->http, connection, method, &fault);
    const cp_exchange_options options = {
        .service = now->http->service,
        .request = into.request,
        .content_encoding = header_of(connection, MHD_HTTP_HEADER_CONTENT_ENCODING),
        .accept_encoding = header_of(connection, MHD_HTTP_HEADER_ACCEPT_ENCODING),
        .readonly = !post,
    };
    now->exchange = cp_exchange_new(&options, &fault);
    return now->exchange != NULL;
}

/* True for what a web page has sent that is not allowed to. */
static bool page_refused(const cp_http *http, struct MHD_Connection *connection)
{
    const char *origin = header_of(connection, MHD_HTTP_HEADER_ORIGIN);
    const char *site = header_of(connection, "Sec-Fetch-Site");
    const char *allowed = http->allow_origin;
    if (allowed && (strcmp(allowed, "*") == 0 || (origin && strcmp(allowed, origin) == 0)))
        return false;
    /* "none": the user typed the address; "same-origin": a page of this server, of which there are none that
     * send requests; without Origin, both are GET. */
    return origin || (site && strcasecmp(site, "none") != 0 && strcasecmp(site, "same-origin") != 0);
}

/* The path and the method decide what becomes of a request. */
static bool call_route(call *now, struct MHD_Connection *connection, const char *url, const char *method)
{
    const bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    const bool post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    if (page_refused(now->http, connection)) {
        now->status = MHD_HTTP_FORBIDDEN;
        now->text = text_page;
    } else if (get && (strcmp(url, "/ping") == 0 || strcmp(url, "/replicas_status") == 0)) {
        now->text = text_ok;
    } else if (strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0) {
        now->status = MHD_HTTP_NO_CONTENT;
        now->text = text_none;
    } else if ((get || post) && strcmp(url, "/") == 0) {
        return call_open(now, connection, method);
    } else {
        now->status = MHD_HTTP_NOT_FOUND;
        snprintf(now->not_found, sizeof now->not_found,
                 "There is no handle %.100s. Use / for statements (POST, or GET with ?query=…) and /ping to "
                 "see whether "
                 "the server is alive.\n",
                 url);
        now->text = now->not_found;
    }
    return true;
}

static call *call_new(cp_http *http, struct MHD_Connection *connection, const char *url, const char *method)
{
    call *now = calloc(1, sizeof *now);
    if (!now)
        return NULL;
    *now =
        (call){.http = http, .connection = connection, .status = MHD_HTTP_OK, .begun_ns = cp_boottime_ns()};
    atomic_fetch_add(&http->active, 1);
    if (!call_route(now, connection, url, method)) {
        atomic_fetch_sub(&http->active, 1);
        free(now);
        return NULL;
    }
    return now;
}

/* The time that the engine takes is not idleness of the client: the connection's clock is off meanwhile, and
 * setting it again starts it anew. */
static void clock_stop(const call *now)
{
    MHD_set_connection_option(now->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
}

static void clock_start(const call *now)
{
    MHD_set_connection_option(now->connection, MHD_CONNECTION_OPTION_TIMEOUT, now->http->idle_seconds);
}

static ssize_t read_reply(void *context, uint64_t position, char *buffer, size_t size)
{
    (void)position;
    call *now = context;
    clock_stop(now);
    const ssize_t got = cp_exchange_read(now->exchange, buffer, size);
    clock_start(now);
    return got > 0 ? got : got == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* What a browser wants to hear before it shows a page the answer, or sends what is more than a simple request. */
static enum MHD_Result cors_add(struct MHD_Response *response, const char *origin)
{
    static const char *const headers[][2] = {
        {"Access-Control-Allow-Methods", "GET, POST"},
        {"Access-Control-Allow-Headers", "*, Authorization"},
        {"Access-Control-Expose-Headers", "*"},
        {"Access-Control-Max-Age", "3600"},
    };
    enum MHD_Result added =
        MHD_add_response_header(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (size_t i = 0; added == MHD_YES && i < sizeof headers / sizeof headers[0]; i++)
        added = MHD_add_response_header(response, headers[i][0], headers[i][1]);
    return added;
}

static enum MHD_Result answer(call *now)
{
    unsigned status = now->status;
    struct MHD_Response *response = NULL;
    if (now->exchange) {
        const int64_t length = cp_exchange_length(now->exchange);
        status = cp_exchange_status(now->exchange);
        response = MHD_create_response_from_callback(length >= 0 ? (uint64_t)length : MHD_SIZE_UNKNOWN,
                                                     REPLY_BLOCK, read_reply, now, NULL);
    } else {
        response = MHD_create_response_from_buffer(strlen(now->text), now->text, MHD_RESPMEM_PERSISTENT);
    }
    if (!response)
        return MHD_NO;
    const char *name = NULL;
    const char *value = NULL;
    enum MHD_Result added = MHD_add_response_header(response, "Keep-Alive", now->http->keep_alive);
    if (!now->exchange && added == MHD_YES)
        added = MHD_add_response_header(response, "Content-Type", "text/plain; charset=UTF-8");
    for (size_t i = 0; now->exchange && cp_exchange_header(now->exchange, i, &name, &value); i++)
        added = added == MHD_YES ? MHD_add_response_header(response, name, value) : MHD_NO;
    if (status == MHD_HTTP_UNAUTHORIZED && added == MHD_YES) {
        added = MHD_add_response_header(response, "WWW-Authenticate",
                                        "Basic realm=\"ClickHouse server HTTP API\"");
    }
    if (atomic_load(&now->http->stopping) && added == MHD_YES)
        added = MHD_add_response_header(response, "Connection", "close");
    if (now->http->allow_origin && added == MHD_YES)
        added = cors_add(response, now->http->allow_origin);
    const enum MHD_Result queued =
        added == MHD_YES ? MHD_queue_response(now->connection, status, response) : MHD_NO;
    MHD_destroy_response(response);
    return queued;
}

/* A body that is announced far too large is refused before it is sent, or before all of it is. */
static bool announced_too_big(const call *now, struct MHD_Connection *connection)
{
    const char *length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const uint64_t limit = now->http->service->max_body;
    const uint64_t announced = length ? strtoull(length, NULL, 10) : 0;
    if (announced <= limit)
        return false;
    const bool waits = header_of(connection, MHD_HTTP_HEADER_EXPECT) != NULL;
    return waits || announced - limit > limit;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    (void)version;
    call *now = *state;
    if (!now) {
        now = call_new(context, connection, url, method);
        *state = now;
        if (!now)
            return MHD_NO;
        if (now->exchange && announced_too_big(now, connection)) {
            cp_exchange_refuse_body(now->exchange);
            cp_exchange_finish(now->exchange);
            return answer(now);
        }
        return MHD_YES;
    }
    if (*upload_size > 0) {
        bool go_on = cp_boottime_ns() - now->begun_ns < (uint64_t)BODY_SECONDS * CP_NS_PER_S;
        if (now->exchange && go_on) {
            clock_stop(now);
            go_on = cp_exchange_body(now->exchange, upload, *upload_size);
            clock_start(now);
        }
        *upload_size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    if (now->exchange) {
        clock_stop(now);
        cp_exchange_finish(now->exchange);
        clock_start(now);
    }
    return answer(now);
}

static void completed(void *context, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)context;
    (void)connection;
    (void)why;
    call *now = *state;
    *state = NULL;
    if (now) {
        cp_exchange_free(now->exchange);
        atomic_fetch_sub(&now->http->active, 1);
        free(now);
    }
}

static void log_library(void *context, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));

static void log_library(void *context, const char *fmt, va_list args)
{
    (void)context;
    char line[512];
    char quoted[CP_LOG_LINE / 2];
    vsnprintf(line, sizeof line, fmt, args);
    cp_log(CP_LOG_DEBUG, "http", "detail=%s", cp_log_quote(quoted, sizeof quoted, line));
}

/* ---- listening ----------------------------------------------------------------------------------------- */

static int address_parse(const char *address, uint16_t port, struct addrinfo **found)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    return getaddrinfo(address, service, &hints, found);
}

bool cp_http_is_loopback(const char *address)
{
    struct addrinfo *found = NULL;
    if (address_parse(address, 0, &found) != 0)
        return false;
    struct sockaddr_storage bound = {0};
    memcpy(&bound, found->ai_addr, found->ai_addrlen);
    bool loopback = false;
    if (found->ai_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, &bound, sizeof v4);
        loopback = (ntohl(v4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    } else if (found->ai_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &bound, sizeof v6);
        loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    freeaddrinfo(found);
    return loopback;
}

/* What was bound, as text. */
static int address_learn(cp_http *http, int fd, cp_error *err)
{
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    char host[INET6_ADDRSTRLEN];
    char service[8];
    if (getsockname(fd, (struct sockaddr *)&bound, &length) != 0 ||
        getnameinfo((struct sockaddr *)&bound, length, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot learn the bound address");
    http->port = (uint16_t)strtoul(service, NULL, 10);
    snprintf(http->address, sizeof http->address, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
             service);
    return CP_OK;
}

static int socket_open(const cp_http_options *options, int *fd, cp_error *err)
{
    struct addrinfo *found = NULL;
    const int rc = address_parse(options->address, options->port, &found);
    if (rc != 0) {
        return cp_error_set(err, CP_E_INVAL, "'%s' is not an IPv4 or IPv6 address: %s", options->address,
                            gai_strerror(rc));
    }
    const int one = 1;
    int code = CP_OK;
    const int made = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0 || setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(made, found->ai_addr, found->ai_addrlen) != 0 || listen(made, BACKLOG) != 0) {
        const int why = errno;
        code = why == EADDRINUSE               ? CP_E_BUSY
               : why == EACCES || why == EPERM ? CP_E_PERM
               : why == EADDRNOTAVAIL          ? CP_E_INVAL
                                               : CP_E_IO;
        cp_error_errno(err, code, why, "cannot listen on %s port %u", options->address, options->port);
        if (made >= 0)
            close(made);
    } else {
        *fd = made;
    }
    freeaddrinfo(found);
    return code;
}

int cp_http_start(const cp_http_options *options, cp_http **http, cp_error *err)
{
    int fd = -1;
    int code = socket_open(options, &fd, err);
    if (code != CP_OK)
        return code;
    cp_http *made = calloc(1, sizeof *made);
    if (!made) {
        close(fd);
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    }
    code = address_learn(made, fd, err);
    if (code != CP_OK) {
        free(made);
        close(fd);
        return code;
    }
    made->service = options->service;
    made->idle_seconds = options->idle_seconds;
    made->allow_origin = options->allow_origin;
    snprintf(made->keep_alive, sizeof made->keep_alive, "timeout=%u", options->idle_seconds);
    made->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, handle, made, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, options->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
        options->idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONNECTION_INCREMENT, MHD_OPTION_NOTIFY_COMPLETED,
        completed, NULL, MHD_OPTION_END);
    if (!made->daemon) {
        code = cp_error_errno(err, CP_E_IO, errno, "cannot start the HTTP server");
        close(fd);
        free(made);
        return code;
    }
    *http = made;
    return CP_OK;
}

const char *cp_http_address(const cp_http *http)
{
    return http->address;
}

uint16_t cp_http_port(const cp_http *http)
{
    return http->port;
}

void cp_http_quiesce(cp_http *http)
{
    atomic_store(&http->stopping, true);
    const MHD_socket fd = MHD_quiesce_daemon(http->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

unsigned cp_http_active(const cp_http *http)
{
    return atomic_load(&http->active);
}

void cp_http_stop(cp_http *http)
{
    MHD_stop_daemon(http->daemon);
    free(http);
}
