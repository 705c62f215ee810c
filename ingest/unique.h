/* Rows that a producer put twice: the keys of a table's last rows, so that a row whose key came before is left out.
 *
 *     file   ├ header, head ┤ key │ key │ … │ key │       a ring of the last `window` keys: hash of the columns, and where the
 *                              ▲ head % window             row lay in its ring (epoch, position)
 *     index  hash ──► place in the ring                    in private memory, made again at start
 *
 * Each key is entered once, with the row that came first; repetitions do not renew it. The file lies in the region: what was
 * entered outlives the recorder, killed at any instruction, but not a reboot. A row that a restarted recorder takes out of its ring
 * again is known by its place and is no duplicate of itself. After a kill the window is shorter by the rows that come again
 * (cp_unique_forget), and by one that may have been under way.
 *
 * Keys are compared by their 128-bit hashes (row_hash.h); producers of all slots count. One thread; after open, no allocation and no
 * system call. */
#ifndef CP_INGEST_UNIQUE_H
#define CP_INGEST_UNIQUE_H

#include <coldpath/error.h>

#include "ingest/chunk.h"
#include "ingest/row_hash.h"

typedef struct cp_unique cp_unique;

/* Opens the file at path, or makes it (mode 0600) when it is not there or is of another key or window. table must outlive it.
 * key: at least one column; window: rows, at least 2. *kept: keys that were there. CP_E_NOMEM, CP_E_IO, CP_E_PERM. */
int cp_unique_open(cp_unique **out, const char *path, const cp_table *table, const cp_column_list *key,
                   uint32_t window, uint64_t *kept, cp_error *err);

/* Takes rows whose keys came before out of the chunk's index, and adds them to its rejected ones. Returns how many. The same chunk
 * may come again, whole or as part of another, with the same outcome. */
uint32_t cp_unique_filter(cp_unique *unique, cp_chunk *chunk);

/* Before the first filter, for each ring: the keys of rows at `from` and behind it go. They come again, and nothing vouches for them
 * yet: another row must not be left out, and that be called durable, for the sake of one that may still be lost. */
void cp_unique_forget(cp_unique *unique, uint64_t epoch, uint64_t from);

/* Bytes of memory that a window takes, shared memory included. */
uint64_t cp_unique_memory(uint32_t window);

/* NULL is allowed. The file stays. */
void cp_unique_close(cp_unique *unique);

#endif
