/* What a failed insert means for its batch: one table of ClickHouse's error codes (src/Common/ErrorCodes.cpp), HTTP
 * statuses and curl results.
 *
 * The HTTP status alone misleads (an unknown table is a 404, a full disk a 500), so the exception code decides whenever
 * there is one. No class means "drop": whatever is not CP_CLASS_OK keeps the rows.
 *
 *     transient, in doubt, throttle   the same bytes under the same token, later
 *     split                           in smaller pieces; also 252, when it is about the partitions of one insert
 *     poison                          in smaller pieces, down to the row, which goes to the quarantine
 *     malformed                       twice more, after asking the server anew what it is; then as poison
 *     park table, park endpoint       the same, seldom, until somebody has acted
 *     unknown                         the same eight times, then as parked */
#ifndef CP_FLUSH_ERROR_CLASS_H
#define CP_FLUSH_ERROR_CLASS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "flush/http.h"

typedef enum cp_error_class {
    CP_CLASS_OK,            /* a whole reply: status 200, no exception header, empty body; nothing else */
    CP_CLASS_TRANSIENT,     /* not taken; will pass by itself */
    CP_CLASS_IN_DOUBT,      /* perhaps taken: the reply was lost or unclear */
    CP_CLASS_THROTTLE,      /* too many parts: this table must slow down */
    CP_CLASS_SPLIT,         /* too much at once */
    CP_CLASS_POISON,        /* some row of the batch will never be taken */
    CP_CLASS_MALFORMED,     /* the server could not read the block: its columns may have changed */
    CP_CLASS_PARK_TABLE,    /* the table cannot take inserts until somebody mends it */
    CP_CLASS_PARK_ENDPOINT, /* nothing can be inserted with this address, user or settings */
    CP_CLASS_UNKNOWN,
    CP_CLASS_COUNT
} cp_error_class;

/* The class of a reply. */
cp_error_class cp_error_classify(const cp_http_reply *reply);

/* The class of a ClickHouse error code (not 0). */
cp_error_class cp_error_class_of_code(int code);

/* "transient", "park_table" …; never NULL. */
const char *cp_error_class_name(cp_error_class class);

/* True for the classes that wait for somebody to act: retried seldom. */
bool cp_error_class_parks(cp_error_class class);

/* Writes as tables of Markdown which codes are of which class, what the recorder does then, and the remedies: a part of
 * docs/troubleshooting.md. */
void cp_error_class_document(FILE *out);

/* The row, from 0 on, that the server's message says it choked on ("… is violated at row 5", "(at row 5)"); UINT32_MAX when it
 * names none. A hint, not to be believed: the message also quotes what the row holds. */
uint32_t cp_error_row_hint(const char *text);

/* What to do about a code, for messages; it begins with CP_ERROR_REMEDY_MARK, or is "" when nothing useful is known. */
#define CP_ERROR_REMEDY_MARK ": "
enum { CP_ERROR_REMEDY_TEXT = 160 }; /* of the longest, as a field */
const char *cp_error_remedy(int code);

/* Likewise about a reply, or that there was none. */
const char *cp_error_remedy_of_reply(const cp_http_reply *reply);

/* The same as a field of a log line, with the blank before it; "" when there is none. Into out, which is returned. */
const char *cp_error_remedy_field(char *out, size_t size, const cp_http_reply *reply);

#endif
