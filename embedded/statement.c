#include "embedded/statement.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

typedef enum token_kind {
    TOKEN_END, /* of the text */
    TOKEN_CUT, /* the text ends inside it, or where it could go on */
    TOKEN_WORD,
    TOKEN_QUOTED, /* `name` or "name" */
    TOKEN_OTHER   /* strings, numbers, and everything of one character */
} token_kind;

typedef struct token {
    token_kind kind;
    size_t begin, end;
} token;

typedef struct lexer {
    const char *text;
    size_t length;
    size_t at;
    bool whole;
} lexer;

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Past a comment or white space at lex->at; false when there is none. An open comment ends with the text. */
static bool lexer_skip(lexer *lex)
{
    const char *rest = lex->text + lex->at;
    const size_t left = lex->length - lex->at;
    if (left == 0)
        return false;
    if (isspace((unsigned char)rest[0])) {
        lex->at++;
        return true;
    }
    const bool line = (left >= 2 && rest[0] == '-' && rest[1] == '-') ||
                      (left >= 2 && rest[0] == '#' && (rest[1] == ' ' || rest[1] == '!'));
    if (line) {
        const char *end = memchr(rest, '\n', left);
        lex->at = end ? (size_t)(end - lex->text) + 1 : lex->length;
        return true;
    }
    if (left >= 2 && rest[0] == '/' && rest[1] == '*') {
        const char *end = memmem(rest + 2, left - 2, "*/", 2);
        lex->at = end ? (size_t)(end - lex->text) + 2 : lex->length;
        return true;
    }
    return false;
}

/* The end of a quoted thing that begins at `at`: past the closing quote, or 0 when it does not end. */
static size_t quoted_end(const lexer *lex, size_t at)
{
    const char quote = lex->text[at];
    for (size_t i = at + 1; i < lex->length; i++) {
        if (lex->text[i] == '\\') {
            i++;
        } else if (lex->text[i] == quote) {
            if (i + 1 < lex->length && lex->text[i + 1] == quote)
                i++;
            else
                return i + 1;
        }
    }
    return 0;
}

/* The end of $tag$ … $tag$ at `at`: 0 when it does not end, at + 1 when it is none (a lone dollar). */
static size_t heredoc_end(const lexer *lex, size_t at)
{
    size_t i = at + 1;
    while (i < lex->length && is_word(lex->text[i]))
        i++;
    if (i == lex->length)
        return 0;
    if (lex->text[i] != '$')
        return at + 1;
    const size_t tag = i + 1 - at;
    const char *end = memmem(lex->text + i + 1, lex->length - i - 1, lex->text + at, tag);
    return end ? (size_t)(end - lex->text) + tag : 0;
}

static token lexer_next(lexer *lex)
{
    while (lexer_skip(lex)) {
    }
    token tok = {TOKEN_END, lex->at, lex->at};
    if (lex->at == lex->length)
        return tok;
    const char c = lex->text[lex->at];
    if (is_word(c)) {
        tok.kind = TOKEN_WORD;
        while (tok.end < lex->length && is_word(lex->text[tok.end]))
            tok.end++;
        if (tok.end == lex->length && !lex->whole)
            tok.kind = TOKEN_CUT;
    } else if (c == '\'' || c == '"' || c == '`' || c == '$') {
        tok.kind = c == '"' || c == '`' ? TOKEN_QUOTED : TOKEN_OTHER;
        tok.end = c == '$' ? heredoc_end(lex, lex->at) : quoted_end(lex, lex->at);
        if (tok.end == 0) {
            tok.kind = TOKEN_CUT;
            tok.end = lex->length;
        }
    } else {
        tok.kind = TOKEN_OTHER;
        tok.end++;
    }
    lex->at = tok.end;
    return tok;
}

static bool token_is(const lexer *lex, token tok, const char *keyword)
{
    const size_t length = strlen(keyword);
    return tok.kind == TOKEN_WORD && tok.end - tok.begin == length &&
           strncasecmp(lex->text + tok.begin, keyword, length) == 0;
}

static bool token_is_char(const lexer *lex, token tok, char c)
{
    return tok.kind == TOKEN_OTHER && tok.end - tok.begin == 1 && lex->text[tok.begin] == c;
}

static token lexer_peek(const lexer *lex)
{
    lexer ahead = *lex;
    return lexer_next(&ahead);
}

static void format_set(cp_statement *statement, const lexer *lex, token tok)
{
    const size_t length = tok.end - tok.begin;
    if (length < sizeof statement->format) { /* a longer one is no format: the engine will say so */
        memcpy(statement->format, lex->text + tok.begin, length);
        statement->format[length] = '\0';
    }
}

static int depth_after(const lexer *lex, token tok, int depth)
{
    if (token_is_char(lex, tok, '(') || token_is_char(lex, tok, '[') || token_is_char(lex, tok, '{'))
        return depth + 1;
    const bool closes =
        token_is_char(lex, tok, ')') || token_is_char(lex, tok, ']') || token_is_char(lex, tok, '}');
    return closes && depth > 0 ? depth - 1 : depth;
}

/* The rest of a statement whose text must be whole: finds FORMAT and INTO OUTFILE outside of brackets, and
 * input() anywhere. */
static void statement_scan(lexer *lex, cp_statement *statement)
{
    int depth = 0;
    for (token tok = lexer_next(lex); tok.kind != TOKEN_END && tok.kind != TOKEN_CUT; tok = lexer_next(lex)) {
        depth = depth_after(lex, tok, depth);
        if (token_is(lex, tok, "input") && token_is_char(lex, lexer_peek(lex), '('))
            statement->reads_input = true;
        if (depth != 0)
            continue;
        if (token_is(lex, tok, "FORMAT")) {
            lexer ahead = *lex;
            const token name = lexer_next(&ahead);
            const token after = lexer_next(&ahead);
            const bool ends = after.kind == TOKEN_END || token_is_char(&ahead, after, ';') ||
                              token_is(&ahead, after, "SETTINGS") || token_is(&ahead, after, "INTO");
            if (name.kind == TOKEN_WORD && ends)
                format_set(statement, lex, name);
        } else if (token_is(lex, tok, "INTO") && token_is(lex, lexer_peek(lex), "OUTFILE")) {
            statement->into_outfile = true;
        }
    }
}

/* Where the data begins behind a FORMAT name that ends at `end`: after the first line break if there is one
 * before anything else, otherwise after the white space. */
static void insert_data(const lexer *lex, size_t end, size_t query_length, cp_statement *statement)
{
    if (end < query_length) {
        const lexer tail = {.text = lex->text, .length = query_length, .at = end, .whole = true};
        lexer walk = tail;
        token tok = lexer_next(&walk);
        const size_t begin = tok.begin;
        if (token_is_char(&walk, tok, ';'))
            tok = lexer_next(&walk);
        if (tok.kind == TOKEN_END || token_is(&walk, tok, "SETTINGS")) {
            statement->tail = tok.kind == TOKEN_END ? query_length : begin;
            statement->tail_end = query_length;
            statement->data = query_length; /* binary data begins at the body's first byte, whatever it is */
            return;
        }
    }
    size_t at = end;
    while (at < lex->length && lex->text[at] != '\n' && isspace((unsigned char)lex->text[at]))
        at++;
    if (at == lex->length && !lex->whole) {
        statement->kind = CP_STATEMENT_INCOMPLETE;
        return;
    }
    statement->data = at < lex->length && lex->text[at] == '\n' ? at + 1 : at;
}

/* Past the target of an INSERT: [TABLE] [FUNCTION f(…)] or [db.]name. False when the text ends before. */
static bool insert_target(lexer *lex)
{
    token tok = lexer_next(lex);
    if (token_is(lex, tok, "INTO"))
        tok = lexer_next(lex);
    if (token_is(lex, tok, "TABLE"))
        tok = lexer_next(lex);
    if (token_is(lex, tok, "FUNCTION"))
        tok = lexer_next(lex); /* its brackets are passed like any others */
    while (token_is_char(lex, lexer_peek(lex), '.')) {
        lexer_next(lex);
        tok = lexer_next(lex);
    }
    return tok.kind != TOKEN_END && tok.kind != TOKEN_CUT;
}

/* True when tok decides what kind of INSERT it is; fills *statement then. */
static bool insert_decide(lexer *lex, token tok, size_t query_length, cp_statement *statement)
{
    if (token_is(lex, tok, "FORMAT")) {
        const token name = lexer_next(lex);
        if (name.kind == TOKEN_WORD) {
            statement->kind = CP_STATEMENT_INSERT;
            statement->head = tok.begin;
            format_set(statement, lex, name);
            insert_data(lex, name.end, query_length, statement);
        }
        return true;
    }
    if (token_is(lex, tok, "VALUES")) {
        statement->kind = CP_STATEMENT_INSERT;
        statement->head = tok.begin;
        statement->data = tok.end;
        memcpy(statement->format, "Values", sizeof "Values");
        return true;
    }
    if (token_is(lex, tok, "SELECT") || token_is(lex, tok, "WITH")) {
        statement_scan(lex, statement);
        statement->kind = lex->whole ? CP_STATEMENT_OTHER : CP_STATEMENT_INCOMPLETE;
        return true;
    }
    if (token_is(lex, tok, "FROM") && token_is(lex, lexer_peek(lex), "INFILE")) {
        statement->kind = CP_STATEMENT_OTHER;
        statement->from_infile = true;
        return true;
    }
    return token_is_char(lex, tok, ';');
}

static void insert_parse(lexer *lex, size_t query_length, cp_statement *statement)
{
    statement->kind = lex->whole ? CP_STATEMENT_OTHER : CP_STATEMENT_INCOMPLETE;
    if (!insert_target(lex))
        return;
    int depth = 0;
    for (token tok = lexer_next(lex); tok.kind != TOKEN_END && tok.kind != TOKEN_CUT; tok = lexer_next(lex)) {
        depth = depth_after(lex, tok, depth);
        if (depth == 0 && insert_decide(lex, tok, query_length, statement))
            return;
    }
}

void cp_statement_parse(const char *text, size_t length, size_t query_length, bool whole,
                        cp_statement *statement)
{
    lexer lex = {.text = text, .length = length, .whole = whole};
    *statement = (cp_statement){.kind = CP_STATEMENT_INCOMPLETE};
    token first = lexer_next(&lex);
    while (token_is_char(&lex, first, '('))
        first = lexer_next(&lex);
    if (token_is(&lex, first, "INSERT")) {
        insert_parse(&lex, query_length, statement);
        return;
    }
    if (!whole)
        return;
    if (first.kind == TOKEN_END) {
        statement->kind = CP_STATEMENT_EMPTY;
        return;
    }
    const bool selects =
        token_is(&lex, first, "SELECT") || token_is(&lex, first, "WITH") || token_is(&lex, first, "FROM");
    statement->kind = selects ? CP_STATEMENT_SELECT : CP_STATEMENT_OTHER;
    lex.at = first.begin;
    statement_scan(&lex, statement);
}

bool cp_format_streams(const char *format)
{
    /* Measured on 26.7: the joined chunks of these equal the whole result, byte for byte. */
    static const char *const streaming[] = {
        "",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "JSONLines",
        "JSONL",
        "NDJSON",
        "Native",
        "JSONCompactEachRow",
        "RowBinary",
        "JSONStringsEachRow",
        "JSONCompactStringsEachRow",
        "TSKV",
        "LineAsString",
        "MsgPack",
        "BSONEachRow",
        "Null",
    };
    for (size_t i = 0; i < sizeof streaming / sizeof streaming[0]; i++)
        if (strcasecmp(format, streaming[i]) == 0)
            return true;
    return false;
}

static bool starts(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

const char *cp_format_content_type(const char *format)
{
    if (format[0] == '\0' || starts(format, "TabSeparated") || starts(format, "TSV") ||
        starts(format, "TSKV"))
        return "text/tab-separated-values; charset=UTF-8";
    if (starts(format, "CSV")) {
        return format[3] == '\0' ? "text/csv; charset=UTF-8; header=absent"
                                 : "text/csv; charset=UTF-8; header=present";
    }
    if (starts(format, "JSON") && strcasestr(format, "EachRow") && !starts(format, "JSONObjectEachRow"))
        return "application/x-ndjson; charset=UTF-8";
    if (starts(format, "JSONL") || starts(format, "NDJSON"))
        return "application/x-ndjson; charset=UTF-8";
    if (starts(format, "JSON"))
        return "application/json; charset=UTF-8";
    if (starts(format, "XML"))
        return "application/xml; charset=UTF-8";
    if (starts(format, "Prometheus"))
        return "text/plain; version=0.0.4; charset=UTF-8";
    static const char *const binary[] = {"Native",  "RowBinary", "Parquet", "ORC",     "Arrow",     "Avro",
                                         "MsgPack", "Protobuf",  "BSON",    "RawBLOB", "CapnProto", "Npy"};
    for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++)
        if (starts(format, binary[i]))
            return "application/octet-stream";
    return "text/plain; charset=UTF-8";
}
