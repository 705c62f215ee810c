/* Expressions are ClickHouse's business: here they are only gone over, as tokens with balanced parentheses,
 * and kept as written. The stack of open parentheses is a bounded array, not a recursion. */
#include <stdlib.h>
#include <string.h>

#include "schema/ddl_parser.h"

enum { MAX_NESTING = 128 }; /* parentheses inside each other; real expressions have under ten */

static bool is_stop(const cp_ddl *ddl, const char *const *stops)
{
    for (; *stops; stops++) {
        if (cp_ddl_is(ddl, *stops))
            return true;
    }
    return false;
}

/* Follows an opening or closing parenthesis; *end when a closing one belongs to somebody else. */
static int nesting_follow(cp_ddl *ddl, char *open, size_t *depth, bool *end)
{
    static const char opening[] = "([{";
    static const char closing[] = ")]}";
    if (ddl->tok.kind != CP_DDL_PUNCT)
        return ddl->failed;
    const char c = ddl->text[ddl->tok.begin];
    const char *opens = strchr(opening, c);
    if (opens) {
        if (*depth == MAX_NESTING)
            return cp_ddl_fail(ddl, ddl->tok, CP_E_TOO_BIG, "more than %d parentheses inside each other",
                               MAX_NESTING);
        open[(*depth)++] = closing[opens - opening];
        return ddl->failed;
    }
    if (!strchr(closing, c))
        return ddl->failed;
    if (*depth == 0) {
        *end = true;
        return ddl->failed;
    }
    if (open[--(*depth)] != c)
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "'%c' closes nothing here; expected '%c'", c,
                           open[*depth]);
    return ddl->failed;
}

int cp_ddl_parse_expression(cp_ddl *ddl, const char *what, const char *const *stops, bool commas, char **out)
{
    char open[MAX_NESTING];
    size_t depth = 0;
    const cp_ddl_token first = ddl->tok;
    bool end = false;
    while (ddl->tok.kind != CP_DDL_END) {
        if (depth == 0) {
            const bool comma = !commas && cp_ddl_is_punct(ddl, ',');
            if (comma || cp_ddl_is_punct(ddl, ';') || (ddl->tok.begin != first.begin && is_stop(ddl, stops)))
                break;
        }
        if (nesting_follow(ddl, open, &depth, &end) < 0 || end)
            break;
        cp_ddl_next(ddl);
    }
    if (ddl->failed)
        return ddl->failed;
    if (depth > 0)
        return cp_ddl_fail(ddl, first, CP_E_PARSE, "the expression of %s that begins here lacks a '%c'", what,
                           open[depth - 1]);
    char shown[CP_DDL_SHOWN];
    if (ddl->tok.begin == first.begin)
        return cp_ddl_fail(ddl, first, CP_E_PARSE, "expected an expression for %s, found %s", what,
                           cp_ddl_show(ddl, first, shown));
    if (!out)
        return ddl->failed;
    *out = cp_ddl_slice(ddl, first.begin, ddl->prev_end);
    return ddl->failed;
}

int cp_ddl_parse_name(cp_ddl *ddl, const char *what, char **out)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token tok = ddl->tok;
    if (tok.kind != CP_DDL_WORD && tok.kind != CP_DDL_QUOTED)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "expected %s, found %s", what, cp_ddl_show(ddl, tok, shown));
    char *name = cp_ddl_decode(ddl, tok);
    if (!name)
        return ddl->failed;
    const size_t len = strlen(name);
    if (len == 0 || len > CP_MAX_NAME) {
        free(name);
        return cp_ddl_fail(ddl, tok, len ? CP_E_TOO_BIG : CP_E_PARSE,
                           "%s must have 1 to %d bytes, this one has %zu", what, CP_MAX_NAME, len);
    }
    *out = name;
    cp_ddl_next(ddl);
    return ddl->failed;
}

int cp_ddl_parse_comment(cp_ddl *ddl, char **out)
{
    char shown[CP_DDL_SHOWN];
    if (ddl->tok.kind != CP_DDL_STRING)
        return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected the comment in single quotes, found %s",
                           cp_ddl_show(ddl, ddl->tok, shown));
    *out = cp_ddl_decode(ddl, ddl->tok);
    cp_ddl_next(ddl);
    return ddl->failed;
}
