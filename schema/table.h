/* The table descriptor: everything that any part of coldpath knows about a table comes from its CREATE TABLE,
 * and lives here. Producers, region, encoder, CLI and header generator all read this one struct.
 *
 * The row. From the columns follows a C struct, in the order of the declaration, each member naturally
 * aligned, the whole padded to 8 bytes (row_size); behind it the tail with the bytes of Strings and the
 * elements of Arrays:
 *
 *      0                                                     row_size                         row bytes
 *      ├── column 0 ── pad ── column 1 ── … ── null flags ── pad ──┼── tail: strings, elements ──┤
 *
 *   - a scalar takes its type's value_size at offset;
 *   - a String or Array takes a cp_ref at offset, pointing into the tail;
 *   - a Nullable scalar has one flag byte at null_offset (1 = NULL); the flags follow the last column, in order;
 *   - an Array's elements lie at a multiple of the element's alignment (from the row's start); of an Array(Nullable) the flag
 *     bytes, one each, follow the last element directly; of an Array(String) the elements are cp_refs.
 *
 * Columns called _cp_epoch (UInt64), _cp_slot (UInt16) and _cp_position (UInt64) are provenance: the recorder
 * fills them with where the row came from, (ring epoch, producer slot, ring position) being unique for every
 * row. They are part of the table, but not of the row. MATERIALIZED, ALIAS and EPHEMERAL columns are
 * ClickHouse's own: they stand in `computed`, absent from columns. */
#ifndef CP_SCHEMA_TABLE_H
#define CP_SCHEMA_TABLE_H

#include <coldpath/error.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/type.h"

enum {
    CP_MAX_COLUMNS = 512,
    CP_MAX_NAME = 127,        /* bytes of a database, table or column name, without the NUL */
    CP_MAX_DDL = 256 * 1024,  /* bytes of one CREATE TABLE */
    CP_MAX_ROW = 1024 * 1024, /* bytes of one row with its tail */
    CP_MAX_SETTINGS = 64,
    CP_MAX_ENTRIES = 256 /* indexes, constraints and projections of one table */
};

typedef enum cp_provenance { CP_PROV_NONE, CP_PROV_EPOCH, CP_PROV_SLOT, CP_PROV_POSITION } cp_provenance;

typedef struct cp_column {
    char *name;
    cp_type type;
    cp_provenance provenance; /* not CP_PROV_NONE: filled by the recorder, has no place in the row */
    uint32_t offset;          /* of the value or cp_ref in the row */
    uint32_t null_offset;     /* of the flag byte, if type.nullable && !type.array */
    char *default_expr;       /* text of DEFAULT, or NULL */
    char *codec;              /* text inside CODEC(…), or NULL */
    char *comment;            /* unquoted, or NULL */
    char *ttl;                /* text of TTL, or NULL */
    const char
        *computed; /* "MATERIALIZED", "ALIAS", "EPHEMERAL", with its text in default_expr; NULL: a column */
} cp_column;

/* What stands among the columns besides them. */
typedef enum cp_entry_kind { CP_ENTRY_INDEX, CP_ENTRY_CONSTRAINT, CP_ENTRY_PROJECTION } cp_entry_kind;

typedef struct cp_entry {
    cp_entry_kind kind;
    char *name;
    char *text; /* its definition, behind the name, as written */
} cp_entry;

typedef struct cp_setting {
    char *name;
    char *value; /* as written */
} cp_setting;

struct cp_row_plan; /* what cp_row_check looks at; private to schema/ */

typedef struct cp_table {
    char *database; /* NULL when the DDL names none */
    char *name;
    char *
        target; /* the table in ClickHouse that its rows go to, where that has another name: cp_table_target */
    uint32_t column_count;
    cp_column *columns;
    uint32_t computed_count;
    cp_column *computed; /* ClickHouse's own columns; type.text is NULL where none is written */
    uint32_t entry_count;
    cp_entry *entries;
    uint32_t row_size;    /* bytes of the fixed part, a multiple of 8, at least 8 */
    bool has_tail;        /* any String or Array */
    uint64_t schema_hash; /* of the table's name and every row column's name and type; never 0 */
    char *engine;         /* "MergeTree", "ReplicatedMergeTree('/x', '{replica}')" … as written */
    char *order_by;       /* as written, without the keyword; NULL when absent; likewise below */
    char *partition_by;
    char *primary_key;
    char *sample_by;
    char *ttl;
    char *comment; /* unquoted */
    uint32_t setting_count;
    cp_setting *settings;
    char *create;             /* the statement as written, without the trailing semicolon */
    struct cp_row_plan *plan; /* NULL: a row of the right size is a good row */
} cp_table;

/* Parses one CREATE TABLE statement.
 *   file      name for messages ("schema/ddl/quotes.sql"), or NULL for "<ddl>"
 *   text,len  the statement; comments (--, #, block) are skipped, a trailing semicolon is taken
 *   out       on success the new table, to be freed with cp_table_free
 * Errors: CP_E_PARSE, CP_E_UNSUPPORTED, CP_E_TOO_BIG, CP_E_NOMEM; the text begins "file:line:column: ", shows
 * the offending word and says what would be right. The text is untrusted: any bytes give a table or an error.
 */
CP_PUBLIC int cp_table_parse(cp_table **out, const char *file, const char *text, size_t len, cp_error *err);

/* Reads a file that holds one CREATE TABLE. As above; also CP_E_ABSENT, CP_E_PERM, CP_E_IO. */
CP_PUBLIC int cp_table_load(cp_table **out, const char *path, cp_error *err);

/* The name of the table in ClickHouse. A version of a table (tables.<name>.version_of in the configuration) has a name of
 * its own in region, log and ledger; its rows go to the same table. */
static inline const char *cp_table_target(const cp_table *table)
{
    return table->target ? table->target : table->name;
}

/* Frees what a column owns. */
void cp_column_clear(cp_column *column);

/* Frees a table; NULL is allowed. */
CP_PUBLIC void cp_table_free(cp_table *table);

/* The index of a column by its exact name, or -1. */
CP_PUBLIC int cp_table_find(const cp_table *table, const char *name, size_t len);

/* The name among the row's columns that name was probably meant to be (smallest edit distance, at most a
 * third of its length), or NULL. For "did you mean" in messages. */
CP_PUBLIC const char *cp_table_suggest(const cp_table *table, const char *name, size_t len);

/* Says in err how the columns of two versions of a table differ, if they do: which column, which types, on
 * which side. a_side and b_side name the sides ("the program", "the region"). CP_OK when equal, else
 * CP_E_SCHEMA. */
CP_PUBLIC int cp_table_compare(const cp_table *a, const char *a_side, const cp_table *b, const char *b_side,
                               cp_error *err);

/* CP_OK when to is from with columns added and nothing else: every row column of from is in it, of the same type; else
 * CP_E_SCHEMA, and err says which is not. */
CP_PUBLIC int cp_table_extends(const cp_table *from, const cp_table *to, cp_error *err);

/* Writes the C header of a table's typed row: struct, static asserts per offset, schema hash, name;
 * deterministic. Returns a malloc'd NUL-terminated text, or NULL when out of memory. */
CP_PUBLIC char *cp_table_c_header(const cp_table *table);

/* The same for others: a C++20 wrapper around that header, a builder of rows with their tail; the descriptor as JSON, with
 * the offset of every column; Python type hints, with what each column takes. As above. */
CP_PUBLIC char *cp_table_cpp_header(const cp_table *table);
CP_PUBLIC char *cp_table_descriptor(const cp_table *table);
CP_PUBLIC char *cp_table_pyi(const cp_table *table);

#endif
