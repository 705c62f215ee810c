/* Tokens of ClickHouse's SQL, as far as CREATE TABLE needs them, and the parser's one way to fail.
 *
 * The lexer always holds one token, `tok`. The first failure sticks: it fills the caller's cp_error with
 * "file:line:column: …", and from then on every token is CP_DDL_END and every further failure returns the
 * first code. So a parser may go on reading after an error without hiding it, and loops end. The text is
 * untrusted bytes. */
#ifndef CP_SCHEMA_DDL_LEXER_H
#define CP_SCHEMA_DDL_LEXER_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cp_ddl_kind {
    CP_DDL_END,    /* of the text, or after a failure */
    CP_DDL_WORD,   /* bare word: keyword, type or identifier */
    CP_DDL_QUOTED, /* `identifier` or "identifier" */
    CP_DDL_STRING, /* 'literal' */
    CP_DDL_NUMBER, /* 1, 0x1f, 1.5e-3; a sign is punctuation */
    CP_DDL_PUNCT   /* one byte of anything else that SQL knows */
} cp_ddl_kind;

typedef struct cp_ddl_token {
    cp_ddl_kind kind;
    size_t begin; /* offsets into the text */
    size_t end;
} cp_ddl_token;

typedef struct cp_ddl {
    const char *file;
    const char *text;
    size_t len;
    size_t prev_end; /* where the token before tok ended */
    cp_ddl_token tok;
    int failed; /* CP_OK, or the code of the first failure */
    cp_error *err;
} cp_ddl;

/* Starts at the first token of text, which must outlive the lexer. file is for messages. */
void cp_ddl_init(cp_ddl *ddl, const char *file, const char *text, size_t len, cp_error *err);

/* Goes to the next token. */
void cp_ddl_next(cp_ddl *ddl);

/* The token after tok, without going there; CP_DDL_END when it would not lex. */
cp_ddl_token cp_ddl_peek(const cp_ddl *ddl);

/* Is tok this keyword (case-insensitive), this punctuation? */
bool cp_ddl_is(const cp_ddl *ddl, const char *keyword);
bool cp_ddl_is_punct(const cp_ddl *ddl, char punct);
bool cp_ddl_token_is(const cp_ddl *ddl, cp_ddl_token tok, const char *keyword);

/* If it is, goes to the next token and returns true. */
bool cp_ddl_accept(cp_ddl *ddl, const char *keyword);
bool cp_ddl_accept_punct(cp_ddl *ddl, char punct);

/* The same, but anything else is CP_E_PARSE: "expected ')' after …, found 'x'"; where says after or in what.
 */
int cp_ddl_expect_punct(cp_ddl *ddl, char punct, const char *where);

/* Fails at a token: "file:line:column: <message>". In the message, name the token with CP_DDL_SHOWN. Returns
 * the code of the first failure. */
int cp_ddl_fail(cp_ddl *ddl, cp_ddl_token at, int code, const char *fmt, ...) CP_PRINTF(4, 5);

/* CP_E_NOMEM at tok. */
int cp_ddl_nomem(cp_ddl *ddl);

enum { CP_DDL_SHOWN = 48 }; /* bytes of an offending word in a message, with its quotes and NUL */

/* The token for a message: "'FooBar'", shortened and printable, or "the end of the statement". Returns out.
 */
const char *cp_ddl_show(const cp_ddl *ddl, cp_ddl_token tok, char out[CP_DDL_SHOWN]);

/* The text of a string or quoted identifier without quotes and escapes, or of any other token as it is.
 * malloc'd, NULL after a failure (out of memory, or a NUL byte inside). Does not advance. */
char *cp_ddl_decode(cp_ddl *ddl, cp_ddl_token tok);

/* The same for any bytes: NUL is allowed, *len is how many there are (and one NUL more). */
char *cp_ddl_decode_bytes(cp_ddl *ddl, cp_ddl_token tok, size_t *len);

/* A copy of the text between two offsets, without blanks around it; NULL after a failure. */
char *cp_ddl_slice(cp_ddl *ddl, size_t begin, size_t end);

#endif
