/* The little that the CLI must know of an SQL text: whether it answers with rows, and in which FORMAT. */
#ifndef CP_CLI_SQL_TEXT_H
#define CP_CLI_SQL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* By its first word: SELECT, WITH, SHOW, DESCRIBE, EXISTS, EXPLAIN, CHECK. */
bool cp_sql_answers_with_rows(const char *sql);

/* A copy of sql that asks for format, if it answers with rows and
 * names no FORMAT itself; with override its own FORMAT, at its end, is replaced. A trailing semicolon is dropped. malloc'd;
 * NULL when out of memory. */
char *cp_sql_with_format(const char *sql, const char *format, bool override);

/* Writes name in backticks, with \ and ` escaped, into out. False when it does not fit. */
bool cp_sql_quote_name(char *out, size_t size, const char *name);

/* The same in single quotes: a String. */
bool cp_sql_quote_text(char *out, size_t size, const char *text);

#endif
