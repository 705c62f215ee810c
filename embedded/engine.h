/* The embedded ClickHouse engine (chDB), loaded at run time, and statements against it. Nothing of HTTP.
 *
 *   engine ── one per process and data directory; keeps one connection open so that the engine stays up
 *     └─ connection ── one per statement or named session: its settings, database and temporary tables are
 * its own ├─ query    result held whole ├─ result   a SELECT's result in chunks, as the engine makes them └─
 * insert   data appended in chunks, committed or cancelled
 *
 * A connection costs 0.2 ms once the engine runs [measured], so requests are isolated by giving each a new
 * one instead of resetting a used one. How many may exist at a time is bounded; cp_engine_connect waits for
 * its turn.
 *
 * The interface of libchdb.so is that of chdb.h (https://github.com/chdb-io/chdb-core, programs/local/chdb.h,
 * 26.7.3); only what is used here is declared. */
#ifndef CP_EMBEDDED_ENGINE_H
#define CP_EMBEDDED_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <coldpath/error.h>

#include "embedded/fault.h"

typedef struct cp_engine cp_engine;
typedef struct cp_engine_conn cp_engine_conn;
typedef struct cp_engine_insert cp_engine_insert;

typedef struct cp_engine_options {
    const char *library;     /* path of libchdb.so */
    const char *directory;   /* where the data is; must exist */
    const char *config;      /* a configuration file of the engine's, with grants; NULL: none */
    unsigned max_threads;    /* the setting max_threads of each statement; 0: the engine's default */
    unsigned max_statements; /* connections at a time; ≥ 1 */
    unsigned wait_seconds;   /* how long cp_engine_connect waits for its turn */
} cp_engine_options;

/* Loads the library and opens the data directory. CP_E_ABSENT: no such library; CP_E_ABI: not a usable
 * libchdb; CP_E_BUSY: another engine has the directory; CP_E_IO: the engine could not open it. One engine per
 * process. */
int cp_engine_open(const cp_engine_options *options, cp_engine **engine, cp_error *err);

/* Closes the engine. All connections must be closed. The process must end with _exit afterwards: destructors
 * in the library abort otherwise. */
void cp_engine_close(cp_engine *engine);

/* The engine's version ("26.7.2.1") and time zone ("Etc/UTC"); live as long as the engine. */
const char *cp_engine_version(const cp_engine *engine);
const char *cp_engine_timezone(const cp_engine *engine);

/* Asks every running statement to stop; returns at once. For the end of the process. */
void cp_engine_cancel_all(cp_engine *engine);

/* A new connection in the database "default". Waits while max_statements are open; then fault 202. */
int cp_engine_connect(cp_engine *engine, cp_engine_conn **conn, cp_fault *fault);

/* Closes it; NULL is allowed. A session that is kept counts as no statement: see cp_engine_park. */
void cp_engine_disconnect(cp_engine_conn *conn);

/* Gives back the turn that conn holds without closing it, and takes one again, waiting like
 * cp_engine_connect. */
void cp_engine_park(cp_engine_conn *conn);
int cp_engine_unpark(cp_engine_conn *conn, cp_fault *fault);

/* One statement. Text need not end with NUL. Parameters are {name:Type} substitutions, values in TSV
 * escaping. */
typedef struct cp_engine_sql {
    const char *text;
    size_t length;
    const char *format; /* of the result, unless the text has a FORMAT clause; of the data, for an insert */
    size_t params;
    const char *const *param_names;
    const size_t *param_name_lengths;
    const char *const *param_values;
    const size_t *param_value_lengths;
} cp_engine_sql;

typedef struct cp_engine_stats {
    uint64_t read_rows, read_bytes;       /* from storage */
    uint64_t written_rows, written_bytes; /* to storage */
    uint64_t result_rows, result_bytes;   /* given back */
} cp_engine_stats;

/* A piece of a result, owned by the engine until cp_engine_chunk_free. */
typedef struct cp_engine_chunk {
    const char *data; /* may be NULL when length is 0 */
    size_t length;
    void *handle;
} cp_engine_chunk;

/* Runs any statement and holds its whole result. Adds to *stats. 0, or the fault's code. */
int cp_engine_query(cp_engine_conn *conn, const cp_engine_sql *sql, cp_engine_chunk *result,
                    cp_engine_stats *stats, cp_fault *fault);

/* Runs a statement for its effect alone. */
int cp_engine_run(cp_engine_conn *conn, const char *text, size_t length, cp_fault *fault);

void cp_engine_chunk_free(cp_engine_conn *conn, cp_engine_chunk *chunk);

/* Begins a SELECT whose result is fetched in chunks. *streams is false, and nothing was started, when the
 * engine cannot stream this kind of statement. At most one per connection. */
int cp_engine_stream(cp_engine_conn *conn, const cp_engine_sql *sql, bool *streams, cp_fault *fault);

/* The next chunk; length 0 is the end. Blocks while the engine computes. */
int cp_engine_stream_next(cp_engine_conn *conn, cp_engine_chunk *chunk, cp_engine_stats *stats,
                          cp_fault *fault);

/* Ends the stream, cancelling what still runs. Harmless when there is none. */
void cp_engine_stream_close(cp_engine_conn *conn);

/* Begins "INSERT INTO t [(columns)] [SETTINGS …]", the text without FORMAT and data; sql->format is the
 * data's. */
int cp_engine_insert_open(cp_engine_conn *conn, const cp_engine_sql *sql, cp_engine_insert **insert,
                          cp_fault *fault);

/* Hands over data, copied; blocks while the engine is behind. */
int cp_engine_insert_append(cp_engine_insert *insert, const void *data, size_t length, cp_fault *fault);

/* Commits and frees. As in any ClickHouse, blocks of max_insert_block_size rows that were complete before are
 * committed on their own; an insert of one block is all or nothing. */
int cp_engine_insert_commit(cp_engine_insert *insert, cp_engine_stats *stats, cp_fault *fault);

/* Drops what is not committed and frees; NULL is allowed. */
void cp_engine_insert_cancel(cp_engine_insert *insert);

/* What kind of statement(s) a text is, by the engine's own parser. */
typedef enum cp_engine_class {
    CP_ENGINE_READ_ONLY,
    CP_ENGINE_MUTATING,
    CP_ENGINE_MUTATING_GLOBAL,
    CP_ENGINE_CONTROL,
    CP_ENGINE_UNKNOWN
} cp_engine_class;

/* *statements gets how many there are; 0 when the text does not parse. */
cp_engine_class cp_engine_classify(cp_engine_conn *conn, const char *text, size_t length,
                                   unsigned *statements);

#endif
