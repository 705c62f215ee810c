/* A log looked at from outside, beside a running recorder or without one: nothing is locked, nothing is written.
 *
 *   directory ──► checkpoint ──► segment headers ──► chain, newest to oldest ──► records (scan.h) ──► faults
 *
 * What recovery only asks about the end of the newest segment is asked of every record here: header CRC, payload CRC,
 * chain, links between segments. A fault says which records, in which file, and whether ClickHouse has them.
 *
 * While a recorder writes, segments are recycled under the inspector's eyes: when it finds a fault in a log that is in use, it looks
 * again, from the start, before it believes it. One thread. */
#ifndef CP_WAL_INSPECT_H
#define CP_WAL_INSPECT_H

#include <coldpath/error.h>
#include <sys/types.h>

#include "wal/scan.h"
#include "wal/segment.h"

enum {
    CP_WAL_FAULTS = 4096, /* kept; more are counted */
    CP_WAL_FAULT_TEXT = 192
};

typedef enum cp_wal_depth {
    CP_WAL_HEADERS, /* segments and checkpoint */
    CP_WAL_WAITING, /* and the records that ClickHouse does not have */
    CP_WAL_ALL      /* and all others that are still there */
} cp_wal_depth;

typedef enum cp_wal_view_state {
    CP_WAL_VIEW_FREE,    /* zeros, or a past life: nothing of it is needed */
    CP_WAL_VIEW_SEALED,  /* a part of the log that is complete */
    CP_WAL_VIEW_NEWEST,  /* the part that is, or was last, written to */
    CP_WAL_VIEW_UNSOUND, /* no header can be read: a torn activation, or damage */
    CP_WAL_VIEW_MISSING  /* no file: what the chain asks for and is not there */
} cp_wal_view_state;

typedef struct cp_wal_view_segment {
    cp_wal_view_state state;
    uint32_t slot;
    uint64_t bytes; /* of the file */
    cp_wal_origin origin;
    uint64_t epoch;
    uint64_t activated_ns;
    uint64_t previous_id;
    uint64_t previous_end;
    uint32_t previous_crc;
    bool repaired;
    bool scanned;     /* what follows is known of the records above */
    uint64_t end_lsn; /* base_lsn - 1: holds nothing; of one in use and not scanned, 0 */
    uint64_t end;     /* offset */
    uint64_t records;
    uint64_t rows;
    uint64_t rejected;
    uint64_t payload_bytes;
    uint64_t oldest_seen_ns; /* real time: when the recorder first saw the oldest row of it; 0: none */
    uint64_t waiting_rows;   /* of these, the rows that ClickHouse does not have */
    uint64_t waiting_records;
    uint64_t waiting_bytes;
    uint64_t waiting_since_ns;
} cp_wal_view_segment;

typedef struct cp_wal_fault {
    uint64_t segment_id; /* 0: unknown */
    uint32_t slot;
    bool file; /* there is one: slot is right */
    uint64_t offset;
    uint64_t lo; /* lo > hi: no record is lost */
    uint64_t hi;
    bool delivered; /* ClickHouse has them all: only replay misses them */
    char text[CP_WAL_FAULT_TEXT];
} cp_wal_fault;

typedef struct cp_wal_view {
    char dir[4096];
    bool in_use;     /* a process holds the lock */
    pid_t holder;    /* which; 0: not known */
    bool empty;      /* neither checkpoint nor segments */
    bool uuid_known; /* uuid is the log's */
    uint8_t uuid[CP_WAL_UUID];
    bool checkpoint_sound[2];
    bool checkpoint_lost; /* there is none, or neither block is sound: everything will be sent again */
    cp_wal_checkpoint_block checkpoint;
    uint64_t delivered_lsn;
    uint64_t durable_lsn; /* highest known to have been acknowledged */
    uint64_t end_lsn;     /* of the newest record */
    uint64_t oldest_lsn;  /* of the oldest one that is still there */
    cp_wal_ring rings[CP_WAL_RINGS];
    uint64_t bytes;                /* of all files */
    cp_wal_view_segment *segments; /* missing ones, free ones, then by id */
    uint32_t segment_count;
    cp_wal_fault *faults;
    uint32_t fault_count; /* may be over CP_WAL_FAULTS: only so many are kept */
} cp_wal_view;

/* Looks at the log in dir. CP_OK, whatever state it is in; CP_E_ABSENT: no such directory; CP_E_ABI: of another version;
 * CP_E_CORRUPT: files of several logs lie in it, the text says which; CP_E_PERM, CP_E_IO, CP_E_NOMEM, CP_E_TOO_BIG. */
int cp_wal_inspect(cp_wal_view **out, const char *dir, cp_wal_depth depth, cp_error *err);

/* The same, with what memory says of the log (NULL: nothing): records that it has as acknowledged and that are not there are a
 * fault too. Read before, so that a recorder which goes on cannot have stated more than is looked at. */
int cp_wal_inspect_known(cp_wal_view **out, const char *dir, cp_wal_depth depth, const cp_wal_known *known,
                         cp_error *err);
void cp_wal_view_free(cp_wal_view *view);

/* Calls each for every sound record from lo to hi, in order; an error of each ends it. payload lives until the next. */
int cp_wal_view_records(const cp_wal_view *view, uint64_t lo, uint64_t hi,
                        int (*each)(void *ctx, const cp_wal_record *record, const uint8_t *payload),
                        void *ctx, cp_error *err);

/* Records that are lost and that ClickHouse does not have. */
uint64_t cp_wal_view_lost(const cp_wal_view *view);

/* "free", "sealed", "newest", "unsound", "missing" */
const char *cp_wal_view_state_name(cp_wal_view_state state);

#endif
