#include "cli/table_choice.h"

#include <string.h>

#include "base/error.h"
#include "schema/expression.h"
#include "schema/sql_write.h"
#include "schema/suggest.h"

int cp_table_choose(const cp_config *config, const char *name, const cp_table_config **out, cp_error *err)
{
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (strcmp(config->tables[i].name, name) == 0) {
            *out = &config->tables[i];
            return CP_OK;
        }
    }
    cp_suggestion meant = {.word = name, .len = strlen(name)};
    for (uint32_t i = 0; i < config->table_count; i++)
        cp_suggest_offer(&meant, config->tables[i].name);
    return cp_error_set(err, CP_E_INVAL, "the configuration has no table '%s'%s%s%s", name,
                        meant.best ? "; did you mean '" : "", meant.best ? meant.best : "",
                        meant.best ? "'?" : "");
}

const char *cp_table_database(const cp_config *config, const cp_table *table)
{
    return table->database ? table->database : config->database;
}

int cp_column_choose(const cp_table *table, const char *name, const cp_column **out, cp_error *err)
{
    const int at = cp_table_find(table, name, strlen(name));
    if (at >= 0) {
        *out = &table->columns[at];
        return CP_OK;
    }
    const char *meant = cp_table_suggest(table, name, strlen(name));
    return cp_error_set(err, CP_E_INVAL, "table %s has no column '%s'%s%s%s", table->name, name,
                        meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

static bool is_time(const cp_column *column)
{
    const cp_type *type = &column->type;
    return !type->array && !type->nullable &&
           (type->kind == CP_DATETIME || type->kind == CP_DATETIME64 || type->kind == CP_DATE);
}

/* The first time column that the key speaks of; key NULL: any. */
static const cp_column *time_in(const cp_table *table, const char *key, bool any)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (is_time(column) && (any || cp_expression_names(key, column->name)))
            return column;
    }
    return NULL;
}

int cp_time_column_choose(const cp_table *table, const char *wanted, const cp_column **out, cp_error *err)
{
    if (wanted) {
        const int rc = cp_column_choose(table, wanted, out, err);
        if (rc == CP_OK && !is_time(*out))
            return cp_error_set(err, CP_E_INVAL, "column %s is %.100s, not DateTime, DateTime64 or Date",
                                wanted, (*out)->type.text);
        return rc;
    }
    *out = time_in(table, table->partition_by, false);
    if (!*out)
        *out = time_in(table, table->order_by, false);
    if (!*out)
        *out = time_in(table, NULL, true);
    return *out ? CP_OK
                : cp_error_set(err, CP_E_INVAL, "table %s has no column of type DateTime, DateTime64 or Date",
                               table->name);
}

void cp_table_name_write(FILE *out, const cp_config *config, const cp_table *table)
{
    cp_sql_write_name(out, cp_table_database(config, table));
    putc('.', out);
    cp_sql_write_name(out, cp_table_target(table));
}
