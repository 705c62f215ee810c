/* What the verbs that read tables out of ClickHouse have to find out first: which table of the configuration is meant, where it
 * is, and which of its columns is its time. */
#ifndef CP_CLI_TABLE_CHOICE_H
#define CP_CLI_TABLE_CHOICE_H

#include <stdio.h>

#include "recorder/config/config.h"

/* The table of that name, or CP_E_INVAL with what was probably meant. */
int cp_table_choose(const cp_config *config, const char *name, const cp_table_config **out, cp_error *err);

/* Its database: its own, else the configuration's. */
const char *cp_table_database(const cp_config *config, const cp_table *table);

/* A column by its name; CP_E_INVAL with what was probably meant. */
int cp_column_choose(const cp_table *table, const char *name, const cp_column **out, cp_error *err);

/* The column that dates its rows: wanted, if it is a DateTime, DateTime64 or Date; with wanted NULL the first such column of
 * its partition key, else of its order key, else of all. CP_E_INVAL when there is none. */
int cp_time_column_choose(const cp_table *table, const char *wanted, const cp_column **out, cp_error *err);

/* Writes `database`.`table`. */
void cp_table_name_write(FILE *out, const cp_config *config, const cp_table *table);

#endif
