/* A file of rows of one table, JSONEachRow, CSV or TSV: its rows are staged together with the number of the last line that was.
 * Run again, the lines before it are read and passed over. The file must not change meanwhile, but may grow. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/import/import.h"
#include "cli/row_source.h"
#include "schema/row_text.h"

int cp_import_file_open(cp_import_file *file, cp_import *import, const cp_row_source_options *options,
                        cp_import_table *table, cp_error *err)
{
    *file = (cp_import_file){.table = table, .path = options->path};
    int rc = cp_staging_progress(&import->stage, options->path, &file->done, err);
    if (rc == CP_OK)
        rc = cp_row_source_open(&file->source, options, table->table, err);
    if (rc == CP_E_ABSENT) /* of the file, not of the region */
        rc = err->code = CP_E_IO;
    if (rc < 0)
        return rc;
    file->rejects = open_memstream(&file->rejected, &file->rejected_len);
    if (!file->rejects)
        return cp_error_set(err, CP_E_NOMEM, "no memory for rejected lines");
    cp_row_source_set_rejects(file->source, file->rejects);
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
        rc = cp_rejects_add(&import->quarantine, file->path, line, file->table->table->name, why->text,
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
        cp_row_print(file->rejects, file->table->table, row.bytes, CP_ROW_JSON);
        rc = cp_error_set(&problem, CP_E_PARSE, "%s:%lld: the row has %u bytes; the table takes %u (row_max)",
                          file->path, (long long)*line, row.used, file->table->row_max);
    }
    if (rc == 1 && *line > file->done) {
        rc = cp_staging_add(&import->stage, file->table->table->name, file->table->table->schema_hash,
                            row.bytes, row.used, err);
        file->table->staged += rc == CP_OK;
        return rc < 0 ? rc : 1;
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
    int rc = cp_staging_begin(&import->stage, err);
    if (rc < 0)
        return rc;
    rc = 1;
    while (count < rows && rc == 1 && !cp_import_stopped) {
        rc = line_fill(file, import, &line, err);
        count += rc == 1;
    }
    if (rc >= 0 && count > 0 && line > file->done) {
        rc = cp_rejects_sync(&import->quarantine, err);
        if (rc == CP_OK)
            rc = cp_staging_set_progress(&import->stage, file->path, line, err);
        if (rc == CP_OK)
            file->done = line;
    }
    rc = cp_staging_end(&import->stage, rc, err);
    return rc < 0 ? rc : count;
}
