/* The flusher: one thread that ships chunks of any number of tables to ClickHouse, at one of several endpoints (endpoints.h).
 *
 *   drain thread ── cp_flusher_submit ──► queue of the table ──► batch ──► Native ──► zstd ──► POST
 *                ◄── events.delivered, release ◄─────── when all its rows are settled ◄─────────┘
 *                                                       (acknowledged, or in the quarantine)
 *
 * Each table has its own queue, batch and retry clock; at most one batch of a table is under way, so rows of
 * one ring reach ClickHouse in order. Transfers of different tables overlap (curl multi). A batch is frozen
 * before its first send: every retry sends the same bytes under the same insert_deduplication_token. Memory
 * is taken when a table is added; running allocates nothing (libcurl's own small allocations aside).
 *
 * Threads: create, add_table, start and stop belong to the owner's thread; submit to one drain thread; events
 * are called on the flusher's thread and must not block. */
#ifndef CP_FLUSH_FLUSHER_H
#define CP_FLUSH_FLUSHER_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/chunk.h"
#include "schema/table.h"

/* AUTO: zstd or none, whichever is measured to bring rows to the server sooner. */
typedef enum cp_compression { CP_COMPRESS_NONE, CP_COMPRESS_ZSTD, CP_COMPRESS_AUTO } cp_compression;

enum { CP_MAX_ENDPOINTS = 8 };

/* Strings are copied. */
typedef struct cp_sink_config {
    const char *url; /* "http://host:8123" or https; no path, no credentials */
    const char
        *others[CP_MAX_ENDPOINTS - 1]; /* further endpoints in order of preference; NULL behind the last */
    const char *abandoned[CP_MAX_ENDPOINTS]; /* endpoints that will not come back; NULL behind the last */
    uint64_t failback_ns; /* an endpoint that is preferred is used again when it has been up for this long */
    const char *user;     /* NULL: no credentials are sent */
    const char *password; /* sent as the X-ClickHouse-Key header, never in the URL, never logged */
    const char *database; /* for tables whose DDL names none */
    const char *ca_file;  /* for https: PEM bundle, or NULL for the system's */
    const char *instance; /* names this recorder in deduplication tokens: "<namespace>:<region generation>" */
    cp_compression compression;
    int compression_level; /* zstd; 1 is right for most */
    uint32_t connect_timeout_ms;
    uint32_t request_timeout_ms;
    uint32_t stall_timeout_ms; /* without a byte of the body taken; 0: no limit but the request's */
    uint32_t retry_min_ms;     /* backoff: doubles from min to max, ± 50 % jitter */
    uint32_t retry_max_ms;
    const char
        *stamp_source; /* what columns called source and environment hold where a row leaves them empty; */
    const char *stamp_environment; /*   see cp_native_stamp; NULL: nothing */
    const char *quarantine_dir;    /* where rows go that ClickHouse refuses; NULL: they hold up their table */
    uint64_t quarantine_limit;     /* bytes, per table */
    bool
        retrying; /* rows come out of the quarantine: each is tried by itself, however many are refused, before it goes back */
} cp_sink_config;

/* When a table's queue becomes a batch: at rows or bytes or when its oldest row has waited interval; while a
 * batch is under way rows gather, and the next batch takes up to max_rows / max_bytes of them. */
typedef struct cp_batch_policy {
    uint32_t rows;
    uint32_t max_rows; /* ≤ CP_MAX_BATCH_ROWS */
    uint64_t bytes;
    uint64_t max_bytes; /* of row data; ≤ CP_MAX_BATCH_BYTES */
    uint64_t interval_ns;
} cp_batch_policy;

enum {
    CP_MAX_BATCH_ROWS = 1000 * 1000, /* under max_insert_block_size, 1,048,449: one POST stays one block */
    CP_MAX_BATCH_BYTES = 128 * 1024 * 1024, /* likewise well under 256 MiB */
    CP_MAX_SINK_TABLES = 256,
    CP_MAX_TABLE_SLOTS = 64, /* producer slots of one table: spans of one batch */
    CP_BATCH_CHUNKS = 4096   /* chunks of one batch */
};

/* What a batch holds of one ring: the positions [begin, end). */
typedef struct cp_span {
    uint16_t slot;
    uint64_t epoch;
    uint64_t begin;
    uint64_t end;
    uint32_t rows; /* valid ones */
    uint32_t rejected;
    uint32_t quarantined; /* of rows, when the batch is delivered */
    uint32_t held;        /* likewise: set aside, for they may have been stored at an endpoint that is away */
} cp_span;

typedef enum cp_attempt_result {
    CP_ATTEMPT_OK,
    CP_ATTEMPT_NET,    /* no answer, or an unclear one: sent again, same bytes, same token */
    CP_ATTEMPT_SERVER, /* ClickHouse answered with an error */
} cp_attempt_result;

typedef struct cp_attempt {
    cp_attempt_result result;
    int server_code; /* ClickHouse's error code, or 0 */
    uint32_t number; /* 1 for the first send; 0: nothing sent, the server did not answer a probe */
    uint32_t rows;
    uint64_t body_bytes; /* as sent */
    uint64_t duration_ns;
    uint64_t retry_in_ns; /* 0 when OK, or when it goes on in smaller pieces */
    bool parked;          /* it waits for somebody to act, or is asked seldom */
    const char *text;     /* the reason, for people; "" when OK */
    const char *remedy;   /* " — what to do", or "" */
} cp_attempt;

/* Which records of a table's write-ahead log a batch holds, the first and the last; 0, 0: it comes from no log. */
typedef struct cp_lsn_range {
    uint64_t lo;
    uint64_t hi;
} cp_lsn_range;

/* Where the batches of a table come from when its chunks are not submitted: its log. Called on the flusher's thread. */
typedef struct cp_batch_source {
    void *ctx;
    bool gaps; /* the chunks need not continue each other: a span is all that a batch has of a ring */
    /* When the next batch is due: now (at most now_ns), later, or UINT64_MAX when there is nothing. urgent: without waiting
     * for rows, bytes or interval. */
    uint64_t (*due)(void *ctx, uint64_t now_ns, bool urgent);
    /* The policy of the table has changed; cp_flusher_configure. */
    void (*set_policy)(void *ctx, const cp_batch_policy *policy);
    /* Lends the chunks of the next batch: one per record, in the order of the log, from LSN *lo on, at most CP_BATCH_CHUNKS
     * and within the table's policy. They are read before take is called again for any table of this flusher; the batch
     * may take fewer of them. 0: reading failed, asked again a little later. */
    uint32_t (*take)(void *ctx, cp_chunk *const **chunks, uint64_t *lo);
    /* Lends records of the batch under way once more, lo to hi. Anything but all of them: asked again a little later. */
    uint32_t (*again)(void *ctx, uint64_t lo, uint64_t hi, cp_chunk *const **chunks, cp_error *err);
} cp_batch_source;

/* Rows [first, first + rows) of a batch's valid rows: what is about to be sent, when it is sent in pieces. 0, 0: all. */
typedef struct cp_batch_piece {
    uint32_t first;
    uint32_t rows;
} cp_batch_piece;

/* A batch that is about to be sent for the first time, or the next piece of one, or one that is settled. */
typedef struct cp_batch_intent {
    cp_lsn_range range;
    cp_batch_piece piece;
    const char *token; /* the batch's; a piece's has "/first-rows" behind it */
    uint64_t endpoint; /* where it is sent: cp_endpoint_id */
    uint64_t group;    /* of the replicas there that share its token: cp_abilities_group; 0: none does */
    uint32_t rows;
    uint32_t span_count;
    const cp_span *spans;
} cp_batch_intent;

/* What a predecessor left of a batch that it had under way. */
typedef struct cp_batch_left {
    const char *token;
    uint64_t endpoint; /* as in its intent; 0: not known, any will do */
    uint64_t group;
    cp_lsn_range range;
    cp_batch_piece piece;
    uint32_t
        base; /* rows before the first that were settled when it was set aside: pieces' tokens count them */
} cp_batch_left;

/* How a server does, all tables together. */
typedef enum cp_endpoint_health {
    CP_ENDPOINT_UNKNOWN, /* it has not answered, and not failed to answer, yet */
    CP_ENDPOINT_HEALTHY,
    CP_ENDPOINT_DOWN, /* it does not answer, or refuses everything: nothing is sent but probes */
    CP_ENDPOINT_DEGRADED /* it answers, but some table's batch has to be sent again, or waits for somebody to act */
} cp_endpoint_health;

/* What is known of an endpoint. */
typedef struct cp_endpoint_view {
    const char *url;
    uint64_t id;
    cp_endpoint_health health;
    bool chosen;  /* new batches go there */
    bool leaving; /* the configuration does not name it any more: only what may be there already goes there */
    const char *reason;    /* for being down, with the remedy; or "" */
    uint64_t held_rows;    /* set aside for it, */
    uint32_t held_batches; /* in so many batches */
} cp_endpoint_view;

/* Calls out of the flusher's thread. ctx is the owner's. */
typedef struct cp_flush_events {
    void *ctx;
    /* Makes the intent to send durable, in whatever sense the owner promises. False: not possible now; the batch is not
     * sent, and the question comes again a little later. NULL: no intents. */
    bool (*prepare)(void *ctx, uint32_t table, const cp_batch_intent *intent);
    /* Whether anything of the table may be sent now; asked at every step, at least ten times a second. False: what is being sent
     * ends, a batch under way stays as it is; when no table may, the server is not probed either. NULL: always. */
    bool (*may_send)(void *ctx, uint32_t table);
    /* A body of so many bytes goes on its way, for the first time or again. NULL is allowed. */
    void (*sent)(void *ctx, uint32_t table, uint64_t bytes);
    void (*release)(void *ctx, cp_chunk *chunk); /* the chunk's rows are settled, or given up */
    /* Whether the oldest chunk that waits for its batch is to be dropped instead. True: it is accounted for, and is then
     * released. NULL: never. */
    bool (*shed)(void *ctx, uint32_t table, const cp_chunk *chunk);
    void (*attempt)(void *ctx, uint32_t table, const cp_attempt *attempt);
    void (*delivered)(void *ctx, uint32_t table, const cp_batch_intent *batch);
    /* A batch that was set aside is delivered now, or quarantined. NULL: none is ever set aside. */
    void (*unheld)(void *ctx, uint32_t table, const cp_batch_intent *batch);
    /* What is known of the chosen endpoint has changed, or another is. NULL is allowed. */
    void (*health)(void *ctx, cp_endpoint_health health);
    /* What is known of endpoints has changed: all of them, the configured ones first, in order of preference. NULL is allowed. */
    void (*endpoints)(void *ctx, const cp_endpoint_view *views, uint32_t count);
    /* A probe of the chosen endpoint ended: it answers, or does not (text says why; "" when it does). NULL is allowed. */
    void (*server)(void *ctx, bool up, const char *text);
    /* in_flight: rows in the batch under way; queued: rows and their oldest first_seen_ns (0 = none) behind
     * it */
    void (*progress)(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued, uint64_t oldest_seen_ns);
} cp_flush_events;

/* What ClickHouse makes of a batch that is sent twice, as far as it has told. */
typedef enum cp_guarantee {
    CP_GUARANTEE_UNKNOWN, /* not asked yet, or the table does not exist */
    CP_AT_LEAST_ONCE,     /* no deduplication tokens: too old a server, a window of 0, another engine */
    CP_EXACTLY_ONCE       /* tokens are honoured, within the table's deduplication window */
} cp_guarantee;

typedef struct cp_flusher cp_flusher;

/* Makes a flusher. Does not contact the server: ClickHouse may be away at start. CP_E_NOMEM, CP_E_INVAL. */
int cp_flusher_create(cp_flusher **out, const cp_sink_config *config, const cp_flush_events *events,
                      cp_error *err);

/* Adds a table before start; its index is the order of adding, from 0. queue_capacity: chunks that may wait,
 * a power of two. The table must outlive the flusher. */
int cp_flusher_add_table(cp_flusher *flusher, const cp_table *table, const cp_batch_policy *policy,
                         uint32_t queue_capacity, cp_error *err);

/* The table's batches come from source, not from submit. Before start. */
void cp_flusher_set_source(cp_flusher *flusher, uint32_t table, const cp_batch_source *source);

/* Takes up a batch that a predecessor prepared and of which nobody knows whether it arrived: these chunks' rows, under that
 * token, go out before all else of the table, without another prepare; or, when it went in pieces, the piece that was under way,
 * then the rest. Before start, once per table, and after the last add_table. The chunks stay the caller's; they are needed
 * until the batch is delivered, unless the table has a source. CP_E_TOO_BIG: the batch does not fit the table's
 * policy, which must have been larger then; CP_E_CORRUPT: there is no such piece; CP_E_CONFIG: it may have been stored at an
 * endpoint that the configuration does not name; errors of reading the quarantine. */
int cp_flusher_resume(cp_flusher *flusher, uint32_t table, cp_chunk *const *chunks, uint32_t count,
                      const cp_batch_left *left, cp_error *err);

/* Calls visit for each span of each batch of the table that is set aside; settled: of one that was settled by a predecessor, which may
 * have died before it said so. After cp_flusher_resume, before start. Errors as cp_held_sender_load: but for CP_E_CONFIG, the flusher
 * can be started. Once the account has the settled ones, cp_flusher_held_counted forgets them. */
typedef void cp_held_visit(void *ctx, const cp_span *span, bool settled);
void cp_flusher_held_counted(cp_flusher *flusher, uint32_t table);
int cp_flusher_held(cp_flusher *flusher, uint32_t table, cp_held_visit *visit, void *ctx, cp_error *err);

/* Starts the thread (on cpu, or anywhere when cpu < 0). */
int cp_flusher_start(cp_flusher *flusher, int cpu, cp_error *err);

/* Changes the configuration of a flusher that runs, all of it between two steps of its thread, and waits until that is done
 * (a fraction of a second). Of sink everything but database and instance, which stay; policies: one per table, whose
 * max_bytes must not be over the one the table was added with. Requests under way end as they began; the next ones go to the new
 * endpoints, with the new credentials, once one has answered a probe. The owner's thread, between start and stop. Nothing is
 * changed on an error: CP_E_INVAL, CP_E_NOMEM, CP_E_CONFIG (a batch may have been stored at an endpoint that is named no more). */
int cp_flusher_configure(cp_flusher *flusher, const cp_sink_config *sink, const cp_batch_policy *policies,
                         cp_error *err);

/* Hands a chunk over. False when the table's queue is full: the caller keeps the chunk. Never blocks. */
bool cp_flusher_submit(cp_flusher *flusher, uint32_t table, cp_chunk *chunk);

/* Wakes the flusher to look at its queues now, as after a submit that completes a batch. Any thread. */
void cp_flusher_wake(cp_flusher *flusher);

/* Ships what is queued without waiting for rows or interval (shutdown, `coldpath flush`). Any thread; sticky
 * until called with false. */
void cp_flusher_set_urgent(cp_flusher *flusher, bool urgent);

/* True when no table has anything queued or under way. Any thread. */
bool cp_flusher_idle(cp_flusher *flusher);

/* The delivery guarantee of a table at the chosen endpoint. Any thread, while the configuration stays. */
cp_guarantee cp_flusher_guarantee(const cp_flusher *flusher, uint32_t table);

/* The most memory in bytes that a table with this policy can ever touch: `own` for its frozen batch, and `shared`, of
 * which the flusher has one, as large as its largest table's, for encoding; and it has one frozen batch more, as large as the
 * largest of the tables without a source. Address space is taken when the table is
 * added; pages are taken by batches as large as they need, and given back when the table has been idle. */
void cp_flusher_memory(const cp_batch_policy *policy, const cp_table *table, uint64_t *own, uint64_t *shared);

/* Ends the thread: batches under way get until deadline_ns (boot-time clock), then are given up (their rows
 * are not reported delivered, and stay in their rings). Chunks still queued are released. */
void cp_flusher_stop(cp_flusher *flusher, uint64_t deadline_ns);

void cp_flusher_free(cp_flusher *flusher);

#endif
