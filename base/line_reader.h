/* Lines out of a file or standard input, plain or gzip, in bounded memory.
 *
 *     read(2) ─► zlib (passes plain bytes through) ─► buffer of at most line_max bytes ─► one line at a time
 *
 * The input is untrusted: a line may be of any length, hold any bytes, and the last one may lack its newline.
 * UTF-8's byte order mark at the very beginning (EF BB BF, which spreadsheets write) is no part of the first line.
 * A line over the limit is never kept: it is skipped to its end (its bytes go to the spill stream, if there
 * is one) and reported, and reading goes on behind it. One thread uses a reader. */
#ifndef CP_BASE_LINE_READER_H
#define CP_BASE_LINE_READER_H

#include <coldpath/error.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cp_line {
    const char *text; /* not NUL-terminated; valid until the next call */
    size_t len;       /* without the newline */
    bool ended;       /* false for a last line without its newline */
    uint64_t number;  /* from 1 */
} cp_line;

typedef struct cp_line_reader cp_line_reader;

/* Opens path, or standard input when path is "-". line_max: the longest line that is kept, in bytes, at
 * least 1. Errors: CP_E_ABSENT, CP_E_PERM, CP_E_IO, CP_E_NOMEM. */
int cp_line_reader_open(cp_line_reader **out, const char *path, size_t line_max, cp_error *err);

/* Lines over the limit are copied to spill as they are skipped; NULL (the start) drops them. */
void cp_line_reader_set_spill(cp_line_reader *reader, FILE *spill);

/* When a signal's handler sets *stopped, the call under way ends at its next read: a line may have no end. NULL (the start): it
 * does not; a read that waits ends with EINTR in either case. */
void cp_line_reader_set_stop(cp_line_reader *reader, const volatile sig_atomic_t *stopped);

/* Fetches the next line. Returns 1 with *line, 0 at the end, or
 *
 *   CP_E_TOO_BIG   the line was over the limit and is skipped: line->number and line->len (its whole length) say which; read on
 *   CP_E_CORRUPT   the gzip data is damaged or cut short: nothing more can be read
 *   CP_E_IO        read(2) failed (EINTR included, so that a signal can end a read), or was stopped: nothing more can
 *                  be read
 *   CP_E_NOMEM */
int cp_line_reader_next(cp_line_reader *reader, cp_line *line, cp_error *err);

/* True when fd is open on the same file as the input, by device and inode: writing there would destroy what is
 * yet to be read. */
bool cp_line_reader_reads(const cp_line_reader *reader, int fd);

/* What messages call the input: the path, or "stdin". */
const char *cp_line_reader_name(const cp_line_reader *reader);

/* Closes it. NULL is allowed. */
void cp_line_reader_close(cp_line_reader *reader);

#endif
