/* Thinning a lossy table's rows by key, while pressure lasts: the work of the first two rungs of the ladder.
 *
 *   chunk ──► suppress: equal to the key's last row in the value columns? left out
 *         ──► conflate: the key has a row in this interval already? that one is left out
 *         ──► what is left is packed into the slot's window: an open chunk, which travels on when it is full or due
 *
 *   window    ├── rows of earlier intervals: final ──┼── rows of this interval: the latest of each key ──┤ room
 *
 * Where memory is scarce (the chunk says so) and rows are conflated, a full window is collapsed to the latest row of each key,
 * whatever the interval: so there is always room.
 *
 * The order of a slot's rows stays as it was; the last row of every key that came is always in the window, or has gone on.
 * A window's chunk covers its whole range of positions; where its rows lay in the ring stands in their record headers.
 *
 * Keys and values are compared by their 128-bit hashes (XXH3), bit for bit as they lie in the row; a NULL equals a NULL. The table of
 * keys has a fixed size: rows of keys that find no place pass, and are counted. All of it runs on one thread, and allocates
 * nothing after create. */
#ifndef CP_INGEST_CONFLATE_H
#define CP_INGEST_CONFLATE_H

#include <coldpath/error.h>

#include "ingest/chunk.h"
#include "ingest/row_hash.h"

typedef struct cp_conflater cp_conflater;

/* Of one table, which must outlive it, with `slots` producers. key: at least one column; value may be empty, and then no row is
 * equal to another. CP_E_NOMEM. */
int cp_conflater_create(cp_conflater **out, const cp_table *table, uint32_t slots, const cp_column_list *key,
                        const cp_column_list *value, uint32_t max_keys, cp_error *err);

/* Leaves out, in the chunk's index, rows that are equal to their key's last one (suppress), and all but the latest row of each key
 * (conflate). Returns how many. What is left has to go on, or cp_conflater_mistrust has to be called. */
uint32_t cp_conflater_thin(cp_conflater *conflater, cp_chunk *chunk, bool suppress, bool conflate);

typedef enum cp_window_result {
    CP_WINDOW_FULL,   /* nothing was taken: finish the window and hand it on first */
    CP_WINDOW_OPENED, /* the chunk is the window's now */
    CP_WINDOW_ADDED   /* its rows were copied; the chunk is the caller's */
} cp_window_result;

/* Puts a thinned chunk's rows into its slot's window; with conflate they replace those of the same interval there.
 *   interval_ns  how long one lasts; all of a chunk is of one
 *   suppressed   grows by the rows of the window that go nowhere now, also when it is full */
cp_window_result cp_conflater_add(cp_conflater *conflater, cp_chunk *chunk, bool conflate,
                                  uint64_t interval_ns, uint64_t now_ns, uint64_t *suppressed);

/* The slot's window as a chunk that can be handed on, or NULL when there is none. It stays, and can be added to, until
 * cp_conflater_forget says that it has gone. */
cp_chunk *cp_conflater_finish(cp_conflater *conflater, uint32_t slot);
void cp_conflater_forget(cp_conflater *conflater, uint32_t slot);

/* True when the slot has a window, and when that was opened. */
bool cp_conflater_holds(const cp_conflater *conflater, uint32_t slot);
uint64_t cp_conflater_opened_ns(const cp_conflater *conflater, uint32_t slot);

/* The next row of each key is equal to none: rows that went on were dropped later. */
void cp_conflater_mistrust(cp_conflater *conflater);

/* Forgets every key. There must be no window. */
void cp_conflater_clear(cp_conflater *conflater);

/* Rows that passed because their keys found no place, ever. */
uint64_t cp_conflater_unkeyed(const cp_conflater *conflater);

/* NULL is allowed. Windows that are still there are their pool's. */
void cp_conflater_free(cp_conflater *conflater);

#endif
