#include "cli/csv_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/row_source.h"

struct cp_csv_record {
    cp_line_reader *reader;
    cp_csv_split split;
    char *bytes; /* lines kept, each with a newline (but perhaps the last) */
    size_t capacity;
    size_t begin;        /* of the record under way */
    size_t scan;         /* of the next line to feed */
    size_t end;          /* of what is kept */
    uint64_t begin_line; /* number of the line at begin */
    uint32_t lines;      /* of the record under way, fed so far */
    int after; /* what the reader said behind the lines kept (0: end, or an error); 1: not asked yet */
    cp_line after_line;   /* and its line, */
    cp_error after_error; /* and its reason */
};

int cp_csv_record_new(cp_csv_record **out, cp_line_reader *reader, cp_fields *fields, cp_error *err)
{
    cp_csv_record *record = calloc(1, sizeof *record);
    if (!record)
        return cp_error_set(err, CP_E_NOMEM, "no memory for reading CSV");
    record->reader = reader;
    record->after = 1;
    const int rc = cp_csv_split_init(&record->split, fields, err);
    if (rc < 0) {
        free(record);
        return rc;
    }
    *out = record;
    return CP_OK;
}

void cp_csv_record_free(cp_csv_record *record)
{
    if (!record)
        return;
    cp_csv_split_free(&record->split);
    free(record->bytes);
    free(record);
}

static int lines_append(cp_csv_record *record, const cp_line *line)
{
    const size_t need = line->len + 1;
    if (record->begin == record->end)
        record->begin = record->scan = record->end = 0;
    if (record->end + need > record->capacity && record->begin > 0) {
        memmove(record->bytes, record->bytes + record->begin, record->end - record->begin);
        record->scan -= record->begin;
        record->end -= record->begin;
        record->begin = 0;
    }
    if (record->end + need > record->capacity) {
        size_t capacity = record->capacity ? record->capacity : 4096;
        while (capacity < record->end + need)
            capacity *= 2;
        char *bytes = realloc(record->bytes, capacity);
        if (!bytes)
            return CP_E_NOMEM;
        record->bytes = bytes;
        record->capacity = capacity;
    }
    memcpy(record->bytes + record->end, line->text, line->len);
    record->end += line->len;
    if (line->ended)
        record->bytes[record->end++] = '\n';
    return CP_OK;
}

/* Makes sure that there is a line at scan. Returns 1, or what the reader says instead, which stays. */
static int line_at_scan(cp_csv_record *record, cp_error *err)
{
    if (record->scan < record->end)
        return 1;
    if (record->after == 1) {
        cp_line line;
        const int rc = cp_line_reader_next(record->reader, &line, &record->after_error);
        if (rc == 1) {
            if (record->begin == record->end)
                record->begin_line = line.number;
            if (lines_append(record, &line) == CP_OK)
                return 1;
            cp_error_set(&record->after_error, CP_E_NOMEM, "no memory for a line of %zu bytes", line.len);
        }
        record->after = rc == 1 ? CP_E_NOMEM : rc;
        record->after_line = line;
    }
    if (record->after < 0 && err)
        *err = record->after_error;
    return record->after;
}

/* Bytes of the line at from, with its newline. */
static size_t line_size(const cp_csv_record *record, size_t from)
{
    const char *newline = memchr(record->bytes + from, '\n', record->end - from);
    return newline ? (size_t)(newline - (record->bytes + from)) + 1 : record->end - from;
}

static cp_line first_line(const cp_csv_record *record)
{
    const size_t size = line_size(record, record->begin);
    const bool ended = size > 0 && record->bytes[record->begin + size - 1] == '\n';
    return (cp_line){.text = record->bytes + record->begin,
                     .len = size - ended,
                     .ended = ended,
                     .number = record->begin_line};
}

static cp_line whole_record(const cp_csv_record *record)
{
    const bool ended = record->bytes[record->scan - 1] == '\n';
    return (cp_line){.text = record->bytes + record->begin,
                     .len = record->scan - record->begin - ended,
                     .ended = ended,
                     .number = record->begin_line};
}

/* Gives the record up: its first line is rejected, the others will be fed again. err is set. */
static int record_fail(cp_csv_record *record, cp_line *first, int code)
{
    *first = first_line(record);
    record->begin += line_size(record, record->begin);
    record->scan = record->begin;
    record->begin_line++;
    record->lines = 0;
    cp_csv_split_reset(&record->split);
    return code;
}

/* The reader has no further line for the record under way (rc: 0 or its error). */
static int record_cut(cp_csv_record *record, int rc, cp_line *first, cp_error *err)
{
    if (record->lines > 0) {
        cp_error_set(err, CP_E_PARSE, "a quote is opened here and never closed");
        return record_fail(record, first, CP_E_PARSE);
    }
    *first = record->after_line;
    if (rc == CP_E_TOO_BIG) /* of that line alone: the next call asks the reader again */
        record->after = 1;
    return rc;
}

int cp_csv_record_next(cp_csv_record *record, cp_line *first, cp_error *err)
{
    if (record->lines > 0) { /* the record returned last is done with */
        record->begin_line += record->lines;
        record->begin = record->scan;
        record->lines = 0;
    }
    for (;;) {
        int rc = line_at_scan(record, err);
        if (rc != 1)
            return record_cut(record, rc, first, err);
        const size_t size = line_size(record, record->scan);
        const bool ended = record->bytes[record->scan + size - 1] == '\n';
        rc = cp_csv_split_line(&record->split, record->bytes + record->scan, size, !ended, err);
        if (rc == CP_E_NOMEM)
            return rc;
        record->scan += size;
        record->lines++;
        if (rc < 0) {
            if (record->lines > 1)
                cp_error_set(err, CP_E_PARSE,
                             "a quote is opened here and closed in the wrong place %u lines below",
                             record->lines - 1);
            return record_fail(record, first, CP_E_PARSE);
        }
        if (rc == 1) {
            *first = whole_record(record);
            return 1;
        }
        if (record->lines >= CP_CSV_RECORD_LINES || record->scan - record->begin > CP_LINE_MAX) {
            cp_error_set(err, CP_E_PARSE, "a quote is opened here and not closed within %d lines or %d bytes",
                         CP_CSV_RECORD_LINES, CP_LINE_MAX);
            return record_fail(record, first, CP_E_PARSE);
        }
    }
}
