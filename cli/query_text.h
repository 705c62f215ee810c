/* The answer of ClickHouse to one statement, as text in memory. */
#ifndef CP_CLI_QUERY_TEXT_H
#define CP_CLI_QUERY_TEXT_H

#include "flush/query.h"

enum {
    CP_QUERY_TEXT_MAX = 64 * 1024 * 1024
}; /* bytes of an answer; more is no answer that a verb asked for */

/* Runs sql and gives the answer, NUL-terminated and malloc'd. Errors as cp_query_run; CP_E_IO also when the answer is over
 * CP_QUERY_TEXT_MAX. */
int cp_query_text(const cp_sink_config *sink, const char *database, const char *sql, char **out,
                  cp_error *err);

/* The same for an answer of one number; CP_E_SERVER when it is none. */
int cp_query_number(const cp_sink_config *sink, const char *database, const char *sql, uint64_t *out,
                    cp_error *err);

#endif
