#include "monitor/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"
#include "monitor/asset.h"
#include "monitor/metric.h"
#include "monitor/status.h"

enum {
    CONNECTIONS = 256,             /* more than a dozen hosts have to be at it to take them all */
    CONNECTIONS_PER_HOST = 16,     /* so that one cannot take them all; a browser takes 6 */
    CONNECTION_MEMORY = 16 * 1024, /* request line and headers; a larger request is refused by the library */
    IDLE_SECONDS = 10,             /* for a request to arrive, and for an answer to be taken */
    BACKLOG = 64
};

/* The library's server with the certificate and token that it began with: other ones need another. */
typedef struct serving {
    struct cp_monitor *monitor;
    struct MHD_Daemon *daemon;
    cp_access access;
} serving;

struct cp_monitor {
    cp_watch *watch;
    serving *now;
    cp_address bound;
    cp_access_config files; /* names of texts, which are copies */
    char *texts[CP_ACCESS_FILES];
    cp_access_stamp taken; /* of the files when they were last taken, or could not be */
    cp_access_stamp seen;  /* when they were last looked at */
    bool loopback;
    char address[CP_ADDRESS_TEXT];
};

/* What is answered. */
typedef struct reply {
    unsigned status;
    const char *type;
    const void *fixed; /* static bytes; or */
    char *made;        /* allocated ones, the library's to free */
    size_t size;
} reply;

static const char type_text[] = "text/plain; charset=utf-8";
static const char type_metrics[] = "text/plain; version=0.0.4; charset=utf-8";
static const char type_json[] = "application/json";

/* What TLS may be: of the library's secure choice, and of its versions 1.2 and 1.3 alone. */
static const char tls_priorities[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

static reply reply_text(unsigned status, const char *text)
{
    return (reply){.status = status, .type = type_text, .fixed = text, .size = strlen(text)};
}

static reply reply_made(unsigned status, const char *type, char *text)
{
    if (!text)
        return reply_text(MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
    return (reply){.status = status, .type = type, .made = text, .size = strlen(text)};
}

/* ---- the answers ----------------------------------------------------------------------------------------------- */

static reply answer_metrics(cp_monitor *monitor)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return reply_made(MHD_HTTP_OK, type_metrics, NULL);
    cp_metrics_write(cp_watch_take(monitor->watch), out);
    cp_watch_release(monitor->watch);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        text = NULL;
    }
    return reply_made(MHD_HTTP_OK, type_metrics, text);
}

static reply answer_ready(cp_monitor *monitor)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return reply_made(MHD_HTTP_OK, type_text, NULL);
    const cp_watch_view *view = cp_watch_take(monitor->watch);
    const bool ready = view->present && view->health.sound;
    if (ready)
        fputs("ready\n", out);
    else if (!view->present)
        fprintf(out, "not ready\n%s\n", view->absent);
    else
        fputs("not ready\n", out);
    for (uint32_t i = 0; view->present && i < view->health.reason_count; i++)
        fprintf(out, "%s\n", view->health.reasons[i]);
    cp_watch_release(monitor->watch);
    if (fclose(out) != 0) {
        free(text);
        text = NULL;
    }
    return reply_made(ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, type_text, text);
}

static reply answer_status(cp_monitor *monitor)
{
    char *text = cp_status_document(cp_watch_take(monitor->watch));
    cp_watch_release(monitor->watch);
    return reply_made(MHD_HTTP_OK, type_json, text);
}

static reply answer_history(cp_monitor *monitor)
{
    char *text = cp_status_history(monitor->watch, cp_watch_take(monitor->watch));
    cp_watch_release(monitor->watch);
    return reply_made(MHD_HTTP_OK, type_json, text);
}

static reply answer_path(cp_monitor *monitor, const char *path)
{
    static const struct {
        const char *path;
        reply (*answer)(cp_monitor *monitor);
    } routes[] = {{"/metrics", answer_metrics},
                  {"/readyz", answer_ready},
                  {"/api/v1/status", answer_status},
                  {"/api/v1/history", answer_history}};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(path, routes[i].path) == 0)
            return routes[i].answer(monitor);
    }
    if (strcmp(path, "/healthz") == 0)
        return reply_text(MHD_HTTP_OK, "ok\n");
    for (const cp_asset *asset = cp_assets; asset->path; asset++) {
        if (strcmp(path, asset->path) == 0)
            return (reply){
                .status = MHD_HTTP_OK, .type = asset->type, .fixed = asset->bytes, .size = *asset->size};
    }
    return reply_text(MHD_HTTP_NOT_FOUND,
                      "There is /, /metrics, /healthz, /readyz, /api/v1/status and /api/v1/history.\n");
}

/* ---- one request ----------------------------------------------------------------------------------------------- */

static bool host_is_loopback(const char *host)
{
    const char *ends[] = {"localhost", "[::1]"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const size_t len = strlen(ends[i]);
        if (strncasecmp(host, ends[i], len) == 0 && (host[len] == '\0' || host[len] == ':'))
            return true;
    }
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.:") == strlen(host);
}

/* Whether the request carries the token, or needs none. */
static bool request_is_granted(const cp_access *access, struct MHD_Connection *connection, const char *path)
{
    if (!access->token || (access->health_open && strcmp(path, "/healthz") == 0))
        return true;
    const char *authorization = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (cp_access_matches(access, cp_access_bearer(authorization)))
        return true;
    char *password = NULL;
    char *user = MHD_basic_auth_get_username_password(connection, &password);
    const bool granted = user && cp_access_matches(access, password);
    if (password)
        explicit_bzero(password, strlen(password));
    MHD_free(password);
    MHD_free(user);
    return granted;
}

static enum MHD_Result challenge_add(struct MHD_Response *response)
{
    const enum MHD_Result added =
        MHD_add_response_header(response, "WWW-Authenticate",
                                "Basic realm=\"coldpath: the token is the password\", charset=\"UTF-8\"");
    return added == MHD_YES
               ? MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"coldpath\"")
               : added;
}

static enum MHD_Result reply_send(struct MHD_Connection *connection, const reply *now)
{
    static const char *const headers[][2] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    };
    const struct MHD_IoVec fixed = {now->fixed, now->size};
    struct MHD_Response *response =
        now->made ? MHD_create_response_from_buffer(now->size, now->made, MHD_RESPMEM_MUST_FREE)
                  : MHD_create_response_from_iovec(&fixed, 1, NULL, NULL);
    if (!response) {
        free(now->made);
        return MHD_NO;
    }
    enum MHD_Result added = MHD_add_response_header(response, "Content-Type", now->type);
    for (size_t i = 0; added == MHD_YES && i < sizeof headers / sizeof headers[0]; i++)
        added = MHD_add_response_header(response, headers[i][0], headers[i][1]);
    if (added == MHD_YES && now->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        added = MHD_add_response_header(response, "Allow", "GET, HEAD");
    if (added == MHD_YES && now->status == MHD_HTTP_UNAUTHORIZED)
        added = challenge_add(response);
    const enum MHD_Result queued =
        added == MHD_YES ? MHD_queue_response(connection, now->status, response) : MHD_NO;
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    const serving *now_serving = context;
    cp_monitor *monitor = now_serving->monitor;
    static char seen;
    if (!*state) { /* the headers are there; answer when the request is complete */
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* nothing here takes a body */
        *upload_size = 0;
        return MHD_YES;
    }
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    reply now;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        now = reply_text(MHD_HTTP_METHOD_NOT_ALLOWED, "The monitor only shows: GET and HEAD.\n");
    else if (monitor->loopback && host && !host_is_loopback(host))
        now = reply_text(MHD_HTTP_FORBIDDEN,
                         "This server listens on a loopback address: ask for 127.0.0.1, [::1] or "
                         "localhost, or set monitor.listen to the address that others use.\n");
    else if (!request_is_granted(&now_serving->access, connection, path))
        now = reply_text(MHD_HTTP_UNAUTHORIZED,
                         "A token is needed: Authorization: Bearer TOKEN, or as the password of "
                         "any user. It stands in monitor.token_file.\n");
    else
        now = answer_path(monitor, path);
    return reply_send(connection, &now);
}

static void log_library(void *context, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));

static void log_library(void *context, const char *fmt, va_list args)
{
    (void)context;
    char line[512];
    char quoted[CP_LOG_LINE / 2];
    vsnprintf(line, sizeof line, fmt, args);
    cp_log(CP_LOG_DEBUG, "monitor", "detail=%s", cp_log_quote(quoted, sizeof quoted, line));
}

/* ---- starting and stopping ------------------------------------------------------------------------------------- */

static int socket_fail(int fd, const char *listen_on, int why, cp_error *err)
{
    if (fd >= 0)
        close(fd);
    if (why == EADDRINUSE)
        return cp_error_set(
            err, CP_E_BUSY,
            "cannot listen on %s: the port is taken, by another monitor perhaps; choose another "
            "(monitor.listen, or --listen)",
            listen_on);
    return cp_error_errno(err,
                          why == EACCES          ? CP_E_PERM
                          : why == EADDRNOTAVAIL ? CP_E_INVAL
                                                 : CP_E_IO,
                          why, "listen on %s", listen_on);
}

/* A listening socket, and in *address what was bound. */
static int socket_open(cp_address *address, const char *listen_on, cp_error *err)
{
    const int one = 1;
    const int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)&address->socket, address->size) < 0 || listen(fd, BACKLOG) < 0)
        return socket_fail(fd, listen_on, errno, err);
    address->size = sizeof address->socket;
    if (getsockname(fd, (struct sockaddr *)&address->socket, &address->size) < 0)
        return socket_fail(fd, listen_on, errno, err);
    return fd;
}

/* With fd -1 it listens nowhere. */
static struct MHD_Daemon *daemon_start(serving *with, int fd)
{
    const bool tls = with->access.certificate != NULL;
    const unsigned flags =
        fd < 0 ? MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG
               : MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    const struct MHD_OptionItem listening[] = {{MHD_OPTION_LISTEN_SOCKET, fd, NULL},
                                               {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem secured[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, with->access.certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, with->access.key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities},
        {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(
        flags | (tls ? MHD_USE_TLS : 0), 0, NULL, NULL, handle, with, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_ARRAY, fd < 0 ? plain : listening, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_HOST,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_ARRAY, tls ? secured : plain, MHD_OPTION_END);
}

static int daemon_fail(const serving *with, cp_error *err)
{
    if (with->access.certificate && errno == 0)
        return cp_error_set(
            err, CP_E_INVAL,
            "the certificate and the key cannot be used for TLS: both have to be PEM, and belong together");
    return cp_error_errno(err, CP_E_IO, errno, "start the monitor's HTTP server");
}

static void serving_free(serving *with)
{
    if (!with)
        return;
    if (with->daemon)
        MHD_stop_daemon(with->daemon);
    cp_access_free(&with->access);
    free(with);
}

/* What the files hold, read, and tried with a server that listens nowhere. */
static int serving_make(serving **out, const cp_access_config *files, const cp_address *address,
                        cp_error *err)
{
    serving *with = calloc(1, sizeof *with);
    *out = NULL;
    if (!with)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the monitor");
    int rc = cp_access_load(&with->access, files, address, err);
    if (rc == CP_OK && with->access.certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        rc = cp_error_set(err, CP_E_CONFIG,
                          "this build's libmicrohttpd knows no TLS: put a proxy with it in front");
    if (rc == CP_OK && with->access.certificate) {
        errno = 0;
        struct MHD_Daemon *trial = daemon_start(with, -1);
        if (trial)
            MHD_stop_daemon(trial);
        else
            rc = daemon_fail(with, err);
    }
    if (rc < 0) {
        serving_free(with);
        return rc;
    }
    *out = with;
    return CP_OK;
}

/* Takes fd over when it succeeds. */
static int serving_begin(serving *with, cp_monitor *monitor, int fd, cp_error *err)
{
    with->monitor = monitor;
    errno = 0;
    with->daemon = daemon_start(with, fd);
    return with->daemon ? CP_OK : daemon_fail(with, err);
}

static int files_keep(cp_monitor *monitor, const cp_access_config *files, cp_error *err)
{
    const char *const names[CP_ACCESS_FILES] = {files->certificate_file, files->key_file, files->token_file};
    for (size_t i = 0; i < CP_ACCESS_FILES; i++) {
        monitor->texts[i] = names[i] ? strdup(names[i]) : NULL;
        if (names[i] && !monitor->texts[i])
            return cp_error_set(err, CP_E_NOMEM, "no memory for the monitor");
    }
    monitor->files = *files;
    monitor->files.certificate_file = monitor->texts[0];
    monitor->files.key_file = monitor->texts[1];
    monitor->files.token_file = monitor->texts[2];
    return CP_OK;
}

static void monitor_free(cp_monitor *monitor)
{
    serving_free(monitor->now);
    cp_watch_free(monitor->watch);
    for (size_t i = 0; i < CP_ACCESS_FILES; i++)
        free(monitor->texts[i]);
    free(monitor);
}

static int address_parse(const char *listen, cp_address *address, cp_error *err)
{
    if (cp_address_parse(listen, strlen(listen), address))
        return CP_OK;
    return cp_error_set(err, CP_E_INVAL,
                        "'%s' is no address to listen on: write " CP_MONITOR_LISTEN " or [::1]:9464", listen);
}

int cp_monitor_check(const cp_monitor_config *config, cp_error *err)
{
    cp_address address;
    serving *with = NULL;
    int rc = address_parse(config->listen, &address, err);
    if (rc == CP_OK)
        rc = serving_make(&with, &config->access, &address, err);
    serving_free(with);
    return rc;
}

/* Listens, and serves. */
static int monitor_open(cp_monitor *monitor, const cp_monitor_config *config, cp_error *err)
{
    int rc = address_parse(config->listen, &monitor->bound, err);
    if (rc == CP_OK)
        rc = files_keep(monitor, &config->access, err);
    cp_access_stamp_take(&monitor->taken, &config->access); /* before they are read */
    if (rc == CP_OK)
        rc = serving_make(&monitor->now, &config->access, &monitor->bound, err);
    const int fd = rc == CP_OK ? socket_open(&monitor->bound, config->listen, err) : rc;
    if (fd < 0)
        return fd;
    rc = cp_watch_create(&monitor->watch, config->region_dir, err);
    monitor->loopback = cp_address_is_loopback(&monitor->bound);
    cp_address_format(&monitor->bound, monitor->address);
    if (rc == CP_OK)
        rc = serving_begin(monitor->now, monitor, fd, err);
    if (rc < 0)
        close(fd);
    return rc;
}

int cp_monitor_start(cp_monitor **out, const cp_monitor_config *config, cp_error *err)
{
    *out = NULL;
    cp_monitor *monitor = calloc(1, sizeof *monitor);
    if (!monitor)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the monitor");
    const int rc = monitor_open(monitor, config, err);
    if (rc < 0) {
        monitor_free(monitor);
        return rc;
    }
    *out = monitor;
    return CP_OK;
}

/* The socket goes on listening while it passes from one server to the next. */
static int serving_replace(cp_monitor *monitor, serving *next, cp_error *err)
{
    const int fd = MHD_quiesce_daemon(monitor->now->daemon);
    if (fd < 0)
        return cp_error_set(err, CP_E_IO, "the monitor's HTTP server does not give its socket back");
    int rc = serving_begin(next, monitor, fd, err);
    if (rc == CP_OK) {
        serving_free(monitor->now);
        monitor->now = next;
        return CP_OK;
    }
    MHD_stop_daemon(monitor->now->daemon);
    if (serving_begin(monitor->now, monitor, fd, NULL) < 0) {
        close(fd);
        rc = cp_error_set(err, CP_E_IO, "the monitor's HTTP server cannot go on: restart it");
    }
    return rc;
}

int cp_monitor_renew(cp_monitor *monitor, cp_error *err)
{
    cp_access_stamp files;
    serving *next = NULL;
    if (!monitor || !monitor->now->daemon)
        return 0;
    cp_access_stamp_take(&files, &monitor->files);
    if (cp_access_stamp_equal(&files, &monitor->taken))
        return 0;
    if (!cp_access_stamp_equal(&files, &monitor->seen)) { /* the next file may follow in a moment */
        monitor->seen = files;
        return 0;
    }
    monitor->taken = files;
    int rc = serving_make(&next, &monitor->files, &monitor->bound, err);
    if (rc == CP_OK)
        rc = serving_replace(monitor, next, err);
    if (rc < 0) {
        serving_free(next);
        return rc;
    }
    return 1;
}

const char *cp_monitor_scheme(const cp_monitor *monitor)
{
    return monitor->now->access.certificate ? "https" : "http";
}

const char *cp_monitor_address(const cp_monitor *monitor)
{
    return monitor->address;
}

void cp_monitor_stop(cp_monitor *monitor)
{
    if (monitor)
        monitor_free(monitor);
}
