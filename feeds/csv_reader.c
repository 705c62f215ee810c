#include "feeds/csv_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/line_reader.h"
#include "base/log.h"

enum { HEADER_MAX = 4096, SHOWN_VALUE = 64 };

struct cp_csv_reader {
    cp_line_reader *lines;
    cp_line line;
    int column_count;
    char header[HEADER_MAX]; /* names, each ended by a NUL */
    const char *names[CP_CSV_COLUMNS];
    cp_csv_field fields[CP_CSV_COLUMNS];
};

/* Splits text at its commas. Returns the number of fields, or more than CP_CSV_COLUMNS when there are too
 * many. */
static int fields_split(cp_csv_field fields[CP_CSV_COLUMNS], const char *text, size_t len)
{
    const char *end = text + len;
    for (int count = 0;; count++) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        if (count == CP_CSV_COLUMNS)
            return count + 1;
        fields[count] = (cp_csv_field){.text = text, .len = (size_t)((comma ? comma : end) - text)};
        if (!comma)
            return count + 1;
        text = comma + 1;
    }
}

static size_t line_length(const cp_line *line)
{
    return line->len > 0 && line->text[line->len - 1] == '\r' ? line->len - 1 : line->len;
}

static int header_read(cp_csv_reader *reader, cp_error *err)
{
    const char *name = cp_line_reader_name(reader->lines);
    const int rc = cp_line_reader_next(reader->lines, &reader->line, err);
    if (rc == CP_E_IO || rc == CP_E_CORRUPT || rc == CP_E_NOMEM)
        return rc;
    const size_t len = rc == 1 ? line_length(&reader->line) : 0;
    if (len == 0 || len >= HEADER_MAX || memchr(reader->line.text, '\0', len))
        return cp_error_set(err, CP_E_PARSE, "%s:1: a header line with the names of the columns is expected",
                            name);
    memcpy(reader->header, reader->line.text, len);
    cp_csv_field fields[CP_CSV_COLUMNS];
    reader->column_count = fields_split(fields, reader->header, len);
    if (reader->column_count > CP_CSV_COLUMNS)
        return cp_error_set(err, CP_E_PARSE, "%s:1: more than %d columns", name, CP_CSV_COLUMNS);
    for (int i = 0; i < reader->column_count; i++) {
        reader->names[i] = fields[i].text;
        reader->header[fields[i].text - reader->header + (ptrdiff_t)fields[i].len] = '\0';
    }
    return CP_OK;
}

int cp_csv_reader_open(cp_csv_reader **out, const char *path, cp_error *err)
{
    cp_csv_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return cp_error_set(err, CP_E_NOMEM, "no memory for reading %s", path);
    int rc = cp_line_reader_open(&reader->lines, path, CP_CSV_LINE_MAX, err);
    if (rc == CP_OK)
        rc = header_read(reader, err);
    if (rc < 0) {
        cp_csv_reader_close(reader);
        return rc;
    }
    *out = reader;
    return CP_OK;
}

int cp_csv_reader_column(const cp_csv_reader *reader, const char *name)
{
    for (int i = 0; i < reader->column_count; i++) {
        if (strcmp(reader->names[i], name) == 0)
            return i;
    }
    return -1;
}

int cp_csv_reader_next(cp_csv_reader *reader, cp_error *err)
{
    const char *name = cp_line_reader_name(reader->lines);
    size_t len;
    do {
        const int rc = cp_line_reader_next(reader->lines, &reader->line, err);
        if (rc == CP_E_TOO_BIG) {
            cp_error_prefix(err, "%s:%llu", name, (unsigned long long)reader->line.number);
            return CP_E_PARSE;
        }
        if (rc != 1)
            return rc;
        len = line_length(&reader->line);
    } while (len == 0);
    const int count = fields_split(reader->fields, reader->line.text, len);
    if (count == reader->column_count)
        return 1;
    const char *cut =
        count < reader->column_count && !reader->line.ended ? "; the line has no newline: was it cut?" : "";
    return cp_error_set(err, CP_E_PARSE, "%s:%llu: %s%d fields where %d are expected%s", name,
                        (unsigned long long)reader->line.number, count > CP_CSV_COLUMNS ? "at least " : "",
                        count, reader->column_count, cut);
}

cp_csv_field cp_csv_reader_field(const cp_csv_reader *reader, int index)
{
    return reader->fields[index];
}

int cp_csv_reader_reject(const cp_csv_reader *reader, int index, const char *what, cp_error *err)
{
    const cp_csv_field field = reader->fields[index];
    char value[SHOWN_VALUE];
    char quoted[2 * SHOWN_VALUE];
    const size_t shown = field.len < sizeof value ? field.len : sizeof value - 1;
    memcpy(value, field.text, shown);
    value[shown] = '\0';
    return cp_error_set(err, CP_E_PARSE, "%s:%llu:%zu: %s: %s%s %s", cp_line_reader_name(reader->lines),
                        (unsigned long long)reader->line.number, (size_t)(field.text - reader->line.text) + 1,
                        reader->names[index], cp_log_quote(quoted, sizeof quoted, value),
                        shown < field.len ? "…" : "", what);
}

const char *cp_csv_reader_name(const cp_csv_reader *reader)
{
    return cp_line_reader_name(reader->lines);
}

void cp_csv_reader_close(cp_csv_reader *reader)
{
    if (!reader)
        return;
    cp_line_reader_close(reader->lines);
    free(reader);
}
