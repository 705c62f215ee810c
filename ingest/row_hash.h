/* The 128-bit hash (XXH3) of some columns of a row, bit for bit as they lie there; a NULL equals a NULL. */
#ifndef CP_INGEST_ROW_HASH_H
#define CP_INGEST_ROW_HASH_H

#include <xxhash.h>

#include "schema/table.h"

enum { CP_HASH_COLUMNS = 16 };

/* Indexes of columns: scalars or Strings, no provenance. */
typedef struct cp_column_list {
    uint32_t count;
    uint32_t columns[CP_HASH_COLUMNS];
} cp_column_list;

/* Of a row of table that has been checked: its references lie inside. salt: hashes of different ones are different. */
XXH128_hash_t cp_row_hash(const cp_table *table, const cp_column_list *list, uint32_t salt,
                          const uint8_t *row);

#endif
