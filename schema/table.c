/* The table descriptor's life: made from text or a file, looked into, compared, freed. See table.h. */
#include "schema/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "schema/ddl_parser.h"
#include "schema/layout.h"
#include "schema/suggest.h"
#include "schema/text_file.h"
#include "schema/type_parser.h"

int cp_table_parse(cp_table **out, const char *file, const char *text, size_t len, cp_error *err)
{
    *out = NULL;
    if (!file)
        file = "<ddl>";
    if (len > CP_MAX_DDL)
        return cp_error_set(err, CP_E_TOO_BIG,
                            "%.200s:1:1: the statement has %zu bytes, more than %d; is this DDL?", file, len,
                            CP_MAX_DDL);
    cp_table *table = calloc(1, sizeof *table);
    if (!table)
        return cp_error_set(err, CP_E_NOMEM, "%.200s: out of memory", file);
    cp_ddl ddl;
    cp_ddl_init(&ddl, file, text, len, err);
    int code = cp_ddl_parse(&ddl, table);
    if (code == CP_OK) {
        code = cp_layout_make(table);
        if (code == CP_E_TOO_BIG)
            cp_error_set(err, code,
                         "%.200s:1:1: a row of table '%s' would have %u bytes, more than %d; use String for "
                         "long FixedStrings",
                         file, table->name, table->row_size, CP_MAX_ROW);
        else if (code < 0)
            cp_error_set(err, code, "%.200s: out of memory", file);
    }
    if (code < 0) {
        cp_table_free(table);
        return code;
    }
    *out = table;
    return CP_OK;
}

int cp_table_load(cp_table **out, const char *path, cp_error *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    int code = cp_text_file_read(path, "table definition", &text, &len, err);
    if (code == CP_OK)
        code = cp_table_parse(out, path, text, len, err);
    free(text);
    return code;
}

void cp_column_clear(cp_column *column)
{
    free(column->name);
    free(column->default_expr);
    free(column->codec);
    free(column->comment);
    free(column->ttl);
    cp_type_free(&column->type);
    *column = (cp_column){0};
}

void cp_table_free(cp_table *table)
{
    if (!table)
        return;
    for (uint32_t i = 0; i < table->column_count; i++)
        cp_column_clear(&table->columns[i]);
    for (uint32_t i = 0; i < table->computed_count; i++)
        cp_column_clear(&table->computed[i]);
    for (uint32_t i = 0; i < table->entry_count; i++) {
        free(table->entries[i].name);
        free(table->entries[i].text);
    }
    for (uint32_t i = 0; i < table->setting_count; i++) {
        free(table->settings[i].name);
        free(table->settings[i].value);
    }
    free(table->columns);
    free(table->computed);
    free(table->entries);
    free(table->settings);
    free(table->database);
    free(table->name);
    free(table->target);
    free(table->engine);
    free(table->order_by);
    free(table->partition_by);
    free(table->primary_key);
    free(table->sample_by);
    free(table->ttl);
    free(table->comment);
    free(table->create);
    cp_row_plan_free(table->plan);
    free(table);
}

int cp_table_find(const cp_table *table, const char *name, size_t len)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        const char *candidate = table->columns[i].name;
        if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
            return (int)i;
    }
    return -1;
}

const char *cp_table_suggest(const cp_table *table, const char *name, size_t len)
{
    cp_suggestion suggestion = {.word = name, .len = len};
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].provenance == CP_PROV_NONE)
            cp_suggest_offer(&suggestion, table->columns[i].name);
    }
    return suggestion.best;
}

/* The next column of the row at or after i; column_count when there is none. */
static uint32_t next_row_column(const cp_table *table, uint32_t i)
{
    while (i < table->column_count && table->columns[i].provenance != CP_PROV_NONE)
        i++;
    return i;
}

static int compare_extra(const cp_table *has, const char *has_side, uint32_t i, const char *lacks_side,
                         cp_error *err)
{
    const cp_column *column = &has->columns[i];
    return cp_error_set(err, CP_E_SCHEMA, "table '%s': column '%s' (%.200s) is known to %s, but not to %s",
                        has->name, column->name, column->type.text, has_side, lacks_side);
}

/* Says how two columns at the same place differ; CP_OK when they do not. */
static int compare_columns(const cp_table *a, const char *a_side, uint32_t i, const cp_table *b,
                           const char *b_side, uint32_t j, cp_error *err)
{
    const cp_column *left = &a->columns[i];
    const cp_column *right = &b->columns[j];
    if (strcmp(left->name, right->name) != 0) {
        if (cp_table_find(b, left->name, strlen(left->name)) < 0)
            return compare_extra(a, a_side, i, b_side, err);
        if (cp_table_find(a, right->name, strlen(right->name)) < 0)
            return compare_extra(b, b_side, j, a_side, err);
        return cp_error_set(err, CP_E_SCHEMA,
                            "table '%s': the columns' order differs: %s has '%s' where %s has '%s'", a->name,
                            a_side, left->name, b_side, right->name);
    }
    if (strcmp(left->type.text, right->type.text) != 0)
        return cp_error_set(err, CP_E_SCHEMA, "table '%s': column '%s' is %.300s for %s, but %.300s for %s",
                            a->name, left->name, left->type.text, a_side, right->type.text, b_side);
    return CP_OK;
}

int cp_table_compare(const cp_table *a, const char *a_side, const cp_table *b, const char *b_side,
                     cp_error *err)
{
    if (strcmp(a->name, b->name) != 0)
        return cp_error_set(err, CP_E_SCHEMA, "%s has table '%s', %s has table '%s'", a_side, a->name, b_side,
                            b->name);
    uint32_t i = next_row_column(a, 0);
    uint32_t j = next_row_column(b, 0);
    while (i < a->column_count && j < b->column_count) {
        const int code = compare_columns(a, a_side, i, b, b_side, j, err);
        if (code < 0)
            return code;
        i = next_row_column(a, i + 1);
        j = next_row_column(b, j + 1);
    }
    if (i < a->column_count)
        return compare_extra(a, a_side, i, b_side, err);
    if (j < b->column_count)
        return compare_extra(b, b_side, j, a_side, err);
    return CP_OK;
}

int cp_table_extends(const cp_table *from, const cp_table *to, cp_error *err)
{
    for (uint32_t i = next_row_column(from, 0); i < from->column_count; i = next_row_column(from, i + 1)) {
        const cp_column *column = &from->columns[i];
        const int at = cp_table_find(to, column->name, strlen(column->name));
        if (at < 0)
            return cp_error_set(err, CP_E_SCHEMA, "it lacks column '%s' (%.200s)", column->name,
                                column->type.text);
        if (strcmp(to->columns[at].type.text, column->type.text) != 0)
            return cp_error_set(err, CP_E_SCHEMA, "column '%s' is %.200s in it, but %.200s before",
                                column->name, to->columns[at].type.text, column->type.text);
    }
    return CP_OK;
}
