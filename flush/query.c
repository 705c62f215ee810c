#include "flush/query.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "flush/error_class.h"
#include "flush/http.h"
#include "flush/url.h"

enum { URL_ROOM = 2048, BASE_ROOM = 1024, ERROR_KEPT = 4096 };

typedef struct query {
    CURL *easy;
    cp_query_sink *sink;
    void *ctx;
    bool refused; /* by sink */
    bool exception_header;
    int exception_code;
    size_t error_size;
    char error[ERROR_KEPT]; /* beginning of a reply that is not a result */
} query;

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    query *q = ctx;
    const size_t bytes = size * count;
    q->exception_header |= cp_http_exception_code(data, bytes, &q->exception_code);
    return bytes;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    query *q = ctx;
    const size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && !q->exception_header) {
        if (q->sink && q->sink(q->ctx, data, bytes) != 0) {
            q->refused = true;
            return 0;
        }
        return bytes;
    }
    const size_t room = sizeof q->error - 1 - q->error_size;
    const size_t kept = bytes < room ? bytes : room;
    memcpy(q->error + q->error_size, data, kept);
    q->error_size += kept;
    return bytes;
}

static int query_setup(query *q, const cp_sink_config *config, struct curl_slist *headers, const char *url,
                       const char *sql, char *net_text)
{
    if (cp_http_options_(q->easy, config) < 0)
        return CP_E_NOMEM;
    CURLcode rc = CURLE_OK;
    /* On a caller's thread libcurl itself must keep SIGPIPE away. */
    rc |= curl_easy_setopt(q->easy, CURLOPT_NOSIGNAL, 0L);
    rc |= curl_easy_setopt(q->easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, headers);
    rc |= curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(sql));
    rc |= curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, sql);
    rc |= curl_easy_setopt(q->easy, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(q->easy, CURLOPT_WRITEDATA, q);
    rc |= curl_easy_setopt(q->easy, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(q->easy, CURLOPT_HEADERDATA, q);
    rc |= curl_easy_setopt(q->easy, CURLOPT_ERRORBUFFER, net_text);
    rc |= curl_easy_setopt(q->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    rc |= curl_easy_setopt(q->easy, CURLOPT_LOW_SPEED_TIME, (long)(config->request_timeout_ms + 999) / 1000);
    return rc == CURLE_OK ? CP_OK : CP_E_NOMEM;
}

static int net_error(CURLcode net, const char *text, const cp_sink_config *config, cp_error *err)
{
    const cp_http_reply reply = {.net = (int)net};
    return cp_error_set(err, CP_E_NET, "ClickHouse at %s: %s%s", config->url,
                        text[0] ? text : curl_easy_strerror(net), cp_error_remedy_of_reply(&reply));
}

static int server_error(query *q, long status, const cp_sink_config *config, cp_error *err)
{
    q->error[q->error_size] = '\0';
    int code = q->exception_code;
    if (code == 0)
        code = cp_http_exception_in_(q->error);
    const cp_http_reply reply = {
        .status = status, .exception_header = q->exception_header, .exception_code = code, .body = q->error};
    char text[CP_ERROR_TEXT / 2];
    cp_http_reply_text(&reply, text, sizeof text);
    return cp_error_set(err, CP_E_SERVER, "ClickHouse at %s: %s%s", config->url, text,
                        cp_error_remedy_of_reply(&reply));
}

static int query_perform(query *q, const cp_sink_config *config, const char *url, const char *sql,
                         cp_error *err)
{
    char net_text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = cp_http_headers_(config, false);
    q->easy = curl_easy_init();
    int rc = CP_E_NOMEM;
    if (!headers || !q->easy || query_setup(q, config, headers, url, sql, net_text) < 0) {
        cp_error_set(err, CP_E_NOMEM, "no memory for a request, or user or password too long");
    } else {
        const CURLcode net = curl_easy_perform(q->easy);
        long status = 0;
        curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
        if (q->refused)
            rc = cp_error_set(err, CP_E_IO, "the result of the query could not be written");
        else if (net != CURLE_OK)
            rc = net_error(net, net_text, config, err);
        else if (status != 200 || q->exception_header)
            rc = server_error(q, status, config, err);
        else
            rc = CP_OK;
    }
    if (q->easy)
        curl_easy_cleanup(q->easy);
    cp_http_headers_free_(headers);
    return rc;
}

/* settings: further parameters of the URL, "&name=value". */
static int query_send(const cp_sink_config *config, const char *database, const char *settings,
                      const char *sql, cp_query_sink *sink, void *ctx, cp_error *err)
{
    char base[BASE_ROOM];
    char text[URL_ROOM];
    const int rc = cp_http_check_url(config->url, base, sizeof base, err);
    if (rc < 0)
        return rc;
    cp_url url;
    cp_url_begin(&url, text, sizeof text);
    cp_url_add(&url, base);
    cp_url_add(&url, "/?wait_end_of_query=1");
    cp_url_add(&url, settings);
    if (database) {
        cp_url_add(&url, "&database=");
        cp_url_add_encoded(&url, database);
    }
    if (url.overflow)
        return cp_error_set(err, CP_E_INVAL, "database name \"%.100s\" is too long", database);
    query *q = cp_http_global_init_() == CP_OK ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a query");
    q->sink = sink;
    q->ctx = ctx;
    const int result = query_perform(q, config, text, sql, err);
    free(q);
    return result;
}

int cp_query_run(const cp_sink_config *config, const char *database, const char *sql, cp_query_sink *sink,
                 void *ctx, cp_error *err)
{
    return query_send(config, database, "", sql, sink, ctx, err);
}

int cp_query_insert(const cp_sink_config *config, const char *database, const char *sql, cp_error *err)
{
    /* the name that servers since 18 know; now distributed_foreground_insert */
    return query_send(config, database, "&insert_distributed_sync=1", sql, NULL, NULL, err);
}
