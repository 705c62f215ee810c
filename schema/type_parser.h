/* Types as text: reading them from a CREATE TABLE, writing them as system.columns does. */
#ifndef CP_SCHEMA_TYPE_PARSER_H
#define CP_SCHEMA_TYPE_PARSER_H

#include "schema/ddl_lexer.h"
#include "schema/type.h"

/* Reads the type at the lexer's token, with NULL or NOT NULL behind it, into *type, which the caller frees
 * with cp_type_free whether this succeeds or not. Errors: CP_E_PARSE, CP_E_UNSUPPORTED, CP_E_TOO_BIG,
 * CP_E_NOMEM. */
int cp_type_parse(cp_ddl *ddl, cp_type *type);

/* Fills value_size, value_align and text from the rest of *type. CP_E_NOMEM, or CP_E_TOO_BIG when the text is
 * longer than CP_MAX_TYPE_TEXT. */
int cp_type_finish(cp_type *type);

void cp_type_free(cp_type *type);

#endif
