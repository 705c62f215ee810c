/* Rows of a simple CSV file with a header line: comma-separated, nothing quoted, as market captures are kept.
 * Plain or gzip, in bounded memory. A field is a view into the line; a bad row costs that row alone. */
#ifndef CP_FEEDS_CSV_READER_H
#define CP_FEEDS_CSV_READER_H

#include <coldpath/error.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CP_CSV_LINE_MAX = 64 * 1024, /* bytes; rows of captures have some hundred */
    CP_CSV_COLUMNS = 64
};

typedef struct cp_csv_field {
    const char *text; /* not NUL-terminated */
    size_t len;
} cp_csv_field;

typedef struct cp_csv_reader cp_csv_reader;

/* Opens the file ("-": standard input) and reads its header. Errors: CP_E_ABSENT, CP_E_PERM, CP_E_IO,
 * CP_E_NOMEM, CP_E_CORRUPT, CP_E_PARSE (no header, too many columns). */
int cp_csv_reader_open(cp_csv_reader **out, const char *path, cp_error *err);

/* The index of the column with that name, or -1. */
int cp_csv_reader_column(const cp_csv_reader *reader, const char *name);

/* Reads the next row, skipping blank lines. Returns 1; 0 at the end; CP_E_PARSE when the row is bad
 * (over-long, another number of fields; the text says "file:line: …"): read on; CP_E_IO, CP_E_CORRUPT,
 * CP_E_NOMEM: reading is over. */
int cp_csv_reader_next(cp_csv_reader *reader, cp_error *err);

/* A field of the row read last; valid until the next read. index < number of columns. */
cp_csv_field cp_csv_reader_field(const cp_csv_reader *reader, int index);

/* Sets err to "file:line:column: <name>: '<value>' <what>" for a field of the row read last. Returns
 * CP_E_PARSE. */
int cp_csv_reader_reject(const cp_csv_reader *reader, int index, const char *what, cp_error *err);

/* What messages call the file. */
const char *cp_csv_reader_name(const cp_csv_reader *reader);

void cp_csv_reader_close(cp_csv_reader *reader);

#endif
