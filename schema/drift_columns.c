/* Columns: which are missing or too many, and how those that both sides have differ, in type, expression, codec, comment, TTL
 * and place. Columns that the server computes (MATERIALIZED, ALIAS, EPHEMERAL) are compared by themselves. Of a Distributed
 * table only what it answers with counts: names, types, expressions and places. */
#include <stdlib.h>
#include <string.h>

#include "schema/drift_private.h"
#include "schema/expression.h"
#include "schema/sql_write.h"
#include "schema/widen.h"

static const char applied[] = "`coldpath schema apply` changes it";

static const cp_column *computed_find(const cp_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->computed_count; i++) {
        if (strcmp(table->computed[i].name, name) == 0)
            return &table->computed[i];
    }
    return NULL;
}

static void place_write(const cp_comparison *c, uint32_t i, FILE *out)
{
    if (i == 0) {
        fputs(" FIRST", out);
        return;
    }
    fputs(" AFTER ", out);
    cp_sql_write_name(out, c->declared->columns[i - 1].name);
}

/* ADD COLUMN; i: its place, or UINT32_MAX for a computed one, whose place does not matter. */
static void column_missing(cp_comparison *c, const cp_column *column, uint32_t i)
{
    cp_drift *drift = cp_drift_add(c->drifts, "column missing", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->type.text ? column->type.text : column->computed);
    drift->remedy = cp_drift_format(c, "`coldpath schema apply` adds it; rows already stored read as %s",
                                    column->computed       ? "its expression"
                                    : column->default_expr ? "its default"
                                                           : "empty, zero or NULL");
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    cp_column added = *column;
    if (c->front)
        added.codec = added.ttl = NULL;
    fprintf(s.out, "ADD COLUMN %s", c->target->conditional ? "IF NOT EXISTS " : "");
    cp_sql_write_column(s.out, &added);
    if (i != UINT32_MAX)
        place_write(c, i, s.out);
    drift->statement = cp_alter_end(c, &s);
}

static void column_extra(cp_comparison *c, const cp_column *column)
{
    cp_drift *drift = cp_drift_add(c->drifts, "column not declared", c->object, column->name);
    drift->server = cp_drift_copy(c, column->type.text);
    if (c->front) {
        drift->remedy = cp_drift_copy(c, "`coldpath schema apply` drops it; the table holds no rows");
        cp_alter s;
        if (!cp_alter_begin(c, &s))
            return;
        fprintf(s.out, "DROP COLUMN %s", c->target->conditional ? "IF EXISTS " : "");
        cp_sql_write_name(s.out, column->name);
        drift->statement = cp_alter_end(c, &s);
        return;
    }
    drift->remedy = cp_drift_format(
        c,
        "declare it in the CREATE TABLE, where rows can then fill it, or drop it by hand, with "
        "what it holds: ALTER TABLE %s.%s DROP COLUMN %s",
        c->target->database, c->object, column->name);
}

static bool column_in_key(const cp_table *table, const char *name)
{
    return cp_expression_names(table->order_by, name) || cp_expression_names(table->partition_by, name) ||
           cp_expression_names(table->primary_key, name) || cp_expression_names(table->sample_by, name);
}

/* A column that one side stores and the other computes, or computes in another way. */
static void column_kind(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    cp_drift *drift = cp_drift_add(c->drifts, "kind of column", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->computed ? column->computed : "a column that rows fill");
    drift->server = cp_drift_copy(c, held->computed ? held->computed : "a column that rows fill");
    drift->remedy = cp_drift_format(
        c,
        "refused: what it holds would be lost or made up. Plan: RENAME COLUMN %s to another name by hand, "
        "`coldpath schema apply`, copy what is to be kept; or correct the declaration",
        column->name);
}

static void column_type(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    if (!column->type.text || strcmp(column->type.text, held->type.text) == 0)
        return;
    cp_drift *drift = cp_drift_add(c->drifts, "type", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->type.text);
    drift->server = cp_drift_copy(c, held->type.text);
    const bool stored = !c->front && (!column->computed || strcmp(column->computed, "MATERIALIZED") == 0);
    const char *loss = stored ? cp_type_loss(&held->type, &column->type) : NULL;
    if (stored && !loss && column_in_key(c->server, column->name))
        loss = "the column is part of a key, by which the rows are sorted";
    if (loss) {
        drift->remedy = cp_drift_format(
            c,
            "refused: %s. Plan: add a column of the new type under another name, let the producers fill "
            "it, copy what is to be kept (ALTER TABLE … UPDATE), then drop the old one; or correct "
            "the declaration",
            loss);
        return;
    }
    drift->remedy =
        cp_drift_copy(c, "`coldpath schema apply` changes it; every stored value stays what it is");
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    fputs("MODIFY COLUMN ", s.out);
    cp_sql_write_name(s.out, column->name);
    fprintf(s.out, " %s", column->type.text);
    if (column->computed && column->default_expr)
        fprintf(s.out, " %s %s", column->computed, column->default_expr);
    if (!c->front && column->codec) /* the old one may not be for the new type */
        fprintf(s.out, " CODEC(%s)", column->codec);
    drift->statement = cp_alter_end(c, &s);
}

/* MODIFY COLUMN name, for an attribute that says nothing about what is stored; what stands behind it goes to s.out. */
static bool modify_begin(cp_comparison *c, cp_alter *s, const cp_column *column)
{
    if (!cp_alter_begin(c, s))
        return false;
    fputs("MODIFY COLUMN ", s->out);
    cp_sql_write_name(s->out, column->name);
    return true;
}

static void column_expression(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    if (cp_default_equal(column->default_expr, held->default_expr))
        return;
    const char *word = column->computed ? column->computed : "DEFAULT";
    cp_drift *drift =
        cp_drift_add(c->drifts, column->computed ? "expression" : "default", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->default_expr);
    drift->server = cp_drift_copy(c, held->default_expr);
    drift->remedy = cp_drift_copy(c, "`coldpath schema apply` changes it, for rows inserted from then on");
    cp_alter s;
    if (!modify_begin(c, &s, column))
        return;
    if (column->default_expr)
        fprintf(s.out, " %s %s", word, column->default_expr);
    else
        fprintf(s.out, " REMOVE %s", word);
    drift->statement = cp_alter_end(c, &s);
}

static void column_codec(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    if (cp_codec_equal(column->codec, held->codec))
        return;
    cp_drift *drift = cp_drift_add(c->drifts, "codec", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->codec);
    drift->server = cp_drift_copy(c, held->codec);
    drift->remedy = cp_drift_copy(c, "`coldpath schema apply` changes it, for parts written from then on");
    cp_alter s;
    if (!modify_begin(c, &s, column))
        return;
    if (column->codec)
        fprintf(s.out, " CODEC(%s)", column->codec);
    else
        fputs(" REMOVE CODEC", s.out);
    drift->statement = cp_alter_end(c, &s);
}

static void column_ttl(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    if (cp_expression_equal(column->ttl, held->ttl))
        return;
    cp_drift *drift = cp_drift_add(c->drifts, "column TTL", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->ttl);
    drift->server = cp_drift_copy(c, held->ttl);
    cp_alter s;
    if (!modify_begin(c, &s, column))
        return;
    if (column->ttl)
        fprintf(s.out, " TTL %s", column->ttl);
    else
        fputs(" REMOVE TTL", s.out);
    char *text = cp_alter_end(c, &s);
    if (cp_ttl_keeps_more(column->ttl, held->ttl)) {
        drift->statement = text;
        drift->remedy =
            cp_drift_copy(c, "`coldpath schema apply` changes it; no value goes sooner than before");
        return;
    }
    drift->remedy =
        cp_drift_format(c,
                        "refused: values that the server keeps now would be emptied. Plan: look at what "
                        "would go, then run by hand: %s; or correct the declaration",
                        text ? text : "ALTER TABLE … MODIFY COLUMN … TTL");
    free(text);
}

static void column_comment(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    if (strcmp(column->comment ? column->comment : "", held->comment ? held->comment : "") == 0)
        return;
    cp_drift *drift = cp_drift_add(c->drifts, "comment", c->object, column->name);
    drift->declared = cp_drift_copy(c, column->comment);
    drift->server = cp_drift_copy(c, held->comment);
    drift->remedy = cp_drift_copy(c, applied);
    cp_alter s;
    if (!cp_alter_begin(c, &s))
        return;
    fputs("COMMENT COLUMN ", s.out);
    cp_sql_write_name(s.out, column->name);
    putc(' ', s.out);
    cp_sql_write_text(s.out, column->comment ? column->comment : "");
    drift->statement = cp_alter_end(c, &s);
}

static void column_compare(cp_comparison *c, const cp_column *column, const cp_column *held)
{
    const bool both = column->computed && held->computed;
    if (both ? strcmp(column->computed, held->computed) != 0 : column->computed != held->computed) {
        column_kind(c, column, held);
        return;
    }
    column_type(c, column, held);
    column_expression(c, column, held);
    if (c->front)
        return;
    column_codec(c, column, held);
    column_ttl(c, column, held);
    column_comment(c, column, held);
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* Which declared columns stand in the wrong place: all but a longest run of those that stand in the declared order already.
 * Moved one after the other, each behind its declared predecessor, they make that order. */
static void order_find(const cp_comparison *c, bool moved[CP_MAX_COLUMNS])
{
    uint32_t at[CP_MAX_COLUMNS];
    uint32_t length[CP_MAX_COLUMNS]; /* of the longest run that ends here; 0: the server lacks the column */
    uint32_t before[CP_MAX_COLUMNS];
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < c->declared->column_count; i++) {
        const char *name = c->declared->columns[i].name;
        const int found = cp_table_find(c->server, name, strlen(name));
        moved[i] = found >= 0;
        length[i] = found >= 0;
        before[i] = UINT32_MAX;
        at[i] = found >= 0 ? (uint32_t)found : 0;
        for (uint32_t k = 0; found >= 0 && k < i; k++) {
            if (length[k] >= length[i] && at[k] < at[i]) {
                length[i] = length[k] + 1;
                before[i] = k;
            }
        }
        if (length[i] > (last == UINT32_MAX ? 0 : length[last]))
            last = i;
    }
    for (; last != UINT32_MAX; last = before[last])
        moved[last] = false;
}

static void column_order(cp_comparison *c, uint32_t i, uint32_t held)
{
    const cp_column *column = &c->declared->columns[i];
    cp_drift *drift = cp_drift_add(c->drifts, "place of column", c->object, column->name);
    drift->declared =
        i ? cp_drift_format(c, "after %s", c->declared->columns[i - 1].name) : cp_drift_copy(c, "the first");
    drift->server = held ? cp_drift_format(c, "after %s", c->server->columns[held - 1].name)
                         : cp_drift_copy(c, "the first");
    drift->remedy = cp_drift_copy(c, applied);
    cp_alter s;
    if (!modify_begin(c, &s, column))
        return;
    fprintf(s.out, " %s", column->type.text); /* as it is: a difference in type has been closed before */
    place_write(c, i, s.out);
    drift->statement = cp_alter_end(c, &s);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void columns_declared(cp_comparison *c)
{
    bool moved[CP_MAX_COLUMNS] = {false};
    order_find(c, moved);
    for (uint32_t i = 0; i < c->declared->column_count; i++) {
        const cp_column *column = &c->declared->columns[i];
        const int at = cp_table_find(c->server, column->name, strlen(column->name));
        const cp_column *computed = computed_find(c->server, column->name);
        if (at >= 0)
            column_compare(c, column, &c->server->columns[at]);
        else if (computed)
            column_kind(c, column, computed);
        else
            column_missing(c, column, i);
        if (moved[i])
            column_order(c, i, (uint32_t)at);
    }
    for (uint32_t i = 0; i < c->declared->computed_count; i++) {
        const cp_column *column = &c->declared->computed[i];
        const int at = cp_table_find(c->server, column->name, strlen(column->name));
        const cp_column *held = at >= 0 ? &c->server->columns[at] : computed_find(c->server, column->name);
        if (held)
            column_compare(c, column, held);
        else
            column_missing(c, column, UINT32_MAX);
    }
}

static bool is_declared(const cp_table *table, const char *name)
{
    return cp_table_find(table, name, strlen(name)) >= 0 || computed_find(table, name);
}

void cp_drift_columns(cp_comparison *c)
{
    columns_declared(c);
    for (uint32_t i = 0; i < c->server->column_count; i++) {
        if (!is_declared(c->declared, c->server->columns[i].name))
            column_extra(c, &c->server->columns[i]);
    }
    for (uint32_t i = 0; i < c->server->computed_count; i++) {
        if (!is_declared(c->declared, c->server->computed[i].name))
            column_extra(c, &c->server->computed[i]);
    }
}
