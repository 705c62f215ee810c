/* Delivery of one table: takes chunks off its queue, freezes a batch, sends it until ClickHouse has acknowledged it.
 *
 *              cut: rows, bytes, interval,            the server answers probes
 *              queue full or urgent; encode           and the retry time has come
 *      IDLE ────────────────────────────────► FROZEN ─────────────────────────► SENDING
 *       ▲                                       ▲                                 │  │
 *       │                                       └── anything else: backoff ◄──────┘  │
 *       └──── 200, no exception header, empty body: delivered ◄──────────────────────┘
 *
 * Before a batch is sent for the first time its owner is asked to prepare (record the intent). A frozen batch never
 * changes: each attempt sends the same bytes under the same token; the error only decides how long to wait. At most one
 * batch of a table is under way and the next is cut only behind it, so the rows of a ring arrive in order; at most it is made
 * before, for nobody to see (ahead.h). A batch without
 * a valid row is reported delivered in its turn, without a request.
 *
 * A batch that is refused for what its rows hold, or for its size, goes on in pieces (pieces.h), left to right, each of them
 * frozen, prepared, sent and sent again like a batch, under the batch's token with "/first-count" behind it. A single row
 * that is refused goes to the quarantine. For this the chunks are kept until the batch is settled; those of a log are read
 * once more.
 *
 * What may have been stored though no answer said so is counted, where rows can be told apart (delivery_doubt.c); meanwhile the
 * delivery is COUNTING, which is as SENDING.
 *
 * All of it runs on the flusher's thread, except cp_delivery_submit (drain thread) and cp_delivery_idle (any). */
#ifndef CP_FLUSH_DELIVERY_H
#define CP_FLUSH_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/arena.h"
#include "flush/compress.h"
#include "flush/endpoints.h"
#include "flush/flusher.h"
#include "flush/http.h"

/* What the deliveries of a flusher share; owned by the flusher. */
typedef struct cp_delivery_env {
    const cp_sink_config *config;
    const cp_flush_events *events;
    cp_endpoints *endpoints;
    cp_http *http;
    cp_compressor *compressor; /* NULL: bodies are sent plain */
    cp_arena *arena;
    cp_chunk **pointers;         /* CP_BATCH_CHUNKS, for whoever encodes */
    struct cp_ahead *ahead;      /* NULL: no batch is made ahead */
    struct cp_held_sender *held; /* NULL: nothing is set aside */
} cp_delivery_env;

typedef struct cp_delivery cp_delivery;

/* CP_E_INVAL (policy or capacity), CP_E_NOMEM, CP_E_UNSUPPORTED, CP_E_TOO_BIG (the INSERT does not fit a URL). */
int cp_delivery_create(cp_delivery **out, const cp_delivery_env *env, uint32_t index, const cp_table *table,
                       const cp_batch_policy *policy, uint32_t queue_capacity, cp_error *err);
void cp_delivery_free(cp_delivery *delivery);

/* As cp_flusher_set_source. Before the thread runs. */
void cp_delivery_set_source(cp_delivery *delivery, const cp_batch_source *source);

/* A changed configuration. policy: from the next batch on; its max_bytes is at most that of the start. server_changed: the
 * next attempt is made at once, whatever pause the last one's failure asked for. */
void cp_delivery_configure(cp_delivery *delivery, const cp_batch_policy *policy, bool server_changed);

/* Where the last request went, or the next one goes. */
cp_endpoint *cp_delivery_at(const cp_delivery *delivery);

/* With nothing under way: where the next batch goes is where it is chosen now. */
void cp_delivery_turn(cp_delivery *delivery);

/* Where the batch under way goes; NULL: there is none. */
const cp_endpoint *cp_delivery_endpoint(const cp_delivery *delivery);

/* The batch under way may have been stored at its endpoint, and can be sent nowhere else. */
bool cp_delivery_holds_on(const cp_delivery *delivery);

/* As cp_flusher_resume: the batch begins FROZEN and prepared. Before the thread runs. */
int cp_delivery_resume(cp_delivery *delivery, cp_chunk *const *chunks, uint32_t count,
                       const cp_batch_left *left, cp_error *err);

/* Bytes of arena that the table's batches may need. */
size_t cp_delivery_arena_bytes(const cp_batch_policy *policy, const cp_table *table);

/* Bytes of body that the table's batches may need. */
size_t cp_delivery_body_bytes(const cp_batch_policy *policy);

/* Drain thread: queues a chunk, or returns false when the queue is full. */
bool cp_delivery_submit(cp_delivery *delivery, cp_chunk *chunk);

/* Any thread: nothing is queued or under way. */
bool cp_delivery_idle(const cp_delivery *delivery);

/* True while a batch is being sent, or will be before until_ns. */
bool cp_delivery_hopes(const cp_delivery *delivery, uint64_t until_ns);

/* When there is something to do (boot-time clock): at most now_ns, now; UINT64_MAX: when something happens. cut: whether new
 * batches may be begun; urgent: without waiting for them to fill. */
uint64_t cp_delivery_due(cp_delivery *delivery, uint64_t now_ns, bool cut, bool urgent);

/* Does what is due: cuts, encodes, sends. True: an insert has begun. */
bool cp_delivery_step(cp_delivery *delivery, uint64_t now_ns);

/* Bytes of the body that is being sent. */
uint64_t cp_delivery_cost(const cp_delivery *delivery);

/* What is under way was not taken at the first attempt, or the table is parked. */
bool cp_delivery_in_trouble(const cp_delivery *delivery);

bool cp_delivery_is_sending(const cp_delivery *delivery);

const cp_batch_policy *cp_delivery_policy(const cp_delivery *delivery);

/* The directory, of CP_HELD_PATH bytes, of batches that are set aside. False: there is none. */
bool cp_delivery_held_dir(const cp_delivery *delivery, char *dir);

const cp_table *cp_delivery_table(const cp_delivery *delivery);

/* Its batches come from a log. */
bool cp_delivery_is_critical(const cp_delivery *delivery);

/* Takes the reply to the batch being sent. */
void cp_delivery_reply(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns);

/* Somebody may have mended what the table was parked for, or made room to set its batch aside: it asks at the next step. */
void cp_delivery_ask_now(cp_delivery *delivery);

/* Its endpoint answers again after it was away: a batch that could not reach it goes soon. (Soon, not at once: a server
 * that takes probes but no further connection must not be asked without a pause.) */
void cp_delivery_hurry(cp_delivery *delivery, uint64_t now_ns);

/* Tells the owner, through the attempt event, that rows wait for a server that does not answer. */
void cp_delivery_report_waiting(cp_delivery *delivery, const cp_http_reply *reply, uint64_t retry_in_ns);

/* Gives up what is under way (it is not reported delivered) and releases what is queued. */
void cp_delivery_abandon(cp_delivery *delivery);

/* Gives memory back when the table has been idle for a while. */
void cp_delivery_trim(cp_delivery *delivery);

#endif
