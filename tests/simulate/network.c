#include "tests/simulate/network.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulate/host.h"
#include "tests/simulate/process.h"
#include "tests/simulate/sink.h"
#include "tests/simulate/thread.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

enum {
    HANDLES = 48,
    MESSAGES = 64,
    KEPT = 500,     /* permille of requests that go out on a connection that was used before */
    OUTLIVES = 700, /* permille of messages that go on when their sender gives up */
    SLOW_S = 40,    /* at most, of a slow one; the sink's window of tokens covers more */
    PROGRESS_NS = 1000 * 1000 * 1000 /* libcurl tells about once a second */
};

typedef enum phase { ON_ITS_WAY, ANSWERED, STOPPED } phase;

/* Nobody's: it outlives its sender. */
typedef struct message {
    bool used;
    phase phase;
    char *url;
    uint8_t *body;
    size_t size;
    bool garbled;
    uint64_t at_ns; /* when it arrives; of one that is answered, when the reply does */
    CURLcode code;  /* what libcurl says at that time */
    bool cut;
    bool has_reply;
    sim_reply reply;
} message;

typedef struct handle {
    bool used, active, done;
    CURLcode code;
    message *sent; /* NULL: it never left */
    const char *url;
    const void *body;
    size_t size;
    void *private;
    char *error;
    curl_write_callback on_body, on_head;
    void *body_ctx, *head_ctx, *progress_ctx;
    curl_xferinfo_callback on_progress;
    curl_prereq_callback on_send;
    void *send_ctx;
    bool again; /* without an answer libcurl sends it once more */
    long timeout_ms, connect_ms;
    uint64_t started_ns, progress_ns, ends_ns;
    CURLcode ends_with; /* at ends_ns, when nothing comes before */
    size_t taken;       /* bytes of the body, as progress says */
    long status;
} handle;

sim_weather sim_network[SIM_SINKS];
sim_network_totals sim_network_total;

static handle handles[HANDLES];
static message messages[MESSAGES];
static int multi; /* its address is what curl_multi_init returns */
static CURLMsg report;

void *__real_malloc(size_t size);
void __real_free(void *memory);

void sim_network_begin(void)
{
    memset(handles, 0, sizeof handles);
    memset(sim_network, 0, sizeof sim_network);
    memset(&sim_network_total, 0, sizeof sim_network_total);
}

static void message_drop(message *one)
{
    __real_free(one->url);
    __real_free(one->body);
    memset(one, 0, sizeof *one);
}

void sim_network_end(void)
{
    for (int i = 0; i < MESSAGES; i++)
        message_drop(&messages[i]);
}

/* ---- messages ---- */

static message *message_new(const handle *from)
{
    for (int i = 0; i < MESSAGES; i++) {
        message *one = &messages[i];
        if (one->used)
            continue;
        const size_t length = strlen(from->url) + 1;
        one->used = true;
        one->url = __real_malloc(length);
        one->body = __real_malloc(from->size + 1);
        if (!one->url || !one->body)
            abort();
        memcpy(one->url, from->url, length);
        memcpy(one->body, from->body, from->size);
        one->size = from->size;
        one->body[one->size] = '\0';
        return one;
    }
    return NULL;
}

static void answer(message *one)
{
    const sim_weather *weather = &sim_network[sim_sink_host(one->url)];
    sim_reply *reply = &one->reply;
    memset(reply, 0, sizeof *reply);
    sim_network_total.taken++;
    sim_sink_take(one->url, one->body, one->garbled ? sim_pick(one->size + 1) : one->size, reply);
    one->phase = ANSWERED;
    one->has_reply = true;
    one->at_ns = sim.now_ns + reply->think_ns + sim_span(weather->latency_ns);
    one->code = CURLE_OK;
    if (reply->reset || sim_luck(weather->reset_after)) {
        one->has_reply = false;
        one->code = sim_luck(500) ? CURLE_RECV_ERROR : CURLE_GOT_NOTHING;
        sim_network_total.lost_after++;
    } else if (sim_luck(weather->silent)) {
        one->phase = STOPPED;
        one->has_reply = false;
        sim_network_total.lost_after++;
    } else {
        one->cut = sim_luck(weather->cut);
    }
    sim_trace("network: answered: %d %.60s%s", reply->status, reply->body,
              !one->has_reply ? " (the reply is lost)"
              : one->cut      ? " (the reply is cut)"
                              : "");
}

static handle *sender_of(const message *one)
{
    for (int i = 0; i < HANDLES; i++) {
        if (handles[i].active && handles[i].sent == one)
            return &handles[i];
    }
    return NULL;
}

bool sim_network_step(void)
{
    message *due[MESSAGES];
    unsigned count = 0;
    for (int i = 0; i < MESSAGES; i++) {
        if (messages[i].used && messages[i].phase == ON_ITS_WAY && messages[i].at_ns <= sim.now_ns)
            due[count++] = &messages[i];
    }
    if (count == 0)
        return false;
    message *one = due[sim_pick(count)];
    handle *sender = sender_of(one);
    sim_network_total.late += !sender;
    answer(one);
    if (!sender)
        message_drop(one);
    return true;
}

uint64_t sim_network_next_ns(void)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < MESSAGES; i++) {
        if (messages[i].used && messages[i].phase == ON_ITS_WAY && messages[i].at_ns < next)
            next = messages[i].at_ns;
    }
    return next;
}

unsigned sim_network_under_way(const char *table)
{
    unsigned count = 0;
    for (int i = 0; i < MESSAGES; i++)
        count += messages[i].used && messages[i].phase == ON_ITS_WAY && strstr(messages[i].url, table);
    return count;
}

/* The sender has let go. */
static void message_leave(message *one)
{
    if (one && (one->phase != ON_ITS_WAY || !sim_luck(OUTLIVES)))
        message_drop(one);
}

void sim_network_drop(void)
{
    for (int i = 0; i < HANDLES; i++) {
        if (handles[i].active)
            message_leave(handles[i].sent);
    }
    memset(handles, 0, sizeof handles);
}

/* ---- sending ---- */

static void ends_by(handle *h, uint64_t at_ns, CURLcode code)
{
    if (at_ns < h->ends_ns) {
        h->ends_ns = at_ns;
        h->ends_with = code;
    }
}

/* The connection stands: it may be sent. */
static bool goes_out(handle *h)
{
    char nowhere[] = "";
    return !h->on_send || h->on_send(h->send_ctx, nowhere, nowhere, 0, 0) == CURL_PREREQFUNC_OK;
}

static void send_out(handle *h)
{
    const sim_weather *weather = &sim_network[sim_sink_host(h->url)];
    h->started_ns = sim.now_ns;
    h->progress_ns = 0; /* libcurl says at once that bytes have moved */
    h->sent = NULL;
    h->done = false;
    h->status = 0;
    h->taken = h->size;
    h->ends_ns = UINT64_MAX;
    if (h->timeout_ms)
        ends_by(h, sim.now_ns + (uint64_t)h->timeout_ms * CP_NS_PER_MS, CURLE_OPERATION_TIMEDOUT);
    const uint64_t latency = sim_span(weather->latency_ns);
    sim_network_total.messages++;
    if (weather->refused) {
        ends_by(h, sim.now_ns + latency, CURLE_COULDNT_CONNECT);
    } else if (weather->unreachable) {
        ends_by(h, sim.now_ns + (uint64_t)h->connect_ms * CP_NS_PER_MS, CURLE_OPERATION_TIMEDOUT);
    } else if (!goes_out(h)) {
        ends_by(h, sim.now_ns, CURLE_ABORTED_BY_CALLBACK);
    } else if (sim_luck(weather->stalled)) {
        h->taken = h->size / 2;
    } else if (sim_luck(weather->reset_before)) {
        ends_by(h, sim.now_ns + latency, sim_luck(500) ? CURLE_SEND_ERROR : CURLE_RECV_ERROR);
        sim_network_total.lost_before++;
    } else if ((h->sent = message_new(h)) != NULL) {
        h->sent->garbled = sim_luck(weather->garbled);
        h->sent->at_ns = sim.now_ns + latency;
        if (sim_luck(weather->slow))
            h->sent->at_ns += sim_span(SLOW_S * (uint64_t)CP_NS_PER_S);
    } else {
        ends_by(h, sim.now_ns + latency, CURLE_COULDNT_CONNECT);
    }
}

/* ---- receiving ---- */

static void head_line(handle *h, const char *line, size_t size)
{
    if (h->on_head)
        h->on_head((char *)(uintptr_t)line, 1, size, h->head_ctx);
}

/* A reply's bytes, or the first of them. */
static CURLcode reply_deliver(handle *h, const sim_reply *reply, bool cut)
{
    char head[SIM_REPLY_HEADS + 128];
    const size_t size = strlen(reply->body);
    const int head_size = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n",
                                   reply->status, reply->heads, size);
    const size_t all = (size_t)head_size + size;
    const size_t keep = cut ? sim_pick(all) : all;
    size_t at = 0;
    while (
        at <
        (size_t)head_size) { /* libcurl hands over lines, and takes the end of the connection for a line's */
        const char *end = strchr(head + at, '\n') + 1;
        const size_t line = (size_t)(end - head) - at;
        const size_t here = at + line <= keep ? line : keep - at;
        if (here)
            head_line(h, head + at, here);
        if (at == 0 && here > 12)
            h->status = reply->status;
        if (here < line)
            return h->status ? CURLE_OK : CURLE_WEIRD_SERVER_REPLY;
        at += line;
    }
    if (keep > at && h->on_body)
        h->on_body((char *)(uintptr_t)reply->body, 1, keep - at, h->body_ctx);
    return keep == all ? CURLE_OK : CURLE_PARTIAL_FILE;
}

static void finish(handle *h, CURLcode code)
{
    h->done = true;
    h->code = code;
    if (code != CURLE_OK && h->error)
        snprintf(h->error, CURL_ERROR_SIZE, "simulated: %s", curl_easy_strerror(code));
    sim_trace("network: an exchange ends: %s", curl_easy_strerror(code));
}

static void progress(handle *h)
{
    if (!h->on_progress || sim.now_ns - h->progress_ns < PROGRESS_NS)
        return;
    h->progress_ns = sim.now_ns;
    if (h->on_progress(h->progress_ctx, 0, 0, (curl_off_t)h->size, (curl_off_t)h->taken))
        finish(h, CURLE_ABORTED_BY_CALLBACK);
}

/* The connection had been kept, and ended before a byte of the reply. */
static void send_again(handle *h)
{
    sim_trace("network: sent once more by libcurl");
    message *before = h->sent;
    h->url = before->url; /* the sender's may be gone */
    h->again = false;
    send_out(h);
    message_drop(before);
}

static void handle_move(handle *h)
{
    const message *sent = h->sent;
    if (!h->active || h->done)
        return;
    if (sent && sent->phase == ANSWERED && sent->at_ns <= sim.now_ns && sent->at_ns <= h->ends_ns &&
        !sent->has_reply && h->again)
        send_again(h);
    else if (sent && sent->phase == ANSWERED && sent->at_ns <= sim.now_ns && sent->at_ns <= h->ends_ns)
        finish(h, sent->has_reply ? reply_deliver(h, &sent->reply, sent->cut) : sent->code);
    else if (sim.now_ns >= h->ends_ns)
        finish(h, h->ends_with);
    else
        progress(h);
}

static uint64_t handle_next_ns(const handle *h)
{
    if (!h->active || h->done)
        return h->active ? sim.now_ns : UINT64_MAX;
    const uint64_t answered = h->sent && h->sent->phase == ANSWERED ? h->sent->at_ns : UINT64_MAX;
    return answered < h->ends_ns ? answered : h->ends_ns;
}

/* ---- libcurl ---- */

CURLcode curl_global_init(long flags)
{
    (void)flags;
    return CURLE_OK;
}

CURL *curl_easy_init(void)
{
    for (int i = 0; i < HANDLES; i++) {
        if (handles[i].used)
            continue;
        handles[i] = (handle){.used = true};
        return &handles[i];
    }
    return NULL;
}

void curl_easy_cleanup(CURL *easy)
{
    *(handle *)easy = (handle){0};
}

void curl_easy_reset(CURL *easy)
{
    *(handle *)easy = (handle){.used = true};
}

CURLcode curl_easy_perform(CURL *easy)
{
    (void)easy;
    abort(); /* no part of the recorder waits for an answer */
}

static void option_pointer(handle *h, CURLoption option, void *value)
{
    switch (option) {
    case CURLOPT_URL:
        h->url = value;
        break;
    case CURLOPT_POSTFIELDS:
        h->body = value;
        break;
    case CURLOPT_PRIVATE:
        h->private = value;
        break;
    case CURLOPT_ERRORBUFFER:
        h->error = value;
        break;
    case CURLOPT_WRITEDATA:
        h->body_ctx = value;
        break;
    case CURLOPT_HEADERDATA:
        h->head_ctx = value;
        break;
    case CURLOPT_XFERINFODATA:
        h->progress_ctx = value;
        break;
    case CURLOPT_PREREQDATA:
        h->send_ctx = value;
        break;
    default:
        break;
    }
}

static bool option_number(handle *h, CURLoption option, va_list args)
{
    if (option == CURLOPT_POSTFIELDSIZE_LARGE)
        h->size = (size_t)va_arg(args, curl_off_t);
    else if (option == CURLOPT_TIMEOUT_MS)
        h->timeout_ms = va_arg(args, long);
    else if (option == CURLOPT_CONNECTTIMEOUT_MS)
        h->connect_ms = va_arg(args, long);
    else
        return option < CURLOPTTYPE_OBJECTPOINT; /* others: taken, and of no use here */
    return true;
}

CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    handle *h = easy;
    va_list args;
    va_start(args, option);
    if (option == CURLOPT_WRITEFUNCTION)
        h->on_body = va_arg(args, curl_write_callback);
    else if (option == CURLOPT_HEADERFUNCTION)
        h->on_head = va_arg(args, curl_write_callback);
    else if (option == CURLOPT_XFERINFOFUNCTION)
        h->on_progress = va_arg(args, curl_xferinfo_callback);
    else if (option == CURLOPT_PREREQFUNCTION)
        h->on_send = va_arg(args, curl_prereq_callback);
    else if (!option_number(h, option, args))
        option_pointer(h, option, va_arg(args, void *));
    va_end(args);
    return CURLE_OK;
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    const handle *h = easy;
    va_list args;
    va_start(args, info);
    if (info == CURLINFO_PRIVATE)
        *va_arg(args, char **) = h->private;
    else if (info == CURLINFO_RESPONSE_CODE)
        *va_arg(args, long *) = h->status;
    else
        abort();
    va_end(args);
    return CURLE_OK;
}

CURLM *curl_multi_init(void)
{
    return (CURLM *)&multi;
}

CURLMcode curl_multi_cleanup(CURLM *handle_)
{
    (void)handle_;
    return CURLM_OK;
}

CURLMcode curl_multi_setopt(CURLM *handle_, CURLMoption option, ...)
{
    (void)handle_;
    (void)option;
    return CURLM_OK;
}

CURLMcode curl_multi_add_handle(CURLM *handle_, CURL *easy)
{
    (void)handle_;
    ((handle *)easy)->active = true;
    ((handle *)easy)->again = sim_luck(KEPT);
    send_out(easy);
    return CURLM_OK;
}

CURLMcode curl_multi_remove_handle(CURLM *handle_, CURL *easy)
{
    handle *h = easy;
    (void)handle_;
    message_leave(h->sent);
    h->sent = NULL;
    h->active = false;
    return CURLM_OK;
}

CURLMcode curl_multi_perform(CURLM *handle_, int *running)
{
    (void)handle_;
    *running = 0;
    for (int i = 0; i < HANDLES; i++) {
        handle_move(&handles[i]);
        *running += handles[i].active && !handles[i].done;
    }
    return CURLM_OK;
}

CURLMsg *curl_multi_info_read(CURLM *handle_, int *left)
{
    (void)handle_;
    *left = 0;
    for (int i = 0; i < HANDLES; i++) {
        if (!handles[i].active || !handles[i].done)
            continue;
        report = (CURLMsg){.msg = CURLMSG_DONE, .easy_handle = &handles[i], .data.result = handles[i].code};
        return &report;
    }
    return NULL;
}

CURLMcode curl_multi_poll(CURLM *handle_, struct curl_waitfd *extra, unsigned extras, int timeout_ms,
                          int *ready)
{
    uint64_t until = sim.now_ns + (uint64_t)timeout_ms * CP_NS_PER_MS;
    (void)extra;
    (void)extras;
    (void)ready;
    for (int i = 0; i < HANDLES; i++) {
        const uint64_t next = handle_next_ns(&handles[i]);
        until = next < until ? next : until;
    }
    sim_wait(handle_, until);
    return CURLM_OK;
}

CURLMcode curl_multi_wakeup(CURLM *handle_)
{
    sim_tell(handle_);
    return CURLM_OK;
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
    struct curl_slist *added = malloc(sizeof *added);
    struct curl_slist **end = &list;
    if (!added)
        return NULL;
    *added = (struct curl_slist){.data = strdup(text)};
    while (*end)
        end = &(*end)->next;
    *end = added;
    return list;
}

void curl_slist_free_all(struct curl_slist *list)
{
    while (list) {
        struct curl_slist *next = list->next;
        free(list->data);
        free(list);
        list = next;
    }
}
