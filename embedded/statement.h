/* What must be known of a statement's text before the engine may have it: is it an INSERT whose data follows,
 * where does that data begin and in which format, which FORMAT will the result have, does it touch files of
 * the host.
 *
 *   INSERT INTO db.t (a, b) SETTINGS x = 1 FORMAT CSV⏎1,2⏎3,4
 *   └──────────────── head ───────────────┘       └─ data, not part of the SQL; may be of any size
 *
 * This is a lexer with a handful of rules, not a parser: the engine parses. The rules are those of
 * ClickHouse's Lexer.cpp and ParserInsertQuery.cpp. */
#ifndef CP_EMBEDDED_STATEMENT_H
#define CP_EMBEDDED_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>

enum { CP_STATEMENT_FORMAT = 64 }; /* room for a format's name; the longest of 26.7 has 41 letters */

typedef enum cp_statement_kind {
    CP_STATEMENT_INCOMPLETE, /* more text is needed to tell */
    CP_STATEMENT_EMPTY,      /* nothing but white space and comments */
    CP_STATEMENT_SELECT,     /* a result that the engine can give in pieces */
    CP_STATEMENT_INSERT,     /* INSERT with data */
    CP_STATEMENT_OTHER       /* all else, INSERT SELECT too */
} cp_statement_kind;

typedef struct cp_statement {
    cp_statement_kind kind;
    char format[CP_STATEMENT_FORMAT]; /* of the FORMAT clause, "Values" for VALUES, "" when there is none */
    size_t head;                      /* INSERT: length of the text in front of FORMAT or VALUES */
    size_t tail, tail_end;            /* INSERT: a SETTINGS clause behind the format; empty when equal */
    size_t data;                      /* INSERT: where the data begins */
    bool into_outfile;                /* writes a file of the host */
    bool from_infile;                 /* reads a file of the host */
    bool reads_input; /* calls input(): INSERT … SELECT … FROM input(…) FORMAT, with data */
} cp_statement;

/* Looks at text[0..length). The first query_length bytes came as the "query" parameter (0: none did) and were
 * followed by a line break that is part of query_length; the rest is the body as far as it has arrived; whole
 * says that nothing will follow. The offsets in *statement are into text. */
void cp_statement_parse(const char *text, size_t length, size_t query_length, bool whole,
                        cp_statement *statement);

/* True when the engine's chunks of a result in this format can be joined: formats with a frame, a header or a
 * footer are written anew for every chunk. "" stands for TabSeparated. */
bool cp_format_streams(const char *format);

/* The Content-Type a server sends for a format. */
const char *cp_format_content_type(const char *format);

#endif
