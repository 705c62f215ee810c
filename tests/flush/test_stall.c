/* A server that takes a part of a body and no more: the insert is given up after the stall time-out, long before the request's
 * own; one that takes all of it and thinks may think. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "flush/http.h"

enum {
    BODY = 64 * 1024 * 1024, /* more than any socket buffers */
    SMALL = 1000,
    STALL_MS = 300,
    REQUEST_MS = 20000,
    THINKS_MS = 1500
};

typedef struct server {
    int fd;
    bool reads; /* the whole request, and answers after THINKS_MS */
    atomic_bool leave;
    char url[64];
    pthread_t thread;
} server;

typedef struct outcome {
    bool done;
    int net;
    long status;
    char text[256];
} outcome;

static void *serve(void *ctx)
{
    server *self = ctx;
    char bytes[4096];
    const int fd = accept(self->fd, NULL, NULL);
    if (fd < 0)
        return NULL;
    if (self->reads) {
        (void)!read(fd, bytes, sizeof bytes);
        usleep(THINKS_MS * 1000);
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        (void)!write(fd, answer, sizeof answer - 1);
    } else {
        while (!atomic_load(&self->leave)) /* its end of the connection cannot tell: nothing gets through */
            usleep(10000);
    }
    close(fd);
    return NULL;
}

static void server_start(server *self, bool reads)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    self->reads = reads;
    self->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(self->fd >= 0);
    assert_int_equal(bind(self->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(self->fd, 1), 0);
    assert_int_equal(getsockname(self->fd, (struct sockaddr *)&at, &size), 0);
    snprintf(self->url, sizeof self->url, "http://127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&self->thread, NULL, serve, self), 0);
}

static void on_done(void *ctx, cp_http_exchange *exchange, const cp_http_reply *reply)
{
    outcome *out = ctx;
    (void)exchange;
    out->done = true;
    out->net = reply->net;
    out->status = reply->status;
    snprintf(out->text, sizeof out->text, "%s", reply->net_text);
}

/* Posts size bytes; the outcome, and how long it took. */
static uint64_t post(const char *url, size_t size, outcome *out)
{
    const cp_sink_config config = {.url = url,
                                   .connect_timeout_ms = 1000,
                                   .request_timeout_ms = REQUEST_MS,
                                   .stall_timeout_ms = STALL_MS};
    cp_http *http = NULL;
    cp_error err = {0};
    char *body = calloc(1, size);
    assert_non_null(body);
    assert_int_equal(cp_http_create(&http, &config, &err), CP_OK);
    cp_http_exchange *exchange = cp_http_exchange_create(http, 1000, NULL);
    assert_non_null(exchange);
    const uint64_t began = cp_boottime_ns();
    assert_int_equal(cp_http_start(exchange, url, body, size, false), CP_OK);
    while (!out->done)
        cp_http_poll(http, 50, on_done, out);
    const uint64_t took = cp_boottime_ns() - began;
    cp_http_exchange_free(exchange);
    cp_http_free(http);
    free(body);
    return took / CP_NS_PER_MS;
}

static void test_stalled(void **state)
{
    (void)state;
    server self = {0};
    outcome out = {0};
    server_start(&self, false);
    const uint64_t took_ms = post(self.url, BODY, &out);
    assert_int_not_equal(out.net, 0);
    assert_non_null(strstr(out.text, "takes no more of the body"));
    assert_in_range(took_ms, STALL_MS, REQUEST_MS / 4);
    atomic_store(&self.leave, true);
    close(self.fd);
    pthread_join(self.thread, NULL);
}

static void test_thinking(void **state)
{
    (void)state;
    server self = {0};
    outcome out = {0};
    server_start(&self, true);
    const uint64_t took_ms = post(self.url, SMALL, &out);
    assert_int_equal(out.net, 0);
    assert_int_equal(out.status, 200);
    assert_in_range(took_ms, THINKS_MS, REQUEST_MS / 2);
    close(self.fd);
    pthread_join(self.thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stalled), cmocka_unit_test(test_thinking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
