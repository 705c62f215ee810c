/* The log on disk: the bytes, and the checks that they are what they claim to be.
 *
 *   <dir>/lock          empty; locked by the recorder that owns the log
 *   <dir>/checkpoint    two blocks, A and B, alike: how far ClickHouse has it (cp_wal_checkpoint_block)
 *   <dir>/000000.seg …  segment slots of one size, written full of zeros once, used again and again
 *   <dir>/000007.tmp    a slot in the making
 *
 *   segment slot:
 *     0     ┌───────────────────────┐
 *           │ cp_wal_segment_header │ one block: who wrote it, from which LSN on, what came before
 *     4096  │ the same again        │ one bad block must not hide acknowledged records
 *     8192  ├───────────────────────┤
 *           │ frame                 │ one write: records, zeros up to the block's end
 *           ├───────────────────────┤ multiples of 4096
 *           │ frame                 │
 *           │ zeros, or what an earlier life of the slot left
 *           └───────────────────────┘
 *
 *   record, at a multiple of 8:
 *     0                 128                        128 + size
 *     ├─ cp_wal_record ──┼─ the chunk's data as it is ─┤ the next record; behind a frame's last: zeros to the block's end
 *
 * A record's header is under its own CRC32C, so that its length can be trusted before anything is read by it. That CRC is
 * seeded with the salt and the number of the segment, and each header holds its predecessor's (the first one its segment
 * header's): what an earlier life of the slot left behind never fits. The payload's CRC stands in the header and is
 * seeded with the LSN. Little-endian throughout. LSN: the number of a record, from 1, without gaps.
 *
 * In the chunk's data the top bit of a row's length is set when the row was rejected by validation; the reader
 * clears it again and leaves the row out of the index. */
#ifndef CP_WAL_FORMAT_H
#define CP_WAL_FORMAT_H

#include <assert.h>
#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CP_WAL_SEGMENT_MAGIC    0x314745534c415743ull /* "CWALSEG1" */
#define CP_WAL_CHECKPOINT_MAGIC 0x3154504b4c415743ull /* "CWALKPT1" */

enum {
    CP_WAL_VERSION = 1,
    CP_WAL_BLOCK = 4096,
    CP_WAL_HEADER_COPIES = 2,
    CP_WAL_FIRST_FRAME = CP_WAL_HEADER_COPIES * CP_WAL_BLOCK,
    CP_WAL_RECORD_HEADER = 128,
    CP_WAL_RECORD_MAGIC = 0x524c5743, /* "CWLR" */
    CP_WAL_RINGS = 64,                /* producer slots of one table */
    CP_WAL_INTENTS = 4,               /* batches that may be in doubt at once */
    CP_WAL_TOKEN = 488,               /* a deduplication token and its NUL */
    CP_WAL_UUID = 16
};

#define CP_WAL_ROW_REJECTED 0x80000000u

/* What is known of a log from memory that outlives a process but not the host: everything up to durable_lsn was reported durable.
 * id is the log's cp_wal_uuid_id; 0: nothing is known. */
typedef struct cp_wal_known {
    uint64_t id;
    uint64_t durable_lsn;
} cp_wal_known;

/* Names a log, never 0. */
uint64_t cp_wal_uuid_id(const uint8_t uuid[CP_WAL_UUID]);

/* How far one ring has come: with record `lsn` everything before position `end` is in the log. lsn 0: nothing. */
typedef struct cp_wal_ring {
    uint64_t epoch;
    uint64_t end;
    uint64_t lsn;
} cp_wal_ring;

/* Written anew by repair: sound records as they were, empty ones in place of those given up; its end is no longer what its
 * successor's header states. */
enum { CP_WAL_SEGMENT_REPAIRED = 1 };

/* What segment header and checkpoint begin with, in every version. */
typedef struct cp_wal_block_head {
    uint64_t magic;
    uint32_t version;
    uint32_t crc; /* of the whole block, with this field 0 */
} cp_wal_block_head;

typedef struct cp_wal_segment_header {
    cp_wal_block_head head;
    uint8_t uuid[CP_WAL_UUID]; /* of the log */
    uint64_t id;               /* counts activations of slots, from 1 */
    uint64_t epoch;            /* grows with every recovery and every segment given up */
    uint64_t salt;             /* random, per activation */
    uint64_t base_lsn;         /* of the first record; all before it was durable when this was written */
    uint64_t size;             /* of the slot */
    uint64_t activated_ns;     /* real time */
    uint64_t previous_id;      /* the segment that holds base_lsn - 1; 0: none */
    uint64_t previous_end;     /* where that one ends: behind its last valid frame */
    uint64_t schema_hash;      /* of the table at the time, for people */
    uint32_t previous_crc;     /* of its last record's header */
    uint32_t ring_count;
    cp_wal_ring rings[CP_WAL_RINGS]; /* as of base_lsn - 1 */
    uint32_t flags;
    uint8_t reserved[2444];
} cp_wal_segment_header;
static_assert(sizeof(cp_wal_segment_header) == CP_WAL_BLOCK, "one block");

typedef enum cp_wal_record_kind {
    CP_WAL_CHUNK = 1,
    CP_WAL_MARK = 2 /* no LSN of its own: says once more, while the log is idle, how far it was durable */
} cp_wal_record_kind;

enum { CP_WAL_LAST_IN_FRAME = 1 };

typedef struct cp_wal_record {
    uint32_t magic;
    uint32_t crc; /* of this header with this field 0; seeded */
    uint64_t lsn; /* a mark's: of the record before it */
    uint64_t segment_id;
    uint64_t durable_lsn; /* when this was written */
    uint64_t ring_epoch;
    uint64_t ring_begin;
    uint64_t ring_end;
    uint64_t schema_hash;
    uint64_t seen_ns; /* real time: when the recorder first saw the oldest of these rows */
    uint32_t size;    /* of the payload; a multiple of 8 */
    uint32_t raw_size;
    uint32_t rows;
    uint32_t rejected;
    uint32_t payload_crc;
    uint32_t previous_crc;
    uint16_t ring_slot;
    uint8_t kind;  /* cp_wal_record_kind */
    uint8_t codec; /* 0: as it is */
    uint32_t flags;
    uint16_t table;
    uint8_t reserved[22];
} cp_wal_record;
static_assert(sizeof(cp_wal_record) == CP_WAL_RECORD_HEADER, "record header");

/* A batch that was, or was about to be, sent: sent again, it is the same rows under the same token.
 *
 *   valid rows of the records lo to hi:   0 ── settled ── piece_first ── in doubt ── + piece_rows ── not sent yet ── rows
 *
 * A batch that is sent in pieces names the one under way. Earlier programs left those eight bytes 0: the whole batch; and
 * endpoint and group, which were the end of the token's room. */
typedef struct cp_wal_intent {
    uint64_t lo; /* first and last LSN */
    uint64_t hi;
    uint64_t rows; /* valid ones, of all these records */
    char token[CP_WAL_TOKEN];
    uint64_t endpoint; /* names where it is sent; 0: not known */
    uint64_t group;    /* names the replicas there that share its token; 0: none does */
    uint32_t piece_first;
    uint32_t piece_rows; /* 0, and piece_first 0: the whole batch is in doubt */
} cp_wal_intent;
static_assert(sizeof(cp_wal_intent) == 536, "intent");

typedef struct cp_wal_checkpoint_block {
    cp_wal_block_head head;
    uint8_t uuid[CP_WAL_UUID];
    uint64_t generation;
    uint64_t delivered_lsn; /* ClickHouse has acknowledged everything up to here */
    uint64_t durable_lsn;   /* when this was written */
    uint64_t written_ns;    /* real time */
    uint32_t intent_count;
    uint32_t ring_count;
    cp_wal_intent intents[CP_WAL_INTENTS];
    cp_wal_ring rings[CP_WAL_RINGS];
    uint8_t reserved[344];
} cp_wal_checkpoint_block;
static_assert(sizeof(cp_wal_checkpoint_block) == CP_WAL_BLOCK, "one block");

/* Protections that a test takes away, to see that its simulation misses them; 0 in every program. */
typedef enum cp_wal_unsafe {
    CP_UNSAFE_CHECKPOINT_SYNC = 1 << 0, /* a checkpoint is not synced */
    CP_UNSAFE_IDENTITY = 1 << 1,        /* neither seed nor chain ties a record to its segment */
    CP_UNSAFE_ONE_SLOT = 1 << 2,        /* one checkpoint block, overwritten in place */
    CP_UNSAFE_INTENT = 1 << 3,          /* an intent is not made durable before the send */
    CP_UNSAFE_DIR_SYNC = 1 << 4,        /* new names are not synced */
    CP_UNSAFE_HEADER_CRC = 1 << 5,      /* the record header's CRC is not checked */
    CP_UNSAFE_PAYLOAD_CRC = 1 << 6,     /* the payload's CRC is not checked */
    CP_UNSAFE_ACK_WRITTEN = 1 << 7,     /* acknowledged when written, not when synced */
    CP_UNSAFE_ACK_ORDER = 1 << 8,       /* acknowledged in the order of completion */
    CP_UNSAFE_SYNC_RETRY = 1 << 9,      /* a failed sync is tried again on the same segment */
    CP_UNSAFE_RECYCLE = 1 << 10,        /* segments are used again before the checkpoint that allows it */
    CP_UNSAFE_TORN_TAIL = 1 << 11,      /* every bad record passes for the torn tail */
    CP_UNSAFE_CHAIN = 1 << 12,          /* a missing segment is not noticed */
    CP_UNSAFE_REUSE = 1 << 13,          /* slots with a torn header are written over */
    CP_UNSAFE_BLOCK_CRC = 1 << 14       /* no CRC of segment headers and checkpoints is checked */
} cp_wal_unsafe;

static inline uint64_t cp_wal_block_up(uint64_t size)
{
    return (size + CP_WAL_BLOCK - 1) / CP_WAL_BLOCK * CP_WAL_BLOCK;
}

/* Sets magic, version and CRC of a block of CP_WAL_BLOCK bytes. */
void cp_wal_block_seal(void *block, uint64_t magic);

/* CP_OK; CP_E_CORRUPT: no such block; CP_E_ABI: a sound one of a version this program does not know. */
int cp_wal_block_check(const void *block, uint64_t magic, unsigned unsafe);

/* Checks beyond the CRC: CP_OK, CP_E_CORRUPT, CP_E_ABI. */
int cp_wal_segment_header_check(const cp_wal_segment_header *header, unsigned unsafe);
int cp_wal_checkpoint_check(const cp_wal_checkpoint_block *block, unsigned unsafe);

/* True when the intent makes sense in a log that is delivered and durable so far. */
bool cp_wal_intent_sane(const cp_wal_intent *intent, uint64_t delivered_lsn, uint64_t durable_lsn);

uint32_t cp_wal_payload_crc(uint64_t lsn, const void *data, uint32_t size);

/* Sets magic and CRC; all else in the header is set. */
void cp_wal_record_seal(cp_wal_record *record, uint64_t salt);

/* True when the header is sound and belongs to this activation of the segment. */
bool cp_wal_record_sound(const cp_wal_record *record, uint64_t segment_id, uint64_t salt, unsigned unsafe);

/* Notes that slot has come to (epoch, end) with record lsn, unless a later record is known. */
void cp_wal_rings_note(cp_wal_ring *rings, uint32_t slot, uint64_t epoch, uint64_t end, uint64_t lsn);

#endif
