/* A table of text: aligned with a bold heading on a terminal, tab-separated otherwise.
 *
 *     cp_text_table *t = cp_text_table_new("table\trows\tring %", "lrr");
 *     cp_text_table_row(t, "%s\t%s\t%.1f", …);        one line of cells, tabs between them
 *     cp_text_table_print(t, stdout);                 prints and frees
 */
#ifndef CP_CLI_TEXT_TABLE_H
#define CP_CLI_TEXT_TABLE_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdio.h>

enum { CP_TEXT_COLUMNS = 32, CP_TEXT_ROWS = 64 * 1024, CP_TEXT_LINE = 4096 };

typedef struct cp_text_table cp_text_table;

/* headings: separated by tabs; align: one 'l' or 'r' per column. Ends the program when there is no memory. */
cp_text_table *cp_text_table_new(const char *headings, const char *align);

/* Adds a row; control characters in cells are shown as '?'. Rows over CP_TEXT_ROWS are dropped. */
void cp_text_table_row(cp_text_table *table, const char *fmt, ...) CP_PRINTF(2, 3);

/* Prints to out, aligned if it is a terminal, and frees the table. */
void cp_text_table_print(cp_text_table *table, FILE *out);

/* True when out is a terminal that takes bold and colours: NO_COLOR unset or empty, TERM not dumb. */
bool cp_text_styled(FILE *out);

#endif
