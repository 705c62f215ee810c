/* The old writer's spool: rows move from its table `queue` into the stage.
 *
 * They are read and made into rows first, without a lock; then one short transaction deletes them from `queue` and adds
 * them to the stage. A row that the old writer has deleted meanwhile, because it delivered it itself, is left alone. Rows
 * of tables that the region has not, or of another database's, stay in `queue`. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/import/import.h"

enum { FILL_MAX = 512 }; /* rows of a transaction: a few milliseconds */

typedef struct spool_row {
    int64_t id;
    cp_import_table *table; /* NULL: stays */
    uint8_t *bytes;         /* malloc'd; NULL: for the quarantine */
    uint32_t size;
    char *payload; /* of those; malloc'd */
    size_t payload_len;
    char *problem;
} spool_row;

static void rows_free(spool_row *rows, int count)
{
    for (int i = 0; i < count; i++) {
        free(rows[i].bytes);
        free(rows[i].payload);
        free(rows[i].problem);
    }
}

/* The region's table for a name of the queue's. One with a database in front is ours where that is the namespace, as the old
 * writer named its databases; a row for another database stays. */
static cp_import_table *table_find(cp_import *import, const char *name)
{
    const char *slash = strrchr(import->region_path, '/');
    const char *ours = slash ? slash + 1 : import->region_path;
    const char *dot = strrchr(name, '.');
    if (dot && (strlen(ours) != (size_t)(dot - name) || strncmp(name, ours, strlen(ours)) != 0))
        return NULL;
    return cp_import_find(import, name, strlen(name));
}

static int row_read(cp_import *import, sqlite3_stmt *statement, spool_row *out, cp_error *err)
{
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    const char *payload = (const char *)sqlite3_column_text(statement, 2);
    const size_t len = (size_t)sqlite3_column_bytes(statement, 2);
    cp_row row;
    cp_error problem;
    *out = (spool_row){.id = sqlite3_column_int64(statement, 0)};
    out->table = name ? table_find(import, name) : NULL;
    if (!out->table)
        return CP_OK;
    const int rc =
        cp_import_json(import, out->table, payload ? payload : "", payload ? len : 0, &row, &problem);
    if (rc == CP_OK) {
        out->size = row.used;
        out->bytes = malloc(row.used);
        if (!out->bytes)
            return cp_error_set(err, CP_E_NOMEM, "no memory for a row");
        memcpy(out->bytes, row.bytes, row.used);
        return CP_OK;
    }
    if (rc == CP_E_NOMEM) {
        if (err)
            *err = problem;
        return rc;
    }
    out->payload = malloc(len + 1);
    out->problem = strdup(problem.text);
    if (!out->payload || !out->problem)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a row");
    memcpy(out->payload, payload ? payload : "", len);
    out->payload_len = len;
    return CP_OK;
}

/* Reads rows behind the cursor: how many, or an error. */
static int rows_read(const cp_import_spool *spool, cp_import *import, spool_row *rows, int most,
                     cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int count = 0;
    int step;
    int rc = cp_staging_prepare(&import->stage,
                                "SELECT id, table_name, payload FROM queue WHERE id > ? ORDER BY id LIMIT ?",
                                &statement, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(statement, 1, spool->cursor);
    sqlite3_bind_int64(statement, 2, most);
    while (rc == CP_OK && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        if (step != SQLITE_ROW)
            rc = cp_staging_fail(&import->stage, "reading the queue", err);
        else
            rc = row_read(import, statement, &rows[count++], err);
    }
    sqlite3_finalize(statement);
    if (rc < 0)
        rows_free(rows, count);
    return rc < 0 ? rc : count;
}

/* Before the rows leave the queue. */
static int quarantine_write(cp_import *import, const spool_row *rows, int count, cp_error *err)
{
    int rc = CP_OK;
    for (int i = 0; i < count && rc == CP_OK; i++) {
        if (rows[i].problem)
            rc = cp_rejects_add(&import->quarantine, import->stage.path, rows[i].id,
                                rows[i].table->table->name, rows[i].problem, rows[i].payload,
                                rows[i].payload_len, err);
    }
    return rc == CP_OK ? cp_rejects_sync(&import->quarantine, err) : rc;
}

static int rows_move(cp_import *import, const spool_row *rows, int count, cp_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = cp_staging_begin(&import->stage, err);
    if (rc < 0)
        return rc;
    rc = cp_staging_prepare(&import->stage, "DELETE FROM queue WHERE id = ?", &statement, err);
    for (int i = 0; i < count && rc == CP_OK; i++) {
        if (!rows[i].table)
            continue;
        sqlite3_bind_int64(statement, 1, rows[i].id);
        if (sqlite3_step(statement) != SQLITE_DONE)
            rc = cp_staging_fail(&import->stage, "taking a row out of the queue", err);
        else if (sqlite3_changes(import->stage.db) == 1 && rows[i].bytes)
            rc = cp_staging_add(&import->stage, rows[i].table->table->name, rows[i].table->table->schema_hash,
                                rows[i].bytes, rows[i].size, err);
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    return cp_staging_end(&import->stage, rc, err);
}

int cp_import_spool_fill(void *self, cp_import *import, int most, cp_error *err)
{
    cp_import_spool *spool = self;
    spool_row rows[FILL_MAX];
    const int count = rows_read(spool, import, rows, most < FILL_MAX ? most : FILL_MAX, err);
    if (count <= 0)
        return count;
    int rc = quarantine_write(import, rows, count, err);
    if (rc == CP_OK)
        rc = rows_move(import, rows, count, err);
    for (int i = 0; i < count && rc == CP_OK; i++) {
        if (!rows[i].table)
            import->left++;
        else if (rows[i].bytes)
            rows[i].table->staged++;
        else
            rows[i].table->quarantined++;
    }
    if (rc == CP_OK)
        spool->cursor = rows[count - 1].id;
    rows_free(rows, count);
    return rc < 0 ? rc : count;
}
