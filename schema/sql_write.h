/* Names and literals as ClickHouse reads them back, for statements that are put together here. */
#ifndef CP_SCHEMA_SQL_WRITE_H
#define CP_SCHEMA_SQL_WRITE_H

#include <stdio.h>

#include "schema/table.h"

/* `name`, with backslash and backtick escaped. */
void cp_sql_write_name(FILE *out, const char *name);

/* 'text', with backslash, quote and control characters escaped. */
void cp_sql_write_text(FILE *out, const char *text);

/* A column as CREATE TABLE and ALTER TABLE … ADD COLUMN take it: `name` type DEFAULT … COMMENT '…' CODEC(…) TTL …. */
void cp_sql_write_column(FILE *out, const cp_column *column);

#endif
