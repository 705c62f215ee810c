/* The body of an answer: a result of the engine, encoded, in the pieces that the HTTP library asks for.
 *
 *   engine's chunks ──► encoder ──► buffer (up to buffer_size before the headers go) ──► reader
 *                                     └─ overflow to an unlinked file, when the whole result must be awaited
 *
 * Before the headers are sent, cp_reply_fill gathers the beginning of the result, so that an error in it
 * still gets its status. An error after that is written into the body as a server of 25.11 and later does,
 *
 *   CR LF __exception__ CR LF <tag> CR LF <message> LF <length of message and LF> SP <tag> CR LF
 * __exception__ CR LF
 *
 * with the tag of the header X-ClickHouse-Exception-Tag, and the connection is cut without a proper end, so
 * that nobody takes the body for complete. */
#ifndef CP_EMBEDDED_REPLY_H
#define CP_EMBEDDED_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "embedded/codec.h"
#include "embedded/engine.h"
#include "embedded/fault.h"

enum { CP_REPLY_TAG = 16 }; /* letters of an exception tag */

typedef struct cp_reply cp_reply;

/* NULL when memory is out. conn, and directory, where the unlinked file is made, must outlive the reply. */
cp_reply *cp_reply_new(cp_engine_conn *conn, const char *directory, cp_coding coding, int level);

/* Closes a stream that still runs, frees the rest; not the connection. NULL is allowed. */
void cp_reply_free(cp_reply *reply);

/* Where the body comes from: a result held whole (taken over), or the stream begun on conn. */
void cp_reply_from_chunk(cp_reply *reply, const cp_engine_chunk *chunk);
void cp_reply_from_stream(cp_reply *reply);

/* Gathers at least buffer_size bytes, or the whole result if to_end or if it is smaller. A fault means that
 * nothing of the result may be sent. */
int cp_reply_fill(cp_reply *reply, size_t buffer_size, bool to_end, cp_engine_stats *stats, cp_fault *fault);

/* True when all that is still to be read is in the reply itself: the engine is not needed any more. */
bool cp_reply_ended(const cp_reply *reply);

/* Closes the source; of what is left only gathered bytes are read. For a reply that has ended. */
void cp_reply_detach(cp_reply *reply);

/* The body's length if it is known by now, -1 otherwise. */
int64_t cp_reply_length(const cp_reply *reply);

/* Copies the next bytes of the body, at most size (> 0). 0: the end; -1: cut the connection. May block. */
ssize_t cp_reply_read(cp_reply *reply, char *buffer, size_t size);

/* The tag, CP_REPLY_TAG lower-case letters, for the header. */
const char *cp_reply_tag(const cp_reply *reply);

#endif
