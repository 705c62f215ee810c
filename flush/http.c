#include "flush/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"

enum {
    CACHED_CONNECTIONS = 64,
    UPLOAD_BUFFER = 512 * 1024, /* curl copies a body through it: larger steps, fewer system calls */
    POLL_FAILED_US = 5000,      /* out of memory or descriptors: do not spin meanwhile */
    URL_SHOWN = 200,            /* of one that is refused, in an error; parameters may hold a password */
    HEADER_MAX = 1024           /* one of our own headers: credentials are shorter */
};

struct cp_http_headers {
    struct curl_slist *plain;
    struct curl_slist *zstd;
    uint32_t users; /* exchanges under way with them, and http itself while they are the ones to start with */
};

struct cp_http {
    CURLM *multi;
    const cp_sink_config *config;
    cp_http_headers *headers;
    uint32_t configured; /* how often the configuration has changed */
    bool started;        /* a request that libcurl has not seen to yet */
};

struct cp_http_exchange {
    cp_http *http;
    CURL *easy;
    cp_http_headers *headers; /* of the request under way */
    uint32_t configured;      /* http->configured when the options were set */
    void *owner;
    bool active;
    bool used; /* the handle has served a request */
    char net_text[CURL_ERROR_SIZE];
    char *reply;
    size_t reply_capacity; /* without the NUL */
    size_t reply_size;     /* bytes that came */
    bool exception_header;
    int exception_code;
    uint64_t body_size; /* of the request */
    uint64_t taken;     /* of it, bytes that are on their way */
    uint64_t taken_ns;  /* when that last grew; boot-time clock */
    bool stalled;       /* given up, for it did not */
    unsigned sends;     /* how often libcurl has begun to send the request */
    bool sized;         /* the reply's head says where its body ends */
    bool head_ended;    /* with the empty line */
};

#define LIBCURL_SOUND_HEADERS 0x080101u

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void curl_init_once(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int cp_http_global_init_(void)
{
    pthread_once(&curl_once, curl_init_once);
    return curl_ready == CURLE_OK ? CP_OK : CP_E_NOMEM;
}

/* ---- URL ------------------------------------------------------------------------------------------------------ */

static bool url_has(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    const bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && text && text[0] != '\0';
    curl_free(text);
    return has;
}

static bool url_path_is_root(CURLU *url)
{
    char *path = NULL;
    const bool root =
        curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK && path && strcmp(path, "/") == 0;
    curl_free(path);
    return root;
}

int cp_http_check_url(const char *url, char *base, size_t size, cp_error *err)
{
    if (strchr(url, '@')) /* also where nothing else of it is a URL: none of it is repeated */
        return cp_error_set(err, CP_E_INVAL,
                            "ClickHouse URL holds credentials: give user and password by themselves");
    const size_t before = strcspn(url, "?#");
    const int shown = before < URL_SHOWN ? (int)before : URL_SHOWN;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return cp_error_set(err, CP_E_INVAL,
                            "ClickHouse URL \"%.*s\": write http://host:8123 or https://host:8443", shown,
                            url);
    CURLU *parsed = curl_url();
    if (!parsed)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a URL");
    int rc = CP_OK;
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK || !url_has(parsed, CURLUPART_HOST))
        rc = cp_error_set(err, CP_E_INVAL, "ClickHouse URL \"%.*s\" is not a valid URL", shown, url);
    else if (!url_path_is_root(parsed) || url_has(parsed, CURLUPART_QUERY) ||
             url_has(parsed, CURLUPART_FRAGMENT))
        rc = cp_error_set(err, CP_E_INVAL, "ClickHouse URL \"%.*s\": only scheme, host and port belong here",
                          shown, url);
    curl_url_cleanup(parsed);
    if (rc < 0)
        return rc;
    size_t length = strlen(url);
    if (url[length - 1] == '/')
        length--;
    if (length >= size)
        return cp_error_set(err, CP_E_INVAL, "ClickHouse URL is longer than %zu bytes", size - 1);
    memcpy(base, url, length);
    base[length] = '\0';
    return CP_OK;
}

/* ---- headers and options -------------------------------------------------------------------------------------- */

void cp_http_headers_free_(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(headers);
}

/* Appends a header; on failure frees the list and returns NULL, as it does when given NULL and first is not set. */
static struct curl_slist *header_add(struct curl_slist *list, const char *name, const char *value)
{
    char line[HEADER_MAX];
    const int length = snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = NULL;
    if (length > 0 && (size_t)length < sizeof line && !strpbrk(line, "\r\n"))
        longer = curl_slist_append(list, line);
    explicit_bzero(line, sizeof line);
    if (!longer)
        cp_http_headers_free_(list);
    return longer;
}

struct curl_slist *cp_http_headers_(const cp_sink_config *config, bool zstd)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    if (list)
        list = header_add(list, "Content-Type", "application/octet-stream");
    if (list && zstd)
        list = header_add(list, "Content-Encoding", "zstd");
    if (list && config->user)
        list = header_add(list, "X-ClickHouse-User", config->user);
    if (list && config->user && config->password && config->password[0] != '\0')
        list = header_add(list, "X-ClickHouse-Key", config->password);
    return list;
}

int cp_http_options_(void *easy, const cp_sink_config *config)
{
    CURL *curl = easy;
    CURLcode rc = CURLE_OK;
    rc |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(curl, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    rc |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (config->ca_file)
        rc |= curl_easy_setopt(curl, CURLOPT_CAINFO, config->ca_file);
    rc |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms);
    rc |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    rc |= curl_easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, (long)CP_HTTP_CONNECTION_AGE);
    rc |= curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    rc |= curl_easy_setopt(curl, CURLOPT_USERAGENT, "coldpath");
    rc |= curl_easy_setopt(curl, CURLOPT_POST, 1L);
    return rc == CURLE_OK ? CP_OK : CP_E_NOMEM;
}

int cp_http_exception_in_(const char *body)
{
    int code = 0;
    if (sscanf(body, "Code: %9d", &code) == 1 && code > 0)
        return code;
    /* Newer servers that fail after they began to answer put the text behind a marker. */
    const char *marker = strstr(body, "__exception__");
    const char *text = marker ? strstr(marker, "Code: ") : NULL;
    return text && sscanf(text, "Code: %9d", &code) == 1 && code > 0 ? code : 0;
}

/* ---- headers of many requests --------------------------------------------------------------------------------- */

void cp_http_headers_free(cp_http_headers *headers)
{
    if (!headers)
        return;
    cp_http_headers_free_(headers->plain);
    cp_http_headers_free_(headers->zstd);
    free(headers);
}

int cp_http_headers_create(cp_http_headers **out, const cp_sink_config *config, cp_error *err)
{
    *out = NULL;
    cp_http_headers *headers = calloc(1, sizeof *headers);
    if (headers) {
        headers->plain = cp_http_headers_(config, false);
        headers->zstd = cp_http_headers_(config, true);
        headers->users = 1;
    }
    if (!headers || !headers->plain || !headers->zstd) {
        cp_http_headers_free(headers);
        return cp_error_set(err, CP_E_NOMEM, "no memory for HTTP, or user or password longer than %d bytes",
                            HEADER_MAX);
    }
    *out = headers;
    return CP_OK;
}

static void headers_release(cp_http_headers *headers)
{
    if (headers && --headers->users == 0)
        cp_http_headers_free(headers);
}

/* ---- creating ------------------------------------------------------------------------------------------------- */

int cp_http_create(cp_http **out, const cp_sink_config *config, cp_error *err)
{
    *out = NULL;
    if (cp_http_global_init_() < 0)
        return cp_error_set(err, CP_E_NOMEM, "libcurl: %s", curl_easy_strerror(curl_ready));
    cp_http *http = calloc(1, sizeof *http);
    if (!http)
        return cp_error_set(err, CP_E_NOMEM, "no memory for HTTP");
    http->config = config;
    http->multi = curl_multi_init();
    int rc = cp_http_headers_create(&http->headers, config, err);
    if (rc == CP_OK && (!http->multi || curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS,
                                                          (long)CACHED_CONNECTIONS) != CURLM_OK))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for HTTP");
    if (rc < 0) {
        cp_http_free(http);
        return rc;
    }
    *out = http;
    return CP_OK;
}

void cp_http_configure(cp_http *http, cp_http_headers *headers)
{
    headers_release(http->headers);
    http->headers = headers;
    http->configured++;
}

void cp_http_free(cp_http *http)
{
    if (!http)
        return;
    if (http->multi)
        curl_multi_cleanup(http->multi);
    headers_release(http->headers);
    free(http);
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    cp_http_exchange *exchange = ctx;
    const size_t bytes = size * count;
    if (exchange->reply_size < exchange->reply_capacity) {
        const size_t room = exchange->reply_capacity - exchange->reply_size;
        memcpy(exchange->reply + exchange->reply_size, data, bytes < room ? bytes : room);
    }
    exchange->reply_size += bytes;
    return bytes;
}

bool cp_http_exception_code(const char *header, size_t size, int *code)
{
    static const char name[] = "X-ClickHouse-Exception-Code:";
    if (size <= sizeof name - 1 || strncasecmp(header, name, sizeof name - 1) != 0)
        return false;
    char value[16] = "";
    const size_t length = size - (sizeof name - 1);
    memcpy(value, header + sizeof name - 1, length < sizeof value ? length : sizeof value - 1);
    *code = (int)strtol(value, NULL, 10);
    return true;
}

static bool header_is(const char *header, size_t size, const char *name)
{
    const size_t length = strlen(name);
    return size > length && strncasecmp(header, name, length) == 0;
}

/* libcurl takes the end of the connection for the end of the head, and of a body without a length. For us such a reply may have
 * lost its exception on the way. */
static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    cp_http_exchange *exchange = ctx;
    const size_t bytes = size * count;
    if (header_is(data, bytes, "HTTP/"))
        exchange->sized = exchange->head_ended = false;
    exchange->sized |=
        header_is(data, bytes, "Content-Length:") || header_is(data, bytes, "Transfer-Encoding:");
    exchange->head_ended |= bytes > 0 && (data[0] == '\r' || data[0] == '\n');
    exchange->exception_header |= cp_http_exception_code(data, bytes, &exchange->exception_code);
    return bytes;
}

/* A connection stands, and the request is about to be sent on it. */
static int on_send(void *ctx, char *to, char *from, int to_port, int from_port)
{
    cp_http_exchange *exchange = ctx;
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    exchange->sends++;
    return CURL_PREREQFUNC_OK;
}

/* libcurl asks about once a second, and when bytes move. A server that takes no more of a body is not waited for; one that has
 * taken all of it may think for as long as the request may last. */
static int on_transfer(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    cp_http_exchange *exchange = ctx;
    const uint64_t limit_ns = exchange->http->config->stall_timeout_ms * (uint64_t)CP_NS_PER_MS;
    const uint64_t before = exchange->taken;
    (void)down_total;
    (void)down;
    (void)up_total;
    exchange->taken = (uint64_t)up;
    if (exchange->taken >= exchange->body_size)
        return 0;
    const uint64_t now_ns = cp_boottime_ns();
    if (exchange->taken != before)
        exchange->taken_ns = now_ns;
    exchange->stalled = limit_ns > 0 && now_ns - exchange->taken_ns > limit_ns;
    return exchange->stalled;
}

/* All options that are the same for every request of the exchange. */
static int exchange_set_up(cp_http_exchange *exchange)
{
    const cp_sink_config *config = exchange->http->config;
    if (cp_http_options_(exchange->easy, config) < 0)
        return CP_E_NOMEM;
    CURLcode rc = curl_easy_setopt(exchange->easy, CURLOPT_ERRORBUFFER, exchange->net_text);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, exchange);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_HEADERDATA, exchange);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_PRIVATE, exchange);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_NOPROGRESS, 0L);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_XFERINFOFUNCTION, on_transfer);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_XFERINFODATA, exchange);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_PREREQFUNCTION, on_send);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_PREREQDATA, exchange);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_TIMEOUT_MS, (long)config->request_timeout_ms);
    exchange->configured = exchange->http->configured;
    return rc == CURLE_OK ? CP_OK : CP_E_NOMEM;
}

cp_http_exchange *cp_http_exchange_create(cp_http *http, size_t reply_bytes, void *owner)
{
    cp_http_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->http = http;
    exchange->owner = owner;
    exchange->reply_capacity = reply_bytes;
    exchange->reply = malloc(reply_bytes + 1);
    exchange->easy = curl_easy_init();
    if (!exchange->reply || !exchange->easy || exchange_set_up(exchange) < 0) {
        cp_http_exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

void cp_http_exchange_free(cp_http_exchange *exchange)
{
    if (!exchange)
        return;
    cp_http_cancel(exchange);
    if (exchange->easy)
        curl_easy_cleanup(exchange->easy);
    free(exchange->reply);
    free(exchange);
}

void *cp_http_exchange_owner(const cp_http_exchange *exchange)
{
    return exchange->owner;
}

/* libcurl before 8.1.1 (its issue 11101), and so Debian 12's, keeps a pointer to the last header of a handle's last reply, which is freed by
 * then, and writes through it when the next reply's first header begins with a blank. So a handle serves one request there.
 * Connections are the multi handle's, and stay. */
static bool handles_serve_once(void)
{
    return curl_version_info(CURLVERSION_NOW)->version_num < LIBCURL_SOUND_HEADERS;
}

static int exchange_renew(cp_http_exchange *exchange)
{
    CURL *fresh = curl_easy_init();
    if (!fresh)
        return CP_E_NOMEM;
    curl_easy_cleanup(exchange->easy);
    exchange->easy = fresh;
    const int rc = exchange_set_up(exchange);
    exchange->used = rc < 0; /* then it is made anew the next time, too */
    return rc;
}

/* ---- running -------------------------------------------------------------------------------------------------- */

int cp_http_start(cp_http_exchange *exchange, const char *url, const void *body, size_t size, bool zstd)
{
    assert(!exchange->active);
    cp_http *http = exchange->http;
    exchange->reply_size = 0;
    exchange->exception_header = false;
    exchange->exception_code = 0;
    exchange->body_size = size;
    exchange->taken = 0;
    exchange->taken_ns = cp_boottime_ns();
    exchange->stalled = false;
    exchange->sends = 0;
    exchange->sized = false;
    exchange->head_ended = false;
    exchange->net_text[0] = '\0';
    CURLcode rc = CURLE_OK;
    if (exchange->used && handles_serve_once()) {
        if (exchange_renew(exchange) < 0)
            return CP_E_NOMEM;
    } else if (exchange->configured != http->configured) {
        curl_easy_reset(exchange->easy); /* what is no longer set, a ca_file, must be forgotten */
        if (exchange_set_up(exchange) < 0)
            return CP_E_NOMEM;
    }
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER,
                           zstd ? http->headers->zstd : http->headers->plain);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    rc |= curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDS, body);
    if (rc != CURLE_OK || curl_multi_add_handle(http->multi, exchange->easy) != CURLM_OK)
        return CP_E_NOMEM;
    exchange->headers = http->headers;
    exchange->headers->users++;
    exchange->used = true;
    exchange->active = true;
    http->started = true;
    return CP_OK;
}

bool cp_http_body_is_taken(const cp_http_exchange *exchange)
{
    return exchange->taken >= exchange->body_size;
}

void cp_http_cancel(cp_http_exchange *exchange)
{
    if (!exchange->active)
        return;
    curl_multi_remove_handle(exchange->http->multi, exchange->easy);
    headers_release(exchange->headers);
    exchange->headers = NULL;
    exchange->active = false;
}

static void exchange_finish(cp_http_exchange *exchange, CURLcode net, cp_http_done *done, void *ctx)
{
    cp_http_cancel(exchange);
    const size_t kept =
        exchange->reply_size < exchange->reply_capacity ? exchange->reply_size : exchange->reply_capacity;
    exchange->reply[kept] = '\0';
    cp_http_reply reply = {
        .net = (int)net,
        .exception_header = exchange->exception_header,
        .exception_code = exchange->exception_code,
        .body_size = exchange->reply_size,
        .cut = kept < exchange->reply_size,
        .whole = exchange->sized && exchange->head_ended,
        .unanswered = exchange->sends > (net == CURLE_OK ? 1u : 0u),
        .body = exchange->reply,
        .net_text = "",
    };
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &reply.status);
    if (net != CURLE_OK)
        reply.net_text = exchange->stalled       ? "the server takes no more of the body: given up"
                         : exchange->net_text[0] ? exchange->net_text
                                                 : curl_easy_strerror(net);
    if (reply.exception_code == 0)
        reply.exception_code = cp_http_exception_in_(exchange->reply);
    done(ctx, exchange, &reply);
}

static void exchanges_move(cp_http *http, cp_http_done *done, void *ctx)
{
    int running = 0;
    http->started = false;
    curl_multi_perform(http->multi, &running);
    const CURLMsg *message;
    int left = 0;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        const CURLcode net = message->data.result;
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        exchange_finish((cp_http_exchange *)(void *)private, net, done, ctx);
    }
}

void cp_http_poll(cp_http *http, int timeout_ms, cp_http_done *done, void *ctx)
{
    if (http->started) /* libcurl asks the kernel about each request under way: not twice for nothing */
        exchanges_move(http, done, ctx);
    if (curl_multi_poll(http->multi, NULL, 0, timeout_ms, NULL) != CURLM_OK)
        usleep(POLL_FAILED_US);
    exchanges_move(http, done, ctx);
}

void cp_http_wake(cp_http *http)
{
    curl_multi_wakeup(http->multi);
}

void cp_http_reply_text(const cp_http_reply *reply, char *text, size_t size)
{
    const char *source = reply->net != CURLE_OK ? reply->net_text : reply->body;
    const size_t line = strcspn(source, "\r\n");
    if (line > 0)
        snprintf(text, size, "%.*s", (int)(line < size ? line : size - 1), source);
    else if (reply->exception_header)
        snprintf(text, size, "Code: %d, without a text", reply->exception_code);
    else if (reply->status == 200 && !reply->whole)
        snprintf(text, size, "HTTP status 200, but the reply is cut off, or does not say how long it is");
    else
        snprintf(text, size, "HTTP status %ld", reply->status);
    cp_utf8_make_plain(text); /* a server may say anything, and a terminal would obey */
}
