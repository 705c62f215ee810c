/* A look over one line of JSON before json-c parses it, for what json-c does not keep.
 *
 *   {"px": 12345678901234567890123, "s": "7"}   ─►   {"px": "12345678901234567890123", "s": "7"}
 *
 * json-c turns integers into 64 bits and clamps what is longer; as strings numbers of any length keep their digits. Only
 * numbers that RFC 8259 (section 6) allows, where a value may stand, are put into quotes: what was not JSON before is
 * not JSON after. And it keeps the last of two members of one name; so members are counted here, to be compared. */
#ifndef CP_CLI_JSON_SCAN_H
#define CP_CLI_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CP_JSON_MARKED = 4096
}; /* members of which is known what their values were; a row has at most as many columns */

typedef struct cp_json_scan {
    char *text; /* the line with its numbers in quotes; not NUL-terminated; valid until the next call */
    size_t len;
    size_t capacity;
    size_t members;                        /* of the outermost object: colons at its level */
    uint64_t numbers[CP_JSON_MARKED / 64]; /* of the first members: whether the value is a number */
} cp_json_scan;

/* Scans a line into a zeroed or used scan. CP_OK or CP_E_NOMEM. */
int cp_json_scan_line(cp_json_scan *scan, const char *line, size_t len);

/* The offset in the line that was scanned of what is at an offset (at most scan->len) in scan->text. */
size_t cp_json_scan_origin(const cp_json_scan *scan, const char *line, size_t len, size_t at);

/* The next name of the outermost object, from *at (0 for the first) on, in a line that is JSON. Returns the name with
 * its quotes, escaped as it stands, its size in *size, and moves *at behind it; NULL when there is none. */
const char *cp_json_scan_name(const char *line, size_t len, size_t *at, size_t *size);

/* The value behind a name that cp_json_scan_name has returned, as it stands, in a line that is JSON; at: where it moved *at
 * to. */
const char *cp_json_scan_value(const char *line, size_t len, size_t at, size_t *size);

/* Whether the value of a member, counted from 0 as they stand, was a string before. */
static inline bool cp_json_scan_is_string(const cp_json_scan *scan, size_t member)
{
    return member < CP_JSON_MARKED && !(scan->numbers[member / 64] >> member % 64 & 1);
}

void cp_json_scan_free(cp_json_scan *scan);

#endif
