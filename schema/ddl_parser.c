/* CREATE TABLE by recursive descent, one function per clause:
 *
 *     CREATE TABLE [IF NOT EXISTS] [database.]name [UUID '…'] [ON CLUSTER cluster]
 *         ( column | INDEX … | CONSTRAINT … | PROJECTION … | PRIMARY KEY … , … )
 *         ENGINE [=] engine, ORDER BY, PARTITION BY, PRIMARY KEY, SAMPLE BY, TTL, SETTINGS, COMMENT in any order [;]
 *
 * Nothing recurses deeper than that: types and expressions are loops. */
#include "schema/ddl_parser.h"

#include <stdlib.h>
#include <string.h>

#include "schema/ddl_check.h"

static const char *const clause_stops[] = {"ENGINE", "ORDER",    "PARTITION", "PRIMARY", "SAMPLE",
                                           "TTL",    "SETTINGS", "COMMENT",   "AS",      NULL};

static int head_name_parse(cp_ddl *ddl, cp_table *table)
{
    char shown[CP_DDL_SHOWN];
    if (cp_ddl_parse_name(ddl, "the table's name", &table->name) < 0)
        return ddl->failed;
    if (cp_ddl_accept_punct(ddl, '.')) {
        table->database = table->name;
        table->name = NULL;
        if (cp_ddl_parse_name(ddl, "the table's name after the database", &table->name) < 0)
            return ddl->failed;
    }
    if (cp_ddl_is(ddl, "UUID")) {
        cp_ddl_next(ddl);
        if (ddl->tok.kind != CP_DDL_STRING)
            return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE,
                               "expected the table's UUID in single quotes, found %s",
                               cp_ddl_show(ddl, ddl->tok, shown));
        cp_ddl_next(ddl);
    }
    if (!cp_ddl_accept(ddl, "ON"))
        return ddl->failed;
    if (!cp_ddl_accept(ddl, "CLUSTER"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected CLUSTER after ON, found %s",
                           cp_ddl_show(ddl, ddl->tok, shown));
    if (ddl->tok.kind == CP_DDL_STRING) {
        cp_ddl_next(ddl);
        return ddl->failed;
    }
    char *cluster = NULL;
    cp_ddl_parse_name(ddl, "the cluster's name", &cluster);
    free(cluster);
    return ddl->failed;
}

static int head_parse(cp_ddl *ddl, cp_table *table)
{
    char shown[CP_DDL_SHOWN];
    if (!cp_ddl_accept(ddl, "CREATE"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected CREATE TABLE, found %s",
                           cp_ddl_show(ddl, ddl->tok, shown));
    if (cp_ddl_is(ddl, "OR"))
        return cp_ddl_fail(
            ddl, ddl->tok, CP_E_UNSUPPORTED,
            "CREATE OR REPLACE would drop what the table holds; write CREATE TABLE IF NOT EXISTS");
    if (cp_ddl_is(ddl, "TEMPORARY"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_UNSUPPORTED,
                           "a TEMPORARY table would be gone after every insert; leave TEMPORARY out");
    if (!cp_ddl_accept(ddl, "TABLE"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE,
                           "expected TABLE after CREATE, found %s; rows go to tables only",
                           cp_ddl_show(ddl, ddl->tok, shown));
    if (cp_ddl_is(ddl, "IF") && cp_ddl_token_is(ddl, cp_ddl_peek(ddl), "NOT")) {
        cp_ddl_next(ddl);
        cp_ddl_next(ddl);
        if (!cp_ddl_accept(ddl, "EXISTS"))
            return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected EXISTS after IF NOT, found %s",
                               cp_ddl_show(ddl, ddl->tok, shown));
    }
    return head_name_parse(ddl, table);
}

/* INDEX, CONSTRAINT or PROJECTION at tok. */
static bool entry_kind(const cp_ddl *ddl, cp_entry_kind *kind)
{
    static const char *const words[] = {"INDEX", "CONSTRAINT", "PROJECTION"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!cp_ddl_is(ddl, words[i]))
            continue;
        *kind = (cp_entry_kind)i;
        return true;
    }
    return false;
}

/* One of them, with its name and its definition. */
static int entry_parse(cp_ddl *ddl, cp_table *table, cp_entry_kind kind)
{
    static const char *const no_stops[] = {NULL};
    const cp_ddl_token tok = ddl->tok;
    char shown[CP_DDL_SHOWN];
    cp_ddl_show(ddl, tok, shown);
    if (table->entry_count == CP_MAX_ENTRIES)
        return cp_ddl_fail(ddl, tok, CP_E_TOO_BIG, "more than %d indexes, constraints and projections",
                           CP_MAX_ENTRIES);
    cp_entry *entries = reallocarray(table->entries, table->entry_count + 1, sizeof *entries);
    if (!entries)
        return cp_ddl_nomem(ddl);
    table->entries = entries;
    cp_entry *entry = &entries[table->entry_count++];
    *entry = (cp_entry){.kind = kind};
    cp_ddl_next(ddl);
    if (cp_ddl_parse_name(ddl, "its name", &entry->name) < 0)
        return ddl->failed;
    if (cp_ddl_is_punct(ddl, ',') || cp_ddl_is_punct(ddl, ')'))
        return cp_ddl_fail(ddl, tok, CP_E_PARSE,
                           "%s needs a definition; if it is the name of a column, put it in backticks",
                           shown);
    return cp_ddl_parse_expression(ddl, shown, no_stops, false, &entry->text);
}

/* What is no column among the columns: INDEX, CONSTRAINT, PROJECTION, PRIMARY KEY. */
static int other_parse(cp_ddl *ddl, cp_table *table, bool *found)
{
    static const char *const no_stops[] = {NULL};
    const cp_ddl_token next = cp_ddl_peek(ddl);
    const bool name_follows = next.kind == CP_DDL_WORD || next.kind == CP_DDL_QUOTED;
    cp_entry_kind kind;
    *found = true;
    if (cp_ddl_is(ddl, "PRIMARY") && cp_ddl_token_is(ddl, next, "KEY")) {
        cp_ddl_next(ddl);
        cp_ddl_next(ddl);
        free(table->primary_key);
        table->primary_key = NULL;
        return cp_ddl_parse_expression(ddl, "PRIMARY KEY", no_stops, false, &table->primary_key);
    }
    if (entry_kind(ddl, &kind) && name_follows)
        return entry_parse(ddl, table, kind);
    *found = false;
    return ddl->failed;
}

static int columns_parse(cp_ddl *ddl, cp_table *table)
{
    const cp_ddl_token open = ddl->tok;
    if (cp_ddl_is(ddl, "AS") || cp_ddl_is(ddl, "ENGINE"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_UNSUPPORTED,
                           "the table's columns must be written out; copy them from SHOW CREATE TABLE");
    if (cp_ddl_expect_punct(ddl, '(', "with the columns") < 0)
        return ddl->failed;
    while (!cp_ddl_is_punct(ddl, ')')) {
        bool found = false;
        if (other_parse(ddl, table, &found) < 0 || (!found && cp_ddl_parse_column(ddl, table) < 0))
            return ddl->failed;
        if (!cp_ddl_accept_punct(ddl, ','))
            break;
    }
    if (cp_ddl_expect_punct(ddl, ')', "or ',' after a column") < 0)
        return ddl->failed;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].provenance == CP_PROV_NONE)
            return ddl->failed;
    }
    return cp_ddl_fail(ddl, open, CP_E_PARSE,
                       "the table has no columns that a row could fill; declare at least one");
}

static int engine_parse(cp_ddl *ddl, cp_table *table)
{
    static const char *const no_stops[] = {NULL};
    char *name = NULL;
    cp_ddl_accept_punct(ddl, '=');
    const size_t begin = ddl->tok.begin;
    const int named = cp_ddl_parse_name(ddl, "the name of an engine", &name);
    free(name); /* only its place is needed; set even when what follows it is at fault */
    if (named < 0)
        return ddl->failed;
    if (cp_ddl_accept_punct(ddl, '(')) {
        const bool arguments = !cp_ddl_is_punct(ddl, ')');
        if (arguments && cp_ddl_parse_expression(ddl, "ENGINE", no_stops, true, NULL) < 0)
            return ddl->failed;
        if (cp_ddl_expect_punct(ddl, ')', "after the engine's arguments") < 0)
            return ddl->failed;
    }
    table->engine = cp_ddl_slice(ddl, begin, ddl->prev_end);
    return ddl->failed;
}

static int setting_parse(cp_ddl *ddl, cp_table *table)
{
    char shown[CP_DDL_SHOWN];
    if (table->setting_count == CP_MAX_SETTINGS)
        return cp_ddl_fail(ddl, ddl->tok, CP_E_TOO_BIG, "more than %d settings", CP_MAX_SETTINGS);
    cp_setting *setting = &table->settings[table->setting_count++];
    const cp_ddl_token name = ddl->tok;
    if (cp_ddl_parse_name(ddl, "a setting's name", &setting->name) < 0)
        return ddl->failed;
    for (const cp_setting *before = table->settings; before < setting; before++) {
        if (strcmp(before->name, setting->name) == 0)
            return cp_ddl_fail(ddl, name, CP_E_PARSE, "setting '%s' is given twice", setting->name);
    }
    if (cp_ddl_expect_punct(ddl, '=', "after a setting's name") < 0)
        return ddl->failed;
    const cp_ddl_token value = ddl->tok;
    if (!cp_ddl_accept_punct(ddl, '-'))
        cp_ddl_accept_punct(ddl, '+');
    if (ddl->tok.kind == CP_DDL_END || ddl->tok.kind == CP_DDL_PUNCT)
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected the value of setting '%s', found %s",
                           setting->name, cp_ddl_show(ddl, ddl->tok, shown));
    cp_ddl_next(ddl);
    setting->value = cp_ddl_slice(ddl, value.begin, ddl->prev_end);
    return ddl->failed;
}

static int settings_parse(cp_ddl *ddl, cp_table *table)
{
    table->settings = calloc(CP_MAX_SETTINGS, sizeof *table->settings);
    if (!table->settings)
        return cp_ddl_nomem(ddl);
    do {
        if (setting_parse(ddl, table) < 0)
            return ddl->failed;
    } while (cp_ddl_accept_punct(ddl, ','));
    return ddl->failed;
}

/* A clause that is a pair of words and an expression. */
typedef struct clause {
    const char *first;
    const char *second; /* NULL: one word */
    const char *name;   /* of both, for messages */
    char **out;
    bool list; /* of several expressions without parentheses */
} clause;

static int clause_parse(cp_ddl *ddl, cp_table *table, const clause *clauses, bool *found)
{
    const cp_ddl_token tok = ddl->tok;
    for (const clause *c = clauses; c->first; c++) {
        if (!cp_ddl_is(ddl, c->first))
            continue;
        *found = true;
        char shown[CP_DDL_SHOWN];
        cp_ddl_next(ddl);
        if (c->second && !cp_ddl_accept(ddl, c->second))
            return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected %s after %s, found %s", c->second,
                               c->first, cp_ddl_show(ddl, ddl->tok, shown));
        if (*c->out)
            return cp_ddl_fail(ddl, tok, CP_E_PARSE, "%s is given twice", c->name);
        const cp_ddl from = *ddl;
        if (cp_ddl_parse_expression(ddl, c->name, clause_stops, c->list, c->out) < 0)
            return ddl->failed;
        if (cp_ddl_is_punct(ddl, ','))
            return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE,
                               "several expressions of %s stand in parentheses: %s (a, b)", c->name, c->name);
        return cp_ddl_check_names(ddl, &from, c->name, table);
    }
    return ddl->failed;
}

static int tail_clause_parse(cp_ddl *ddl, cp_table *table)
{
    const clause clauses[] = {{"ORDER", "BY", "ORDER BY", &table->order_by, false},
                              {"PARTITION", "BY", "PARTITION BY", &table->partition_by, false},
                              {"PRIMARY", "KEY", "PRIMARY KEY", &table->primary_key, false},
                              {"SAMPLE", "BY", "SAMPLE BY", &table->sample_by, false},
                              {"TTL", NULL, "TTL", &table->ttl, true},
                              {NULL, NULL, NULL, NULL, false}};
    const cp_ddl_token tok = ddl->tok;
    bool found = false;
    if (clause_parse(ddl, table, clauses, &found) < 0 || found)
        return ddl->failed;
    const bool twice = (cp_ddl_is(ddl, "ENGINE") && table->engine) ||
                       (cp_ddl_is(ddl, "COMMENT") && table->comment) ||
                       (cp_ddl_is(ddl, "SETTINGS") && table->settings);
    char shown[CP_DDL_SHOWN];
    cp_ddl_show(ddl, tok, shown);
    if (twice)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "%s is given twice", shown);
    if (cp_ddl_accept(ddl, "ENGINE"))
        return engine_parse(ddl, table);
    if (cp_ddl_accept(ddl, "SETTINGS"))
        return settings_parse(ddl, table);
    if (cp_ddl_accept(ddl, "COMMENT"))
        return cp_ddl_parse_comment(ddl, &table->comment);
    if (cp_ddl_is(ddl, "AS"))
        return cp_ddl_fail(ddl, tok, CP_E_UNSUPPORTED, "AS SELECT is not supported; create the table empty");
    return cp_ddl_fail(
        ddl, tok, CP_E_PARSE,
        "expected ENGINE, ORDER BY, PARTITION BY, PRIMARY KEY, SAMPLE BY, TTL, SETTINGS, COMMENT or "
        "the end of the statement, found %s",
        shown);
}

int cp_ddl_parse(cp_ddl *ddl, cp_table *table)
{
    const size_t begin = ddl->tok.begin;
    char shown[CP_DDL_SHOWN];
    if (head_parse(ddl, table) < 0 || columns_parse(ddl, table) < 0)
        return ddl->failed;
    while (ddl->tok.kind != CP_DDL_END && !cp_ddl_is_punct(ddl, ';')) {
        if (tail_clause_parse(ddl, table) < 0)
            return ddl->failed;
    }
    const size_t end = ddl->prev_end;
    while (cp_ddl_accept_punct(ddl, ';'))
        ;
    if (ddl->tok.kind != CP_DDL_END)
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected one statement only, found %s behind it",
                           cp_ddl_show(ddl, ddl->tok, shown));
    if (!table->engine && !ddl->failed && !(table->engine = strdup("MergeTree"))) /* ClickHouse's default */
        return cp_ddl_nomem(ddl);
    table->create = cp_ddl_slice(ddl, begin, end);
    return ddl->failed;
}
