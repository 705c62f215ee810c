/* Rows that ClickHouse refuses one by one are kept on disk, with the reason, until somebody retries or drops them.
 *
 *   <dir>/<table>.rows       appended to by the recorder           ┐ a row may stand in more than one record, after a crash
 *   <dir>/<table>.retrying   being sent again by `coldpath quarantine retry`  │ between the write and its booking: (epoch, slot,
 *   <dir>/trash/<table>.*    retried or dropped; delete at will    ┘ position) names it
 *   <dir>/<table>.lock       held while one of them is written or renamed
 *
 *   record ├ header 256 B: magic, checksum, place, reason ┼ row ┼ message ┤   row and message padded to 8 bytes
 *
 * Integers are little-endian. A torn record at the end is cut off by the next writer; a damaged one is skipped by readers and
 * counted. A row counts as settled only when its record is durable. One thread per object; any number of processes. */
#ifndef CP_FLUSH_QUARANTINE_H
#define CP_FLUSH_QUARANTINE_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CP_QUARANTINE_MESSAGE = 1024, /* bytes of the server's message that are kept, with the NUL */
    CP_QUARANTINE_PATH = 1024
};

typedef struct cp_quarantine_row {
    uint64_t schema_hash; /* of the table that the bytes are a row of */
    uint64_t epoch;
    uint64_t position;
    uint64_t refused_ns; /* real time */
    uint32_t slot;
    int32_t code;      /* ClickHouse's; 0: none */
    uint32_t together; /* rows that were refused together; 1: this one by itself */
    uint32_t size;
    const uint8_t *bytes; /* the row with its tail, 8-byte aligned */
    const char *message;
} cp_quarantine_row;

/* ---- writing ---- */

typedef struct cp_quarantine {
    char dir[CP_QUARANTINE_PATH];
    char table[128];
    uint64_t limit; /* bytes of <table>.rows */
    int lock_fd;    /* between begin and commit; otherwise -1 */
    int fd;
    bool made;      /* the file is new: its name is to be made durable, too */
    uint64_t end;   /* where the next record goes */
    uint64_t start; /* where it was at begin */
    uint64_t inode; /* of the file whose sound end is known ... */
    uint64_t sound; /* ... to be this */
} cp_quarantine;

/* CP_E_TOO_BIG: dir or table are too long, or table is no name for a file. */
int cp_quarantine_init(cp_quarantine *quarantine, const char *dir, const char *table, uint64_t limit,
                       cp_error *err);

/* Makes a directory with those above it, for what is kept beside the rows. CP_E_TOO_BIG, CP_E_IO, CP_E_PERM. */
int cp_quarantine_make_directories_(const char *path, cp_error *err);

/* Appends rows, all or none: begin, add …, commit; abort instead gives them up, as does a commit that fails. Makes directory
 * and file as needed. CP_E_BUSY: another process is at it for a moment; CP_E_TOO_BIG: the limit is reached; CP_E_IO,
 * CP_E_PERM. After an add that failed, abort. */
int cp_quarantine_begin(cp_quarantine *quarantine, cp_error *err);
int cp_quarantine_add(cp_quarantine *quarantine, const cp_quarantine_row *row, cp_error *err);
int cp_quarantine_commit(cp_quarantine *quarantine, cp_error *err);
void cp_quarantine_abort(cp_quarantine *quarantine);

/* Takes and gives back the lock alone. CP_E_BUSY. */
int cp_quarantine_lock(cp_quarantine *quarantine, cp_error *err);
void cp_quarantine_unlock(cp_quarantine *quarantine);

/* CP_E_BUSY: a retry has begun and not ended. */
int cp_quarantine_at_rest(const cp_quarantine *quarantine, cp_error *err);

/* Under the lock: moves the rows to `retrying`, where there must be none; or either of them to the trash, under a name that
 * ends in suffix. False in *moved: there was no such file. Durable. */
int cp_quarantine_begin_retry(cp_quarantine *quarantine, bool *moved, cp_error *err);
int cp_quarantine_trash(cp_quarantine *quarantine, bool retrying, const char *suffix, bool *moved,
                        cp_error *err);

/* ---- reading ---- */

enum { CP_QUARANTINE_ROWS = 1, CP_QUARANTINE_RETRYING = 2, CP_QUARANTINE_TRASH = 4 };

typedef struct cp_quarantine_entry {
    uint64_t epoch;
    uint64_t position;
    uint64_t refused_ns;
    uint64_t schema_hash;
    uint64_t offset; /* of the record in its file */
    uint32_t slot;
    uint32_t size; /* of the row */
    int32_t code;
    uint32_t together;
    uint16_t file;
} cp_quarantine_entry;

typedef struct cp_quarantine_list {
    cp_quarantine_entry *entries; /* in the order of epoch, slot and position, each row once */
    uint64_t count;
    uint64_t bytes;   /* of the files */
    uint64_t damaged; /* bytes that are no sound record */
    char **paths;
    uint32_t path_count;
} cp_quarantine_list;

/* Reads what is known of a table's rows in the files that `which` names. Nothing there is an empty list. CP_E_NOMEM, CP_E_IO,
 * CP_E_PERM. */
int cp_quarantine_load(cp_quarantine_list *list, const char *dir, const char *table, unsigned which,
                       cp_error *err);
void cp_quarantine_list_free(cp_quarantine_list *list);

/* True when the row is in the list. */
bool cp_quarantine_list_has(const cp_quarantine_list *list, uint64_t epoch, uint32_t slot, uint64_t position);

/* Reads an entry's row. *row points into *buffer, which is malloc'd, or grown when it is not NULL, and the caller's to free.
 * CP_E_CORRUPT: it is not there any more; CP_E_NOMEM, CP_E_IO, CP_E_PERM: it may be. */
int cp_quarantine_read(const cp_quarantine_list *list, const cp_quarantine_entry *entry, uint8_t **buffer,
                       cp_quarantine_row *row, cp_error *err);

#endif
