/* Walking through one segment, record by record, believing nothing that has not been checked.
 *
 *   file ──► window (a few MiB, aligned) ──► header: CRC, segment, LSN, chain ──► payload: CRC ──► record
 *
 * A window that reads ahead has a second buffer, filled from the file while the first one's records are verified. What the
 * last record lacks at the first one's edge then follows it: its beginning is copied in front.
 *
 *   1:   keep │ record 7 │ record 8 │ reco
 *   2:        keep                    reco│rd 9 │ record 10 │ …
 *
 * One thread. The window is the caller's to share among cursors that are used one after the other. */
#ifndef CP_WAL_CURSOR_H
#define CP_WAL_CURSOR_H

#include "wal/format.h"
#include "wal/io.h"

enum {
    CP_WAL_WINDOW = 4 * 1024 * 1024,      /* large reads, and few records read twice at its edge */
    CP_WAL_WINDOW_AHEAD = 2 * 1024 * 1024 /* where the next one is read meanwhile, into another */
};

typedef struct cp_wal_window {
    uint8_t *buffer; /* aligned to CP_IO_BLOCK: room for the largest record, then for `capacity` bytes */
    uint64_t capacity;
    /* reading ahead */
    uint8_t *other; /* as buffer; NULL: this one does not */
    uint64_t keep;  /* bytes in front of where either is read to */
    uint64_t ahead_at;
    uint64_t ahead_size; /* asked for; 0: nothing is under way */
} cp_wal_window;

/* One activation of a slot, as far as its records depend on it. */
typedef struct cp_wal_origin {
    uint64_t id;
    uint64_t salt;
    uint64_t size;
    uint64_t base_lsn;
    uint32_t header_crc; /* the first record's predecessor */
} cp_wal_origin;

/* The activation that a sound header is of. */
cp_wal_origin cp_wal_origin_of(const cp_wal_segment_header *header);

typedef struct cp_wal_cursor {
    cp_io *io;
    int file;
    uint64_t segment_id;
    uint64_t salt;
    uint64_t size;         /* nothing is looked for behind this */
    uint64_t written;      /* to read further than this is of no use yet; 0: not known */
    uint64_t offset;       /* of the next record */
    uint64_t next_lsn;     /* that it must have */
    uint32_t previous_crc; /* that it must hold */
    uint32_t max_payload;
    unsigned unsafe;
    cp_wal_window window;
    const uint8_t *read;  /* what was read, in the window */
    uint64_t window_at;   /* its offset */
    uint64_t window_size; /* bytes; 0: none */
} cp_wal_cursor;

/* A window for payloads up to max_payload; at least `least` bytes. ahead: one that reads ahead, as far as a cursor's `written`
 * allows, if the cursor's io can. CP_E_NOMEM. */
int cp_wal_window_init(cp_wal_window *window, uint32_t max_payload, uint64_t least, bool ahead);

/* Nothing is being read ahead: the last cursor has forgotten. */
void cp_wal_window_destroy(cp_wal_window *window);

/* Drops what was read, and waits for what is being read: before the file is closed, and when the file has changed. */
void cp_wal_cursor_forget(cp_wal_cursor *cursor);

/* Places the cursor on the first record of a segment. window, max_payload and unsafe are set by the caller; the cursor has
 * forgotten another file. */
void cp_wal_cursor_begin(cp_wal_cursor *cursor, const cp_wal_origin *origin, cp_io *io, int file);

/* The record at the cursor; then steps over it. *record and *payload live in the window until the next call.
 * CP_OK; CP_E_CORRUPT: there is no valid record here (the log's end, or damage: the caller knows what ought to be here),
 * err says what was found; CP_E_IO. */
int cp_wal_cursor_next(cp_wal_cursor *cursor, const cp_wal_record **record, const uint8_t **payload,
                       cp_error *err);

/* The highest durable LSN that any sound record header from the cursor's offset on states, 0 when there is none. For a cursor
 * that found no valid record: were the bytes missing here acknowledged once? CP_E_IO. */
int cp_wal_cursor_stated(cp_wal_cursor *cursor, uint64_t *durable_lsn, cp_error *err);

#endif
