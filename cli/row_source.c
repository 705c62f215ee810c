#include "cli/row_source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/line_reader.h"
#include "cli/csv_record.h"
#include "cli/fields.h"
#include "cli/json_row.h"
#include "cli/tsv_split.h"

struct cp_row_source {
    cp_row_source_options options;
    const cp_table *table;
    FILE *rejects; /* or NULL */
    cp_line_reader *reader;
    cp_json_row json;
    cp_csv_record *csv;
    cp_fields fields;
    cp_column_map map;
    bool header_due;
    uint64_t line_number;
    bool line_ended;
};

const char *const cp_format_names[] = {"JSONEachRow",           "CSV",       "TSV",    "CSVWithNames",
                                       "TSVWithNames",          "JSONLines", "NDJSON", "TabSeparated",
                                       "TabSeparatedWithNames", NULL};

bool cp_format_parse(const char *name, cp_format *format, bool *with_names)
{
    static const struct {
        cp_format format;
        bool with_names;
    } meanings[] = {{CP_FORMAT_JSON_EACH_ROW, false},
                    {CP_FORMAT_CSV, false},
                    {CP_FORMAT_TSV, false},
                    {CP_FORMAT_CSV, true},
                    {CP_FORMAT_TSV, true},
                    {CP_FORMAT_JSON_EACH_ROW, false},
                    {CP_FORMAT_JSON_EACH_ROW, false},
                    {CP_FORMAT_TSV, false},
                    {CP_FORMAT_TSV, true}};
    for (size_t i = 0; cp_format_names[i]; i++) {
        if (strcasecmp(name, cp_format_names[i]) == 0) {
            *format = meanings[i].format;
            *with_names = meanings[i].with_names;
            return true;
        }
    }
    return false;
}

cp_format cp_format_of_path(const char *path)
{
    static const struct {
        const char *suffix;
        cp_format format;
    } suffixes[] = {{".csv", CP_FORMAT_CSV}, {".tsv", CP_FORMAT_TSV}};
    size_t len = strlen(path);
    if (len > 3 && strcmp(path + len - 3, ".gz") == 0)
        len -= 3;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (len > 4 && strncasecmp(path + len - 4, suffixes[i].suffix, 4) == 0)
            return suffixes[i].format;
    }
    return CP_FORMAT_JSON_EACH_ROW;
}

int cp_row_source_open(cp_row_source **out, const cp_row_source_options *options, const cp_table *table,
                       cp_error *err)
{
    cp_row_source *source = calloc(1, sizeof *source);
    if (!source)
        return cp_error_set(err, CP_E_NOMEM, "no memory for reading rows");
    source->options = *options;
    source->table = table;
    source->header_due = options->header && options->format != CP_FORMAT_JSON_EACH_ROW;
    cp_column_map_from_table(&source->map, table);
    int rc = cp_line_reader_open(&source->reader, options->path, CP_LINE_MAX, err);
    if (rc == CP_OK)
        cp_line_reader_set_stop(source->reader, options->stopped);
    if (rc == CP_OK)
        rc = cp_json_row_init(&source->json, table, options->skip_unknown, err);
    if (rc == CP_OK && options->format == CP_FORMAT_CSV)
        rc = cp_csv_record_new(&source->csv, source->reader, &source->fields, err);
    if (rc < 0) {
        cp_row_source_close(source);
        return rc;
    }
    *out = source;
    return CP_OK;
}

void cp_row_source_close(cp_row_source *source)
{
    if (!source)
        return;
    cp_csv_record_free(source->csv);
    cp_json_row_free(&source->json);
    cp_fields_free(&source->fields);
    cp_line_reader_close(source->reader);
    free(source);
}

void cp_row_source_set_rejects(cp_row_source *source, FILE *rejects, bool the_longest)
{
    source->rejects = rejects;
    cp_line_reader_set_spill(source->reader, the_longest ? rejects : NULL);
}

bool cp_row_source_reads(const cp_row_source *source, int fd)
{
    return cp_line_reader_reads(source->reader, fd);
}

uint64_t cp_row_source_line(const cp_row_source *source)
{
    return source->line_number;
}

bool cp_row_source_line_ended(const cp_row_source *source)
{
    return source->line_ended;
}

/* Counts a line out: to the reject file (unless skipped by the reader, which has put it there), with its
 * place in front of the message. Always CP_E_PARSE. */
static int line_reject(cp_row_source *source, const cp_line *line, cp_error *err)
{
    if (source->rejects && line->text) {
        fwrite(line->text, 1, line->len, source->rejects);
        fputc('\n', source->rejects);
    }
    cp_error_prefix(err, "%s:%llu", cp_line_reader_name(source->reader), (unsigned long long)line->number);
    if (err)
        err->code = CP_E_PARSE;
    return CP_E_PARSE;
}

static bool line_is_blank(const cp_line *line)
{
    for (size_t i = 0; i < line->len; i++) {
        if (!line->text[i] || !strchr(" \t\r", line->text[i]))
            return false;
    }
    return true;
}

/* The next line that says something; for CSV the whole record, already split. line is its first line. Returns
 * 1, 0, or an error of the line (CP_E_PARSE, CP_E_TOO_BIG) or of the input. */
static int record_next(cp_row_source *source, cp_line *line, cp_error *err)
{
    for (;;) {
        const int rc = source->csv ? cp_csv_record_next(source->csv, line, err)
                                   : cp_line_reader_next(source->reader, line, err);
        source->line_number = line->number;
        source->line_ended = line->ended;
        if (rc != 1)
            return rc;
        const bool tsv = source->options.format == CP_FORMAT_TSV; /* where blanks are fields */
        if (source->csv ? source->fields.count > 0 : tsv ? line->len > 0 : !line_is_blank(line))
            return 1;
    }
}

/* Reads the header that is due. Without it nobody knows what the fields below mean: whatever is wrong with it is
 * CP_E_SCHEMA, which ends the reading. Returns CP_OK also at the end of an empty input. */
static int header_read(cp_row_source *source, cp_error *err)
{
    cp_line line;
    int rc = record_next(source, &line, err);
    if (rc != 1 && rc != CP_E_PARSE && rc != CP_E_TOO_BIG)
        return rc;
    rc = rc == 1 ? CP_OK : rc;
    if (rc == CP_OK && !source->csv)
        rc = cp_tsv_split(&source->fields, line.text, line.len, err);
    if (rc == CP_OK)
        rc = cp_column_map_from_header(&source->map, source->table, &source->fields,
                                       source->options.skip_unknown, err);
    if (rc == CP_E_NOMEM)
        return rc;
    source->header_due = false;
    if (rc == CP_OK)
        return CP_OK;
    cp_error_prefix(err, "%s:%llu: the header", cp_line_reader_name(source->reader),
                    (unsigned long long)line.number);
    err->code = CP_E_SCHEMA;
    return CP_E_SCHEMA;
}

static int row_build(cp_row_source *source, const cp_line *line, cp_row *row, cp_error *err)
{
    int rc;
    if (source->options.format == CP_FORMAT_JSON_EACH_ROW) {
        rc = cp_json_row_parse(&source->json, line->text, line->len, row, err);
    } else {
        rc = source->csv ? CP_OK : cp_tsv_split(&source->fields, line->text, line->len, err);
        if (rc == CP_OK)
            rc = cp_fields_to_row(&source->fields, &source->map, row, line->ended, err);
    }
    return rc == CP_OK ? cp_row_end(row, err) : rc;
}

int cp_row_source_next(cp_row_source *source, cp_row *row, void *buffer, uint32_t capacity, cp_error *err)
{
    cp_line line;
    int rc = source->header_due ? header_read(source, err) : CP_OK;
    if (rc < 0)
        return rc;
    rc = record_next(source, &line, err);
    if (rc == CP_E_PARSE || rc == CP_E_TOO_BIG)
        return line_reject(source, &line, err);
    if (rc != 1)
        return rc;
    rc = cp_row_begin(row, source->table, buffer, capacity);
    if (rc < 0)
        return cp_error_set(err, CP_E_INVAL, "table '%s': rows of %u bytes do not fit a buffer of %u",
                            source->table->name, source->table->row_size, capacity);
    row->best_effort = source->options.best_effort;
    rc = row_build(source, &line, row, err);
    if (rc == CP_E_NOMEM)
        return rc;
    return rc < 0 ? line_reject(source, &line, err) : 1;
}
