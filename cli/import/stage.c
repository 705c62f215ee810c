#include "cli/import/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"

/* A row that no span has. */
#define IN_NO_SPAN                                                                                           \
    "NOT EXISTS (SELECT 1 FROM coldpath_import_span AS s WHERE s.table_name = r.table_name"                  \
    " AND s.schema_hash = r.schema_hash AND r.id BETWEEN s.first_row AND s.last_row)"

enum {
    BUSY_MS = 10000,    /* for the old writer's short transactions */
    DELETE_ROWS = 1000, /* in one transaction: a few milliseconds */
    ROWS_MIN = 1024,
    BYTES_MIN = 256 * 1024
};

static const char tables_sql[] =
    "CREATE TABLE IF NOT EXISTS coldpath_import_row (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT "
    "NOT NULL,"
    " schema_hash INTEGER NOT NULL, bytes BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS coldpath_import_span (id INTEGER PRIMARY KEY, table_name TEXT NOT NULL,"
    " schema_hash INTEGER NOT NULL, boot TEXT NOT NULL, epoch INTEGER NOT NULL, slot INTEGER NOT NULL,"
    " attach_count INTEGER NOT NULL, first INTEGER NOT NULL, settled_end INTEGER, first_row INTEGER NOT NULL,"
    " last_row INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS coldpath_import_progress (name TEXT PRIMARY KEY, done INTEGER NOT NULL)";

int cp_staging_fail(const cp_staging *stage, const char *doing, cp_error *err)
{
    const int code = stage->db ? sqlite3_errcode(stage->db) : SQLITE_NOMEM;
    int ours = CP_E_IO;
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        ours = CP_E_BUSY;
    else if (code == SQLITE_NOMEM)
        ours = CP_E_NOMEM;
    else if (code == SQLITE_CORRUPT)
        return cp_error_set(
            err, CP_E_IO,
            "%s: %s: %s. `sqlite3 %s .recover | sqlite3 NEW` saves what can be read; import NEW then",
            stage->path, doing, sqlite3_errmsg(stage->db), stage->path);
    return cp_error_set(err, ours, "%s: %s: %s", stage->path, doing,
                        stage->db ? sqlite3_errmsg(stage->db) : "no memory");
}

static int run(cp_staging *stage, const char *sql, cp_error *err)
{
    return sqlite3_exec(stage->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? CP_OK
               : cp_staging_fail(stage, "the import's stage", err);
}

int cp_staging_prepare(cp_staging *stage, const char *sql, sqlite3_stmt **out, cp_error *err)
{
    return sqlite3_prepare_v2(stage->db, sql, -1, out, NULL) == SQLITE_OK
               ? CP_OK
               : cp_staging_fail(stage, "preparing a statement", err);
}

static int lock_take(cp_staging *stage, cp_error *err)
{
    char path[4096];
    const int len = snprintf(path, sizeof path, "%s.coldpath-lock", stage->path);
    if (len >= (int)sizeof path)
        return cp_error_set(err, CP_E_TOO_BIG, "%s: the path is too long", stage->path);
    stage->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (stage->lock_fd < 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot make %s", path);
    if (flock(stage->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return CP_OK;
    return cp_error_set(err, CP_E_BUSY, "%s is being imported by another process", stage->path);
}

/* Whether the database is a spool of the old writer's. */
static int spool_check(cp_staging *stage, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    const int code =
        sqlite3_prepare_v2(stage->db, "SELECT id, table_name, payload FROM queue", -1, &statement, NULL);
    sqlite3_finalize(statement);
    if (code != SQLITE_ERROR)
        return code == SQLITE_OK ? CP_OK : cp_staging_fail(stage, "is no spool", err);
    return cp_error_set(err, CP_E_INVAL,
                        "%s: is no spool of ch_writer, whose table is queue(id, table_name, payload, …): %s",
                        stage->path, sqlite3_errmsg(stage->db));
}

/* The stage's own number, which is made with it. */
static int import_id_find(cp_staging *stage, cp_error *err)
{
    static const char name[] = "import id";
    int64_t id = 0;
    int rc = cp_staging_progress(stage, name, &id, err);
    if (rc == CP_OK && id == 0) {
        if (getrandom(&id, sizeof id, 0) != sizeof id)
            return cp_error_errno(err, CP_E_IO, errno, "no random number for %s", stage->path);
        id |= 1; /* 0: there is none */
        rc = cp_staging_set_progress(stage, name, id, err);
    }
    stage->import_id = (uint64_t)id;
    return rc;
}

int cp_staging_open(cp_staging *stage, const char *path, bool create, cp_error *err)
{
    *stage = (cp_staging){.lock_fd = -1, .path = strdup(path)};
    if (!stage->path)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a path");
    if (!create && access(path, R_OK | W_OK) != 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno) == CP_E_PERM ? CP_E_PERM : CP_E_IO, errno,
                              "cannot open %s", path);
    int rc = lock_take(stage, err);
    if (rc < 0)
        return rc;
    const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(path, &stage->db, flags, NULL) != SQLITE_OK)
        return cp_staging_fail(stage, "cannot be opened", err);
    sqlite3_busy_timeout(stage->db, BUSY_MS);
    if (!create)
        rc = spool_check(stage, err); /* before anything is written into it */
    if (rc < 0)
        return rc;
    rc = create ? run(stage, "PRAGMA journal_mode=WAL", err) : CP_OK;
    if (rc == CP_OK)
        rc = run(stage, "PRAGMA synchronous=NORMAL", err);
    if (rc == CP_OK)
        rc = run(stage, tables_sql, err);
    if (rc == CP_OK)
        rc = import_id_find(stage, err);
    if (rc == CP_OK)
        rc = cp_staging_prepare(
            stage, "INSERT INTO coldpath_import_row (table_name, schema_hash, bytes) VALUES (?, ?, ?)",
            &stage->add, err);
    return rc;
}

void cp_staging_close(cp_staging *stage)
{
    sqlite3_finalize(stage->add);
    sqlite3_close(stage->db);
    if (stage->lock_fd >= 0)
        close(stage->lock_fd);
    free(stage->path);
    *stage = (cp_staging){.lock_fd = -1};
}

int cp_staging_begin(cp_staging *stage, cp_error *err)
{
    return run(stage, "BEGIN IMMEDIATE", err);
}

int cp_staging_end(cp_staging *stage, int rc, cp_error *err)
{
    if (rc >= 0) {
        const int committed = run(stage, "COMMIT", err);
        if (committed == CP_OK)
            return rc;
        rc = committed;
    }
    sqlite3_exec(stage->db, "ROLLBACK", NULL, NULL, NULL); /* the error that led here is what is reported */
    return rc;
}

/* Runs a prepared statement that gives no rows, and readies it for the next time. */
static int statement_step(const cp_staging *stage, sqlite3_stmt *statement, const char *doing, cp_error *err)
{
    const int rc = sqlite3_step(statement) == SQLITE_DONE ? CP_OK : cp_staging_fail(stage, doing, err);
    sqlite3_reset(statement);
    return rc;
}

int cp_staging_add(cp_staging *stage, const char *table, uint64_t schema_hash, const void *bytes,
                   uint32_t size, cp_error *err)
{
    sqlite3_bind_text(stage->add, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stage->add, 2, (sqlite3_int64)schema_hash);
    sqlite3_bind_blob(stage->add, 3, bytes, (int)size, SQLITE_STATIC);
    return statement_step(stage, stage->add, "staging a row", err);
}

int cp_staging_progress(cp_staging *stage, const char *name, int64_t *done, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    *done = 0;
    int rc = cp_staging_prepare(stage, "SELECT done FROM coldpath_import_progress WHERE name = ?", &statement,
                                err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    const int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        *done = sqlite3_column_int64(statement, 0);
    else if (step != SQLITE_DONE)
        rc = cp_staging_fail(stage, "reading the progress", err);
    sqlite3_finalize(statement);
    return rc;
}

int cp_staging_set_progress(cp_staging *stage, const char *name, int64_t done, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = cp_staging_prepare(stage, "INSERT OR REPLACE INTO coldpath_import_progress VALUES (?, ?)",
                                &statement, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, done);
    rc = statement_step(stage, statement, "noting the progress", err);
    sqlite3_finalize(statement);
    return rc;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void name_copy(char out[CP_MAX_NAME + 1], const unsigned char *text)
{
    snprintf(out, CP_MAX_NAME + 1, "%s", text ? (const char *)text : "");
}

int cp_staging_next_table(cp_staging *stage, char table[CP_MAX_NAME + 1], uint64_t *schema_hash,
                          cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc =
        cp_staging_prepare(stage,
                           "SELECT table_name, schema_hash FROM coldpath_import_row AS r WHERE " IN_NO_SPAN
                           " ORDER BY id LIMIT 1",
                           &statement, err);
    if (rc < 0)
        return rc;
    const int step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        name_copy(table, sqlite3_column_text(statement, 0));
        *schema_hash = (uint64_t)sqlite3_column_int64(statement, 1);
        rc = 1;
    } else if (step != SQLITE_DONE) {
        rc = cp_staging_fail(stage, "reading the stage", err);
    }
    sqlite3_finalize(statement);
    return rc;
}

static bool rows_reserve(cp_staged_rows *rows, size_t bytes)
{
    if (rows->count == rows->row_capacity) {
        const size_t capacity = rows->row_capacity ? 2 * rows->row_capacity : ROWS_MIN;
        cp_staged_row *grown = realloc(rows->row, capacity * sizeof *grown);
        if (!grown)
            return false;
        rows->row = grown;
        rows->row_capacity = capacity;
    }
    size_t capacity = rows->capacity ? rows->capacity : BYTES_MIN;
    while (capacity - rows->used < bytes)
        capacity *= 2;
    if (capacity != rows->capacity) {
        uint8_t *grown = realloc(rows->bytes, capacity);
        if (!grown)
            return false;
        rows->bytes = grown;
        rows->capacity = capacity;
    }
    return true;
}

static bool rows_take(cp_staged_rows *rows, sqlite3_stmt *statement)
{
    const size_t size = (size_t)sqlite3_column_bytes(statement, 1);
    const size_t room = (size + 7) & ~(size_t)7;
    const void *bytes = sqlite3_column_blob(statement, 1);
    if (!rows_reserve(rows, room) || (size > 0 && !bytes))
        return false;
    rows->row[rows->count++] =
        (cp_staged_row){sqlite3_column_int64(statement, 0), (uint32_t)size, rows->used};
    memcpy(rows->bytes + rows->used, bytes, size);
    rows->used += room;
    return true;
}

int cp_staging_load(cp_staging *stage, const char *table, uint64_t schema_hash, const cp_put_span *span,
                    size_t limit, cp_staged_rows *rows, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    rows->count = rows->used = 0;
    int rc = cp_staging_prepare(
        stage,
        span ? "SELECT id, bytes FROM coldpath_import_row WHERE table_name = ?1 AND schema_hash = ?2"
               " AND id BETWEEN ?4 AND ?5 ORDER BY id LIMIT ?3"
             : "SELECT id, bytes FROM coldpath_import_row AS r WHERE table_name = ?1"
               " AND schema_hash = ?2 AND " IN_NO_SPAN " ORDER BY id LIMIT ?3",
        &statement, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)schema_hash);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)limit);
    if (span) {
        sqlite3_bind_int64(statement, 4, span->first_row);
        sqlite3_bind_int64(statement, 5, span->last_row);
    }
    int step;
    while (rc == CP_OK && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        if (step != SQLITE_ROW)
            rc = cp_staging_fail(stage, "reading the stage", err);
        else if (!rows_take(rows, statement))
            rc = cp_error_set(err, CP_E_NOMEM, "no memory for the rows under way");
    }
    sqlite3_finalize(statement);
    return rc;
}

void cp_staged_rows_free(cp_staged_rows *rows)
{
    free(rows->row);
    free(rows->bytes);
    *rows = (cp_staged_rows){0};
}

/* ---- spans --------------------------------------------------------------------------------------------- */

int cp_staging_span_make(cp_staging *stage, cp_put_span *span, const cp_staged_rows *rows, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = cp_staging_prepare(
        stage,
        "INSERT INTO coldpath_import_span (table_name, schema_hash, boot, epoch, slot, attach_count,"
        " first, first_row, last_row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &statement, err);
    if (rc < 0)
        return rc;
    span->first_row = rows->row[0].id;
    span->last_row = rows->row[rows->count - 1].id;
    sqlite3_bind_text(statement, 1, span->table, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)span->schema_hash);
    sqlite3_bind_text(statement, 3, span->boot, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)span->epoch);
    sqlite3_bind_int64(statement, 5, span->slot);
    sqlite3_bind_int64(statement, 6, span->attach_count);
    sqlite3_bind_int64(statement, 7, (sqlite3_int64)span->first);
    sqlite3_bind_int64(statement, 8, span->first_row);
    sqlite3_bind_int64(statement, 9, span->last_row);
    rc = run(stage, "PRAGMA synchronous=FULL", err); /* with NORMAL a host that dies could forget it */
    if (rc == CP_OK)
        rc = statement_step(stage, statement, "noting what is put", err);
    span->id = sqlite3_last_insert_rowid(stage->db);
    sqlite3_finalize(statement);
    return rc == CP_OK ? run(stage, "PRAGMA synchronous=NORMAL", err) : rc;
}

/* Runs a statement whose parameters are whole numbers. */
static int numbers_run(cp_staging *stage, const char *sql, const int64_t *numbers, int count, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = cp_staging_prepare(stage, sql, &statement, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < count; i++)
        sqlite3_bind_int64(statement, i + 1, numbers[i]);
    rc = statement_step(stage, statement, "the import's stage", err);
    sqlite3_finalize(statement);
    return rc;
}

static int span_delete(cp_staging *stage, const cp_put_span *span, cp_error *err)
{
    return numbers_run(stage, "DELETE FROM coldpath_import_span WHERE id = ?", &span->id, 1, err);
}

int cp_staging_span_settle(cp_staging *stage, cp_put_span *span, const cp_staged_rows *rows, size_t put,
                           cp_error *err)
{
    span->settled = true;
    if (put == 0)
        return span_delete(stage, span, err);
    span->last_row = rows->row[put - 1].id;
    return numbers_run(stage, "UPDATE coldpath_import_span SET settled_end = ?, last_row = ? WHERE id = ?",
                       (int64_t[]){(int64_t)span->end, span->last_row, span->id}, 3, err);
}

/* In steps, each a transaction of its own: done again after a kill, it goes on. */
static int span_rows_delete(cp_staging *stage, const cp_put_span *span, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc =
        cp_staging_prepare(stage,
                           "DELETE FROM coldpath_import_row WHERE id IN (SELECT id FROM coldpath_import_row"
                           " WHERE table_name = ? AND schema_hash = ? AND id BETWEEN ? AND ? LIMIT ?)",
                           &statement, err);
    int deleted = 1;
    while (rc == CP_OK && deleted > 0) {
        sqlite3_bind_text(statement, 1, span->table, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)span->schema_hash);
        sqlite3_bind_int64(statement, 3, span->first_row);
        sqlite3_bind_int64(statement, 4, span->last_row);
        sqlite3_bind_int64(statement, 5, DELETE_ROWS);
        rc = statement_step(stage, statement, "taking safe rows out", err);
        deleted = sqlite3_changes(stage->db);
    }
    sqlite3_finalize(statement);
    return rc;
}

int cp_staging_span_finish(cp_staging *stage, const cp_put_span *span, cp_error *err)
{
    const int rc = span_rows_delete(stage, span, err);
    return rc < 0 ? rc : span_delete(stage, span, err);
}

static void span_read(cp_put_span *span, sqlite3_stmt *statement)
{
    *span = (cp_put_span){.id = sqlite3_column_int64(statement, 0),
                          .schema_hash = (uint64_t)sqlite3_column_int64(statement, 2),
                          .epoch = (uint64_t)sqlite3_column_int64(statement, 4),
                          .slot = (uint32_t)sqlite3_column_int64(statement, 5),
                          .attach_count = (uint32_t)sqlite3_column_int64(statement, 6),
                          .first = (uint64_t)sqlite3_column_int64(statement, 7),
                          .end = (uint64_t)sqlite3_column_int64(statement, 8),
                          .first_row = sqlite3_column_int64(statement, 9),
                          .last_row = sqlite3_column_int64(statement, 10),
                          .settled = sqlite3_column_type(statement, 8) != SQLITE_NULL};
    name_copy(span->table, sqlite3_column_text(statement, 1));
    const unsigned char *boot = sqlite3_column_text(statement, 3);
    snprintf(span->boot, sizeof span->boot, "%s", boot ? (const char *)boot : "");
}

int cp_staging_spans(cp_staging *stage, cp_put_span **out, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int count = 0;
    int step;
    *out = NULL;
    int rc = cp_staging_prepare(stage,
                                "SELECT id, table_name, schema_hash, boot, epoch, slot, attach_count, first, "
                                "settled_end, first_row, last_row"
                                " FROM coldpath_import_span ORDER BY id",
                                &statement, err);
    while (rc == CP_OK && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        cp_put_span *grown = step == SQLITE_ROW ? realloc(*out, ((size_t)count + 1) * sizeof *grown) : NULL;
        if (step != SQLITE_ROW)
            rc = cp_staging_fail(stage, "reading the stage", err);
        else if (!grown)
            rc = cp_error_set(err, CP_E_NOMEM, "no memory for the stage's spans");
        else
            span_read(&(*out = grown)[count++], statement);
    }
    sqlite3_finalize(statement);
    return rc < 0 ? rc : count;
}
