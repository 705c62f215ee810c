/* What can be said of a CREATE TABLE's expressions before ClickHouse sees them; it computes them, and says the rest. Nothing is refused
 * here that some server would take. Private to schema/. */
#ifndef CP_SCHEMA_DDL_CHECK_H
#define CP_SCHEMA_DDL_CHECK_H

#include "schema/ddl_lexer.h"
#include "schema/table.h"

/* Of a clause that begins at `from` and ends before ddl's token: bare names are columns that the table stores. Expressions with
 * lambdas, casts, parameters or codecs name other things, too, and are not looked into. CP_E_PARSE. */
int cp_ddl_check_names(cp_ddl *ddl, const cp_ddl *from, const char *what, const cp_table *table);

/* Of a column's DEFAULT, which is the one token `at`: a literal is of the column's type. CP_E_PARSE. */
int cp_ddl_check_default(cp_ddl *ddl, cp_ddl_token at, const cp_column *column);

#endif
