/* Rows for benchmarks of encoding, in chunks as the drain makes them: synthetic rows of an order-book table, or those of a
 * file. */
#ifndef CP_CLI_BENCH_ROWS_H
#define CP_CLI_BENCH_ROWS_H

#include <coldpath/error.h>
#include <stdint.h>

#include "ingest/chunk.h"
#include "schema/table.h"

typedef struct cp_bench_rows {
    cp_table *table;
    cp_chunk **chunks;
    uint32_t chunk_count;
    uint32_t row_count;
    uint32_t largest; /* bytes of the largest row with its tail */
    uint64_t bytes;   /* in the chunks: rows and record headers */
} cp_bench_rows;

/* count rows of 11 columns (a time, a LowCardinality symbol of 542, Float32 and Float64 features that wander as a book's do,
 * levels), the same in every run. */
int cp_bench_rows_synthetic(cp_bench_rows *rows, uint32_t count, cp_error *err);

/* The first count rows of a file with a header (CSV, TSV) or of JSONEachRow, gzipped or not, for the table of a DDL file. Errors
 * of either; a line that is no row is one. */
int cp_bench_rows_read(cp_bench_rows *rows, const char *ddl, const char *data, uint32_t count, cp_error *err);

void cp_bench_rows_free(cp_bench_rows *rows);

#endif
