/* A file of rows of one table, JSONEachRow, CSV or TSV: its rows are staged together with the number of the last line that was.
 * Run again, the lines before it are read and passed over. The file may grow meanwhile, in the middle of a line, too: a last line
 * without its newline that is no row is left for the next time. It must not change otherwise: another file under the same name is
 * told by its first bytes, or by having fewer lines. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "cli/import/import.h"
#include "cli/row_source.h"
#include "schema/row_text.h"

enum { HEAD_MAX = 4096 }; /* bytes by which a file is known again */

/* What the file begins with: the hash of its first `length` bytes, or of as many as there are, which length says then. */
static int head_read(const char *path, int64_t *length, int64_t *hash, cp_error *err)
{
    char head[HEAD_MAX];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd >= 0 ? pread(fd, head, (size_t)*length, 0) : -1;
    if (got < 0) /* a pipe is read once */
        got = fd >= 0 && errno == ESPIPE ? 0 : -1;
    if (fd >= 0)
        close(fd);
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot read %s", path);
    *length = got;
    *hash = (int64_t)XXH3_64bits(head, (size_t)got);
    return CP_OK;
}

static int changed_fail(const cp_import_file *file, const cp_import *import, const char *how, cp_error *err)
{
    return cp_error_set(err, CP_E_INVAL,
                        "%s is not the file of which %lld lines were imported: it %s. To import it as a new "
                        "one, delete %s or "
                        "name another --stage",
                        file->path, (long long)file->done, how, import->stage.path);
}

#define HEAD_LENGTH "%s\thead length"
#define HEAD_HASH   "%s\thead hash"

/* Compares the file with what was noted about it. */
static int head_check(const cp_import_file *file, cp_import *import, cp_error *err)
{
    char key[PATH_MAX + 32];
    int64_t noted = 0;
    int64_t noted_hash = 0;
    snprintf(key, sizeof key, HEAD_LENGTH, file->name);
    int rc = cp_staging_progress(&import->stage, key, &noted, err);
    snprintf(key, sizeof key, HEAD_HASH, file->name);
    if (rc == CP_OK)
        rc = cp_staging_progress(&import->stage, key, &noted_hash, err);
    if (rc < 0 || file->done == 0 || noted <= 0 || noted > HEAD_MAX)
        return rc;
    int64_t length = noted;
    int64_t hash;
    rc = head_read(file->path, &length, &hash, err);
    return rc < 0 || (length == noted && hash == noted_hash)
               ? rc
               : changed_fail(file, import, "begins otherwise", err);
}

/* Notes how far the lines are staged, and what the file begins with. */
static int progress_note(const cp_import_file *file, cp_import *import, int64_t line, cp_error *err)
{
    char key[PATH_MAX + 32];
    int64_t length = HEAD_MAX;
    int64_t hash;
    int rc = head_read(file->path, &length, &hash, err);
    snprintf(key, sizeof key, HEAD_LENGTH, file->name);
    if (rc == CP_OK)
        rc = cp_staging_set_progress(&import->stage, key, length, err);
    snprintf(key, sizeof key, HEAD_HASH, file->name);
    if (rc == CP_OK)
        rc = cp_staging_set_progress(&import->stage, key, hash, err);
    return rc == CP_OK ? cp_staging_set_progress(&import->stage, file->name, line, err) : rc;
}

int cp_import_file_open(cp_import_file *file, cp_import *import, const cp_row_source_options *options,
                        cp_import_table *table, cp_error *err)
{
    *file = (cp_import_file){.table = table, .path = options->path};
    if (!realpath(options->path, file->name))
        return cp_error_errno(err, CP_E_IO, errno, "cannot open %s", options->path);
    int rc = cp_staging_progress(&import->stage, file->name, &file->done, err);
    if (rc == CP_OK)
        rc = head_check(file, import, err);
    if (rc == CP_OK)
        rc = cp_row_source_open(&file->source, options, table->table, err);
    if (rc == CP_E_ABSENT) /* of the file, not of the region */
        rc = err->code = CP_E_IO;
    if (rc < 0)
        return rc;
    file->rejects = open_memstream(&file->rejected, &file->rejected_len);
    if (!file->rejects)
        return cp_error_set(err, CP_E_NOMEM, "no memory for rejected lines");
    cp_row_source_set_rejects(file->source, file->rejects, false);
    return CP_OK;
}

void cp_import_file_close(cp_import_file *file)
{
    cp_row_source_close(file->source);
    if (file->rejects)
        fclose(file->rejects);
    free(file->rejected);
    *file = (cp_import_file){0};
}

/* The line that was just rejected, with why; lines that were staged before are passed over. */
static int line_reject(cp_import_file *file, cp_import *import, const cp_error *why, int64_t line,
                       cp_error *err)
{
    int rc = CP_OK;
    if (fflush(file->rejects) != 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a rejected line");
    if (line > file->done) {
        size_t len = file->rejected_len;
        while (len > 0 && file->rejected[len - 1] == '\n')
            len--;
        rc = cp_rejects_add(&import->quarantine, file->name, line, file->table->table->name, why->text,
                            file->rejected, len, err);
        file->table->quarantined++;
    }
    rewind(file->rejects);
    return rc;
}

/* One row or rejected line: 1, 0 at the end. */
static int line_fill(cp_import_file *file, cp_import *import, int64_t *line, cp_error *err)
{
    cp_row row;
    cp_error problem;
    int rc = cp_row_source_next(file->source, &row, import->row_buffer, CP_MAX_ROW, &problem);
    if (rc == 1 || rc == CP_E_PARSE)
        *line = (int64_t)cp_row_source_line(file->source);
    if (rc == 1 && row.used > file->table->row_max) {
        cp_row_print(file->rejects, file->table->table, row.bytes, CP_ROW_JSON_RAW);
        rc = cp_error_set(&problem, CP_E_PARSE, "%s:%lld: the row has %u bytes; the table takes %u (row_max)",
                          file->path, (long long)*line, row.used, file->table->row_max);
    }
    if (rc == 1 && *line > file->done) {
        rc = cp_staging_add(&import->stage, file->table->table->name, file->table->table->schema_hash,
                            row.bytes, row.used, err);
        file->table->staged += rc == CP_OK;
        return rc < 0 ? rc : 1;
    }
    if (rc == CP_E_PARSE && *line > file->done && !cp_row_source_line_ended(file->source)) {
        rewind(file->rejects);
        return cp_error_set(
            err, CP_E_INVAL,
            "%s; it is the last line and lacks its newline: it is left for an import that finds "
            "it ended",
            problem.text);
    }
    if (rc == CP_E_PARSE) {
        rc = line_reject(file, import, &problem, *line, err);
        return rc < 0 ? rc : 1;
    }
    if (rc < 0 && err)
        *err = problem;
    return rc;
}

int cp_import_file_fill(void *self, cp_import *import, int rows, cp_error *err)
{
    cp_import_file *file = self;
    int64_t line = 0;
    int count = 0;
    if (file->problem.code) {
        *err = file->problem;
        return file->problem.code;
    }
    int rc = cp_staging_begin(&import->stage, err);
    if (rc < 0)
        return rc;
    rc = 1;
    while (count < rows && rc == 1 && !cp_import_stopped) {
        rc = line_fill(file, import, &line, &file->problem);
        if (rc == 1) {
            count++;
            file->last = line;
        }
    }
    if (rc < 0 && sqlite3_get_autocommit(import->stage.db)) { /* a full disk: all of it is rolled back */
        *err = file->problem;
        return rc;
    }
    if (rc < 0 && cp_import_stopped) { /* reading was ended: the next import goes on with this line */
        file->problem = (cp_error){0};
        rc = 1;
    }
    if (rc == 0 && file->last < file->done)
        rc = changed_fail(file, import, "has fewer", &file->problem);
    if (rc < 0)
        file->problem.code = rc;
    rc = rc == CP_E_NOMEM ? rc : CP_OK; /* else the lines before count */
    if (rc == CP_OK && count > 0 && file->last > file->done) {
        rc = cp_rejects_sync(&import->quarantine, err);
        if (rc == CP_OK)
            rc = progress_note(file, import, file->last, err);
        if (rc == CP_OK)
            file->done = file->last;
    }
    rc = cp_staging_end(&import->stage, rc, err);
    if (rc == CP_OK && count == 0 && file->problem.code) {
        *err = file->problem;
        rc = file->problem.code;
    }
    return rc < 0 ? rc : count;
}
