/* The shared-memory ABI: the bytes that producers, recorder and monitors agree on.
 *
 * A region is a directory. Each file in it has exactly one writer; everyone else maps it read-only.
 *
 *   <region>/control              written by the recorder
 *   <region>/errors               likewise: what went wrong, each kind once (cp_abi_errors)
 *   <region>/<table>.<slot>.ring  written by the producer that holds the slot
 *   <region>/recorder.lock        an empty file; the recorder holds an OFD lock on it while it lives
 *
 * control:
 *
 *   0 ┌──────────────────────────────┐
 *     │ cp_abi_control        4096 B │  geometry, fixed when the file is made; recorder's life signs
 *     ├──────────────────────────────┤  directory_offset
 *     │ cp_abi_table × tables  256 B │  one per table: name, schema hash, ring geometry, where its DDL lies
 *     ├──────────────────────────────┤  pressure_offset
 *     │ cp_abi_pressure × tables 64 B│  one cache line each: what producers may want to look at
 *     ├──────────────────────────────┤  counters_offset
 *     │ cp_abi_counters × tables 512B│  the recorder's counters
 *     ├──────────────────────────────┤  acks_offset
 *     │ cp_abi_ack × rings     128 B │  two cache lines each: consumed, durable, delivered; what became of the rows
 *     ├──────────────────────────────┤  intents_offset
 *     │ cp_abi_intent × tables 8768 B│  the batch that is being sent
 *     ├──────────────────────────────┤  measures_offset
 *     │ cp_abi_measures × tables 4224 B│  how long things took: histograms
 *     ├──────────────────────────────┤  latency_offset
 *     │ cp_abi_latency × tables  2 KiB│  likewise, of rows
 *     ├──────────────────────────────┤  endpoints_offset
 *     │ cp_abi_endpoint × 16    640 B │  the ClickHouse endpoints
 *     ├──────────────────────────────┤  canary_offset
 *     │ cp_abi_canary          2304 B│  how long the recorder's own canary rows took
 *     ├──────────────────────────────┤  text_offset
 *     │ CREATE TABLE texts           │  the full column descriptors, in ClickHouse's own words
 *     └──────────────────────────────┘  file_size
 *
 * ring:
 *
 *   0 ┌──────────────────────────────┐
 *     │ cp_abi_ring           4096 B │  geometry and epoch, fixed; who holds the slot
 *  4096├─────────────────────────────┤
 *     │ cp_ring_hot             64 B │  published position and row count: the line put writes
 *  4160├─────────────────────────────┤
 *     │ cp_abi_ring_counters    64 B │  refusals
 *     │ unused                       │
 *  8192├─────────────────────────────┤  data_offset (a multiple of the file system's page)
 *     │ data            data_size B  │  a power of two; mapped twice back to back, so that no record is ever split
 *     └──────────────────────────────┘
 *
 *   record, at position p (data[p & (data_size-1)]), p a multiple of 8:
 *     0        4              8                       8+size          multiple of 8
 *     ├ u32 size ┼ u32 row number ┼ row and tail (size bytes) ┼ padding ┤
 *
 * All integers are little-endian. Positions are byte counts modulo 2^64; differences are taken unsigned. A file's magic
 * is stored last, when all else in it is valid. The major version must match exactly; a higher minor version only adds
 * fields in reserved space. tests/shm/abi_layout.txt keeps every offset of this version; a test fails when one changes under it. */
#ifndef CP_SHM_ABI_H
#define CP_SHM_ABI_H

#include <assert.h>
#include <coldpath/coldpath.h>
#include <stddef.h>
#include <stdint.h>

#define CP_ABI_CONTROL_MAGIC 0x31304c5254434c43ull /* "CLCTRL01" */
#define CP_ABI_RING_MAGIC    0x313047494e524c43ull /* "CLRING01" */
#define CP_ABI_ERRORS_MAGIC  0x3130525245504c43ull /* "CLPERR01" */

enum {
    CP_ABI_MAJOR = 2,
    /* 1: measures; 2: times of the pressure ladder; 3: mode, bytes sent in a day, duplicates; 4: pauses, forced rungs, commands,
     * latencies, the file of errors; 5: endpoints, rows set aside for one of them; 6: canary */
    CP_ABI_MINOR = 6,
    CP_CACHE_LINE = 64,
    CP_ABI_HEADER_SIZE = 4096,
    CP_ABI_RING_HOT_OFFSET = 4096,
    CP_ABI_RING_COUNTERS_OFFSET = 4160,
    CP_ABI_RING_DATA_OFFSET = 8192,
    CP_ABI_NAME = 128, /* a name and its NUL */
    CP_ABI_PRODUCER_NAME = 32,
    CP_ABI_ERROR_TEXT = 256,
    CP_ABI_RELOAD_TEXT = 2048,

    CP_ABI_ENDPOINTS = 16, /* those configured, and as many that are leaving */
    CP_REGION_MAX_TABLES = 256,
    CP_REGION_MAX_SLOTS = 64,                 /* producers of one table at a time */
    CP_REGION_MAX_CONTROL = 64 * 1024 * 1024, /* bytes of a control file; 256 DDLs of maximal size just fit */
    CP_RING_MIN_SIZE = 64 * 1024,
    CP_RING_MAX_SIZE = 1024 * 1024 * 1024
};

typedef enum cp_recorder_state {
    CP_RECORDER_NONE = 0, /* the region was made, no recorder has run yet */
    CP_RECORDER_STARTING = 1,
    CP_RECORDER_RUNNING = 2,
    CP_RECORDER_STOPPING = 3,
    CP_RECORDER_STOPPED = 4, /* clean end; after a kill the state stays RUNNING and the lock is free */
    CP_RECORDER_RETIRED = 5  /* this control file was replaced: attach again */
} cp_recorder_state;

typedef enum cp_sink_state {
    CP_SINK_UNKNOWN = 0, /* not asked yet, or it has not answered yet */
    CP_SINK_HEALTHY = 1, /* it answers, and takes what it is sent */
    CP_SINK_DOWN = 2,    /* it does not answer, or refuses everything; sink_error says why */
    CP_SINK_DEGRADED = 3 /* it answers, but some table's rows are not taken, or not at the first attempt */
} cp_sink_state;

/* What came of reading the configuration anew. reload_text has a line for each changed key, "applied clickhouse.url" or
 * "restart tables.quotes.ring_size"; of a refusal the problems. What does not fit is left out behind "…". */
typedef enum cp_reload_result {
    CP_RELOAD_NEVER = 0,
    CP_RELOAD_APPLIED = 1, /* everything that changed, if anything did */
    CP_RELOAD_RESTART = 2, /* what could be; the rest needs a restart */
    CP_RELOAD_REFUSED = 3  /* the configuration is not valid: nothing is changed */
} cp_reload_result;

typedef struct cp_abi_control {
    uint64_t magic;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint64_t generation; /* random, new with every control file */
    uint64_t file_size;
    uint32_t table_count;
    uint32_t ring_count;
    uint64_t directory_offset;
    uint64_t pressure_offset;
    uint64_t counters_offset;
    uint64_t acks_offset;
    uint64_t intents_offset;
    uint64_t text_offset;
    uint64_t text_size;
    uint64_t created_ns; /* real time */
    char namespace_name[CP_ABI_NAME];
    uint64_t measures_offset;  /* 0: the file was made before there were any */
    uint64_t latency_offset;   /* likewise */
    uint64_t endpoints_offset; /* likewise */
    uint64_t canary_offset;    /* likewise */
    uint8_t reserved0[248];

    /* life signs, from offset 512 */
    uint64_t heartbeat_ns; /* boot-time clock; the drain thread's last turn, before its first the start */
    uint64_t started_ns;   /* real time */
    uint64_t drain_turns;
    uint64_t drain_work_turns; /* turns that found something to do */
    uint32_t state;            /* cp_recorder_state */
    uint32_t recorder_pid;
    uint32_t sink_state; /* cp_sink_state */
    uint32_t chunks_free;
    uint32_t chunk_count;
    uint32_t mode;                      /* 0 direct, 1 wal_first, 2 disabled: what is sent to ClickHouse */
    char sink_error[CP_ABI_ERROR_TEXT]; /* of the last probe that failed; "" when the last one did not */
    uint64_t reload_count;  /* goes up when a reload begins and when it has ended: odd, one is under way */
    uint64_t reload_ns;     /* real time of the last one's end */
    uint32_t reload_result; /* cp_reload_result; this and the text hold while the count is even */
    uint32_t reserved3;
    char reload_text[CP_ABI_RELOAD_TEXT];
    uint64_t sent_day;         /* days since 1970, UTC, in which … */
    uint64_t sent_bytes;       /* … so much was sent to ClickHouse: bodies of inserts, each attempt */
    uint64_t sent_limit;       /* of a day; 0: none */
    uint64_t commands;         /* obeyed, of those that came by the control socket */
    uint64_t commands_refused; /* not obeyed: from somebody who may not, not understood, or not possible */
    uint8_t reserved1[1160];
} cp_abi_control;
static_assert(sizeof(cp_abi_control) == CP_ABI_HEADER_SIZE, "control header is one page");
static_assert(offsetof(cp_abi_control, heartbeat_ns) == 512, "life signs start at 512");

typedef struct cp_abi_table {
    char name[CP_ABI_NAME];
    uint64_t schema_hash;
    uint64_t ring_size;
    uint32_t slots;
    uint32_t first_ring; /* index of slot 0's cp_abi_ack */
    uint32_t row_size;
    uint32_t row_max;
    uint32_t critical;
    uint32_t ddl_size;
    uint64_t ddl_offset; /* in the text area */
    uint8_t reserved[80];
} cp_abi_table;
static_assert(sizeof(cp_abi_table) == 256, "directory entry");

typedef struct cp_abi_pressure {
    uint32_t level;  /* the table's rung of the pressure ladder; 0 = none */
    uint32_t forced; /* by `coldpath degrade`: the rung it is held on, + 1; 0: it moves by itself */
    uint8_t reserved[56];
} cp_abi_pressure;
static_assert(sizeof(cp_abi_pressure) == CP_CACHE_LINE, "pressure word has a line of its own");

/* What ClickHouse makes of a batch that is sent twice. */
typedef enum cp_delivery_guarantee {
    CP_DELIVERY_UNKNOWN = 0,       /* it has not answered yet, or the table is not there */
    CP_DELIVERY_AT_LEAST_ONCE = 1, /* it keeps no deduplication window for the table */
    CP_DELIVERY_EXACTLY_ONCE = 2
} cp_delivery_guarantee;

/* Monotonic unless said otherwise; they outlive the recorder with the region. */
typedef struct cp_abi_counters {
    uint64_t drained_rows; /* copied out of rings; counts again what a restart drains again */
    uint64_t drained_bytes;
    uint64_t delivered_rows;
    uint64_t delivered_batches;
    uint64_t delivered_body_bytes;
    uint64_t rejected_rows; /* failed validation in the recorder; counted when their span is given back */
    uint64_t insert_attempts;
    uint64_t insert_errors_net;
    uint64_t insert_errors_server;
    uint64_t pool_waits; /* drain visits cut short because no chunk was free or the queue was full */
    /* gauges */
    uint64_t in_flight_rows;
    uint64_t queued_rows;
    uint64_t oldest_unshipped_ns; /* boot-time clock, when first seen; 0 = nothing waits */
    uint64_t last_insert_ns;      /* real time of the last acknowledged insert */
    uint64_t last_insert_duration_ns;
    uint64_t retry_at_ns; /* boot-time clock; 0 = not retrying */
    uint32_t last_error_code;
    uint32_t peak_usage_permille; /* of the fullest ring, as the drain saw it */
    char last_error[CP_ABI_ERROR_TEXT];
    uint32_t guarantee;        /* cp_delivery_guarantee */
    uint32_t pressure_changes; /* of the ladder's rung */
    uint64_t log_id;           /* critical: names the log, and the boot, of which … */
    uint64_t
        log_durable_lsn; /* … so much was acknowledged: a recorder that follows need not search it for more */
    uint64_t pressure_ns[3];  /* lossy: time spent on the ladder's rungs 1, 2 and 3 */
    uint64_t unkeyed_rows;    /* passed rungs 1 and 2 because the table of keys was full */
    uint64_t parked_since_ns; /* real time; 0: not parked. Why: last_error; asked again at: retry_at_ns */
    /* critical: of the rejected ones, left out by unique_key; counts again what a restart drains again */
    uint64_t duplicate_rows;
    uint64_t paused_since_ns; /* real time; 0: not paused. By `coldpath pause`, until `coldpath resume` */
    uint8_t reserved[40];
} cp_abi_counters;
static_assert(sizeof(cp_abi_counters) == 512, "counter block");

/* A log-linear histogram: four buckets to every doubling, so that a value is known to a quarter, in bounded room.
 *
 *     value     0 1 2 3 4 5 6 7 8-9 10-11 12-13 14-15 16-19 …
 *     bucket    0 1 2 3 4 5 6 7  8    9    10    11    12   …
 *
 * One writer, relaxed stores; readers take what is there (shm/histogram.h). Monotonic. */
enum { CP_ABI_HISTOGRAM_BUCKETS = 112 }; /* the last one holds all from 7 * 2^26 on: 469 s in microseconds */

typedef struct cp_abi_histogram {
    uint64_t sum; /* of the values */
    uint64_t buckets[CP_ABI_HISTOGRAM_BUCKETS];
    uint8_t reserved[120];
} cp_abi_histogram;
static_assert(sizeof(cp_abi_histogram) == 1024, "histogram");

/* What the recorder measures of a table. No put is measured: what is said of puts comes from when the drain looked. */
typedef struct cp_abi_measures {
    /* the flusher's thread writes */
    cp_abi_histogram insert_us;  /* an insert, from its first byte to ClickHouse's acknowledgement */
    cp_abi_histogram batch_rows; /* rows of an acknowledged insert */
    /* the drain thread writes; critical tables alone */
    cp_abi_histogram sync_us; /* a write of the log, from handing it to the kernel until it is durable */
    cp_abi_histogram put_durable_us; /* from put to durable, of a record's oldest row: at most this long */
    uint64_t log_bytes; /* gauge: of the log on disk; of a recorder that is gone, the last it said */
    uint64_t log_limit; /* gauge: what it may grow to */
    uint32_t log_state; /* gauge: cp_log_state */
    uint8_t reserved[108];
} cp_abi_measures;
static_assert(sizeof(cp_abi_measures) == 4 * sizeof(cp_abi_histogram) + 2 * (size_t)CP_CACHE_LINE,
              "measures");

/* How long rows took, by the oldest row of a chunk: of every chunk until it was drained, of one chunk of a ring at a time until it was
 * delivered. The time of a put is not known but for a bound: when the drain last found the ring bare. So each is at most this long. */
typedef struct cp_abi_latency {
    cp_abi_histogram put_drained_us; /* the drain thread writes */
    cp_abi_histogram
        put_delivered_us; /* the flusher's thread writes: until ClickHouse acknowledged the batch */
} cp_abi_latency;
static_assert(sizeof(cp_abi_latency) == 2 * sizeof(cp_abi_histogram), "latency");

/* The canary: rows that the recorder itself puts into a ring of its own, one each interval, and follows through every stage. One
 * writer, the recorder's canary thread. Counters and histograms outlive the recorder with the region. Times are of the boot-time
 * clock. */
typedef struct cp_abi_canary {
    uint64_t interval_ns; /* 0: the recorder puts none */
    uint64_t limit_ns;   /* when none that was put later than this long ago has arrived, something is wrong */
    uint64_t started_ns; /* when the recorder that runs, or ran last, began to put them */
    uint64_t put_rows;
    uint64_t durable_rows;
    uint64_t delivered_rows;
    uint64_t lost_rows;         /* taken out of the ring, and not delivered: dropped, quarantined … */
    uint64_t refused_rows;      /* not put: the ring was full, or too many were under way */
    uint64_t waiting_since_ns;  /* when the oldest row under way was put; 0: none is under way */
    uint64_t delivered_put_ns;  /* when the last one that was delivered was put; 0: none has been */
    uint64_t last_durable_us;   /* what the last one took from put to durable, and … */
    uint64_t last_delivered_us; /* … to delivered */
    uint8_t reserved[160];
    cp_abi_histogram durable_us; /* from put until it is in the log; of a lossy table: delivered */
    cp_abi_histogram delivered_us;
} cp_abi_canary;
static_assert(sizeof(cp_abi_canary) == 256 + 2 * sizeof(cp_abi_histogram), "canary");

typedef enum cp_endpoint_role {
    CP_ENDPOINT_NONE = 0, /* the entry is unused */
    CP_ENDPOINT_STANDBY = 1,
    CP_ENDPOINT_CHOSEN = 2, /* new batches go there */
    CP_ENDPOINT_LEAVING = 3 /* not configured any more; what may be there already goes there */
} cp_endpoint_role;

/* A ClickHouse endpoint, as the recorder's flusher sees it. Texts may be cut, and are read while they change: the last byte
 * of each is always 0. The configured ones come first, in order of preference. */
typedef struct cp_abi_endpoint {
    uint64_t id; /* names it in intents: XXH3 of its URL */
    uint32_t role;
    uint32_t state;        /* cp_sink_state */
    uint64_t since_ns;     /* real time since when it has this state */
    uint64_t chosen;       /* times that it was chosen */
    uint64_t held_rows;    /* gauge: set aside for it, */
    uint32_t held_batches; /* in so many batches */
    uint8_t reserved[20];
    char url[256];
    char reason[320]; /* for being down, with the remedy; or "" */
} cp_abi_endpoint;
static_assert(sizeof(cp_abi_endpoint) == 640, "endpoint");

typedef enum cp_log_state {
    CP_LOG_NONE = 0, /* the table has no log, or no recorder has opened it yet */
    CP_LOG_TAKES_ROWS = 1,
    CP_LOG_STALLED = 2, /* its limit is reached, or the disk is full */
    CP_LOG_FAILING = 3  /* writes or syncs fail */
} cp_log_state;

/* Written by the recorder under a sequence lock (odd = being written), so that positions and row counts agree.
 *
 * The ledger of a ring: every row before `consumed` is in exactly one of delivered … given up, or under way to ClickHouse,
 * in the log of a critical table, in the recorder's memory of a lossy one that was taken out early:
 *
 *     consumed_rows = delivered + rejected + suppressed + dropped + quarantined + given up + set aside + under way
 *
 * Of a lossy table `consumed` is ahead of `delivered` only while pressure has the recorder take rows out early: what lies
 * between the two is lost if the recorder is killed, and counted as dropped by its successor. */
typedef struct cp_abi_ack {
    uint32_t sequence;
    uint32_t fault;         /* cp_ring_fault: not 0, the ring broke the protocol and is no longer read */
    uint64_t epoch;         /* of the ring these positions belong to */
    uint64_t consumed;      /* space before this is free */
    uint64_t durable;       /* critical: rows before it are in the log; lossy: as delivered */
    uint64_t delivered;     /* what becomes of rows before it is decided */
    uint64_t consumed_rows; /* rows before `consumed` */
    uint64_t delivered_rows;
    uint64_t rejected_rows;   /* failed validation in the recorder */
    uint64_t suppressed_rows; /* left out by the pressure ladder's rules */
    uint64_t
        dropped_rows; /* lost: dropped by the ladder's last rung, or taken out early by a recorder that was killed */
    uint64_t quarantined_rows; /* refused by ClickHouse one by one, kept in the quarantine file */
    uint64_t given_up_rows;    /* of a damaged log, given up by `coldpath wal repair` */
    uint64_t
        doubtful_rows; /* of the dropped: in a batch under way when the recorder was killed; may have arrived */
    uint64_t
        held_rows; /* set aside: they may have been stored at an endpoint that does not answer, and wait for it */
    uint8_t reserved[16];
} cp_abi_ack;
static_assert(sizeof(cp_abi_ack) == 2 * (size_t)CP_CACHE_LINE, "two lines per ring");

/* Rows whose fate is decided. */
static inline uint64_t cp_ack_settled_rows(const cp_abi_ack *ack)
{
    return ack->delivered_rows + ack->rejected_rows + ack->suppressed_rows + ack->dropped_rows +
           ack->quarantined_rows + ack->given_up_rows + ack->held_rows;
}

/* The intent: which rows the batch under way holds, written before its first send, so that a recorder which finds it
 * after a crash sends exactly these rows under the same token again, and ClickHouse can tell.
 *
 *     NONE ────► SENDING ────► DELIVERED ────► ENDED ────► NONE
 *         filled     acknowledged    acks are moved   the next one is being filled
 *
 * The spans say what the rings' acknowledgements become, in absolute numbers: moving them can be done again. The state is
 * stored last, so that a crash while filling leaves NONE; ENDED says that the acks hold what the token names. */
typedef enum cp_intent_state {
    CP_INTENT_NONE = 0,
    CP_INTENT_SENDING = 1,
    CP_INTENT_DELIVERED = 2,
    CP_INTENT_ENDED = 3
} cp_intent_state;

enum { CP_ABI_TOKEN = 512 };

typedef struct cp_abi_intent_span {
    uint64_t epoch;
    uint64_t begin;
    uint64_t end;
    uint64_t
        consumed_rows; /* of the ring, once delivered (0: not moved by delivery); likewise the next three */
    uint64_t delivered_rows;
    uint64_t rejected_rows;
    uint64_t quarantined_rows;
    uint32_t slot;
    uint32_t rows; /* valid ones, to be delivered or quarantined */
    uint32_t rejected;
    uint32_t quarantined; /* of rows */
    uint64_t held_rows;   /* as delivered_rows */
    uint8_t reserved[48];
} cp_abi_intent_span;

typedef struct cp_abi_intent {
    uint32_t state; /* cp_intent_state */
    uint32_t span_count;
    uint64_t rows;
    uint32_t piece_first; /* sent in pieces: valid rows of the batch before this are settled, ... */
    uint32_t piece_rows;  /* ... these are under way under the token; 0: the batch goes whole */
    uint64_t endpoint;    /* where it is sent: cp_abi_endpoint.id; 0: a program that did not say */
    uint64_t group;       /* of the replicas there that share its token; 0: none does */
    uint8_t reserved[24];
    char token[CP_ABI_TOKEN];
    cp_abi_intent_span spans[CP_REGION_MAX_SLOTS];
} cp_abi_intent;
static_assert(sizeof(cp_abi_intent_span) == 2 * (size_t)CP_CACHE_LINE, "span");
static_assert(sizeof(cp_abi_intent) == 64 + CP_ABI_TOKEN + 2 * CP_CACHE_LINE * CP_REGION_MAX_SLOTS, "intent");

typedef enum cp_ring_fault {
    CP_RING_SOUND = 0,
    CP_RING_BAD_HEADER = 1,   /* geometry, epoch or magic is not what the control file says */
    CP_RING_BAD_POSITION = 2, /* published position not a multiple of 8, or more than the ring's size ahead */
    CP_RING_BAD_RECORD = 3,   /* a record's size is 0, over row_max, or reaches past the published position */
    CP_RING_TRUNCATED = 4     /* the file became shorter under the reader (SIGBUS) */
} cp_ring_fault;

typedef struct cp_abi_ring {
    uint64_t magic;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint64_t epoch; /* random, new with every ring file */
    uint64_t data_size;
    uint64_t data_offset;
    uint32_t slot;
    uint32_t reserved0;
    char table[CP_ABI_NAME];
    uint8_t reserved1[336];

    /* the producer's identity, from offset 512 */
    uint32_t pid;
    uint32_t attach_count;
    uint64_t attached_ns; /* real time */
    char producer[CP_ABI_PRODUCER_NAME];
    uint8_t reserved2[3536];
} cp_abi_ring;
static_assert(sizeof(cp_abi_ring) == CP_ABI_HEADER_SIZE, "ring header is one page");
static_assert(offsetof(cp_abi_ring, pid) == 512, "identity starts at 512");

typedef struct cp_abi_ring_counters {
    uint64_t full;
    uint64_t too_big;
    uint8_t reserved[48];
} cp_abi_ring_counters;
static_assert(sizeof(cp_abi_ring_counters) == CP_CACHE_LINE, "one line");
static_assert(sizeof(struct cp_ring_hot) <= CP_CACHE_LINE, "hot line");
static_assert(CP_ABI_RING_COUNTERS_OFFSET == CP_ABI_RING_HOT_OFFSET + CP_CACHE_LINE, "behind the hot line");

/* <region>/errors: warnings and errors of recorders, deduplicated, so that they can be read when the recorder and its log are gone.
 *
 *   0 ┌──────────────────────────────┐
 *     │ cp_abi_errors          4096 B │
 *     ├──────────────────────────────┤
 *     │ cp_abi_error × 128     1024 B │  one per message and what it is about; the one seen least lately makes room
 *     └──────────────────────────────┘
 *
 * An entry is written under a sequence lock (odd = being written; left odd by a recorder that was killed). */
enum {
    CP_ABI_ERRORS = 128,
    CP_ABI_ERRORS_HEADER = 4096,
    CP_ABI_ERROR_MESSAGE = 128,
    CP_ABI_ERROR_DETAIL = 416
};

typedef struct cp_abi_errors {
    uint64_t magic;
    uint32_t abi_major;
    uint32_t entry_count; /* CP_ABI_ERRORS */
    uint64_t changes;     /* goes up with every event that is noted */
    uint64_t displaced;   /* entries that made room for others */
    uint8_t reserved[4064];
} cp_abi_errors;
static_assert(sizeof(cp_abi_errors) == CP_ABI_ERRORS_HEADER, "a page");

typedef struct cp_abi_error {
    uint32_t sequence;
    uint32_t level;    /* cp_log_level: 2 warning, 3 error */
    uint64_t count;    /* 0: the entry is free */
    uint64_t first_ns; /* real time; likewise the next */
    uint64_t last_ns;
    uint64_t change; /* the header's `changes` when it was noted last */
    uint32_t recorder_pid;
    uint32_t reserved0;
    char table[CP_ABI_NAME];            /* "": of none */
    char message[CP_ABI_ERROR_MESSAGE]; /* a constant phrase */
    char detail[CP_ABI_ERROR_DETAIL];   /* the latest one's fields, as in the log */
    char remedy[CP_ABI_ERROR_TEXT];     /* "": the message says it */
    uint8_t reserved[48];
} cp_abi_error;
static_assert(sizeof(cp_abi_error) == 1024, "entry of the error log");

/* "bad record"; never NULL. */
const char *cp_ring_fault_name(uint32_t fault);

#endif
