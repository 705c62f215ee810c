/* See expression.h. The canonical form is the list of tokens with single blanks between them. */
#include "schema/expression.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/ddl_lexer.h"
#include "schema/sql_write.h"

#define SECONDS_PER_DAY UINT64_C(86400)

/* Words of the language, which ClickHouse writes in capitals. */
static const char *const keywords[] = {"AND",  "OR",      "NOT",   "IN",   "LIKE", "ILIKE", "IS",
                                       "NULL", "BETWEEN", "AS",    "CASE", "WHEN", "THEN",  "ELSE",
                                       "END",  "WHERE",   "GROUP", "BY",   "SET",  "TO"};

static const char *const units[] = {"Nanosecond", "Microsecond", "Millisecond", "Second",  "Minute", "Hour",
                                    "Day",        "Week",        "Month",       "Quarter", "Year"};

static void word_write(FILE *out, const char *word)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcasecmp(word, keywords[i]) == 0)
            word = keywords[i];
    }
    fputs(word, out);
}

/* A name that could stand bare does. */
static void name_write(FILE *out, const char *name)
{
    bool bare = *name != '\0' && !(*name >= '0' && *name <= '9');
    for (const char *p = name; *p; p++)
        bare = bare && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                        *p == '_');
    if (bare)
        fputs(name, out);
    else
        cp_sql_write_name(out, name);
}

/* INTERVAL 90 DAY: writes the function and returns true, having gone past it. */
static bool interval_write(cp_ddl *ddl, FILE *out)
{
    if (!cp_ddl_is(ddl, "INTERVAL"))
        return false;
    cp_ddl ahead = *ddl;
    cp_ddl_next(&ahead);
    const cp_ddl_token number = ahead.tok;
    if (number.kind != CP_DDL_NUMBER)
        return false;
    cp_ddl_next(&ahead);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!cp_ddl_is(&ahead, units[i]))
            continue;
        fprintf(out, "toInterval%s ( %.*s ) ", units[i], (int)(number.end - number.begin),
                ddl->text + number.begin);
        cp_ddl_next(&ahead);
        *ddl = ahead;
        return true;
    }
    return false;
}

static void token_write(cp_ddl *ddl, FILE *out)
{
    char *text = cp_ddl_decode(ddl, ddl->tok);
    if (!text)
        return;
    if (ddl->tok.kind == CP_DDL_STRING)
        cp_sql_write_text(out, text);
    else if (ddl->tok.kind == CP_DDL_QUOTED)
        name_write(out, text);
    else
        word_write(out, text);
    putc(' ', out);
    free(text);
}

/* DELETE is what a TTL does when nothing else is said. */
static bool delete_skip(cp_ddl *ddl)
{
    if (!cp_ddl_is(ddl, "DELETE"))
        return false;
    const cp_ddl_token next = cp_ddl_peek(ddl);
    if (next.kind != CP_DDL_END && !cp_ddl_token_is(ddl, next, "WHERE") &&
        !(next.kind == CP_DDL_PUNCT && ddl->text[next.begin] == ','))
        return false;
    cp_ddl_next(ddl);
    return true;
}

/* The parentheses around a whole expression, "( … )", do not count. */
static bool wrapped(const char *text, size_t len)
{
    if (len < 4 || text[0] != '(' || text[len - 2] != ')')
        return false;
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '\'')
            quoted = !quoted;
        else if (!quoted && text[i] == '(')
            depth++;
        else if (!quoted && text[i] == ')' && --depth == 0 && i != len - 2)
            return false;
    }
    return true;
}

char *cp_expression_canonical(const char *text)
{
    char *canonical = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&canonical, &len);
    if (!out)
        return NULL;
    cp_ddl ddl;
    cp_error err = {0};
    cp_ddl_init(&ddl, "expression", text ? text : "", text ? strlen(text) : 0, &err);
    while (ddl.tok.kind != CP_DDL_END) {
        if (interval_write(&ddl, out) || delete_skip(&ddl))
            continue;
        token_write(&ddl, out);
        cp_ddl_next(&ddl);
    }
    if (ddl.failed) /* what does not lex is compared as it is */
        fputs(text, out);
    if (fclose(out) != 0) {
        free(canonical);
        return NULL;
    }
    if (strcmp(canonical, "tuple ( ) ") == 0)
        canonical[0] = '\0';
    while (wrapped(canonical, strlen(canonical))) {
        len = strlen(canonical);
        memmove(canonical, canonical + 2, len - 4);
        canonical[len - 4] = '\0';
    }
    return canonical;
}

bool cp_expression_equal(const char *a, const char *b)
{
    char *left = cp_expression_canonical(a);
    char *right = cp_expression_canonical(b);
    const bool equal = left && right && strcmp(left, right) == 0;
    free(left);
    free(right);
    return equal;
}

bool cp_default_equal(const char *declared, const char *server)
{
    char *left = cp_expression_canonical(declared);
    char *right = cp_expression_canonical(server);
    bool equal = left && right && strcmp(left, right) == 0;
    if (left && *left && right && !equal && strncasecmp(right, "CAST ( ", strlen("CAST ( ")) == 0) {
        const char *inside = right + strlen("CAST ( ");
        const size_t len = strlen(left);
        equal = strncmp(inside, left, len) == 0 &&
                (strncmp(inside + len, "AS ", 3) == 0 || strncmp(inside + len, ", '", 3) == 0);
    }
    free(left);
    free(right);
    return equal;
}

/* The end of the codec at text, a comma on the outside or the end. */
static size_t codec_end(const char *text)
{
    size_t i = 0;
    for (int depth = 0; text[i] && (depth > 0 || text[i] != ','); i++)
        depth += (text[i] == '(') - (text[i] == ')');
    return i;
}

/* Two codecs in canonical form, "Delta ( 8 ) ": equal, or the second is the first with an argument. */
static bool codec_same(const char *declared, size_t declared_len, const char *server, size_t server_len)
{
    if (declared_len == server_len && memcmp(declared, server, server_len) == 0)
        return true;
    return !memchr(declared, '(', declared_len) && server_len > declared_len &&
           memcmp(declared, server, declared_len) == 0 && server[declared_len] == '(';
}

bool cp_codec_equal(const char *declared, const char *server)
{
    char *left = cp_expression_canonical(declared);
    char *right = cp_expression_canonical(server);
    const char *a = left;
    const char *b = right;
    bool equal = left && right;
    while (equal && *a && *b) {
        const size_t a_len = codec_end(a);
        const size_t b_len = codec_end(b);
        equal = codec_same(a, a_len, b, b_len);
        a += a_len + (a[a_len] ? 2 : 0); /* the comma and its blank */
        b += b_len + (b[b_len] ? 2 : 0);
    }
    equal = equal && !*a && !*b;
    free(left);
    free(right);
    return equal;
}

bool cp_expression_names(const char *expression, const char *column)
{
    cp_ddl ddl;
    cp_error err = {0};
    bool found = false;
    cp_ddl_init(&ddl, "expression", expression ? expression : "", expression ? strlen(expression) : 0, &err);
    for (; !found && ddl.tok.kind != CP_DDL_END; cp_ddl_next(&ddl)) {
        if (ddl.tok.kind != CP_DDL_WORD && ddl.tok.kind != CP_DDL_QUOTED)
            continue;
        char *word = cp_ddl_decode(&ddl, ddl.tok);
        found = word && strcmp(word, column) == 0;
        free(word);
    }
    return found;
}

char *cp_ttl_split(const char *ttl, uint64_t *seconds)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } lengths[] = {{"Second", 1},
                   {"Minute", 60},
                   {"Hour", 3600},
                   {"Day", SECONDS_PER_DAY},
                   {"Week", 7 * SECONDS_PER_DAY},
                   {"Month", 28 * SECONDS_PER_DAY},
                   {"Quarter", 90 * SECONDS_PER_DAY},
                   {"Year", 365 * SECONDS_PER_DAY}};
    char *text = cp_expression_canonical(ttl);
    char *plus = text ? strstr(text, "+ toInterval") : NULL;
    char unit[16];
    unsigned long long number = 0;
    int used = 0;
    if (plus && sscanf(plus, "+ toInterval%15s ( %9llu ) %n", unit, &number, &used) == 2 && used > 0 &&
        plus[used] == '\0') {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            if (strcmp(unit, lengths[i].unit) != 0)
                continue;
            *seconds = number * lengths[i].seconds;
            *plus = '\0';
            return text;
        }
    }
    free(text);
    return NULL;
}
