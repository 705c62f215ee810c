/* The part of a delivery that settles what is in doubt: a send that may have been stored though no answer says so, and a batch that a
 * predecessor had announced. A token alone does not settle it, for two reasons. A plain MergeTree notes a token before it stores the
 * part (MergeTreeSink.cpp: deduplication log first, then the rename), so that a server killed in between drops the retry of
 * rows that it does not have; and a table that has changed since may refuse the retry of rows that it does have. So of tables with
 * provenance columns the rows are counted (doubt.h), by one small SELECT:
 *
 *     before     before what is in doubt is sent again, and before a piece of such a batch is sent at all
 *     after      when the same bytes under the same token were acknowledged
 *     refused    when they were refused for what they hold: twice the same count, SETTLE_MS apart
 *     view       when they were refused though nothing was in doubt, and the table has materialized views: what a view refuses is in
 *                the table already. Whether it has any the server is asked anew, once for a batch
 *
 *                 all are there     none is                                  some are
 *     before      settled           sent, same token                         sent, same token; a new piece is halved
 *     after       settled           sent, fresh token "…/again-1", -2, -3;   on in pieces
 *                                   then quarantined
 *     refused     settled           sent once more, and the answer counts    on in pieces
 *     view        settled           refused, as if nobody had asked           on in pieces
 *
 * When a count is final. "All" always is: what is found is stored. After an acknowledgement so are the others, of a plain MergeTree: an
 * earlier request under the token that is still running has, for each partition, either stored its part before the retry
 * looked, or finds the retry's token (the log is asked and the part made visible under one lock), so nothing can appear any
 * more. After a refusal nothing says so; two equal counts stand for it, and a request that lies longer than that in the server is missed.
 * Of Replicated tables token and part are one transaction (ClickHouse's documentation; not tested here), and another replica may not
 * have the part yet: they are counted before and when refused, but an acknowledgement is believed.
 *
 * Fresh tokens stand in no intent, and need not: they follow from the batch's own in a fixed order, and each is tried only after the
 * one before it was acknowledged and the rows were not there. A successor walks the same way and meets the same tokens.
 *
 * A count that is not answered is asked again, with backoff. A server that answers but does not count (no right to SELECT,
 * too slow) is asked TRIES_MOST times at most; then the token alone decides, as for tables without provenance columns. */
#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "flush/backoff.h"
#include "flush/delivery_private.h"

enum {
    SETTLE_MS = 1000,
    FRESH_MOST = 3,     /* rows that vanish each time are taken away by somebody: by TTL, or DELETE */
    TRIES_MOST = 20,    /* time-outs in a row, before the server is taken for one that cannot count */
    TRIES_ERROR = 4,    /* an error that will not pass by itself weighs as many */
    UNKNOWN_TABLE = 60, /* ClickHouse's codes */
    UNKNOWN_DATABASE = 81,
    URL_ROOM = 1200 /* as much as the probes' */
};

int cp_delivery_doubt_create_(cp_delivery *delivery)
{
    const cp_sink_config *config = delivery->env->config;
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    /* Rows out of the quarantine are no stretch of a ring. */
    doubt->countable = cp_doubt_countable(delivery->table) && !config->retrying;
    if (!doubt->countable)
        return CP_OK;
    doubt->sql_room = cp_doubt_sql_room(delivery->table, config->database);
    doubt->sql = malloc(doubt->sql_room);
    doubt->refusal_body = malloc(CP_HTTP_REPLY_BYTES + 1);
    return doubt->sql && doubt->refusal_body ? CP_OK : CP_E_NOMEM;
}

void cp_delivery_doubt_begin_(cp_delivery *delivery, bool batch)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    doubt->why = CP_DOUBT_NONE_;
    doubt->open = doubt->refused = doubt->cleared = doubt->looked = doubt->listing = false;
    doubt->fresh = doubt->tries = doubt->failures = 0;
    if (batch)
        doubt->pieces = doubt->given_up = false;
}

void cp_delivery_doubt_open_(cp_delivery *delivery)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    doubt->open = doubt->pieces = doubt->countable;
    doubt->refused = doubt->cleared = false;
}

static cp_counting counting(const cp_delivery *delivery)
{
    if (!delivery->doubt.countable || delivery->doubt.given_up)
        return CP_COUNTING_NOT;
    return cp_abilities_counting(delivery->at->abilities, delivery->index);
}

void cp_delivery_doubt_spans_(cp_delivery *delivery, cp_chunk *const *chunks, uint32_t count)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    doubt->span_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const cp_chunk *chunk = chunks[i];
        if (chunk->row_count == 0)
            continue;
        cp_span *span = NULL;
        for (uint32_t at = 0; at < doubt->span_count && !span; at++) {
            if (doubt->spans[at].slot == chunk->slot && doubt->spans[at].epoch == chunk->epoch)
                span = &doubt->spans[at];
        }
        if (!span) {
            assert(doubt->span_count < CP_MAX_TABLE_SLOTS); /* no more than the batch has */
            span = &doubt->spans[doubt->span_count++];
            *span = (cp_span){.slot = chunk->slot, .epoch = chunk->epoch};
            span->begin = cp_chunk_row_position(chunk, 0);
        }
        span->end = cp_chunk_row_position(chunk, chunk->row_count - 1) + 1;
    }
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

static void count_later(cp_delivery *delivery, uint64_t at_ns)
{
    delivery->state = CP_DELIVERY_FROZEN;
    delivery->retry_at = at_ns;
}

static void count_start(cp_delivery *delivery, cp_doubt_why_ why, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    const cp_batch *batch = &delivery->batch;
    const bool whole = !cp_pieces_in_use(&delivery->pieces);
    char url[URL_ROOM];
    doubt->why = why;
    delivery->state = CP_DELIVERY_COUNTING;
    delivery->sent_at = now_ns;
    const int length = snprintf(url, sizeof url, "%s/?wait_end_of_query=1%s", delivery->at->base,
                                cp_abilities_count_settings(delivery->at->abilities));
    const bool made =
        length > 0 && (size_t)length < sizeof url &&
        cp_doubt_sql(doubt->sql, doubt->sql_room, delivery->table, delivery->env->config->database,
                     whole ? batch->spans : doubt->spans, whole ? batch->span_count : doubt->span_count);
    if (made && cp_http_start(delivery->exchange, url, doubt->sql, strlen(doubt->sql), false) == CP_OK)
        return;
    const cp_http_reply reply = {
        .net = (int)CURLE_OUT_OF_MEMORY, .body = "", .net_text = "libcurl took no request"};
    cp_delivery_doubt_reply_(delivery, &reply, now_ns);
}

/* What is under way may be sent: under which token, the doubt says. */
static void send_now(cp_delivery *delivery)
{
    delivery->doubt.why = CP_DOUBT_NONE_;
    delivery->doubt.cleared = true;
    count_later(delivery, 0);
}

/* The engine says what a count is worth; of a table that was missing when the server was asked for its tables it is not known. An
 * answer to an insert says that it is there: the server is asked once more before the answer is believed. */
static bool engine_unknown(const cp_delivery *delivery)
{
    return counting(delivery) == CP_COUNTING_UNKNOWN;
}

static bool engine_ask(cp_delivery *delivery, cp_doubt_why_ why, uint64_t now_ns)
{
    delivery->doubt.why = why;
    delivery->doubt.asked = delivery->at;
    delivery->doubt.lists = cp_abilities_lists(delivery->at->abilities);
    cp_abilities_refresh(delivery->at->abilities);
    count_later(delivery, now_ns + CP_DELIVERY_ASK_AGAIN_MS * (uint64_t)CP_NS_PER_MS);
    return true;
}

/* As the server has said last. */
static bool has_views(const cp_delivery *delivery)
{
    return cp_abilities_has_views(delivery->at->abilities, delivery->index);
}

/* None of the rows is there: the refusal that was kept is taken as it came. */
static void refusal_believe(cp_delivery *delivery, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    doubt->why = CP_DOUBT_NONE_;
    doubt->refused = true;
    delivery->tied = doubt->was_tied;
    delivery->state = CP_DELIVERY_SENDING;
    cp_delivery_reply(delivery, &doubt->refusal, now_ns);
}

/* The server was asked for its tables: now it is known what a count is worth, or is not going to be. */
static void engine_asked(cp_delivery *delivery, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    const cp_counting worth = counting(delivery);
    const bool answered =
        doubt->asked == delivery->at && doubt->lists != cp_abilities_lists(delivery->at->abilities);
    doubt->listing &= !answered;
    if (doubt->listing || (worth == CP_COUNTING_UNKNOWN && !answered)) {
        (void)engine_ask(delivery, doubt->why, now_ns);
    } else if (doubt->why == CP_DOUBT_AFTER_ && worth != CP_COUNTING_FINAL) {
        doubt->why = CP_DOUBT_NONE_;
        cp_delivery_taken_(delivery, now_ns);
    } else if (doubt->why == CP_DOUBT_VIEW_ && (worth <= CP_COUNTING_NOT || !has_views(delivery))) {
        refusal_believe(delivery, now_ns);
    } else if (worth <= CP_COUNTING_NOT) {
        doubt->refused |= doubt->why == CP_DOUBT_REFUSED_;
        send_now(delivery);
    } else {
        count_start(delivery, doubt->why, now_ns);
    }
}

bool cp_delivery_doubt_before_(cp_delivery *delivery, uint64_t now_ns)
{
    const cp_delivery_doubt_ *doubt = &delivery->doubt;
    if (doubt->why != CP_DOUBT_NONE_)
        engine_asked(delivery, now_ns);
    else if (!doubt->cleared && (doubt->open || (doubt->pieces && cp_pieces_in_use(&delivery->pieces))) &&
             counting(delivery) > CP_COUNTING_NOT)
        count_start(delivery, CP_DOUBT_BEFORE_, now_ns);
    else
        return false;
    return true;
}

bool cp_delivery_doubt_after_(cp_delivery *delivery, uint64_t now_ns)
{
    if (!delivery->doubt.open)
        return false;
    if (engine_unknown(delivery))
        return engine_ask(delivery, CP_DOUBT_AFTER_, now_ns);
    if (counting(delivery) != CP_COUNTING_FINAL)
        return false;
    count_start(delivery, CP_DOUBT_AFTER_, now_ns);
    return true;
}

/* A refusal, with nothing in doubt before it. True: a view may have refused, and it is kept until that is known. */
static bool view_ask(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    const bool whole = !cp_pieces_in_use(&delivery->pieces);
    if (!whole && !has_views(delivery))
        return false;
    doubt->refusal = *reply;
    doubt->refusal.net_text = "";
    doubt->refusal.body = doubt->refusal_body;
    snprintf(doubt->refusal_body, CP_HTTP_REPLY_BYTES + 1, "%s", reply->body);
    doubt->was_tied = delivery->tied;
    delivery->tied = true;
    doubt->listing = whole;
    if (whole)
        return engine_ask(delivery, CP_DOUBT_VIEW_, now_ns);
    count_start(delivery, CP_DOUBT_VIEW_, now_ns);
    return true;
}

bool cp_delivery_doubt_refused_(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    if (doubt->refused || counting(delivery) == CP_COUNTING_NOT)
        return false;
    if (!doubt->open)
        return view_ask(delivery, reply, now_ns);
    doubt->looked = false;
    if (engine_unknown(delivery))
        return engine_ask(delivery, CP_DOUBT_REFUSED_, now_ns);
    count_start(delivery, CP_DOUBT_REFUSED_, now_ns);
    return true;
}

/* ---- the answer ----------------------------------------------------------------------------------------------- */

static uint32_t rows_in_doubt(const cp_delivery *delivery)
{
    return cp_pieces_in_use(&delivery->pieces) ? delivery->pieces.count : delivery->batch.rows;
}

static void mixed(cp_delivery *delivery, uint64_t now_ns)
{
    cp_delivery_pieces_start_(delivery);
    delivery->doubt.pieces = true;
    delivery->sends += delivery->sends == 0; /* said at the end that it went in pieces */
    (void)cp_pieces_mixed(&delivery->pieces);
    cp_delivery_next_(delivery, now_ns, 0);
}

/* Acknowledged, and not there. */
static void missing_again(cp_delivery *delivery)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    char token[CP_TOKEN_MAX];
    cp_delivery_token_(delivery, token);
    const bool gives_up = ++doubt->fresh > FRESH_MOST;
    cp_log(gives_up ? CP_LOG_ERROR : CP_LOG_WARN,
           gives_up ? "acknowledged under every token, and yet ClickHouse holds none of the rows: they go to "
                      "the quarantine"
                    : "acknowledged as a repetition, but ClickHouse holds none of the rows: sent again under "
                      "a fresh token",
           "table=%s rows=%u token=%s remedy=\"%s\"", delivery->table->name, rows_in_doubt(delivery), token,
           gives_up ? "find what takes them away (DELETE, a row policy); coldpath quarantine retry"
                    : "coldpath audit");
    if (!gives_up) {
        send_now(delivery);
        return;
    }
    doubt->why = CP_DOUBT_NONE_;
    cp_delivery_pieces_start_(delivery);
    cp_pieces_one(&delivery->pieces);
    delivery->sends += delivery->sends == 0; /* said at the end that it went in pieces */
    delivery->late = "acknowledged under every token, and yet ClickHouse holds none of them";
    delivery->prepared = false; /* the piece stands in the intent before its rows are in the quarantine */
    count_later(delivery, 0);
}

static void counted_refused(cp_delivery *delivery, uint64_t distinct, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    if (!doubt->looked || doubt->last != distinct) {
        doubt->looked = true;
        doubt->last = distinct;
        count_later(delivery, now_ns + SETTLE_MS * (uint64_t)CP_NS_PER_MS);
    } else if (distinct > 0) {
        mixed(delivery, now_ns);
    } else {
        doubt->refused = true;
        send_now(delivery);
    }
}

static void view_refused(const cp_delivery *delivery)
{
    char text[CP_DELIVERY_TEXT];
    char quoted[CP_DELIVERY_TEXT + 100];
    cp_http_reply_text(&delivery->doubt.refusal, text, sizeof text);
    cp_log(CP_LOG_WARN, "ClickHouse refused rows and holds them: a materialized view does not take them",
           "table=%s rows=%u code=%d error=%s consequence=\"the view lacks them\"", delivery->table->name,
           rows_in_doubt(delivery), delivery->doubt.refusal.exception_code,
           cp_log_quote(quoted, sizeof quoted, text));
}

static void counted(cp_delivery *delivery, const cp_doubt_count *count, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    const uint32_t rows = rows_in_doubt(delivery);
    const bool fresh_piece = !doubt->open;
    doubt->tries = doubt->failures = 0;
    if (count->held > count->distinct)
        cp_log(CP_LOG_ERROR, "ClickHouse holds rows of a batch in doubt more than once",
               "table=%s rows=%u held=%lu distinct=%lu remedy=\"coldpath audit names them\"",
               delivery->table->name, rows, (unsigned long)count->held, (unsigned long)count->distinct);
    if (count->distinct >= rows) {
        if (doubt->why == CP_DOUBT_VIEW_)
            view_refused(delivery);
        if (doubt->why != CP_DOUBT_AFTER_)
            cp_delivery_found_(delivery, now_ns);
        cp_delivery_taken_(delivery, now_ns);
    } else if (doubt->why == CP_DOUBT_VIEW_ && count->distinct == 0) {
        refusal_believe(delivery, now_ns);
    } else if (doubt->why == CP_DOUBT_REFUSED_) {
        counted_refused(delivery, count->distinct, now_ns);
    } else if (doubt->why == CP_DOUBT_AFTER_ && count->distinct == 0) {
        missing_again(delivery);
    } else if (doubt->why == CP_DOUBT_AFTER_ || (fresh_piece && count->distinct > 0)) {
        cp_log(CP_LOG_WARN,
               "ClickHouse holds some rows of a batch in doubt: the others are looked for in pieces",
               "table=%s rows=%u held=%lu consequence=\"more, smaller inserts\"", delivery->table->name, rows,
               (unsigned long)count->distinct);
        mixed(delivery, now_ns);
    } else {
        send_now(delivery);
    }
}

/* Nobody counts: the answer to the send, or the next one, is believed. */
static void count_give_up(cp_delivery *delivery, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    const bool acknowledged = doubt->why == CP_DOUBT_AFTER_;
    doubt->given_up = true;
    doubt->tries = 0;
    send_now(delivery);
    if (acknowledged)
        cp_delivery_taken_(delivery, now_ns);
}

/* A server that cannot be reached, is too busy, or does not have the table just now (detached, renamed, being loaded) says nothing
 * about whether it counts. */
static uint32_t tries_of(const cp_http_reply *reply, cp_error_class class)
{
    if (reply->net != CURLE_OK)
        return reply->net == CURLE_OPERATION_TIMEDOUT;
    const bool passes = class == CP_CLASS_TRANSIENT || class == CP_CLASS_THROTTLE ||
                        class == CP_CLASS_IN_DOUBT || class == CP_CLASS_PARK_ENDPOINT ||
                        class == CP_CLASS_UNKNOWN || reply->exception_code == UNKNOWN_TABLE ||
                        reply->exception_code == UNKNOWN_DATABASE;
    return passes ? 0 : TRIES_ERROR;
}

void cp_delivery_doubt_reply_(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns)
{
    cp_delivery_doubt_ *doubt = &delivery->doubt;
    cp_doubt_count count;
    assert(delivery->state == CP_DELIVERY_COUNTING);
    if (reply->net == CURLE_OK && reply->status == 200 && !reply->exception_header &&
        reply->exception_code == 0 && reply->whole && !reply->cut && cp_doubt_read(reply->body, &count)) {
        counted(delivery, &count, now_ns);
        return;
    }
    char text[CP_DELIVERY_TEXT];
    char quoted[CP_DELIVERY_TEXT + 100];
    cp_http_reply_text(reply, text, sizeof text);
    const cp_error_class class = cp_error_classify(reply);
    doubt->failures++;
    doubt->tries += tries_of(reply, class);
    const bool gives_up = doubt->tries >= TRIES_MOST;
    const uint64_t wait =
        gives_up ? 0 : cp_backoff_ns(delivery->env->config, doubt->failures, class == CP_CLASS_PARK_ENDPOINT);
    cp_log(gives_up ? CP_LOG_ERROR : CP_LOG_WARN,
           gives_up ? "the rows of a batch in doubt cannot be counted: its token alone decides"
                    : "the rows of a batch in doubt could not be counted, asked again",
           "table=%s rows=%u code=%d retry_in_ms=%lu error=%s", delivery->table->name,
           rows_in_doubt(delivery), reply->exception_code, (unsigned long)(wait / CP_NS_PER_MS),
           cp_log_quote(quoted, sizeof quoted, text));
    cp_delivery_server_doubt_(delivery, reply, class);
    if (gives_up)
        count_give_up(delivery, now_ns);
    else
        count_later(delivery, now_ns + wait);
}
