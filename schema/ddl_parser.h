/* The grammar of CREATE TABLE: see table.h for what comes out. Private to schema/. */
#ifndef CP_SCHEMA_DDL_PARSER_H
#define CP_SCHEMA_DDL_PARSER_H

#include "schema/ddl_lexer.h"
#include "schema/table.h"

/* Reads the statement at the lexer's first token into *table (zeroed by the caller, who frees it in any
 * case). Layout and schema_hash are not filled. Errors as cp_table_parse. */
int cp_ddl_parse(cp_ddl *ddl, cp_table *table);

/* Reads one column's declaration, "name type [DEFAULT expr] [CODEC(…)] …", and appends it to *table, to
 * its computed columns if it is MATERIALIZED, ALIAS or EPHEMERAL (ddl_column.c). */
int cp_ddl_parse_column(cp_ddl *ddl, cp_table *table);

/* Goes over an expression: everything with its parentheses up to a stop keyword, a comma (unless commas) or a
 * closing parenthesis that is not its own, or the end. stops ends with NULL; the first token is never taken
 * for a stop. what names the expression in messages. The text, as written, goes to *out if that is not NULL
 * (ddl_expression.c). */
int cp_ddl_parse_expression(cp_ddl *ddl, const char *what, const char *const *stops, bool commas, char **out);

/* Reads an identifier, bare or quoted, of at most CP_MAX_NAME bytes. what: "a column's name". */
int cp_ddl_parse_name(cp_ddl *ddl, const char *what, char **out);

/* Reads COMMENT's string. */
int cp_ddl_parse_comment(cp_ddl *ddl, char **out);

#endif
