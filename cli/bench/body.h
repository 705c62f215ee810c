/* Ready bodies of inserts, for benchmarks that send rows as they are. */
#ifndef CP_CLI_BENCH_BODY_H
#define CP_CLI_BENCH_BODY_H

#include <coldpath/error.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/bench/rows.h"

typedef struct cp_bench_body {
    uint8_t *bytes; /* free() */
    size_t size;
    uint32_t rows;
} cp_bench_body;

/* The Native form, not compressed, of count chunks of rows from first on. CP_E_NOMEM; CP_E_TOO_BIG: they do not fit one block. */
int cp_bench_body_make(cp_bench_body *body, const cp_bench_rows *rows, uint32_t first, uint32_t count,
                       cp_error *err);

#endif
