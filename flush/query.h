/* One SQL statement to ClickHouse, blocking: for the CLI, init and tests. */
#ifndef CP_FLUSH_QUERY_H
#define CP_FLUSH_QUERY_H

#include <coldpath/error.h>
#include <stddef.h>

#include "flush/flusher.h"

/* Takes a piece of the result as it arrives. Not 0 ends the query with CP_E_IO. */
typedef int cp_query_sink(void *ctx, const void *data, size_t size);

/* Runs sql and hands the result (in the FORMAT that sql names, else TabSeparated) to sink.
 *   database  for unqualified names, or NULL for the user's default; it must exist, so CREATE DATABASE gives NULL
 *   sink      NULL: the result is dropped
 * The server is asked to answer only once the statement has succeeded (wait_end_of_query), so a result is never half.
 * There is no limit on its duration but request_timeout_ms without a byte moving.
 * Errors: CP_E_NET (not reached; the text says what to check), CP_E_SERVER (the server's first line and a remedy),
 * CP_E_INVAL (the URL), CP_E_IO (sink refused), CP_E_NOMEM. Any thread. */
int cp_query_run(const cp_sink_config *config, const char *database, const char *sql, cp_query_sink *sink,
                 void *ctx, cp_error *err);

/* The same for an INSERT … SELECT, without a result: what it puts into a Distributed table is on its shards when this returns. */
int cp_query_insert(const cp_sink_config *config, const char *database, const char *sql, cp_error *err);

#endif
