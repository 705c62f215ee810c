#include "flush/delivery.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "flush/ahead.h"
#include "flush/backoff.h"
#include "flush/delivery_private.h"
#include "flush/url.h"
#include "ingest/chunk_queue.h"

enum {
    CHUNK_FLOOR = 16 * 1024 * 1024, /* a chunk may be larger than the policy's max_bytes, but not than this */
    STREAMS_ROOM = 64 * 1024, /* per column: first segments, and what is unused at the end of a stream */
    URL_ROOM = 4096 + 3 * CP_TOKEN_MAX, /* server, what abilities add, token */
    TRIM_KEEP = 256 * 1024
};

/* ---- creating ------------------------------------------------------------------------------------------------- */

static uint64_t batch_bytes_max(const cp_batch_policy *policy)
{
    return policy->max_bytes > CHUNK_FLOOR ? policy->max_bytes : CHUNK_FLOOR;
}

/* A block is hardly larger than its rows; twice leaves room for provenance columns of small rows and shared strings.
 * What needs more is cut smaller. */
static uint64_t encoded_bytes_max(const cp_batch_policy *policy)
{
    return 2 * batch_bytes_max(policy);
}

size_t cp_delivery_arena_bytes(const cp_batch_policy *policy, const cp_table *table)
{
    return 2 * encoded_bytes_max(policy) + (size_t)table->column_count * STREAMS_ROOM;
}

size_t cp_delivery_body_bytes(const cp_batch_policy *policy)
{
    return cp_compress_bound(encoded_bytes_max(policy));
}

static int policy_check(const cp_batch_policy *policy, const cp_table *table, cp_error *err)
{
    if (policy->max_rows < 1 || policy->max_rows > CP_MAX_BATCH_ROWS)
        return cp_error_set(err, CP_E_INVAL, "table %s: max_rows %u is not in 1 … %d", table->name,
                            policy->max_rows, CP_MAX_BATCH_ROWS);
    if (policy->max_bytes < 1 || policy->max_bytes > CP_MAX_BATCH_BYTES)
        return cp_error_set(err, CP_E_INVAL, "table %s: max_bytes %lu is not in 1 … %d", table->name,
                            (unsigned long)policy->max_bytes, CP_MAX_BATCH_BYTES);
    return CP_OK;
}

static int url_create(cp_delivery *delivery, cp_error *err)
{
    const size_t name = 3 * (2 * (size_t)CP_MAX_NAME + 4); /* escaped and percent-encoded */
    const size_t capacity = URL_ROOM + name * ((size_t)delivery->table->column_count + 2);
    delivery->url = malloc(capacity);
    if (!delivery->url)
        return cp_error_set(err, CP_E_NOMEM, "table %s: out of memory", delivery->table->name);
    delivery->url_capacity = capacity;
    if (!cp_delivery_url_head_(delivery) || delivery->url_head + URL_ROOM > CP_HTTP_URL_MAX)
        return cp_error_set(err, CP_E_TOO_BIG, "table %s: the names of its columns do not fit a URL",
                            delivery->table->name);
    return CP_OK;
}

/* The stamps hold as long as the delivery: a reload does not change them. */
static int encoder_create(cp_delivery *delivery, cp_error *err)
{
    const cp_sink_config *config = delivery->env->config;
    int rc = cp_native_create(&delivery->native, delivery->table, err);
    if (rc < 0)
        return rc;
    rc = cp_native_stamp(delivery->native, "source", config->stamp_source);
    if (rc == CP_OK)
        rc = cp_native_stamp(delivery->native, "environment", config->stamp_environment);
    return rc == CP_OK ? CP_OK
                       : cp_error_set(err, rc, "table %s: no memory for its encoder", delivery->table->name);
}

int cp_delivery_create(cp_delivery **out, const cp_delivery_env *env, uint32_t index, const cp_table *table,
                       const cp_batch_policy *policy, uint32_t queue_capacity, cp_error *err)
{
    *out = NULL;
    int rc = policy_check(policy, table, err);
    if (rc < 0)
        return rc;
    cp_delivery *delivery = calloc(1, sizeof *delivery);
    if (!delivery)
        return cp_error_set(err, CP_E_NOMEM, "table %s: out of memory", table->name);
    delivery->env = env;
    delivery->at = cp_endpoints_chosen(env->endpoints);
    delivery->index = index;
    delivery->table = table;
    delivery->policy = *policy;
    delivery->encoded_max = encoded_bytes_max(policy);
    const cp_sink_config *config = env->config;
    delivery->has_quarantine = config->quarantine_dir != NULL;
    if (delivery->has_quarantine)
        rc = cp_quarantine_init(&delivery->quarantine, config->quarantine_dir, table->name,
                                config->quarantine_limit, err);
    if (rc < 0) {
        free(delivery);
        return rc;
    }
    delivery->pieces.exhaustive = config->retrying;
    delivery->queue_capacity = queue_capacity;
    delivery->queue = cp_chunk_queue_create(queue_capacity);
    delivery->exchange = cp_http_exchange_create(env->http, CP_HTTP_REPLY_BYTES, delivery);
    if (!delivery->queue || !delivery->exchange || cp_delivery_doubt_create_(delivery) < 0 ||
        cp_batch_init(&delivery->batch, cp_delivery_body_bytes(policy)) < 0)
        rc = cp_error_set(err, CP_E_NOMEM,
                          "table %s: no memory for its queue (capacity %u, a power of two) and batch",
                          table->name, queue_capacity);
    else if ((rc = encoder_create(delivery, err)) == CP_OK)
        rc = url_create(delivery, err);
    if (rc < 0) {
        cp_delivery_free(delivery);
        return rc;
    }
    *out = delivery;
    return CP_OK;
}

void cp_delivery_free(cp_delivery *delivery)
{
    if (!delivery)
        return;
    cp_http_exchange_free(delivery->exchange);
    cp_batch_destroy(&delivery->batch);
    cp_quarantine_list_free(&delivery->found);
    cp_native_free(delivery->native);
    cp_chunk_queue_free(delivery->queue);
    free(delivery->doubt.sql);
    free(delivery->doubt.refusal_body);
    free(delivery->url);
    free(delivery);
}

/* ---- the queue ------------------------------------------------------------------------------------------------ */

bool cp_delivery_submit(cp_delivery *delivery, cp_chunk *chunk)
{
    return cp_chunk_queue_push(delivery->queue, chunk);
}

bool cp_delivery_idle(const cp_delivery *delivery)
{
    /* In this order: a batch is marked busy before its chunks leave the queue. */
    if (cp_chunk_queue_size(delivery->queue) > 0)
        return false;
    return !atomic_load_explicit(&delivery->busy, memory_order_acquire);
}

bool cp_delivery_hopes(const cp_delivery *delivery, uint64_t until_ns)
{
    return cp_delivery_is_sending(delivery) ||
           (delivery->state == CP_DELIVERY_FROZEN && delivery->retry_at < until_ns);
}

/* Counts chunks that have come since. */
static void queue_look(cp_delivery *delivery)
{
    const cp_chunk *chunk;
    while ((chunk = cp_chunk_queue_peek(delivery->queue, delivery->seen)) != NULL) {
        if (delivery->seen++ == 0)
            delivery->queued_oldest = chunk->first_seen_ns;
        delivery->queued_rows += chunk->row_count;
        delivery->queued_bytes += chunk->byte_count;
        delivery->queued_pressing += chunk->pressing;
    }
}

/* Takes count chunks off the queue. */
static void queue_take(cp_delivery *delivery, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const cp_chunk *chunk = cp_chunk_queue_pop(delivery->queue);
        assert(chunk && delivery->seen > 0);
        delivery->seen--;
        delivery->queued_rows -= chunk->row_count;
        delivery->queued_bytes -= chunk->byte_count;
        delivery->queued_pressing -= chunk->pressing;
    }
    delivery->queued_oldest = delivery->seen ? cp_chunk_queue_peek(delivery->queue, 0)->first_seen_ns : 0;
}

/* Takes the oldest chunk off the queue and gives it back. */
static void queue_release_one(cp_delivery *delivery)
{
    cp_chunk *chunk = cp_chunk_queue_peek(delivery->queue, 0);
    cp_ahead_drop(delivery->env->ahead, delivery);
    queue_take(delivery, 1);
    delivery->env->events->release(delivery->env->events->ctx, chunk);
}

/* Likewise all of them. */
static void queue_release(cp_delivery *delivery)
{
    while (delivery->seen > 0)
        queue_release_one(delivery);
}

/* Gives the batch's chunks back, if they are not lent. */
static void chunks_release(cp_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->chunk_count && !delivery->lent; i++)
        delivery->env->events->release(delivery->env->events->ctx, delivery->chunks[i]);
    delivery->chunk_count = 0;
}

/* Drops what the owner would rather lose. */
static void queue_shed(cp_delivery *delivery)
{
    const cp_flush_events *events = delivery->env->events;
    while (events->shed && delivery->seen > 0 &&
           events->shed(events->ctx, delivery->index, cp_chunk_queue_peek(delivery->queue, 0)))
        queue_release_one(delivery);
}

static void progress_show(cp_delivery *delivery)
{
    const cp_delivery_progress_ now = {
        .in_flight = delivery->state == CP_DELIVERY_IDLE ? 0 : delivery->batch.rows,
        .queued = delivery->queued_rows,
        .oldest = delivery->queued_oldest,
    };
    const cp_delivery_progress_ *shown = &delivery->shown;
    if (now.in_flight == shown->in_flight && now.queued == shown->queued && now.oldest == shown->oldest)
        return;
    delivery->shown = now;
    const cp_flush_events *events = delivery->env->events;
    events->progress(events->ctx, delivery->index, now.in_flight, now.queued, now.oldest);
}

/* ---- cutting -------------------------------------------------------------------------------------------------- */

/* When there is a batch: now (at most now_ns), at a time, or UINT64_MAX while there is nothing. */
static uint64_t cut_time(const cp_delivery *delivery, uint64_t now_ns, bool urgent)
{
    if (delivery->has_source)
        return delivery->source.due(delivery->source.ctx, now_ns, urgent);
    if (delivery->seen == 0)
        return UINT64_MAX;
    const cp_batch_policy *policy = &delivery->policy;
    if (urgent || delivery->queued_pressing > 0 || delivery->queued_rows >= policy->rows ||
        delivery->queued_bytes >= policy->bytes || delivery->seen >= delivery->queue_capacity ||
        delivery->seen >= CP_BATCH_CHUNKS)
        return 0;
    return delivery->queued_oldest + policy->interval_ns;
}

static cp_batch_intent batch_describe(const cp_delivery *delivery)
{
    const cp_batch *batch = &delivery->batch;
    const cp_pieces *pieces = &delivery->pieces;
    cp_batch_piece piece = {0};
    if (cp_pieces_in_use(pieces))
        piece = (cp_batch_piece){pieces->first, pieces->count};
    return (cp_batch_intent){.range = batch->range,
                             .piece = piece,
                             .token = batch->token,
                             .endpoint = delivery->at->id,
                             .group = delivery->group,
                             .rows = batch->rows,
                             .span_count = batch->span_count,
                             .spans = batch->spans};
}

/* What there is to say of a batch that went in pieces, when all of it is settled. */
static void pieces_report(const cp_delivery *delivery)
{
    if (delivery->sends == 0)
        return;
    const cp_batch *batch = &delivery->batch;
    cp_log(delivery->quarantined ? CP_LOG_ERROR : CP_LOG_WARN, "batch settled in pieces",
           "table=%s rows=%u delivered=%u quarantined=%u sends=%u%s", delivery->table->name, batch->rows,
           batch->rows - delivery->quarantined, delivery->quarantined, delivery->sends,
           delivery->quarantined ? " remedy=\"coldpath quarantine show; mend; coldpath quarantine retry\""
                                 : "");
}

void cp_delivery_settled_(cp_delivery *delivery)
{
    const cp_flush_events *events = delivery->env->events;
    const cp_batch_intent batch = batch_describe(delivery);
    pieces_report(delivery);
    events->delivered(events->ctx, delivery->index, &batch);
    chunks_release(delivery);
    cp_batch_clear(&delivery->batch);
    delivery->state = CP_DELIVERY_IDLE;
    progress_show(delivery);
    atomic_store_explicit(&delivery->busy, false, memory_order_release);
}

void cp_delivery_send_begin_(cp_delivery *delivery)
{
    delivery->state = CP_DELIVERY_FROZEN;
    delivery->prepared = false;
    delivery->attempts = delivery->malformed = 0;
    delivery->retry_at = 0;
    cp_delivery_doubt_begin_(delivery, !cp_pieces_in_use(&delivery->pieces));
}

void cp_delivery_batch_begin_(cp_delivery *delivery, uint32_t count)
{
    delivery->chunk_count = count;
    for (uint32_t i = 0; i < count; i++)
        delivery->chunk_rows[i] = delivery->chunks[i]->row_count;
    delivery->sends = delivery->quarantined = delivery->base = 0;
    delivery->late = NULL;
    delivery->tied = false;
    cp_pieces_begin(&delivery->pieces, delivery->batch.rows);
    delivery->encoded = true;
    cp_delivery_send_begin_(delivery);
}

/* False when there was nothing to take after all. */
static bool batch_cut(cp_delivery *delivery)
{
    const uint32_t count = cp_delivery_cut_(delivery);
    if (count == 0)
        return false;
    cp_delivery_batch_begin_(delivery, count);
    delivery->lent = delivery->has_source;
    if (!delivery->has_source)
        queue_take(delivery, delivery->chunk_count);
    progress_show(delivery);
    cp_failpoint(CP_FP_BATCH_FROZEN);
    if (delivery->batch.rows == 0)
        cp_delivery_settled_(delivery);
    return true;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

static bool url_finish(cp_delivery *delivery)
{
    const cp_abilities *abilities = delivery->at->abilities;
    cp_url url = {.text = delivery->url, .size = delivery->url_head, .capacity = delivery->url_capacity};
    url.text[url.size] = '\0';
    cp_url_add(&url, cp_abilities_settings(abilities));
    if (cp_abilities_has_token(abilities)) {
        cp_url_add(&url, "&insert_deduplication_token=");
        char token[CP_TOKEN_MAX];
        cp_delivery_token_(delivery, token);
        cp_url_add_encoded(&url, token);
    }
    return !url.overflow;
}

static void batch_send(cp_delivery *delivery, uint64_t now_ns)
{
    const cp_batch *batch = &delivery->batch;
    delivery->attempts++;
    delivery->sent_at = now_ns;
    delivery->state = CP_DELIVERY_SENDING;
    const bool complete = url_finish(delivery);
    assert(complete);
    (void)complete;
    if (cp_http_start(delivery->exchange, delivery->url, batch->body, batch->body_size, batch->zstd) ==
        CP_OK) {
        if (delivery->env->events->sent)
            delivery->env->events->sent(delivery->env->events->ctx, delivery->index, batch->body_size);
        cp_failpoint(cp_pieces_in_use(&delivery->pieces) ? CP_FP_PIECE_SENT : CP_FP_BATCH_SENT);
        return;
    }
    const cp_http_reply reply = {
        .net = (int)CURLE_OUT_OF_MEMORY, .body = "", .net_text = "libcurl took no request"};
    cp_delivery_reply(delivery, &reply, now_ns);
}

/* Tells the owner which rows are about to leave, once per batch. */
static bool batch_prepare(cp_delivery *delivery)
{
    const cp_flush_events *events = delivery->env->events;
    cp_delivery_group_note_(delivery);
    const cp_batch_intent intent = batch_describe(delivery);
    delivery->prepared =
        delivery->prepared || !events->prepare || events->prepare(events->ctx, delivery->index, &intent);
    return delivery->prepared;
}

void cp_delivery_set_source(cp_delivery *delivery, const cp_batch_source *source)
{
    delivery->source = *source;
    delivery->has_source = true;
    delivery->batch.gaps = source->gaps;
}

void cp_delivery_configure(cp_delivery *delivery, const cp_batch_policy *policy, bool server_changed)
{
    delivery->policy = *policy;
    cp_ahead_drop(delivery->env->ahead, delivery);
    delivery->quarantine.limit = delivery->env->config->quarantine_limit;
    if (delivery->has_source)
        delivery->source.set_policy(delivery->source.ctx, policy);
    if (server_changed)
        delivery->retry_at = 0;
}

/* Makes what is to be sent. False: it cannot be had now. */
static bool send_encode(cp_delivery *delivery)
{
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    if (delivery->encoded)
        return true;
    delivery->encoded = cp_delivery_piece_encode_(delivery, &err);
    if (!delivery->encoded && !delivery->complained)
        cp_log(CP_LOG_ERROR, "rows of a batch under way cannot be read again, asked again until they can",
               "table=%s error=%s remedy=\"coldpath wal verify\"", delivery->table->name,
               cp_log_quote(quoted, sizeof quoted, err.text));
    delivery->complained = !delivery->encoded;
    return delivery->encoded;
}

uint64_t cp_delivery_due(cp_delivery *delivery, uint64_t now_ns, bool cut, bool urgent)
{
    queue_look(delivery);
    queue_shed(delivery);
    if (delivery->state == CP_DELIVERY_IDLE)
        cp_ahead_end(delivery->env->ahead, delivery);
    progress_show(delivery);
    cp_delivery_aim_(delivery);
    if (cp_delivery_set_aside_(delivery, now_ns))
        cp_delivery_aim_(delivery);
    if (!cp_abilities_known(delivery->at->abilities))
        return UINT64_MAX;
    if (delivery->state == CP_DELIVERY_FROZEN)
        return delivery->retry_at;
    if (cp_delivery_is_sending(delivery) || !cut)
        return UINT64_MAX;
    const uint64_t at = cut_time(delivery, now_ns, urgent);
    return at < delivery->pause_until ? delivery->pause_until : at;
}

bool cp_delivery_step(cp_delivery *delivery, uint64_t now_ns)
{
    if (delivery->state == CP_DELIVERY_IDLE && !batch_cut(delivery))
        delivery->pause_until = now_ns + CP_DELIVERY_ASK_AGAIN_MS * (uint64_t)CP_NS_PER_MS;
    if (delivery->state != CP_DELIVERY_FROZEN)
        return false;
    if (delivery->late && batch_prepare(delivery)) {
        cp_delivery_settle_late_(delivery, now_ns);
        return false;
    }
    const bool ready = !delivery->late && send_encode(delivery);
    if (ready && cp_delivery_doubt_before_(delivery, now_ns))
        return cp_delivery_is_sending(delivery);
    if (!ready || !batch_prepare(delivery)) {
        delivery->retry_at = now_ns + CP_DELIVERY_ASK_AGAIN_MS * (uint64_t)CP_NS_PER_MS;
        return false;
    }
    batch_send(delivery, now_ns);
    return delivery->state == CP_DELIVERY_SENDING;
}

uint64_t cp_delivery_cost(const cp_delivery *delivery)
{
    return delivery->batch.body_size;
}

bool cp_delivery_in_trouble(const cp_delivery *delivery)
{
    return delivery->parked || (delivery->state != CP_DELIVERY_IDLE && delivery->attempts > 1) ||
           (delivery->state == CP_DELIVERY_FROZEN && delivery->attempts > 0);
}

bool cp_delivery_is_sending(const cp_delivery *delivery)
{
    return delivery->state == CP_DELIVERY_SENDING || delivery->state == CP_DELIVERY_COUNTING;
}

bool cp_delivery_is_critical(const cp_delivery *delivery)
{
    return delivery->has_source;
}

void cp_delivery_ask_now(cp_delivery *delivery)
{
    delivery->aside_at = 0; /* there may be room now */
    if (delivery->parked)
        delivery->retry_at = delivery->pause_until = 0;
}

void cp_delivery_hurry(cp_delivery *delivery, uint64_t now_ns)
{
    const uint64_t soon = now_ns + cp_backoff_ns(delivery->env->config, 1, false);
    if (delivery->unreached && soon < delivery->retry_at)
        delivery->retry_at = soon;
}

void cp_delivery_report_waiting(cp_delivery *delivery, const cp_http_reply *reply, uint64_t retry_in_ns)
{
    if (delivery->state == CP_DELIVERY_IDLE && cut_time(delivery, 0, true) == UINT64_MAX)
        return; /* nothing waits */
    char text[CP_DELIVERY_TEXT];
    cp_http_reply_text(reply, text, sizeof text);
    const uint64_t rows = delivery->state == CP_DELIVERY_IDLE ? delivery->queued_rows : delivery->batch.rows;
    const cp_attempt attempt = {
        .result = reply->exception_code ? CP_ATTEMPT_SERVER : CP_ATTEMPT_NET,
        .server_code = reply->exception_code,
        .number = 0,
        .rows = rows < UINT32_MAX ? (uint32_t)rows : UINT32_MAX,
        .retry_in_ns = retry_in_ns,
        .text = text,
        .remedy = cp_error_remedy(reply->exception_code),
    };
    delivery->env->events->attempt(delivery->env->events->ctx, delivery->index, &attempt);
}

void cp_delivery_abandon(cp_delivery *delivery)
{
    cp_http_cancel(delivery->exchange);
    if (delivery->state != CP_DELIVERY_IDLE)
        cp_log(CP_LOG_WARN, "batch given up, its rows stay in their rings",
               "table=%s rows=%u attempts=%u consequence=\"the next recorder sends it\"",
               delivery->table->name, delivery->batch.rows, delivery->attempts);
    chunks_release(delivery);
    cp_batch_clear(&delivery->batch);
    delivery->state = CP_DELIVERY_IDLE;
    cp_ahead_drop(delivery->env->ahead, delivery);
    cp_ahead_end(delivery->env->ahead, delivery);
    queue_look(delivery);
    queue_release(delivery);
    progress_show(delivery);
    atomic_store_explicit(&delivery->busy, false, memory_order_release);
}

void cp_delivery_trim(cp_delivery *delivery)
{
    if (delivery->state == CP_DELIVERY_IDLE)
        cp_batch_trim(&delivery->batch, TRIM_KEEP);
}
