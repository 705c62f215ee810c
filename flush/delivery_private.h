/* What the parts of a delivery share: delivery.c queues and sends, delivery_cut.c makes batches, delivery_reply.c understands answers, delivery_doubt.c counts
 * what may have been stored, delivery_pieces.c goes on where a batch was refused, delivery_resume.c where a predecessor was killed. */
#ifndef CP_FLUSH_DELIVERY_PRIVATE_H
#define CP_FLUSH_DELIVERY_PRIVATE_H

#include "flush/batch.h"
#include "flush/delivery.h"
#include "flush/doubt.h"
#include "flush/error_class.h"
#include "flush/held.h"
#include "flush/native.h"
#include "flush/pieces.h"
#include "flush/quarantine.h"
#include "ingest/chunk_queue.h"

enum { CP_DELIVERY_TEXT = 512, CP_DELIVERY_ASK_AGAIN_MS = 100 };

typedef enum cp_delivery_state_ {
    CP_DELIVERY_IDLE,
    CP_DELIVERY_FROZEN,
    CP_DELIVERY_SENDING,
    CP_DELIVERY_COUNTING
} cp_delivery_state_;

/* Why rows are counted; delivery_doubt.c. */
typedef enum cp_doubt_why_ {
    CP_DOUBT_NONE_,
    CP_DOUBT_BEFORE_,
    CP_DOUBT_AFTER_,
    CP_DOUBT_REFUSED_,
    CP_DOUBT_VIEW_
} cp_doubt_why_;

typedef struct cp_delivery_doubt_ {
    bool countable; /* the table's rows can be told apart */
    bool open;      /* what is under way may have been stored by an earlier send */
    bool pieces;    /* the batch may have been: each of its pieces is counted before it is sent */
    bool given_up;  /* of the batch: the server does not count */
    bool refused;   /* what is under way was counted after it was refused: another refusal is believed */
    bool cleared;   /* it was counted, and may be sent */
    bool looked;    /* last says what was found a moment ago */
    uint64_t last;
    cp_doubt_why_ why;        /* not NONE: a count is due or under way */
    const cp_endpoint *asked; /* for the table's engine, which turned out not to be known, ... */
    uint32_t lists;           /* when it had said so often which tables it has */
    uint32_t fresh;           /* tokens that were acknowledged without rows */
    uint32_t failures;        /* counts in a row without a number */
    uint32_t tries;           /* of them, which the server could have made */
    uint32_t span_count;
    cp_span spans[CP_MAX_TABLE_SLOTS]; /* of the piece: places only */
    char *sql;
    size_t sql_room;
    cp_http_reply refusal; /* VIEW: to be believed, if none of the rows is there */
    char *refusal_body;    /* CP_HTTP_REPLY_BYTES and a NUL */
    bool was_tied;
    bool listing; /* VIEW: the list of tables that says whether there are views has not come yet */
} cp_delivery_doubt_;

typedef struct cp_delivery_progress_ {
    uint32_t in_flight;
    uint64_t queued;
    uint64_t oldest;
} cp_delivery_progress_;

struct cp_delivery {
    const cp_delivery_env *env;
    const cp_table *table;
    cp_batch_policy policy;
    uint32_t index;
    uint32_t queue_capacity;
    cp_batch_source source; /* where batches come from when chunks are not submitted */
    cp_chunk_queue *queue;
    uint32_t seen; /* chunks at the queue's head that are counted in queued_* */
    uint64_t queued_rows;
    uint64_t queued_bytes;
    uint64_t queued_oldest;   /* first_seen_ns of the first of them, so that a step only looks; 0: none */
    uint32_t queued_pressing; /* of them, chunks whose rings are filling up */
    cp_delivery_state_ state;
    _Atomic bool busy; /* state is not IDLE; for other threads */
    cp_native *native;
    uint64_t encoded_max;
    cp_batch batch;
    cp_http_exchange *exchange;
    cp_pieces pieces; /* how a refused batch goes on */
    cp_delivery_doubt_ doubt;
    cp_endpoint *at;   /* where what is under way goes, and where url points */
    uint64_t aside_at; /* it could not be set aside: not tried again before */
    uint64_t group;    /* of what is tied: the replicas that share its token; 0: none does */
    char *url;         /* the constant part, url_head bytes, then settings and token */
    size_t url_head;
    size_t url_capacity;
    const char *late; /* not NULL: the piece only has to be quarantined, for this reason */
    bool in_ahead;    /* env->ahead has our batch's memory, and we have its */
    bool tied;        /* it may have been stored there, without an answer that says so */
    bool encoded;     /* the body holds what is to be sent */
    bool prepared;    /* the owner knows of it: it may be sent */
    bool complained;  /* that it cannot be encoded */
    bool lent; /* the chunks are not to be released: they come from a log, or from a predecessor's batch */
    bool has_source;
    bool has_quarantine;
    bool unreached;       /* the last attempt had no answer */
    bool parked;          /* it waits for somebody to act */
    uint32_t attempts;    /* of the batch, or of the piece */
    uint32_t malformed;   /* of them, which the server could not read */
    uint32_t groups;      /* refused in a row since most rows are bad */
    uint32_t sends;       /* of the batch, since it goes in pieces */
    uint32_t quarantined; /* of its rows */
    uint32_t base;        /* rows before its first, which were settled before it was set aside */
    uint64_t sent_at;
    uint64_t retry_at;
    uint64_t pause_until; /* no batch is begun before: most rows are refused */
    cp_delivery_progress_ shown;
    uint32_t chunk_count; /* of the batch */
    cp_chunk
        *chunks[CP_BATCH_CHUNKS]; /* whose they are: see lent; of a log, valid only while the batch is cut */
    uint32_t chunk_rows[CP_BATCH_CHUNKS];
    cp_quarantine quarantine;
    cp_quarantine_list found; /* late: what of the piece is in the quarantine already */
};

/* A whole batch is about to go in pieces: brings the chunks of lossy tables into the order of their spans, which is the order in
 * which a successor finds the rows in their rings. */
void cp_delivery_pieces_start_(cp_delivery *delivery);

/* Every row of the batch is settled: tells the owner, and is idle. */
void cp_delivery_settled_(cp_delivery *delivery);

/* What is to be sent is new: the batch, or another piece of it. */
void cp_delivery_send_begin_(cp_delivery *delivery);

/* The rows under way are settled, or a smaller piece is to be tried: after wait_ns. */
void cp_delivery_next_(cp_delivery *delivery, uint64_t now_ns, uint64_t wait_ns);

/* Encodes the current piece into the batch's body. False, and err set: its rows cannot be had now. */
bool cp_delivery_piece_encode_(cp_delivery *delivery, cp_error *err);

/* What is under way has arrived: settled. */
void cp_delivery_taken_(cp_delivery *delivery, uint64_t now_ns);

/* The rows of the piece go to the quarantine, for the reason that `late` gives; or wait until they can. */
void cp_delivery_settle_late_(cp_delivery *delivery, uint64_t now_ns);

/* It had arrived before: tells owner and log. */
void cp_delivery_found_(cp_delivery *delivery, uint64_t now_ns);

/* What an error says about the server as a whole. */
void cp_delivery_server_doubt_(cp_delivery *delivery, const cp_http_reply *reply, cp_error_class class);

/* Writes the constant part of the URL. False: it does not fit. */
bool cp_delivery_url_head_(cp_delivery *delivery);

/* Turns to the chosen endpoint, if what is under way may go there. */
void cp_delivery_aim_(cp_delivery *delivery);

/* The batch under way waits for an endpoint that is away, while others take rows: sets it aside, durably. True: it is settled as far
 * as ring and log are concerned. */
bool cp_delivery_set_aside_(cp_delivery *delivery, uint64_t now_ns);

/* Writes what of the batch is not settled to a file in dir (held.h), and counts it in its spans; *header: the file's.
 * CP_E_TOO_BIG: there is no room for it; other errors as cp_held_write's. */
int cp_delivery_rest_write_(cp_delivery *delivery, const char *path, const char *dir, cp_held_header *header,
                            cp_error *err);

/* Before a send: which replicas will share its token. */
void cp_delivery_group_note_(cp_delivery *delivery);

/* CP_E_NOMEM. */
int cp_delivery_doubt_create_(cp_delivery *delivery);

/* What is to be sent is new, and so perhaps is the batch. */
void cp_delivery_doubt_begin_(cp_delivery *delivery, bool batch);

/* What is under way may have been stored. */
void cp_delivery_doubt_open_(cp_delivery *delivery);

/* The piece under way consists of these chunks' rows. */
void cp_delivery_doubt_spans_(cp_delivery *delivery, cp_chunk *const *chunks, uint32_t count);

/* Before a send, and after its answer: true when the rows are counted first, and the answer decides how it goes on. */
bool cp_delivery_doubt_before_(cp_delivery *delivery, uint64_t now_ns);
bool cp_delivery_doubt_after_(cp_delivery *delivery, uint64_t now_ns);
bool cp_delivery_doubt_refused_(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns);

/* Takes the reply to a count. */
void cp_delivery_doubt_reply_(cp_delivery *delivery, const cp_http_reply *reply, uint64_t now_ns);

/* The token of what is to be sent: the batch's, or the piece's, or a fresh one after it. */
void cp_delivery_token_(const cp_delivery *delivery, char token[CP_TOKEN_MAX]);

/* The batch consists of the first count chunks of delivery->chunks, and is encoded. */
void cp_delivery_batch_begin_(cp_delivery *delivery, uint32_t count);

/* Rows of the chunk are in the quarantine. */
void cp_delivery_book_(cp_delivery *delivery, const cp_chunk *chunk, uint32_t rows);

/* Writes the rows of the piece to the quarantine and books them. */
int cp_delivery_quarantine_(cp_delivery *delivery, int code, const char *message, cp_error *err);

/* Makes the next batch of the first chunks that wait, or takes the one that was made ahead, and marks the delivery busy. Returns how many
 * chunks it has, listed in delivery->chunks; 0: there are none. */
uint32_t cp_delivery_cut_(cp_delivery *delivery);

/* Lists the chunks that the next batch may take: at least one, within the policy's bounds; 0 when the source failed. lo: of a log,
 * the first record's LSN. */
uint32_t cp_delivery_offer_(cp_delivery *delivery, cp_chunk **chunks, uint64_t *lo);

/* Fills a batch of the delivery's table with the first of the offered chunks. Returns how many. */
uint32_t cp_delivery_encode_(cp_delivery *delivery, cp_batch *batch, cp_chunk *const *chunks,
                             uint32_t offered, uint64_t lo);

/* Block to the batch's body: compressed if the server takes that. CP_E_TOO_BIG. */
int cp_delivery_body_make_(cp_delivery *delivery, cp_batch *batch, const cp_native_block *block);

/* Drops rows that take far more room encoded than in the ring, and returns how many. */
uint32_t cp_delivery_drop_aliases_(cp_delivery *delivery, cp_chunk *chunk);

#endif
