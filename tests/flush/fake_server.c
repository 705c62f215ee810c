#include "fake_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CONNECTIONS = 512, BODY_MAX = 64 * 1024 * 1024, HEAD_MAX = 128 * 1024, POLL_MS = 20 };

struct fake_server {
    int listener;
    char url[64];
    const fake_step *steps;
    unsigned step_count;
    char version[64];
    const char *settings;
    _Atomic bool stopping;
    _Atomic unsigned passes; /* held inserts that may go */
    _Atomic bool away;
    _Atomic bool deaf;      /* nobody is to listen */
    _Atomic bool listening; /* the acceptor's word */
    struct sockaddr_in address;
    _Atomic unsigned long group;
    pthread_t acceptor;
    struct {
        pthread_t thread;
        _Atomic bool ended; /* its place can be had */
    } workers[CONNECTIONS];
    unsigned worker_count; /* of the acceptor, until it has ended */
    pthread_mutex_t lock;  /* of what follows */
    bool used[64];         /* steps taken */
    unsigned insert_count;
    const fake_count *counts;
    unsigned count_count;
    unsigned counted;
    fake_insert inserts[FAKE_SEEN];
};

typedef struct connection {
    fake_server *server;
    int fd;
    char *head;
    size_t head_size;
    char *body;
    size_t body_size;
    _Atomic bool *ended;
} connection;

static bool wait_readable(const connection *c)
{
    while (!atomic_load(&c->server->stopping)) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (poll(&p, 1, POLL_MS) > 0)
            return true;
    }
    return false;
}

static bool read_some(connection *c, char *to, size_t room, size_t *got)
{
    if (!wait_readable(c))
        return false;
    const ssize_t count = recv(c->fd, to, room, 0);
    if (count <= 0)
        return false;
    *got = (size_t)count;
    return true;
}

static const char *header_of(const connection *c, const char *name)
{
    const size_t length = strlen(name);
    for (const char *line = strstr(c->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':')
            return line + 2 + length + 1 + strspn(line + 2 + length + 1, " ");
    }
    return NULL;
}

/* Reads one request: head to the empty line, body by Content-Length. */
static bool read_request(connection *c)
{
    size_t used = 0;
    char *end = NULL;
    c->head[0] = '\0';
    while (!end) {
        size_t got = 0;
        if (used == HEAD_MAX - 1 || !read_some(c, c->head + used, HEAD_MAX - 1 - used, &got))
            return false;
        used += got;
        c->head[used] = '\0';
        end = strstr(c->head, "\r\n\r\n");
    }
    const size_t head = (size_t)(end - c->head) + 4;
    const char *length = header_of(c, "Content-Length");
    c->body_size = length ? strtoul(length, NULL, 10) : 0;
    if (c->body_size > BODY_MAX)
        return false;
    c->body = malloc(c->body_size + 1);
    size_t have = used - head;
    memcpy(c->body, c->head + head, have);
    c->head[head] = '\0';
    while (have < c->body_size) {
        size_t got = 0;
        if (!read_some(c, c->body + have, c->body_size - have, &got))
            return false;
        have += got;
    }
    c->body[c->body_size] = '\0';
    return true;
}

static void send_all(const connection *c, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        size -= (size_t)sent;
    }
}

static void reply(const connection *c, int status, const char *headers, const char *body)
{
    char head[1024];
    const int length = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status,
                                strlen(body), headers ? headers : "");
    send_all(c, head, (size_t)length);
    send_all(c, body, strlen(body));
}

static void copy_until(char *to, size_t room, const char *from, const char *stops)
{
    const size_t length = from ? strcspn(from, stops) : 0;
    snprintf(to, room, "%.*s", (int)length, from ? from : "");
}

/* Notes an INSERT and picks its step. */
static fake_step take_insert(connection *c)
{
    fake_server *server = c->server;
    fake_step step = {.act = FAKE_OK};
    pthread_mutex_lock(&server->lock);
    fake_insert *seen = &server->inserts[server->insert_count % FAKE_SEEN];
    memset(seen, 0, sizeof *seen);
    copy_until(seen->target, sizeof seen->target, strchr(c->head, ' ') + 1, " ");
    const char *token = strstr(seen->target, "insert_deduplication_token=");
    copy_until(seen->token, sizeof seen->token, token ? strchr(token, '=') + 1 : NULL, "& ");
    copy_until(seen->user, sizeof seen->user, header_of(c, "X-ClickHouse-User"), "\r");
    copy_until(seen->key, sizeof seen->key, header_of(c, "X-ClickHouse-Key"), "\r");
    const char *encoding = header_of(c, "Content-Encoding");
    seen->zstd = encoding && strncmp(encoding, "zstd", 4) == 0;
    seen->body_hash = XXH3_64bits(c->body, c->body_size);
    seen->body_size = c->body_size;
    server->insert_count++;
    for (unsigned i = 0; i < server->step_count; i++) {
        const fake_step *at = &server->steps[i];
        char name[160];
        snprintf(name, sizeof name, "%%60%s%%60", at->table ? at->table : "");
        if (server->used[i] || (at->table && !strstr(seen->target, name)))
            continue;
        step = *at;
        server->used[i] = true;
        break;
    }
    pthread_mutex_unlock(&server->lock);
    return step;
}

static const char *take_count(fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned left = server->counted++;
    unsigned at = 0;
    while (at + 1 < server->count_count && left >= server->counts[at].times)
        left -= server->counts[at++].times;
    const char *body = server->count_count ? server->counts[at].body : "0\t0\n";
    pthread_mutex_unlock(&server->lock);
    return body;
}

static void drip(const connection *c)
{
    send_all(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 47);
    while (!atomic_load(&c->server->stopping)) {
        if (send(c->fd, "1\r\nx\r\n", 6, MSG_NOSIGNAL) <= 0)
            return;
        usleep(50 * 1000);
    }
}

static bool held(connection *c)
{
    unsigned passes = 0;
    while (passes == 0 && !atomic_load(&c->server->stopping)) {
        passes = atomic_load(&c->server->passes);
        if (passes > 0 && !atomic_compare_exchange_strong(&c->server->passes, &passes, passes - 1))
            passes = 0;
        if (passes == 0)
            usleep(POLL_MS * 1000);
    }
    const bool answers = passes > 0 && !atomic_load(&c->server->away);
    if (answers)
        reply(c, 200, NULL, "");
    return answers;
}

/* Answers one request. False: the connection is over. */
static bool answer(connection *c)
{
    const struct linger hard = {1, 0};
    if (atomic_load(&c->server->away)) {
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        return false;
    }
    if (!strstr(c->head, "&query=INSERT")) {
        char body[2048] = "";
        if (strstr(c->body, "version()")) {
            const char *all = "insert_deduplication_token\nasync_insert\ninsert_deduplicate\n";
            snprintf(body, sizeof body, "%s%s\n", c->server->settings ? c->server->settings : all,
                     c->server->version);
        } else if (strstr(c->body, "merge_tree_settings")) {
            snprintf(body, sizeof body, "0\n");
        } else if (strncmp(c->body, "SELECT count(), ", 16) == 0) {
            /* By its user's profile a count ends early, with what it has until then. */
            snprintf(body, sizeof body, "%s",
                     strstr(c->head, "read_overflow_mode=throw") ? take_count(c->server) : "0\t0\n");
        } else if (strstr(c->body, "system.replicas")) {
            snprintf(body, sizeof body, "1\t%lu\n", atomic_load(&c->server->group));
        } else {
            snprintf(body, sizeof body, "1\t%s\n",
                     atomic_load(&c->server->group) ? "ReplicatedMergeTree\t" : "MergeTree\t10000");
        }
        reply(c, 200, NULL, body);
        return true;
    }
    const fake_step step = take_insert(c);
    switch (step.act) {
    case FAKE_OK:
        reply(c, 200, NULL, "");
        return true;
    case FAKE_REPLY:
        reply(c, step.status, step.headers, step.body ? step.body : "");
        return true;
    case FAKE_KILLED:
        atomic_store(&c->server->away, true);
        atomic_store(&c->server->deaf, true);
        while (atomic_load(&c->server->listening) && !atomic_load(&c->server->stopping))
            usleep(1000);
        return false;
    case FAKE_DIES:
        atomic_store(&c->server->away, true);
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        return false;
    case FAKE_RESET:
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        return false;
    case FAKE_HELD:
        return held(c);
    case FAKE_SILENT:
        while (!atomic_load(&c->server->stopping))
            usleep(POLL_MS * 1000);
        return false;
    default:
        drip(c);
        return false;
    }
}

static void *connection_main(void *arg)
{
    connection *c = arg;
    c->head = malloc(HEAD_MAX);
    bool more = true;
    while (more && read_request(c)) {
        more = answer(c);
        free(c->body);
        c->body = NULL;
    }
    free(c->body);
    free(c->head);
    close(c->fd);
    atomic_store(c->ended, true);
    free(c);
    return NULL;
}

/* Of a connection that has ended, or a new one; CONNECTIONS: all are in use. A server that is away is asked thousands of times. */
static unsigned place_find(fake_server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (!atomic_load(&server->workers[i].ended))
            continue;
        pthread_join(server->workers[i].thread, NULL);
        return i;
    }
    return server->worker_count < CONNECTIONS ? server->worker_count++ : CONNECTIONS;
}

static void listen_begin(fake_server *server)
{
    socklen_t size = sizeof server->address;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0 ||
        setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(server->listener, (struct sockaddr *)&server->address, size) < 0 ||
        listen(server->listener, 16) < 0 ||
        getsockname(server->listener, (struct sockaddr *)&server->address, &size) < 0) {
        perror("fake server");
        abort();
    }
    atomic_store(&server->listening, true);
}

/* Stops to listen, or begins again, as it is told. False: nobody listens. */
static bool listens(fake_server *server)
{
    const bool deaf = atomic_load(&server->deaf);
    if (deaf && atomic_load(&server->listening)) {
        close(server->listener);
        atomic_store(&server->listening, false);
    } else if (!deaf && !atomic_load(&server->listening)) {
        listen_begin(server);
    }
    if (deaf)
        usleep(POLL_MS * 1000);
    return !deaf;
}

static void *acceptor_main(void *arg)
{
    fake_server *server = arg;
    while (!atomic_load(&server->stopping)) {
        if (!listens(server))
            continue;
        struct pollfd p = {.fd = server->listener, .events = POLLIN};
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        const int fd = accept(server->listener, NULL, NULL);
        const unsigned at = fd < 0 ? CONNECTIONS : place_find(server);
        if (at == CONNECTIONS) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1},
                   sizeof(int)); /* an answer is more than one write */
        connection *c = calloc(1, sizeof *c);
        c->server = server;
        c->fd = fd;
        c->ended = &server->workers[at].ended;
        atomic_store(c->ended, false);
        pthread_create(&server->workers[at].thread, NULL, connection_main, c);
    }
    return NULL;
}

fake_server *fake_server_start(const fake_step *steps, unsigned count, const char *version,
                               const char *settings)
{
    fake_server *server = calloc(1, sizeof *server);
    server->steps = steps;
    server->step_count = count;
    server->settings = settings;
    snprintf(server->version, sizeof server->version, "%s", version);
    pthread_mutex_init(&server->lock, NULL);
    server->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listen_begin(server);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d", ntohs(server->address.sin_port));
    pthread_create(&server->acceptor, NULL, acceptor_main, server);
    return server;
}

void fake_server_set_away(fake_server *server, bool away)
{
    atomic_store(&server->away, away);
    if (!away)
        atomic_store(&server->deaf, false);
}

void fake_server_let_go(fake_server *server)
{
    atomic_fetch_add(&server->passes, 1);
}

void fake_server_set_group(fake_server *server, unsigned long group)
{
    atomic_store(&server->group, group);
}

const char *fake_server_url(const fake_server *server)
{
    return server->url;
}

unsigned fake_server_inserts(fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    const unsigned count = server->insert_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

fake_insert fake_server_insert(fake_server *server, unsigned index)
{
    pthread_mutex_lock(&server->lock);
    const fake_insert seen = server->inserts[index % FAKE_SEEN];
    pthread_mutex_unlock(&server->lock);
    return seen;
}

void fake_server_set_counts(fake_server *server, const fake_count *counts, unsigned count)
{
    server->counts = counts;
    server->count_count = count;
}

unsigned fake_server_counted(fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    const unsigned counted = server->counted;
    pthread_mutex_unlock(&server->lock);
    return counted;
}

void fake_server_stop(fake_server *server)
{
    atomic_store(&server->stopping, true);
    pthread_join(server->acceptor, NULL);
    for (unsigned i = 0; i < server->worker_count; i++)
        pthread_join(server->workers[i].thread, NULL);
    if (atomic_load(&server->listening))
        close(server->listener);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
