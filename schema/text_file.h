/* A file of SQL, whole and bounded. */
#ifndef CP_SCHEMA_TEXT_FILE_H
#define CP_SCHEMA_TEXT_FILE_H

#include <coldpath/error.h>
#include <stddef.h>

/* Reads a regular file; *out is malloc'd, *len at most CP_MAX_DDL + 1 (the parsers then refuse it). what names the content
 * in messages: "table definition". Errors: CP_E_ABSENT, CP_E_PERM, CP_E_IO, CP_E_NOMEM. */
int cp_text_file_read(const char *path, const char *what, char **out, size_t *len, cp_error *err);

#endif
