/* One line of ClickHouse's TabSeparated into its fields.
 *
 * Fields are separated by tabs; inside one, \t \n \r \b \f \0 \a \v \e, \\ \' and \xHH stand for single
 * bytes, a backslash before any other byte is dropped; a field that is \N alone is NULL. Source: the
 * TabSeparated section of ClickHouse's format reference. */
#ifndef CP_CLI_TSV_SPLIT_H
#define CP_CLI_TSV_SPLIT_H

#include "cli/fields.h"

/* Fills fields from a line without its newline. CP_OK, CP_E_PARSE (a backslash at the end), CP_E_NOMEM. */
int cp_tsv_split(cp_fields *fields, const char *line, size_t len, cp_error *err);

#endif
