/* A directory of the asyncio recorder's logs:
 *
 *     <table>_<ns>.jsonl         rows of one table, one JSON object a line ("hft.orders_1776269557000000000.jsonl")
 *     batch_<ns>.jsonl and the   rows of several; {"__wal_table__":"orders","__row_count__":5} in front of each
 *     like, when so headed       table's
 *
 * taken in the order of their times. How many lines of each are staged is noted with the rows, for every table of a file by itself:
 * lines of a table that the region has not are imported when it has, or when they are mapped to one. Files are left where they
 * are; those that are still being written (".tmp") are not ours. One that cannot be read keeps no other back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/line_reader.h"
#include "cli/import/import.h"
#include "cli/row_source.h"

#define SUFFIX ".jsonl"
static const char header_key[] = "__wal_table__";

enum { NAMES_MIN = 64 };

/* Where the time begins in a file's name, behind the last "_"; NULL when it is no file of ours. */
static const char *time_of(const char *name)
{
    const size_t len = strlen(name);
    const size_t suffix = sizeof SUFFIX - 1;
    if (len <= suffix || strcmp(name + len - suffix, SUFFIX) != 0)
        return NULL;
    const char *bar = strrchr(name, '_');
    if (!bar || bar == name)
        return NULL;
    const size_t digits = strspn(bar + 1, "0123456789");
    return digits > 0 && strcmp(bar + 1 + digits, SUFFIX) == 0 ? bar + 1 : NULL;
}

static int by_time(const void *a, const void *b)
{
    const char *x = *(char *const *)a;
    const char *y = *(char *const *)b;
    const unsigned long long at_x = strtoull(time_of(x), NULL, 10);
    const unsigned long long at_y = strtoull(time_of(y), NULL, 10);
    return at_x != at_y ? (at_x > at_y) - (at_x < at_y) : strcmp(x, y);
}

static int name_add(cp_import_wal *wal, const char *name, size_t *capacity)
{
    if (wal->count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : NAMES_MIN;
        char **grown = realloc(wal->names, *capacity * sizeof *grown);
        if (!grown)
            return CP_E_NOMEM;
        wal->names = grown;
    }
    wal->names[wal->count] = strdup(name);
    return wal->names[wal->count] ? (wal->count++, CP_OK) : CP_E_NOMEM;
}

/* A directory or pipe of such a name is no log. What cannot be looked at is said when it cannot be opened. */
static bool is_file(DIR *stream, const char *name)
{
    struct stat status;
    return fstatat(dirfd(stream), name, &status, 0) != 0 || S_ISREG(status.st_mode);
}

int cp_import_wal_open(cp_import_wal *wal, const char *dir, char *const *maps, cp_error *err)
{
    *wal = (cp_import_wal){.dir = dir, .maps = maps};
    DIR *stream = opendir(dir);
    if (!stream)
        return cp_error_errno(err, CP_E_IO, errno, "cannot read the directory %s", dir);
    size_t capacity = 0;
    int rc = CP_OK;
    const struct dirent *entry;
    while (rc == CP_OK && (entry = readdir(stream)))
        rc = time_of(entry->d_name) && is_file(stream, entry->d_name)
                 ? name_add(wal, entry->d_name, &capacity)
                 : CP_OK;
    closedir(stream);
    if (rc < 0)
        return cp_error_set(err, rc, "no memory for the names of the files in %s", dir);
    if (wal->count > 0)
        qsort(wal->names, wal->count, sizeof *wal->names, by_time);
    return CP_OK;
}

void cp_import_wal_close(cp_import_wal *wal)
{
    cp_line_reader_close(wal->reader);
    for (size_t i = 0; i < wal->count; i++)
        free(wal->names[i]);
    free(wal->names);
    *wal = (cp_import_wal){0};
}

/* The region's table for a name of theirs, by --map where one is given. */
static cp_import_table *table_find(const cp_import_wal *wal, cp_import *import, const char *name, size_t len)
{
    for (char *const *map = wal->maps; map && *map; map++) {
        const char *equal = strchr(*map, '=');
        if ((size_t)(equal - *map) == len && strncmp(*map, name, len) == 0)
            return cp_import_find(import, equal + 1, strlen(equal + 1));
    }
    return cp_import_find(import, name, len);
}

/* Notes how far the lines of the table at hand are staged. */
static int section_leave(cp_import_wal *wal, cp_import *import, cp_error *err)
{
    const int rc =
        wal->last > wal->done ? cp_staging_set_progress(&import->stage, wal->key, wal->last, err) : CP_OK;
    if (rc == CP_OK && wal->last > wal->done)
        wal->done = wal->last;
    return rc;
}

/* Lines of another table follow, or of the first. */
static int section_enter(cp_import_wal *wal, cp_import *import, const char *table, size_t len, cp_error *err)
{
    const int rc = section_leave(wal, import, err);
    if (rc < 0)
        return rc;
    wal->table = table_find(wal, import, table, len);
    snprintf(wal->key, sizeof wal->key, "%s\t%.*s", wal->names[wal->next],
             (int)(len < NAME_MAX ? len : NAME_MAX), table);
    wal->last = 0;
    return cp_staging_progress(&import->stage, wal->key, &wal->done, err);
}

static int file_open(cp_import_wal *wal, cp_import *import, cp_error *err)
{
    const char *name = wal->names[wal->next];
    const int len = snprintf(wal->path, sizeof wal->path, "%s/%s", wal->dir, name);
    if (len >= (int)sizeof wal->path)
        return cp_error_set(err, CP_E_TOO_BIG, "%s/%s: the path is too long", wal->dir, name);
    wal->last = wal->done = 0;
    const int rc = section_enter(wal, import, name, (size_t)(time_of(name) - 1 - name), err);
    if (rc < 0 || cp_line_reader_open(&wal->reader, wal->path, CP_LINE_MAX, err) < 0)
        return err->code;
    cp_line_reader_set_stop(wal->reader, &cp_import_stopped);
    return CP_OK;
}

/* 1 for a header line, which says whose rows follow; 0, or an error. */
static int header_read(cp_import_wal *wal, cp_import *import, const cp_line *line, cp_error *err)
{
    if (!memmem(line->text, line->len, header_key, sizeof header_key - 1))
        return 0;
    int rc = 0;
    char *copy = strndup(line->text, line->len);
    json_object *object = copy ? json_tokener_parse(copy) : NULL;
    json_object *name = NULL;
    const bool is_header = json_object_is_type(object, json_type_object) &&
                           json_object_object_get_ex(object, header_key, &name) &&
                           json_object_is_type(name, json_type_string);
    if (is_header)
        rc = section_enter(wal, import, json_object_get_string(name),
                           (size_t)json_object_get_string_len(name), err);
    json_object_put(object);
    free(copy);
    return rc < 0 ? rc : is_header;
}

static int line_take(cp_import_wal *wal, cp_import *import, const cp_line *line, const cp_error *too_long,
                     cp_error *err)
{
    cp_row row;
    cp_error problem = *too_long;
    if (!too_long->code && line->len == 0)
        return CP_OK;
    int rc = too_long->code ? 0 : header_read(wal, import, line, err);
    if (rc != 0)
        return rc < 0 ? rc : CP_OK;
    if ((int64_t)line->number <= wal->done)
        return CP_OK;
    if (!wal->table) {
        import->left++;
        return CP_OK;
    }
    wal->last = (int64_t)line->number;
    rc = too_long->code;
    if (rc == CP_OK)
        rc = cp_import_json(import, wal->table, line->text, line->len, &row, &problem);
    if (rc == CP_OK) {
        wal->table->staged++;
        return cp_staging_add(&import->stage, wal->table->table->name, wal->table->table->schema_hash,
                              row.bytes, row.used, err);
    }
    wal->table->quarantined++;
    return cp_rejects_add(&import->quarantine, wal->path, (int64_t)line->number, wal->table->table->name,
                          problem.text, too_long->code ? "" : line->text, too_long->code ? 0 : line->len,
                          err);
}

/* The first is what the import says in the end. */
static void problem_note(cp_import_wal *wal, const cp_error *problem)
{
    if (!wal->problem.code)
        wal->problem = *problem;
}

/* Lines of the file that is open: how many, 0 at its end, or where it cannot be read further. */
static int lines_fill(cp_import_wal *wal, cp_import *import, int rows, cp_error *err)
{
    int count = 0;
    cp_line line;
    while (count < rows && !cp_import_stopped) {
        cp_error problem = {0};
        int rc = cp_line_reader_next(wal->reader, &line, &problem);
        if (rc == 0)
            break;
        if (rc < 0 && rc != CP_E_TOO_BIG) {
            if (!cp_import_stopped)
                problem_note(wal, &problem);
            break;
        }
        rc = line_take(wal, import, &line, &problem, err);
        if (rc < 0)
            return rc;
        count++;
    }
    return count;
}

int cp_import_wal_fill(void *self, cp_import *import, int rows, cp_error *err)
{
    cp_import_wal *wal = self;
    int count = 0;
    while (count == 0 && wal->next < wal->count && !cp_import_stopped) {
        cp_error problem = {0};
        if (!wal->reader && file_open(wal, import, &problem) < 0) {
            problem_note(wal, &problem);
            wal->next++;
            continue;
        }
        int rc = cp_staging_begin(&import->stage, err);
        if (rc < 0)
            return rc;
        rc = count = lines_fill(wal, import, rows, err);
        if (rc > 0)
            rc = cp_rejects_sync(&import->quarantine, err);
        if (rc >= 0)
            rc = section_leave(wal, import, err);
        rc = cp_staging_end(&import->stage, rc, err);
        if (rc < 0)
            return rc;
        if (count == 0) {
            cp_line_reader_close(wal->reader);
            wal->reader = NULL;
            wal->next++;
        }
    }
    if (count == 0 && wal->problem.code && !cp_import_stopped) {
        *err = wal->problem;
        return wal->problem.code;
    }
    return count;
}
