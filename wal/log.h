/* The write-ahead log of one critical table: what was appended and reported durable survives the death of the recorder and
 * of the host, until ClickHouse has it.
 *
 *   chunk ──append──► frame ──write+sync──► durable ──events──► the ring's space is free
 *   (drain thread)    ▲ fills while the            │
 *                     └ one before is under way    └──reader──► batch ──checkpoint──► ClickHouse ──release──► slot is used again
 *                                                              (flusher thread)
 *
 * Group commit: a frame is written at once when nothing is under way; else it fills until the one before is durable, and is
 * written beside others when it is full. Durability is reported in the order of appending, without gaps.
 *
 * Errors of the device. A failed write or sync is never tried again on the same blocks: the segment is given up, everything not
 * yet durable is written again into another one, under a new epoch; this goes on, with pauses, until the device recovers.
 * Without a free segment (limit reached, no space) nothing is acknowledged, so that the ring applies its policy. Nothing
 * undelivered is ever deleted. cp_wal_status says which it is.
 *
 * Threads: open and close belong to the owner, before and after the others. start, append, step, status and finish: the drain
 * thread, whose an io_uring is for good. checkpoint and release: the flusher's. A reader: the thread that made it. durable: any. A
 * maintenance thread of the log's own prepares segments. Running allocates nothing. */
#ifndef CP_WAL_LOG_H
#define CP_WAL_LOG_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "ingest/chunk.h"
#include "wal/format.h"

typedef enum cp_wal_backend { CP_WAL_AUTO, CP_WAL_IO_URING, CP_WAL_POSIX } cp_wal_backend;
typedef enum cp_wal_sync { CP_WAL_SYNC_AUTO, CP_WAL_FDATASYNC, CP_WAL_DSYNC } cp_wal_sync;

enum {
    CP_WAL_SEGMENT_SIZE = 64 * 1024 * 1024, /* the default */
    CP_WAL_SEGMENT_MIN = 64 * 1024,
    CP_WAL_SEGMENT_MAX = 1024 * 1024 * 1024,
    CP_WAL_UNDER_WAY = 3,                 /* frames that are written or synced at a time */
    CP_WAL_FRAMES = CP_WAL_UNDER_WAY + 1, /* and one filling */
    CP_WAL_FRAME_MEMORY = 6 << 20, /* of all frames, three huge pages; more where a chunk is over 1.5 MiB */
    CP_WAL_MEMLOCK = CP_WAL_FRAME_MEMORY + (64 << 10), /* that an io_uring locks: these, and its queues */
    CP_WAL_READY = 2,       /* segments kept ready, the reserve against a full disk */
    CP_WAL_MIN_SEGMENTS = 4 /* the least a limit must have room for: one in use, one sealed, the reserve */
};

/* A record became durable: everything of its ring before `end` is safe. */
typedef struct cp_wal_durable_event {
    uint64_t lsn;
    uint16_t slot;
    uint64_t epoch;
    uint64_t begin;
    uint64_t end;
    uint32_t rows;
    uint32_t rejected;
} cp_wal_durable_event;

typedef struct cp_wal_events {
    void *ctx;
    /* On the drain thread, out of cp_wal_step, in the order of LSNs. */
    void (*durable)(void *ctx, const cp_wal_durable_event *event);
    /* Likewise: a write became durable, so long after it was handed to the kernel. NULL is allowed. */
    void (*committed)(void *ctx, uint64_t duration_ns);
} cp_wal_events;

/* Strings are copied. 0 means the default where one is named. */
typedef struct cp_wal_config {
    const char *dir;       /* of this log alone; made when its parent exists */
    uint64_t schema_hash;  /* of the table; stored, and compared when rows are read back. 0: not compared */
    uint64_t segment_size; /* a multiple of 4096 in [MIN, MAX]; default CP_WAL_SEGMENT_SIZE */
    uint64_t limit;        /* bytes on disk; ≥ CP_WAL_MIN_SEGMENTS segments; 0: 64 segments */
    uint64_t keep_ns;      /* delivered segments stay this long for replay, while the limit has room */
    uint64_t mark_ns;      /* idle this long, the log states on disk how far it is durable; 0: 20 ms */
    uint32_t max_chunk_bytes; /* of the largest chunk; default 1 MiB + 4 KiB */
    uint32_t frame_bytes; /* of one write, a chunk's at least; default: about 1.5 MiB, or a whole segment */
    cp_wal_backend backend;
    cp_wal_sync sync;
    cp_wal_events events;
    /* What the caller knows of the log. Where its records reach as far, recovery goes no further: what was written behind them was
     * never acknowledged, and may be no more than what caches hold. Where they do not, acknowledged ones are missing. */
    cp_wal_known known;
} cp_wal_config;

typedef struct cp_wal cp_wal;

/* Opens or makes the log, and recovers: locks the directory (waits some seconds for the I/O of a killed owner), finds
 * the end of what was durable, refuses what is damaged. Writes nothing but a new log's files; may be killed anywhere and
 * repeated. CP_E_BUSY: another recorder has it; CP_E_CORRUPT: acknowledged records are damaged or missing, the text says
 * which, and nothing was touched; CP_E_ABI: another version's; CP_E_CONFIG; CP_E_PERM, CP_E_IO, CP_E_NOMEM. */
int cp_wal_open(cp_wal **out, const cp_wal_config *config, cp_error *err);

/* Ends the log; a last checkpoint says how far it is. Where one thread does all, it need not finish first: deadline_ns is as there.
 * NULL is allowed. */
void cp_wal_close(cp_wal *wal, uint64_t deadline_ns);

/* ---- what recovery found; stable until start ---- */

uint64_t cp_wal_delivered(const cp_wal *wal); /* as of the newest checkpoint */
/* Names the log, from its making on; never 0. */
uint64_t cp_wal_id(const cp_wal *wal);
/* Batches that may or may not have arrived, oldest first; valid until the next checkpoint. */
uint32_t cp_wal_intents(const cp_wal *wal, const cp_wal_intent **intents);
/* Repair has rewritten a segment that holds, or held, undelivered records. */
bool cp_wal_repaired(cp_wal *wal);
/* Both checkpoint blocks were unreadable: everything in the log is to be sent again, and to be reconciled with ClickHouse. */
bool cp_wal_checkpoint_lost(const cp_wal *wal);
/* How far the log has ring (slot, epoch): false when it has nothing of it. */
bool cp_wal_ring_end(const cp_wal *wal, uint32_t slot, uint64_t epoch, uint64_t *position);

/* ---- drain thread ---- */

/* Starts the writer on the calling thread, which alone may append and step from now on. */
int cp_wal_start(cp_wal *wal, cp_error *err);

/* Copies the chunk into the log; it stays the caller's. *lsn is its number. CP_FULL: no room now, step and try again;
 * CP_E_TOO_BIG: larger than max_chunk_bytes; CP_E_INVAL: not a chunk (byte_count ≠ end - begin, slot out of range). */
int cp_wal_append(cp_wal *wal, const cp_chunk *chunk, uint64_t *lsn);

/* Moves writes on, reports what became durable; never blocks. now_ns: boot-time clock. True when something moved. */
bool cp_wal_step(cp_wal *wal, uint64_t now_ns);

/* As step, but waits up to wait_ns when writes are under way. For those who have nothing else to do. */
bool cp_wal_step_wait(cp_wal *wal, uint64_t now_ns, uint64_t wait_ns);

/* Ends the writer: what was appended gets until deadline_ns (boot-time clock) to become durable, and what is under way then is waited
 * for. Nothing is appended or stepped after it. */
void cp_wal_finish(cp_wal *wal, uint64_t deadline_ns);

/* ---- flusher thread ---- */

/* Stores how far ClickHouse has the log and which batches are about to be sent (n ≤ CP_WAL_INTENTS, lo > delivered_lsn,
 * hi ≤ durable, a piece within the batch's rows); on CP_OK it is durable. delivered_lsn never goes back. CP_E_INVAL,
 * CP_E_IO. */
int cp_wal_checkpoint_write(cp_wal *wal, uint64_t delivered_lsn, const cp_wal_intent *intents, uint32_t n,
                            cp_error *err);

/* Gives back segments that hold nothing above delivered_lsn, as far as a durable checkpoint says the same and the keep time is over. */
void cp_wal_release(cp_wal *wal, uint64_t delivered_lsn);

/* ---- any thread ---- */

/* Makes the next record open another segment, as soon as one is ready, though the one in use has room: what is in that one is then
 * complete. */
void cp_wal_rotate(cp_wal *wal);

/* Every record up to this one is durable. */
uint64_t cp_wal_durable(const cp_wal *wal);

/* How far the log has ring (slot, epoch), if records up to lsn hold all that is durable of it; false: later ones do, or it has
 * nothing of it. */
bool cp_wal_ring_within(cp_wal *wal, uint32_t slot, uint64_t epoch, uint64_t lsn, uint64_t *position);

typedef enum cp_wal_state {
    CP_WAL_RUNNING,
    CP_WAL_STALLED, /* no free segment: limit reached, or the disk is full */
    CP_WAL_FAILING  /* writes or syncs fail; tried again, elsewhere */
} cp_wal_state;

/* Counters since open. */
typedef struct cp_wal_status {
    cp_wal_state state;
    const char *backend;              /* "io_uring", "posix"; "" before start */
    const char *sync;                 /* "fdatasync", "dsync" */
    bool registered;                  /* buffers are */
    bool buffered;                    /* no O_DIRECT: degraded */
    bool not_persistent;              /* tmpfs: degraded further */
    uint64_t calibrated_fdatasync_ns; /* median commit of 4 KiB + that of 64 KiB; 0: there was no choice */
    uint64_t calibrated_dsync_ns;     /* likewise */
    uint64_t durable_lsn;
    uint64_t delivered_lsn;
    uint64_t bytes; /* on disk, in all segments */
    uint64_t limit;
    uint32_t segments;
    uint32_t segments_ready;
    uint64_t commits; /* frames made durable */
    uint64_t payload_bytes;
    uint64_t device_bytes; /* written, headers and padding included */
    uint64_t retries;      /* of short or refused writes */
    uint64_t given_up;     /* segments */
    char note[256];        /* why not the first choice of backend; "" when it is */
    char error[512];       /* the latest error and what to do; "" when none, or over */
} cp_wal_status;

void cp_wal_status_read(cp_wal *wal, cp_wal_status *status);

#endif
