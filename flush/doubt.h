/* How many of given rows ClickHouse holds: the question as SQL, and the answer. The provenance columns name every row by ring epoch,
 * slot and position, so rows can be counted without knowing what they hold.
 *
 *     SELECT count(), uniqExact(epoch, slot, position) FROM table WHERE (epoch = … AND slot = … AND position >= … AND position < …) OR …
 *     → "held<TAB>distinct<LF>", and nothing else
 *
 * No I/O; delivery_doubt.c asks. One thread. */
#ifndef CP_FLUSH_DOUBT_H
#define CP_FLUSH_DOUBT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flush/flusher.h"
#include "schema/table.h"

typedef struct cp_doubt_count {
    uint64_t held;
    uint64_t distinct; /* ≤ held */
} cp_doubt_count;

/* True when the table has all three provenance columns, and no TTL that takes rows away again. */
bool cp_doubt_countable(const cp_table *table);

/* Bytes that cp_doubt_sql needs for any CP_MAX_TABLE_SLOTS spans of the table, with the NUL. */
size_t cp_doubt_sql_room(const cp_table *table, const char *database);

/* Writes the question for the rows with positions in the spans' [begin, end), count ≥ 1 of them. database: for a table whose DDL
 * names none; NULL: the user's default. False when room is too small. */
bool cp_doubt_sql(char *sql, size_t room, const cp_table *table, const char *database, const cp_span *spans,
                  uint32_t count);

/* Reads an answer's body, NUL-terminated. False: it is something else. */
bool cp_doubt_read(const char *body, cp_doubt_count *out);

#endif
