/* Rows out of a file or standard input: JSONEachRow, CSV or TSV, plain or gzip.
 *
 *   line_reader ─► lines ─┬─ json_row ───────────────────────┐
 *                         ├─ tsv_split ─┬─ fields ─ map ─────┼─► cp_row
 *                         └─ csv_split ─┘                    │
 *                                                 bad lines ─┴─► message, reject file
 *
 * Whatever stands in a line costs that line alone. A CSV record with a stray quote, which would swallow the
 * lines after it, is given up at its first line and reading starts again with its second. Memory is bounded
 * by CP_LINE_MAX. */
#ifndef CP_CLI_ROW_SOURCE_H
#define CP_CLI_ROW_SOURCE_H

#include <signal.h>
#include <stdio.h>

#include "schema/row.h"

enum {
    CP_LINE_MAX =
        8 * 1024 * 1024, /* bytes of a line: the largest row with every byte written as \u00XX, and names */
    CP_CSV_RECORD_LINES = 1000 /* lines of one CSV record: bounds what is read again after a stray quote */
};

typedef enum cp_format { CP_FORMAT_JSON_EACH_ROW, CP_FORMAT_CSV, CP_FORMAT_TSV } cp_format;

typedef struct cp_row_source_options {
    const char *path; /* "-" for standard input */
    cp_format format;
    bool header;       /* CSV, TSV: the first line names the columns */
    bool skip_unknown; /* names that are no columns are skipped instead of rejected */
    bool best_effort;  /* dates and times in other forms than the strict one, too */
    const volatile sig_atomic_t
        *stopped; /* set by a signal: ends reading within a line, too (CP_E_IO); or NULL */
} cp_row_source_options;

typedef struct cp_row_source cp_row_source;

/* The format of that name, with ClickHouse's spellings and aliases in any case, and whether the name says
 * "WithNames". False when there is none. */
bool cp_format_parse(const char *name, cp_format *format, bool *with_names);

/* The names cp_format_parse knows, for suggestions and help; ended by NULL. */
extern const char *const cp_format_names[];

/* The format that a file's name speaks of (.csv, .tsv, .json, .jsonl, .ndjson, each also .gz), else
 * JSONEachRow. */
cp_format cp_format_of_path(const char *path);

/* Opens the input. Errors: those of cp_line_reader_open. table must outlive the source. */
int cp_row_source_open(cp_row_source **out, const cp_row_source_options *options, const cp_table *table,
                       cp_error *err);

/* From now on rejected lines are copied to rejects as they are, those over CP_LINE_MAX only with the_longest, as they may be of any
 * length; it must outlive the source, or be taken back with NULL. */
void cp_row_source_set_rejects(cp_row_source *source, FILE *rejects, bool the_longest);

/* True when fd is open on the same file as the input. */
bool cp_row_source_reads(const cp_row_source *source, int fd);

/* Reads the next row into row, which it begins in buffer (table's row buffer, capacity bytes), sets and ends.
 * Returns 1 with a row, 0 at the end, or
 *   CP_E_PARSE                one line is rejected; err says "name:line: why"; read on
 *   CP_E_IO, CP_E_CORRUPT, CP_E_SCHEMA (the header), CP_E_NOMEM    reading is over */
int cp_row_source_next(cp_row_source *source, cp_row *row, void *buffer, uint32_t capacity, cp_error *err);

/* The number of the line that the last row began with, from 1. */
uint64_t cp_row_source_line(const cp_row_source *source);

/* False when that line is the input's last and lacks its newline: whoever writes it may not have finished. */
bool cp_row_source_line_ended(const cp_row_source *source);

void cp_row_source_close(cp_row_source *source);

#endif
