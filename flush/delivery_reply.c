/* The part of a delivery that makes something of ClickHouse's answers: sent again, in smaller pieces, settled, quarantined or
 * parked; and says so. */
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "flush/backoff.h"
#include "flush/delivery_private.h"

enum {
    UNKNOWN_TRIES = 8,  /* of an error that nobody knows, before the table is parked */
    MALFORMED_TRIES = 2 /* of a block that the server cannot read, before its rows are looked for */
};

/* How an attempt ended. */
typedef struct attempt_end {
    const cp_http_reply *reply;
    cp_error_class class;
    uint32_t rows; /* sent */
    bool parks;
    uint64_t retry_in_ns; /* 0: it ended well, or goes on in smaller pieces */
    const char *trouble;  /* ours, not the server's; or NULL */
} attempt_end;

static uint32_t rows_under_way(const cp_delivery *delivery)
{
    return cp_pieces_in_use(&delivery->pieces) ? delivery->pieces.count : delivery->batch.rows;
}

static void attempt_log(const cp_delivery *delivery, const attempt_end *end, const char *text)
{
    char quoted[CP_DELIVERY_TEXT + 100];
    char remedy[CP_ERROR_REMEDY_TEXT];
    if (end->class == CP_CLASS_OK) {
        if (delivery->attempts > 1)
            cp_log(CP_LOG_INFO, "insert succeeded again", "table=%s rows=%u attempt=%u",
                   delivery->table->name, end->rows, delivery->attempts);
        return;
    }
    if (end->retry_in_ns == 0 && delivery->sends > 1)
        return; /* one line a batch; what comes of it is said at its end */
    cp_log(end->parks ? CP_LOG_ERROR : CP_LOG_WARN,
           end->retry_in_ns ? "insert failed, will be sent again" : "insert refused, goes on in pieces",
           "table=%s rows=%u attempt=%u class=%s code=%d retry_in_ms=%lu error=%s%s", delivery->table->name,
           end->rows, delivery->attempts, cp_error_class_name(end->class), end->reply->exception_code,
           (unsigned long)(end->retry_in_ns / CP_NS_PER_MS), cp_log_quote(quoted, sizeof quoted, text),
           cp_error_remedy_field(remedy, sizeof remedy, end->reply));
}

/* Tells owner and log how an attempt ended. */
static void attempt_show(cp_delivery *delivery, const attempt_end *end, uint64_t now_ns)
{
    char text[CP_DELIVERY_TEXT] = "";
    const cp_http_reply *reply = end->reply;
    const cp_error_class class = end->class;
    if (end->trouble)
        snprintf(text, sizeof text, "%s", end->trouble);
    else if (class != CP_CLASS_OK)
        cp_http_reply_text(reply, text, sizeof text);
    attempt_log(delivery, end, text);
    const bool answered = reply->net == 0 && (reply->exception_code != 0 || class != CP_CLASS_IN_DOUBT);
    const cp_attempt attempt = {
        .result = class == CP_CLASS_OK ? CP_ATTEMPT_OK
                  : answered           ? CP_ATTEMPT_SERVER
                                       : CP_ATTEMPT_NET,
        .server_code = reply->exception_code,
        .number = delivery->attempts,
        .rows = end->rows,
        .body_bytes = delivery->batch.body_size,
        .duration_ns = now_ns - delivery->sent_at,
        .retry_in_ns = end->retry_in_ns,
        .parked = end->parks,
        .text = text,
        .remedy = end->trouble ? "" : cp_error_remedy(reply->exception_code),
    };
    delivery->parked = end->parks;
    const cp_flush_events *events = delivery->env->events;
    events->attempt(events->ctx, delivery->index, &attempt);
}

void cp_delivery_server_doubt_(cp_delivery *delivery, const cp_http_reply *reply, cp_error_class class)
{
    delivery->unreached = reply->net != 0;
    if (class == CP_CLASS_PARK_ENDPOINT || (delivery->unreached && class == CP_CLASS_TRANSIENT))
        cp_abilities_suspect(delivery->at->abilities);
    else if (reply->net != 0 || class == CP_CLASS_PARK_TABLE || class == CP_CLASS_MALFORMED)
        cp_abilities_refresh(delivery->at->abilities);
}

/* The same again later. */
static void send_later(cp_delivery *delivery, const cp_http_reply *reply, cp_error_class class,
                       const char *trouble, uint64_t now_ns)
{
    const bool parks =
        cp_error_class_parks(class) || (class == CP_CLASS_UNKNOWN && delivery->attempts >= UNKNOWN_TRIES);
    const uint32_t step = class == CP_CLASS_THROTTLE ? UINT32_MAX : delivery->attempts;
    const uint64_t wait = cp_backoff_ns(delivery->env->config, step, parks);
    delivery->state = CP_DELIVERY_FROZEN;
    delivery->retry_at = now_ns + wait;
    const attempt_end end = {reply, class, rows_under_way(delivery), parks, wait, trouble};
    attempt_show(delivery, &end, now_ns);
    cp_delivery_server_doubt_(delivery, reply, class);
}

void cp_delivery_next_(cp_delivery *delivery, uint64_t now_ns, uint64_t wait_ns)
{
    if (cp_pieces_done(&delivery->pieces)) {
        cp_delivery_settled_(delivery);
        return;
    }
    cp_delivery_send_begin_(delivery);
    delivery->encoded = false;
    delivery->retry_at = wait_ns ? now_ns + wait_ns : 0;
}

/* Rows were refused for what they hold: they go on in smaller pieces, or to the quarantine. While most rows are refused
 * the table is at fault rather than they, and is left alone for a while after each group. */
static void rows_refused(cp_delivery *delivery, const cp_http_reply *reply, cp_error_class class,
                         uint64_t now_ns)
{
    attempt_end end = {reply, class, rows_under_way(delivery), false, 0, NULL};
    delivery->sends++;
    cp_delivery_pieces_start_(delivery);
    if (cp_pieces_refused(&delivery->pieces, cp_error_row_hint(reply->body))) {
        attempt_show(delivery, &end, now_ns);
        cp_delivery_next_(delivery, now_ns, 0);
        return;
    }
    cp_error err = {0};
    char text[CP_QUARANTINE_MESSAGE];
    cp_http_reply_text(reply, text, sizeof text);
    const int rc = cp_delivery_quarantine_(delivery, reply->exception_code, text, &err);
    if (rc < 0) {
        send_later(delivery, reply, rc == CP_E_BUSY ? CP_CLASS_TRANSIENT : class, err.text, now_ns);
        return;
    }
    end.parks = cp_pieces_mostly_bad(&delivery->pieces);
    delivery->groups = end.parks ? delivery->groups + 1 : 0;
    end.retry_in_ns = end.parks ? cp_backoff_ns(delivery->env->config, delivery->groups, true) : 0;
    attempt_show(delivery, &end, now_ns);
    cp_pieces_quarantined(&delivery->pieces);
    delivery->pause_until = end.retry_in_ns ? now_ns + end.retry_in_ns : 0;
    cp_delivery_next_(delivery, now_ns, end.retry_in_ns);
}

void cp_delivery_settle_late_(cp_delivery *delivery, uint64_t now_ns)
{
    const cp_http_reply reply = {.status = 200, .body = "", .net_text = ""};
    cp_error err = {0};
    delivery->attempts++;
    const int rc =
        delivery->has_quarantine
            ? cp_delivery_quarantine_(delivery, 0, delivery->late, &err)
            : cp_error_set(&err, CP_E_CONFIG, "there is no quarantine for rows %s", delivery->late);
    if (rc < 0) {
        send_later(delivery, &reply, rc == CP_E_BUSY ? CP_CLASS_TRANSIENT : CP_CLASS_PARK_TABLE, err.text,
                   now_ns);
        return;
    }
    delivery->late = NULL;
    delivery->parked = false;
    cp_quarantine_list_free(&delivery->found);
    cp_pieces_quarantined(&delivery->pieces);
    cp_delivery_next_(delivery, now_ns, 0);
}

/* More than one row, which were too much at once. */
static void rows_split(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    const attempt_end end = {reply, CP_CLASS_SPLIT, rows_under_way(delivery), false, 0, NULL};
    delivery->sends++;
    attempt_show(delivery, &end, now_ns);
    cp_delivery_pieces_start_(delivery);
    cp_pieces_too_big(&delivery->pieces);
    cp_delivery_next_(delivery, now_ns, 0);
}

/* Whether compression pays, where both ways are open. */
static void speed_learn(const cp_delivery *delivery, uint64_t now_ns)
{
    const cp_delivery_env *env = delivery->env;
    const cp_batch *batch = &delivery->batch;
    if (env->compressor && delivery->attempts == 1 && cp_abilities_has_zstd(delivery->at->abilities))
        cp_compressor_learn(env->compressor, batch->zstd, batch->plain_size,
                            batch->made_ns + now_ns - delivery->sent_at);
}

static void rows_taken(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    const attempt_end end = {reply, CP_CLASS_OK, rows_under_way(delivery), false, 0, NULL};
    speed_learn(delivery, now_ns);
    attempt_show(delivery, &end, now_ns);
    if (delivery->attempts > 1) /* what was wrong has been mended, perhaps by making the table anew */
        cp_abilities_refresh(delivery->at->abilities);
    if (!cp_delivery_doubt_after_(delivery, now_ns))
        cp_delivery_taken_(delivery, now_ns);
}

void cp_delivery_found_(cp_delivery *delivery, uint64_t now_ns)
{
    const cp_http_reply reply = {.status = 200, .body = "", .net_text = ""};
    const attempt_end end = {&reply, CP_CLASS_OK, rows_under_way(delivery), false, 0, NULL};
    attempt_show(delivery, &end, now_ns);
}

void cp_delivery_taken_(cp_delivery *delivery, uint64_t now_ns)
{
    delivery->sends += cp_pieces_in_use(&delivery->pieces);
    delivery->groups = 0;
    delivery->pause_until = 0;
    cp_pieces_taken(&delivery->pieces);
    cp_delivery_next_(delivery, now_ns, 0);
}

/* Something of the rows may have been stored: no answer came though bytes may have left, or one that says neither yes nor no, or an
 * error that may have come between two partitions. */
static bool leaves_doubt(const cp_http_reply *reply, cp_error_class class)
{
    return class == CP_CLASS_IN_DOUBT ||
           (reply->net == 0 &&
            (class == CP_CLASS_TRANSIENT || class == CP_CLASS_THROTTLE || class == CP_CLASS_UNKNOWN));
}

static void may_be_stored(cp_delivery *delivery)
{
    delivery->tied = true;
    cp_delivery_doubt_open_(delivery);
}

void cp_delivery_reply(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    if (delivery->state == CP_DELIVERY_COUNTING) {
        cp_delivery_doubt_reply_(delivery, reply, now_ns);
        return;
    }
    assert(delivery->state == CP_DELIVERY_SENDING);
    const cp_error_class class = cp_error_classify(reply);
    cp_failpoint(cp_pieces_in_use(&delivery->pieces) ? CP_FP_PIECE_REPLIED : CP_FP_BATCH_REPLIED);
    delivery->malformed += class == CP_CLASS_MALFORMED;
    if (reply->unanswered)
        may_be_stored(delivery);
    if (class == CP_CLASS_OK) {
        rows_taken(delivery, reply, now_ns);
        return;
    }
    const bool refused = delivery->has_quarantine &&
                         (class == CP_CLASS_POISON ||
                          (class == CP_CLASS_MALFORMED &&
                           (cp_pieces_in_use(&delivery->pieces) || delivery->malformed > MALFORMED_TRIES)));
    const bool too_big = class == CP_CLASS_SPLIT && rows_under_way(delivery) > 1;
    if ((refused || too_big) && cp_delivery_doubt_refused_(delivery, reply, now_ns))
        return; /* if they are there already, they need not be taken */
    if (refused) {
        rows_refused(delivery, reply, class, now_ns);
    } else if (too_big) {
        rows_split(delivery, reply, now_ns);
    } else {
        if (leaves_doubt(reply, class))
            may_be_stored(delivery);
        send_later(delivery, reply, class, NULL, now_ns);
    }
}
