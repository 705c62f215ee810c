/* A view over declared tables: one CREATE VIEW in a file. Its SELECT is ClickHouse's business; what is looked for here is
 * its name, and which tables and views it reads, so that views are made in an order that works and only where what they
 * read is there. A view that was made from this text is known on the server by its mark, which stands in its comment. */
#ifndef CP_SCHEMA_VIEW_H
#define CP_SCHEMA_VIEW_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CP_VIEW_READS = 32, CP_VIEW_MARK = 32 };

typedef struct cp_view {
    char *name;
    char *select; /* as written, without the trailing semicolon */
    uint32_t read_count;
    char *reads[CP_VIEW_READS];
    char mark[CP_VIEW_MARK]; /* "coldpath:<hash of the text>" */
} cp_view;

/* Parses "CREATE VIEW [IF NOT EXISTS] name AS SELECT …". Errors as cp_table_parse. */
int cp_view_parse(cp_view **out, const char *file, const char *text, size_t len, cp_error *err);

/* Reads a file. As above; also CP_E_ABSENT, CP_E_PERM, CP_E_IO. */
int cp_view_load(cp_view **out, const char *path, cp_error *err);

/* Frees a view; NULL is allowed. */
void cp_view_free(cp_view *view);

/* The statement that makes the view, marked. cluster: ON CLUSTER, or NULL. malloc'd, NULL when out of memory. */
char *cp_view_statement(const cp_view *view, const char *database, const char *cluster, bool replace);

#endif
