/* One column of a CREATE TABLE:
 *
 *     name type [NULL | NOT NULL] [DEFAULT | MATERIALIZED | ALIAS | EPHEMERAL expr] [COMMENT '…'] [CODEC(…)]
 *          [STATISTICS(…)] [TTL expr] [COLLATE x] [PRIMARY KEY] [SETTINGS(…)]
 *
 * in this order, as ClickHouse wants it. */
#include <stdlib.h>
#include <string.h>

#include "schema/ddl_check.h"
#include "schema/ddl_parser.h"
#include "schema/type_parser.h"

/* A column in the making. */
typedef struct column_draft {
    cp_column column;
    bool primary_key;
    size_t rank; /* of the modifier read last; the next must have a greater one */
} column_draft;

static const char *const column_stops[] = {"CODEC",        "TTL",       "COMMENT",    "DEFAULT",
                                           "MATERIALIZED", "ALIAS",     "STATISTICS", "SETTINGS",
                                           "COLLATE",      "EPHEMERAL", "PRIMARY",    NULL};

static const char *const server_side_words[] = {"MATERIALIZED", "ALIAS", "EPHEMERAL", NULL};

/* MATERIALIZED, ALIAS or EPHEMERAL at tok; else NULL. */
static const char *server_side(const cp_ddl *ddl)
{
    for (const char *const *word = server_side_words; *word; word++) {
        if (cp_ddl_is(ddl, *word))
            return *word;
    }
    return NULL;
}

/* "(…)" of CODEC, STATISTICS or SETTINGS; the inside goes to *out if that is not NULL. */
static int group_parse(cp_ddl *ddl, const char *what, char **out)
{
    static const char *const no_stops[] = {NULL};
    char *inside = NULL;
    if (cp_ddl_expect_punct(ddl, '(', "here") < 0 ||
        cp_ddl_parse_expression(ddl, what, no_stops, true, out ? &inside : NULL) < 0 ||
        cp_ddl_expect_punct(ddl, ')', "after this list") < 0) {
        free(inside);
        return ddl->failed;
    }
    if (out)
        *out = inside;
    return ddl->failed;
}

static int column_default_parse(cp_ddl *ddl, column_draft *draft)
{
    draft->column.computed = server_side(ddl);
    const bool ephemeral = cp_ddl_is(ddl, "EPHEMERAL");
    const bool stored = !draft->column.computed;
    cp_ddl_next(ddl);
    const cp_ddl_token first = ddl->tok;
    const bool ends = cp_ddl_is_punct(ddl, ',') || cp_ddl_is_punct(ddl, ')') || cp_ddl_is(ddl, "COMMENT") ||
                      cp_ddl_is(ddl, "CODEC");
    if (ephemeral && ends)
        return ddl->failed; /* EPHEMERAL without an expression */
    if (cp_ddl_parse_expression(ddl, "a column's default", column_stops, false, &draft->column.default_expr) <
        0)
        return ddl->failed;
    return stored && ddl->prev_end == first.end ? cp_ddl_check_default(ddl, first, &draft->column)
                                                : ddl->failed;
}

/* The modifiers in the order that ClickHouse takes them in; the four kinds of default exclude each other. */
static const struct {
    const char *word;
    size_t rank;
} modifiers[] = {{"DEFAULT", 1}, {"MATERIALIZED", 1}, {"ALIAS", 1},      {"EPHEMERAL", 1},
                 {"COMMENT", 2}, {"CODEC", 3},        {"STATISTICS", 4}, {"TTL", 5},
                 {"COLLATE", 6}, {"PRIMARY", 7},      {"SETTINGS", 8}};

static int modifier_order_check(cp_ddl *ddl, column_draft *draft)
{
    char shown[CP_DDL_SHOWN];
    cp_ddl_show(ddl, ddl->tok, shown);
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++) {
        if (!cp_ddl_is(ddl, modifiers[i].word))
            continue;
        if (modifiers[i].rank == draft->rank)
            return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "column '%s': %s is one too many here",
                               draft->column.name, shown);
        if (modifiers[i].rank < draft->rank)
            return cp_ddl_fail(
                ddl, ddl->tok, CP_E_PARSE,
                "column '%s': %s stands too late; ClickHouse's order is name type DEFAULT COMMENT CODEC "
                "STATISTICS TTL SETTINGS",
                draft->column.name, shown);
        draft->rank = modifiers[i].rank;
        return ddl->failed;
    }
    return cp_ddl_fail(
        ddl, ddl->tok, CP_E_PARSE,
        "column '%s': expected DEFAULT, COMMENT, CODEC, TTL, ',' or ')' after its type, found %s",
        draft->column.name, shown);
}

/* One modifier behind the type. */
static int column_modifier_parse(cp_ddl *ddl, column_draft *draft)
{
    if (modifier_order_check(ddl, draft) < 0)
        return ddl->failed;
    if (cp_ddl_is(ddl, "DEFAULT") || server_side(ddl))
        return column_default_parse(ddl, draft);
    if (cp_ddl_accept(ddl, "COMMENT"))
        return cp_ddl_parse_comment(ddl, &draft->column.comment);
    if (cp_ddl_accept(ddl, "CODEC"))
        return group_parse(ddl, "CODEC", &draft->column.codec);
    if (cp_ddl_accept(ddl, "TTL"))
        return cp_ddl_parse_expression(ddl, "a column's TTL", column_stops, false, &draft->column.ttl);
    if (cp_ddl_accept(ddl, "STATISTICS") || cp_ddl_accept(ddl, "SETTINGS"))
        return group_parse(ddl, "this list", NULL);
    const bool primary = cp_ddl_accept(ddl, "PRIMARY");
    if (!primary)
        cp_ddl_next(ddl); /* COLLATE and its word */
    if (primary && !cp_ddl_is(ddl, "KEY"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected KEY after PRIMARY");
    draft->primary_key = draft->primary_key || primary;
    cp_ddl_next(ddl);
    return ddl->failed;
}

/* Recognises the recorder's own columns, whose types are fixed. */
static int column_provenance(cp_ddl *ddl, cp_ddl_token at, cp_column *column)
{
    static const struct {
        const char *name;
        const char *type;
        cp_provenance provenance;
    } known[] = {{"_cp_epoch", "UInt64", CP_PROV_EPOCH},
                 {"_cp_slot", "UInt16", CP_PROV_SLOT},
                 {"_cp_position", "UInt64", CP_PROV_POSITION}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(column->name, known[i].name) != 0)
            continue;
        if (strcmp(column->type.text, known[i].type) != 0)
            return cp_ddl_fail(
                ddl, at, CP_E_PARSE,
                "column %s is filled by the recorder and must be %s, not %.100s; correct its type or "
                "rename it",
                column->name, known[i].type, column->type.text);
        column->provenance = known[i].provenance;
    }
    return ddl->failed;
}

static int computed_append(cp_ddl *ddl, cp_ddl_token at, cp_table *table, column_draft *draft)
{
    if (table->computed_count == CP_MAX_COLUMNS)
        return cp_ddl_fail(ddl, at, CP_E_TOO_BIG, "more than %d computed columns", CP_MAX_COLUMNS);
    cp_column *computed = reallocarray(table->computed, table->computed_count + 1, sizeof *computed);
    if (!computed)
        return cp_ddl_nomem(ddl);
    table->computed = computed;
    table->computed[table->computed_count++] = draft->column;
    draft->column = (cp_column){0}; /* moved */
    return ddl->failed;
}

static int column_append(cp_ddl *ddl, cp_ddl_token at, cp_table *table, column_draft *draft)
{
    if (cp_table_find(table, draft->column.name, strlen(draft->column.name)) >= 0)
        return cp_ddl_fail(ddl, at, CP_E_PARSE, "column '%s' is there twice", draft->column.name);
    if (draft->primary_key && !table->primary_key && !(table->primary_key = strdup(draft->column.name)))
        return cp_ddl_nomem(ddl);
    if (draft->column.computed)
        return computed_append(ddl, at, table, draft);
    if (table->column_count == CP_MAX_COLUMNS)
        return cp_ddl_fail(ddl, at, CP_E_TOO_BIG, "more than %d columns", CP_MAX_COLUMNS);
    if (column_provenance(ddl, at, &draft->column) < 0)
        return ddl->failed;
    if (!table->columns && !(table->columns = calloc(CP_MAX_COLUMNS, sizeof *table->columns)))
        return cp_ddl_nomem(ddl);
    table->columns[table->column_count++] = draft->column;
    draft->column = (cp_column){0}; /* moved */
    return ddl->failed;
}

static int column_type_parse(cp_ddl *ddl, column_draft *draft)
{
    if (server_side(ddl))
        return ddl->failed; /* ClickHouse infers it; the column is not ours */
    if (cp_ddl_is(ddl, "DEFAULT"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_UNSUPPORTED,
                           "column '%s' has a DEFAULT but no type; write its type before DEFAULT",
                           draft->column.name);
    return cp_type_parse(ddl, &draft->column.type);
}

static int column_parse(cp_ddl *ddl, cp_table *table, column_draft *draft)
{
    const cp_ddl_token at = ddl->tok;
    if (cp_ddl_parse_name(ddl, "a column's name", &draft->column.name) < 0 ||
        column_type_parse(ddl, draft) < 0)
        return ddl->failed;
    while (!ddl->failed && !cp_ddl_is_punct(ddl, ',') && !cp_ddl_is_punct(ddl, ')'))
        column_modifier_parse(ddl, draft);
    if (ddl->failed)
        return ddl->failed;
    return column_append(ddl, at, table, draft);
}

int cp_ddl_parse_column(cp_ddl *ddl, cp_table *table)
{
    column_draft draft = {0};
    column_parse(ddl, table, &draft);
    cp_column_clear(&draft.column);
    return ddl->failed;
}
