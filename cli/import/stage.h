/* Where rows wait while they are imported: three tables in a SQLite database, which for an old spool is the spool itself, so
 * that a row moves from `queue` into the stage in one transaction.
 *
 *     coldpath_import_row       a row as bytes
 *     coldpath_import_span      rows of one table, from one id to another, that are put into one ring, in order, from a known
 *                               position on
 *     coldpath_import_progress  of files: how many lines are staged
 *
 *     source ─► row ─► span made ─► put ─► span settled: its end is known ─► durable ─► both deleted
 *
 * A killed import leaves spans behind; what of them was put is found out from the ring (span.h). A host that dies takes the last
 * transactions with it, but never one that made a span, nor those before it: what may have been put is known to be in doubt.
 * Transactions are short: the old writer gives up a row whose insert waits 50 ms for the lock.
 *
 * Positions and epochs are stored as signed 64-bit integers, bit by bit. One thread uses a stage. Errors: CP_E_IO,
 * CP_E_BUSY (another process holds the database), CP_E_NOMEM, CP_E_CORRUPT (no such database). */
#ifndef CP_CLI_IMPORT_STAGE_H
#define CP_CLI_IMPORT_STAGE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "schema/table.h"

enum { CP_BOOT_ID = 37 }; /* a UUID and its NUL */

typedef struct cp_staging {
    sqlite3 *db;
    sqlite3_stmt *add;
    char *path;
    int lock_fd;        /* one import of a database at a time */
    uint64_t import_id; /* at random, as old as the stage */
} cp_staging;

typedef struct cp_staged_row {
    int64_t id;
    uint32_t size;
    size_t offset; /* in cp_staged_rows.bytes, a multiple of 8 */
} cp_staged_row;

/* Rows of one table, in the order of their ids. */
typedef struct cp_staged_rows {
    cp_staged_row *row;
    size_t count;
    uint8_t *bytes;
    size_t used;
    size_t capacity;
    size_t row_capacity;
} cp_staged_rows;

typedef struct cp_put_span {
    int64_t id;
    char table[CP_MAX_NAME + 1];
    char boot[CP_BOOT_ID];
    uint64_t schema_hash;
    uint64_t epoch;
    uint32_t slot;
    uint32_t attach_count; /* of the ring's header, when the span was made */
    uint64_t first;        /* position where its first row begins */
    uint64_t end;          /* if settled: where its last row ends */
    int64_t first_row;     /* ids */
    int64_t last_row;
    bool settled;
} cp_put_span;

/* Opens the database, makes the stage's tables where they are missing, and takes the lock beside it. create: the database
 * too. Close it in any case. */
int cp_staging_open(cp_staging *stage, const char *path, bool create, cp_error *err);
void cp_staging_close(cp_staging *stage);

/* A statement of the caller's own, to be finalized by it. */
int cp_staging_prepare(cp_staging *stage, const char *sql, sqlite3_stmt **out, cp_error *err);

/* Says in err what SQLite says, about what was being done; returns the code for it. */
int cp_staging_fail(const cp_staging *stage, const char *doing, cp_error *err);

int cp_staging_begin(cp_staging *stage, cp_error *err);
/* rc as it came, after COMMIT, or ROLLBACK when it is below 0; COMMIT's own failure otherwise. */
int cp_staging_end(cp_staging *stage, int rc, cp_error *err);

/* Adds a row, within a transaction. */
int cp_staging_add(cp_staging *stage, const char *table, uint64_t schema_hash, const void *bytes,
                   uint32_t size, cp_error *err);

/* How many lines of a file are staged; and sets it, within a transaction. */
int cp_staging_progress(cp_staging *stage, const char *name, int64_t *done, cp_error *err);
int cp_staging_set_progress(cp_staging *stage, const char *name, int64_t done, cp_error *err);

/* The table of the first row that is in no span: 1, or 0 when there is none. */
int cp_staging_next_table(cp_staging *stage, char table[CP_MAX_NAME + 1], uint64_t *schema_hash,
                          cp_error *err);

/* Rows of that table and hash, at most limit: those of span, or with NULL those that are in none. */
int cp_staging_load(cp_staging *stage, const char *table, uint64_t schema_hash, const cp_put_span *span,
                    size_t limit, cp_staged_rows *rows, cp_error *err);
void cp_staged_rows_free(cp_staged_rows *rows);

/* Makes a span of rows that were loaded from no span; sets span->id. It is on disk when this returns. */
int cp_staging_span_make(cp_staging *stage, cp_put_span *span, const cp_staged_rows *rows, cp_error *err);

/* The first `put` rows of the span were put and end at span->end: the others are in no span again. With none the span is
 * gone. */
int cp_staging_span_settle(cp_staging *stage, cp_put_span *span, const cp_staged_rows *rows, size_t put,
                           cp_error *err);

/* The span's rows are safe: deletes both. */
int cp_staging_span_finish(cp_staging *stage, const cp_put_span *span, cp_error *err);

/* All spans; *out is malloc'd. Returns how many. */
int cp_staging_spans(cp_staging *stage, cp_put_span **out, cp_error *err);

#endif
