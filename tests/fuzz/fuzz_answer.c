/* Fuzz target: what comes back from ClickHouse, off the wire. A socket on loopback answers each request with the input, and closes; libcurl
 * and flush/http.c make a reply of it.
 *
 *   byte 0, bit 0:  the rest is the answer as it is, head and all; else the body of one that is well formed
 *           bit 1:  asked by the probe of the server's abilities, whose every step gets it; else by an insert
 *           bits 2-4: of a well-formed head: the status, and whether an exception header with a code is there
 *
 * However it is answered: an insert counts as taken only by a whole, empty 200 without an exception; what people are told has no control
 * characters in it, and ends; a probe comes to an end. */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "flush/abilities.h"
#include "flush/error_class.h"
#include "flush/http.h"
#include "tests/fuzz/fuzz.h"

enum {
    RAW = 1,
    PROBE = 2,
    HEAD_SHIFT = 2,
    STATUSES = 4,
    REQUEST_MAX = 16 * 1024,
    PEERS = 4,
    BUSY_TURNS = 50, /* before it waits */
    PATIENCE_S = 60
};

typedef struct peer {
    int fd; /* -1: none */
    size_t got;
    char request[REQUEST_MAX];
} peer;

static struct {
    int listener;
    peer peers[PEERS];
    const uint8_t *answer;
    size_t size;
    char head[256];
} server;
static cp_sink_config config;
static char url[64];
static cp_http *http;
static cp_http_exchange *exchange;
static cp_abilities *abilities;
static bool ended;

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_answer: broken promise: %s\n", what);
        abort();
    }
}

static void server_make(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server.listener < 0 || bind(server.listener, (struct sockaddr *)&address, length) < 0 ||
        listen(server.listener, PEERS) < 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &length) < 0)
        abort();
    snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    for (unsigned i = 0; i < PEERS; i++)
        server.peers[i].fd = -1;
}

static void client_make(void)
{
    cp_error err = {0};
    cp_log_set_level(CP_LOG_ERROR);
    config = (cp_sink_config){.url = url,
                              .database = "d",
                              .instance = "i",
                              .connect_timeout_ms = 2000,
                              .request_timeout_ms = 2000,
                              .retry_min_ms = 1,
                              .retry_max_ms = 2};
    if (cp_http_create(&http, &config, &err) < 0 ||
        !(exchange = cp_http_exchange_create(http, CP_HTTP_REPLY_BYTES, NULL)))
        abort();
}

/* A head for a body of so many bytes, as bits of the first byte want it. */
static void head_make(unsigned bits, size_t size)
{
    static const char *const statuses[STATUSES] = {"200 OK", "500 Internal Server Error", "404 Not Found",
                                                   "503 Busy"};
    snprintf(server.head, sizeof server.head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n",
             statuses[bits % STATUSES], size, bits & STATUSES ? "X-ClickHouse-Exception-Code: 241\r\n" : "");
}

static void peer_answer(peer *to)
{
    (void)!send(to->fd, server.head, strlen(server.head), MSG_NOSIGNAL);
    for (size_t sent = 0; sent < server.size;) {
        const ssize_t n = send(to->fd, server.answer + sent, server.size - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(to->fd);
    to->fd = -1;
}

/* A request of ours is its head, and a body whose length it says; both are small. */
static bool request_whole(peer *from)
{
    from->request[from->got] = '\0';
    const char *end = strstr(from->request, "\r\n\r\n");
    const char *length = strcasestr(from->request, "\r\ncontent-length: ");
    return end &&
           from->got >= (size_t)(end + 4 - from->request) + (length ? strtoul(length + 18, NULL, 10) : 0);
}

static void server_turn(void)
{
    for (unsigned i = 0; i < PEERS; i++) {
        peer *it = &server.peers[i];
        if (it->fd < 0) {
            it->got = 0;
            it->fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);
        }
        struct pollfd ready = {.fd = it->fd, .events = POLLIN};
        if (it->fd < 0 || poll(&ready, 1, 0) != 1)
            continue;
        const ssize_t n = recv(it->fd, it->request + it->got, sizeof it->request - 1 - it->got, 0);
        if (n <= 0) {
            close(it->fd);
            it->fd = -1;
            continue;
        }
        it->got += (size_t)n;
        if (request_whole(it))
            peer_answer(it);
    }
}

static void reply_check(const cp_http_reply *reply)
{
    char text[512];
    const cp_error_class class = cp_error_classify(reply);
    const bool taken = reply->net == 0 && reply->status == 200 && !reply->exception_header &&
                       reply->exception_code == 0 && reply->body_size == 0 && reply->whole;
    must((class == CP_CLASS_OK) == taken, "only a whole, empty 200 is an acknowledgement");
    must(strlen(reply->body) <= reply->body_size && reply->body_size - strlen(reply->body) <= server.size,
         "the body is a string");
    cp_http_reply_text(reply, text, sizeof text);
    must(memchr(text, '\0', sizeof text) != NULL, "the text ends");
    for (const char *at = text; *at; at++)
        must((unsigned char)*at >= ' ' && *at != 0x7f, "no control characters for people");
    (void)cp_error_row_hint(reply->body);
}

static void on_done(void *ctx, cp_http_exchange *of, const cp_http_reply *reply)
{
    (void)ctx;
    reply_check(reply);
    if (abilities && cp_abilities_owns(abilities, of))
        ended = cp_abilities_reply(abilities, reply, 1) != CP_PROBE_GOING_ON;
    else
        ended = true;
}

static void run_until_ended(void)
{
    const uint64_t deadline = cp_boottime_ns() + PATIENCE_S * (uint64_t)CP_NS_PER_S;
    for (unsigned i = 0; !ended; i++) {
        server_turn();
        cp_http_poll(http, i < BUSY_TURNS ? 0 : 1, on_done, NULL);
        must(cp_boottime_ns() < deadline, "a request comes to an end");
    }
}

static void probe_run(void)
{
    if (cp_abilities_create(&abilities, http, &config, url) < 0 ||
        cp_abilities_add_table(abilities, "d", "t") < 0)
        abort();
    (void)cp_abilities_step(abilities, 1);
    run_until_ended();
    const char *settings = cp_abilities_settings(abilities);
    must(strspn(settings, "&=_abcdefghijklmnopqrstuvwxyz0123456789") == strlen(settings),
         "settings are our own words");
    (void)cp_abilities_guarantee(abilities, 0);
    (void)cp_abilities_counting(abilities, 0);
    cp_abilities_free(abilities);
    abilities = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!http) {
        server_make();
        client_make();
    }
    if (size == 0)
        return 0;
    int code = 0;
    (void)cp_http_exception_code((const char *)data + 1, size - 1, &code);
    server.answer = data + 1;
    server.size = size - 1;
    server.head[0] = '\0';
    if (!(data[0] & RAW))
        head_make(data[0] >> HEAD_SHIFT, size - 1);
    ended = false;
    if (data[0] & PROBE) {
        probe_run();
    } else {
        char target[96];
        snprintf(target, sizeof target, "%s/?query=INSERT", url);
        must(cp_http_start(exchange, target, "x", 1, false) == CP_OK, "a request starts");
        run_until_ended();
    }
    return 0;
}
