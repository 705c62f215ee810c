/* See ddl_lexer.h. A token is found by one forward scan from its first byte; nothing is allocated until a
 * token's text is asked for. Line and column are computed only for a message, so that scanning need not
 * count. */
#include "schema/ddl_lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

/* Where the blanks and comments that begin at pos end; an unterminated block comment gives SIZE_MAX. */
static size_t skip_blanks(const cp_ddl *ddl, size_t pos)
{
    const char *text = ddl->text;
    while (pos < ddl->len) {
        const bool pair = pos + 1 < ddl->len;
        if (is_space(text[pos])) {
            pos++;
        } else if (text[pos] == '#' || (pair && text[pos] == '-' && text[pos + 1] == '-')) {
            while (pos < ddl->len && text[pos] != '\n')
                pos++;
        } else if (pair && text[pos] == '/' && text[pos + 1] == '*') {
            pos += 2;
            while (pos + 1 < ddl->len && !(text[pos] == '*' && text[pos + 1] == '/'))
                pos++;
            if (pos + 1 >= ddl->len)
                return SIZE_MAX;
            pos += 2;
        } else {
            break;
        }
    }
    return pos;
}

/* Behind the closing quote of the literal that begins at pos, or SIZE_MAX. */
static size_t quoted_end(const cp_ddl *ddl, size_t pos)
{
    const char quote = ddl->text[pos++];
    while (pos < ddl->len) {
        const bool is_quote = ddl->text[pos] == quote;
        const bool doubled = is_quote && pos + 1 < ddl->len && ddl->text[pos + 1] == quote;
        if (is_quote && !doubled)
            return pos + 1;
        pos += doubled || ddl->text[pos] == '\\' ? 2 : 1;
    }
    return SIZE_MAX;
}

static size_t number_end(const cp_ddl *ddl, size_t pos)
{
    const char *text = ddl->text;
    const bool hex = pos + 1 < ddl->len && text[pos] == '0' && (text[pos + 1] == 'x' || text[pos + 1] == 'X');
    while (pos < ddl->len) {
        const bool exponent = !hex && (text[pos] == 'e' || text[pos] == 'E');
        const bool sign = exponent && pos + 1 < ddl->len && (text[pos + 1] == '+' || text[pos + 1] == '-');
        if (!is_word(text[pos]) && text[pos] != '.')
            break;
        pos += sign ? 2 : 1;
    }
    return pos;
}

typedef enum scan_status { SCAN_OK, SCAN_COMMENT, SCAN_QUOTE, SCAN_BYTE } scan_status;

/* Finds the token at or after pos. On failure tok->begin is where. */
static scan_status scan(const cp_ddl *ddl, size_t pos, cp_ddl_token *tok)
{
    const size_t begin = skip_blanks(ddl, pos);
    *tok = (cp_ddl_token){CP_DDL_END, begin == SIZE_MAX ? pos : begin, begin == SIZE_MAX ? pos : begin};
    if (begin == SIZE_MAX)
        return SCAN_COMMENT;
    if (begin >= ddl->len)
        return SCAN_OK;
    const char c = ddl->text[begin];
    if (is_word_start(c)) {
        tok->kind = CP_DDL_WORD;
        while (tok->end < ddl->len && is_word(ddl->text[tok->end]))
            tok->end++;
    } else if (is_digit(c)) {
        tok->kind = CP_DDL_NUMBER;
        tok->end = number_end(ddl, begin);
    } else if (c == '\'' || c == '`' || c == '"') {
        tok->kind = c == '\'' ? CP_DDL_STRING : CP_DDL_QUOTED;
        tok->end = quoted_end(ddl, begin);
        if (tok->end == SIZE_MAX)
            return SCAN_QUOTE;
    } else if (c > 0x20 && c < 0x7f && !strchr("\\$&~^", c)) {
        tok->kind = CP_DDL_PUNCT;
        tok->end = begin + 1;
    } else {
        return SCAN_BYTE;
    }
    return SCAN_OK;
}

void cp_ddl_next(cp_ddl *ddl)
{
    if (ddl->failed)
        return;
    ddl->prev_end = ddl->tok.end;
    cp_ddl_token tok;
    const scan_status status = scan(ddl, ddl->tok.end, &tok);
    ddl->tok = tok;
    switch (status) {
    case SCAN_OK:
        break;
    case SCAN_COMMENT:
        cp_ddl_fail(ddl, tok, CP_E_PARSE, "a comment begins here that is never closed; add '*/'");
        break;
    case SCAN_QUOTE:
        cp_ddl_fail(ddl, tok, CP_E_PARSE, "a quote %c opens here that is never closed", ddl->text[tok.begin]);
        break;
    case SCAN_BYTE:
        cp_ddl_fail(
            ddl, tok, CP_E_PARSE,
            "byte 0x%02x cannot stand here; put names with other letters than A-Z, 0-9 and _ in backticks",
            (unsigned char)ddl->text[tok.begin]);
        break;
    }
}

cp_ddl_token cp_ddl_peek(const cp_ddl *ddl)
{
    cp_ddl_token tok;
    if (ddl->failed || scan(ddl, ddl->tok.end, &tok) != SCAN_OK)
        return (cp_ddl_token){CP_DDL_END, ddl->tok.end, ddl->tok.end};
    return tok;
}

void cp_ddl_init(cp_ddl *ddl, const char *file, const char *text, size_t len, cp_error *err)
{
    static const char bom[] = "\xef\xbb\xbf"; /* editors on other systems put it before UTF-8 text */
    const bool has_bom = len >= sizeof bom - 1 && memcmp(text, bom, sizeof bom - 1) == 0;
    *ddl = (cp_ddl){.file = file ? file : "<ddl>", .text = text, .len = len, .err = err};
    const char *nul = memchr(text, '\0', len); /* what is cut out of the text becomes C strings */
    if (nul) {
        const size_t at = (size_t)(nul - text);
        cp_ddl_fail(ddl, (cp_ddl_token){CP_DDL_PUNCT, at, at + 1}, CP_E_PARSE,
                    "a NUL byte: this is not a text file with a CREATE TABLE statement");
        return;
    }
    ddl->tok.end = has_bom ? sizeof bom - 1 : 0;
    cp_ddl_next(ddl);
}

bool cp_ddl_token_is(const cp_ddl *ddl, cp_ddl_token tok, const char *keyword)
{
    const size_t len = strlen(keyword);
    return tok.kind == CP_DDL_WORD && tok.end - tok.begin == len &&
           strncasecmp(ddl->text + tok.begin, keyword, len) == 0;
}

bool cp_ddl_is(const cp_ddl *ddl, const char *keyword)
{
    return cp_ddl_token_is(ddl, ddl->tok, keyword);
}

bool cp_ddl_is_punct(const cp_ddl *ddl, char punct)
{
    return ddl->tok.kind == CP_DDL_PUNCT && ddl->text[ddl->tok.begin] == punct;
}

bool cp_ddl_accept(cp_ddl *ddl, const char *keyword)
{
    const bool is = cp_ddl_is(ddl, keyword);
    if (is)
        cp_ddl_next(ddl);
    return is;
}

bool cp_ddl_accept_punct(cp_ddl *ddl, char punct)
{
    const bool is = cp_ddl_is_punct(ddl, punct);
    if (is)
        cp_ddl_next(ddl);
    return is;
}

int cp_ddl_expect_punct(cp_ddl *ddl, char punct, const char *where)
{
    char shown[CP_DDL_SHOWN];
    if (cp_ddl_accept_punct(ddl, punct))
        return ddl->failed;
    return cp_ddl_fail(ddl, ddl->tok, CP_E_PARSE, "expected '%c' %s, found %s", punct, where,
                       cp_ddl_show(ddl, ddl->tok, shown));
}

int cp_ddl_fail(cp_ddl *ddl, cp_ddl_token at, int code, const char *fmt, ...)
{
    if (ddl->failed)
        return ddl->failed;
    ddl->failed = code;
    ddl->tok = (cp_ddl_token){CP_DDL_END, ddl->len, ddl->len};
    if (!ddl->err)
        return code;
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at.begin && i < ddl->len; i++) {
        const unsigned char c = (unsigned char)ddl->text[i];
        if (c == '\n') {
            line++;
            column = 1;
        } else if ((c & 0xc0u) != 0x80u) { /* a column is a character, not a byte of UTF-8 */
            column++;
        }
    }
    ddl->err->code = code;
    const int used =
        snprintf(ddl->err->text, sizeof ddl->err->text, "%.200s:%zu:%zu: ", ddl->file, line, column);
    va_list args;
    va_start(args, fmt);
    vsnprintf(ddl->err->text + used, sizeof ddl->err->text - (size_t)used, fmt, args);
    va_end(args);
    return code;
}

int cp_ddl_nomem(cp_ddl *ddl)
{
    return cp_ddl_fail(ddl, ddl->tok, CP_E_NOMEM, "out of memory");
}

const char *cp_ddl_show(const cp_ddl *ddl, cp_ddl_token tok, char out[CP_DDL_SHOWN])
{
    if (tok.kind == CP_DDL_END) {
        snprintf(out, CP_DDL_SHOWN, "the end of the statement");
        return out;
    }
    size_t used = 0;
    const bool quotes = tok.kind != CP_DDL_STRING;
    if (quotes)
        out[used++] = '\'';
    const size_t room = CP_DDL_SHOWN - sizeof "…''";
    for (size_t i = tok.begin; i < tok.end; i++) {
        const char c = ddl->text[i];
        if (used >= room) {
            memcpy(out + used, "…", sizeof "…" - 1);
            used += sizeof "…" - 1;
            break;
        }
        out[used++] =
            c < 0x20 || c == 0x7f ? '?' : c; /* other bytes than ASCII are negative: shown as '?' too */
    }
    if (quotes)
        out[used++] = '\'';
    out[used] = '\0';
    return out;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decodes the escape behind a backslash at p, up to end; writes one or two bytes at out. Returns how many
 * bytes it took. */
static size_t decode_escape(const char *p, const char *end, char *out, size_t *written)
{
    static const char codes[] = "bfnrtaveE";
    static const char bytes[] = "\b\f\n\r\t\a\v\x1b\x1b";
    const char *code = *p ? strchr(codes, *p) : NULL;
    *written = 1;
    if (code) {
        *out = bytes[code - codes];
        return 1;
    }
    if (*p == '0') {
        *out = '\0';
        return 1;
    }
    if (*p == 'x' && end - p >= 3 && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
        *out = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
        return 3;
    }
    if (strchr("\\'\"`/=", *p)) {
        *out = *p;
        return 1;
    }
    out[0] = '\\'; /* as ClickHouse does: an unknown escape stays what it is */
    out[1] = *p;
    *written = 2;
    return 1;
}

char *cp_ddl_decode_bytes(cp_ddl *ddl, cp_ddl_token tok, size_t *len)
{
    if (ddl->failed)
        return NULL;
    char *out = malloc(tok.end - tok.begin + 1);
    if (!out) {
        cp_ddl_nomem(ddl);
        return NULL;
    }
    const char *end = ddl->text + tok.end - 1; /* the closing quote */
    size_t used = 0;
    for (const char *p = ddl->text + tok.begin + 1; p < end;) {
        const bool doubled = *p == ddl->text[tok.begin];
        size_t written = 1;
        if (*p == '\\') {
            p += 1 + decode_escape(p + 1, end, out + used, &written);
        } else {
            out[used] = *p;
            p += doubled ? 2 : 1;
        }
        used += written;
    }
    out[used] = '\0';
    *len = used;
    return out;
}

char *cp_ddl_decode(cp_ddl *ddl, cp_ddl_token tok)
{
    if (ddl->failed)
        return NULL;
    if (tok.kind != CP_DDL_STRING && tok.kind != CP_DDL_QUOTED)
        return cp_ddl_slice(ddl, tok.begin, tok.end);
    size_t len = 0;
    char *out = cp_ddl_decode_bytes(ddl, tok, &len);
    if (out && strlen(out) != len) {
        free(out);
        cp_ddl_fail(ddl, tok, CP_E_UNSUPPORTED, "a NUL byte inside this literal is not supported");
        return NULL;
    }
    return out;
}

char *cp_ddl_slice(cp_ddl *ddl, size_t begin, size_t end)
{
    if (ddl->failed)
        return NULL;
    while (begin < end && is_space(ddl->text[begin]))
        begin++;
    while (end > begin && is_space(ddl->text[end - 1]))
        end--;
    char *out = malloc(end - begin + 1);
    if (!out) {
        cp_ddl_nomem(ddl);
        return NULL;
    }
    memcpy(out, ddl->text + begin, end - begin);
    out[end - begin] = '\0';
    return out;
}
