#include "schema/ddl_check.h"

#include <stdlib.h>
#include <string.h>

#include "schema/suggest.h"
#include "schema/value.h"

/* Words that stand in an expression without being columns. */
static const char *const words[] = {
    "AND",     "OR",    "NOT",   "IN",   "LIKE", "ILIKE",    "IS",        "NULL",
    "BETWEEN", "CASE",  "WHEN",  "THEN", "ELSE", "END",      "DISTINCT",  "ASC",
    "DESC",    "TRUE",  "FALSE", "DIV",  "MOD",  "INTERVAL", "GLOBAL",    "DELETE",
    "WHERE",   "GROUP", "BY",    "SET",  "TO",   "DISK",     "VOLUME",    "NAN",
    "INF",     "NULLS", "FIRST", "LAST", "XOR",  "COLLATE",  "ASCENDING", "DESCENDING"};

/* Words by which other names come into an expression: types, units, codecs, aliases. */
static const char *const others[] = {"AS", "FROM", "RECOMPRESS", "CODEC", "SELECT"};

static bool is_any_of(const cp_ddl *ddl, cp_ddl_token tok, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (cp_ddl_token_is(ddl, tok, list[i]))
            return true;
    }
    return false;
}

static bool is_name(cp_ddl_token tok)
{
    return tok.kind == CP_DDL_WORD || tok.kind == CP_DDL_QUOTED;
}

static bool is_punct(const cp_ddl *ddl, cp_ddl_token tok, char punct)
{
    return tok.kind == CP_DDL_PUNCT && ddl->text[tok.begin] == punct;
}

/* x -> …, x::T, {p:T}, x AS y and the like. */
static bool names_others(const cp_ddl *from, size_t end)
{
    cp_ddl at = *from;
    for (; at.tok.kind != CP_DDL_END && at.tok.begin < end; cp_ddl_next(&at)) {
        const cp_ddl_token next = cp_ddl_peek(&at);
        if (cp_ddl_is_punct(&at, '{') || is_any_of(&at, at.tok, others, sizeof others / sizeof others[0]) ||
            (cp_ddl_is_punct(&at, '-') && is_punct(&at, next, '>')) ||
            (cp_ddl_is_punct(&at, ':') && is_punct(&at, next, ':')))
            return true;
    }
    return false;
}

/* tok is a name by itself: no word of the language, function, part of another name, unit or date. */
static bool names_column(const cp_ddl *ddl, cp_ddl_token before, cp_ddl_token tok, cp_ddl_token next)
{
    const size_t count = sizeof words / sizeof words[0];
    if (!is_name(tok) || (tok.kind == CP_DDL_WORD && is_any_of(ddl, tok, words, count)))
        return false;
    if (tok.kind == CP_DDL_WORD && ddl->text[tok.begin] == '_')
        return false; /* perhaps a virtual column */
    if (is_punct(ddl, next, '(') || is_punct(ddl, next, '.') || next.kind == CP_DDL_STRING)
        return false;
    return !is_punct(ddl, before, '.') && before.kind != CP_DDL_NUMBER && before.kind != CP_DDL_STRING &&
           (!is_name(before) || is_any_of(ddl, before, words, count));
}

static const cp_column *computed_find(const cp_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->computed_count; i++) {
        if (strcmp(table->computed[i].name, name) == 0)
            return &table->computed[i];
    }
    return NULL;
}

static int name_check(cp_ddl *ddl, cp_ddl_token at, const char *name, const char *what, const cp_table *table)
{
    if (cp_table_find(table, name, strlen(name)) >= 0)
        return ddl->failed;
    const cp_column *computed = computed_find(table, name);
    if (computed && strcmp(computed->computed, "MATERIALIZED") == 0)
        return ddl->failed;
    if (computed)
        return cp_ddl_fail(ddl, at, CP_E_PARSE,
                           "%s names '%.100s', which is %s: ClickHouse does not store it", what, name,
                           computed->computed);
    cp_suggestion near = {.word = name, .len = strlen(name)};
    for (uint32_t i = 0; i < table->column_count; i++)
        cp_suggest_offer(&near, table->columns[i].name);
    return cp_ddl_fail(ddl, at, CP_E_PARSE, "%s names '%.100s', which is no column of the table%s%s%s", what,
                       name, near.best ? "; did you mean " : "", near.best ? near.best : "",
                       near.best ? "?" : "");
}

int cp_ddl_check_names(cp_ddl *ddl, const cp_ddl *from, const char *what, const cp_table *table)
{
    const size_t end = ddl->prev_end;
    cp_ddl at = *from;
    cp_ddl_token before = {.kind = CP_DDL_PUNCT, .begin = from->tok.begin, .end = from->tok.begin};
    if (ddl->failed || names_others(from, end))
        return ddl->failed;
    for (; !ddl->failed && at.tok.kind != CP_DDL_END && at.tok.begin < end; cp_ddl_next(&at)) {
        if (names_column(&at, before, at.tok, cp_ddl_peek(&at))) {
            char *name = cp_ddl_decode(ddl, at.tok);
            if (name)
                name_check(ddl, at.tok, name, what, table);
            free(name);
        }
        before = at.tok;
    }
    return ddl->failed;
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

static bool has_digit(const char *text)
{
    return text[strcspn(text, "0123456789")] != '\0';
}

/* Why ClickHouse refuses the literal; NULL: it takes it, or may. It reads numbers and times in more forms than we do. */
static const char *literal_problem(const cp_type *type, const char *text, bool quoted)
{
    uint64_t value[32];
    const size_t len = strlen(text);
    if (type->value_size > sizeof value || (!quoted && strspn(text, "0123456789.") != len))
        return NULL;
    switch (type->kind) {
    case CP_DECIMAL32:
    case CP_DECIMAL64:
    case CP_DECIMAL128:
        return cp_value_cut_decimal(type, text, len, value);
    case CP_ENUM8:
    case CP_ENUM16:
        return cp_value_parse(type, text, len, value);
    case CP_BOOL:
    case CP_STRING:
        return NULL;
    case CP_FLOAT32:
    case CP_FLOAT64:
    case CP_DATE:
    case CP_DATE32:
    case CP_DATETIME:
    case CP_DATETIME64:
        return quoted && !has_digit(text) ? cp_value_parse(type, text, len, value) : NULL;
    default:
        return quoted ? cp_value_parse(type, text, len, value) : NULL;
    }
}

int cp_ddl_check_default(cp_ddl *ddl, cp_ddl_token at, const cp_column *column)
{
    const bool quoted = at.kind == CP_DDL_STRING;
    const cp_type *type = &column->type;
    char shown[CP_DDL_SHOWN];
    if (ddl->failed || type->array || type->nullable || (!quoted && at.kind != CP_DDL_NUMBER))
        return ddl->failed;
    char *text = cp_ddl_decode(ddl, at);
    const char *problem = text ? literal_problem(type, text, quoted) : NULL;
    if (problem)
        cp_ddl_fail(ddl, at, CP_E_PARSE, "column '%s' (%.100s): its DEFAULT %s %s", column->name, type->text,
                    cp_ddl_show(ddl, at, shown), problem);
    free(text);
    return ddl->failed;
}
