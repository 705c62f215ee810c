/* A walk over one segment that does not end at damage: what is sound behind it is found again, and what is missing in
 * between is named. For tools; recovery and readers use the cursor alone.
 *
 *   record 7 │ record 8: bad payload │ record 9 │ … │ zeros
 *   record()   gap(8, 8)               record()       end
 *
 * A record header's CRC is seeded with the segment's salt, so that what is found by searching is what was written. One thread. */
#ifndef CP_WAL_SCAN_H
#define CP_WAL_SCAN_H

#include "wal/cursor.h"

/* Larger records than any configuration allows, by far: a tool has no configuration to compare with. */
enum { CP_WAL_SCAN_PAYLOAD = 8 * 1024 * 1024 };

typedef struct cp_wal_scan {
    /* Set by the caller; ctx goes to both calls, whose result ends the walk unless it is CP_OK. Either may be NULL. */
    int (*record)(void *ctx, const cp_wal_record *record, const uint8_t *payload);
    /* Records lo to hi were acknowledged and are not here; lo > hi: only a mark is damaged. */
    int (*gap)(void *ctx, uint64_t offset, uint64_t lo, uint64_t hi, const char *what);
    void *ctx;
    uint64_t last_lsn; /* the segment ends with this one; 0: it is the newest, its end is to be found */
    bool open_end;     /* it may end before last_lsn: what is missing there is no gap of this segment */
    uint64_t last_end; /* where the successor says it ends; 0: not known */
    uint64_t stated;   /* highest durable LSN known; raised by what the records state */
    /* results */
    uint64_t end_lsn; /* of the last record, sound or not, that belongs to the log */
    uint64_t end;     /* offset behind the last sound one, in blocks */
    uint32_t end_crc;
    /* the walk's own */
    cp_wal_cursor cursor;
    uint8_t *search;
} cp_wal_scan;

/* Memory for walks. CP_E_NOMEM. */
int cp_wal_scan_init(cp_wal_scan *scan, cp_error *err);
void cp_wal_scan_destroy(cp_wal_scan *scan);

/* Walks one segment, open as `file` of io. A segment that is being written to may be walked: bytes that became durable
 * meanwhile are read again before they are called damaged. CP_OK, damage included; CP_E_IO; what a call returned. */
int cp_wal_scan_run(cp_wal_scan *scan, const cp_wal_origin *origin, cp_io *io, int file, cp_error *err);

#endif
