/* Rows as JSONEachRow, written for speed: what a recorder that ships JSON would do at its best, for `bench encode` to compare
 * with. Numbers are written digit by digit, nothing is allocated or formatted by a library except floats (printf, with as many
 * digits as a float needs at most). */
#ifndef CP_CLI_BENCH_JSON_TEXT_H
#define CP_CLI_BENCH_JSON_TEXT_H

#include <coldpath/error.h>
#include <stddef.h>

#include "ingest/chunk.h"
#include "schema/table.h"

/* CP_OK, or CP_E_UNSUPPORTED: names a column of a type that this does not write (arrays, addresses, 128 bits …). */
int cp_json_text_check(const cp_table *table, cp_error *err);

/* Bytes that a row takes at most: size bytes of it with its tail. */
size_t cp_json_text_bound(const cp_table *table, uint32_t size);

/* Appends row index of chunk and a newline at `to`; returns the end. Provenance columns too, as the Native form has them. */
char *cp_json_text_row(char *to, const cp_table *table, const cp_chunk *chunk, uint32_t index);

#endif
