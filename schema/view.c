/* See view.h. */
#include "schema/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "schema/ddl_parser.h"
#include "schema/sql_write.h"
#include "schema/text_file.h"

/* A word behind FROM or JOIN that no parenthesis follows is a table. */
static int reads_collect(cp_ddl *ddl, cp_view *view)
{
    bool source = false;
    for (; ddl->tok.kind != CP_DDL_END; cp_ddl_next(ddl)) {
        const cp_ddl_token next = cp_ddl_peek(ddl);
        const bool name = ddl->tok.kind == CP_DDL_WORD || ddl->tok.kind == CP_DDL_QUOTED;
        const bool call = next.kind == CP_DDL_PUNCT && strchr("(.", ddl->text[next.begin]) != NULL;
        if (source && name && !call) {
            if (view->read_count == CP_VIEW_READS)
                return cp_ddl_fail(ddl, ddl->tok, CP_E_TOO_BIG, "the view reads more than %d tables",
                                   CP_VIEW_READS);
            if (!(view->reads[view->read_count++] = cp_ddl_decode(ddl, ddl->tok)))
                return ddl->failed;
        }
        source = cp_ddl_is(ddl, "FROM") || cp_ddl_is(ddl, "JOIN");
    }
    return ddl->failed;
}

static int head_parse(cp_ddl *ddl, cp_view *view)
{
    static const char *const words[] = {"CREATE", "VIEW"};
    char shown[CP_DDL_SHOWN];
    for (size_t i = 0; i < 2; i++) {
        if (!cp_ddl_accept(ddl, words[i]))
            return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected CREATE VIEW, found %s",
                               cp_ddl_show(ddl, ddl->tok, shown));
    }
    if (cp_ddl_accept(ddl, "IF") && !(cp_ddl_accept(ddl, "NOT") && cp_ddl_accept(ddl, "EXISTS")))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected NOT EXISTS after IF");
    if (cp_ddl_parse_name(ddl, "the view's name", &view->name) < 0)
        return ddl->failed;
    if (!cp_ddl_accept(ddl, "AS"))
        return cp_ddl_fail(
            ddl, ddl->tok, CP_E_PARSE,
            "expected AS and a SELECT after the view's name, which names no database; found %s",
            cp_ddl_show(ddl, ddl->tok, shown));
    if (!cp_ddl_is(ddl, "SELECT") && !cp_ddl_is(ddl, "WITH"))
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected SELECT or WITH, found %s",
                           cp_ddl_show(ddl, ddl->tok, shown));
    return ddl->failed;
}

static int view_parse(cp_ddl *ddl, cp_view *view)
{
    static const char *const no_stops[] = {NULL};
    if (head_parse(ddl, view) < 0)
        return ddl->failed;
    cp_ddl reader = *ddl;
    if (cp_ddl_parse_expression(ddl, "the view", no_stops, true, &view->select) < 0)
        return ddl->failed;
    while (cp_ddl_accept_punct(ddl, ';'))
        ;
    char shown[CP_DDL_SHOWN];
    if (ddl->tok.kind != CP_DDL_END)
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected one statement only, found %s behind it",
                           cp_ddl_show(ddl, ddl->tok, shown));
    snprintf(view->mark, sizeof view->mark, "coldpath:%016" PRIx64,
             (uint64_t)XXH3_64bits(view->select, strlen(view->select)));
    return reads_collect(&reader, view);
}

int cp_view_parse(cp_view **out, const char *file, const char *text, size_t len, cp_error *err)
{
    *out = NULL;
    if (len > CP_MAX_DDL)
        return cp_error_set(err, CP_E_TOO_BIG, "%.200s:1:1: the statement has %zu bytes, more than %d", file,
                            len, CP_MAX_DDL);
    cp_view *view = calloc(1, sizeof *view);
    if (!view)
        return cp_error_set(err, CP_E_NOMEM, "%.200s: out of memory", file);
    cp_ddl ddl;
    cp_ddl_init(&ddl, file, text, len, err);
    const int code = view_parse(&ddl, view);
    if (code < 0)
        cp_view_free(view);
    else
        *out = view;
    return code;
}

int cp_view_load(cp_view **out, const char *path, cp_error *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    int code = cp_text_file_read(path, "view", &text, &len, err);
    if (code == CP_OK)
        code = cp_view_parse(out, path, text, len, err);
    free(text);
    return code;
}

void cp_view_free(cp_view *view)
{
    if (!view)
        return;
    for (uint32_t i = 0; i < view->read_count; i++)
        free(view->reads[i]);
    free(view->name);
    free(view->select);
    free(view);
}

char *cp_view_statement(const cp_view *view, const char *database, const char *cluster, bool replace)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs(replace ? "CREATE OR REPLACE VIEW " : "CREATE VIEW IF NOT EXISTS ", out);
    cp_sql_write_name(out, database);
    putc('.', out);
    cp_sql_write_name(out, view->name);
    if (cluster) {
        fputs(" ON CLUSTER ", out);
        cp_sql_write_name(out, cluster);
    }
    fprintf(out, " AS\n%s\nCOMMENT ", view->select);
    cp_sql_write_text(out, view->mark);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
