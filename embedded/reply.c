#include "embedded/reply.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "embedded/text.h"

enum { SLICE = 1024 * 1024 }; /* of a whole result per step, so that encoding it needs no second copy of it */

typedef enum source { SOURCE_NONE, SOURCE_CHUNK, SOURCE_STREAM } source;

struct cp_reply {
    cp_engine_conn *conn;
    const char *directory; /* of the spool */
    cp_encoder *encoder;
    source from;
    cp_engine_chunk chunk;
    size_t chunk_at;
    cp_text buffer; /* encoded bytes not yet read: [buffer_at, buffer.length) */
    size_t buffer_at;
    FILE *spool; /* what did not fit the buffer, of spool_length bytes; read after the buffer */
    int64_t spool_length;
    bool spooling;
    bool ended; /* the source has, and the encoder is finished */
    bool cut;   /* it has ended in an error that the body tells */
    cp_engine_stats stats;
    char tag[CP_REPLY_TAG + 1];
};

static void tag_make(char *tag)
{
    unsigned char random[CP_REPLY_TAG];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memset(random, 0, sizeof random); /* a tag anyone could guess still frames the exception */
    for (size_t i = 0; i < sizeof random; i++)
        tag[i] = (char)('a' + random[i] % 26);
    tag[CP_REPLY_TAG] = '\0';
}

cp_reply *cp_reply_new(cp_engine_conn *conn, const char *directory, cp_coding coding, int level)
{
    cp_reply *reply = calloc(1, sizeof *reply);
    cp_encoder *encoder = cp_encoder_new(coding, level);
    if (!reply || !encoder) {
        free(reply);
        cp_encoder_free(encoder);
        return NULL;
    }
    reply->conn = conn;
    reply->directory = directory;
    reply->encoder = encoder;
    tag_make(reply->tag);
    return reply;
}

bool cp_reply_ended(const cp_reply *reply)
{
    return reply->ended;
}

void cp_reply_detach(cp_reply *reply)
{
    if (reply->conn)
        cp_engine_chunk_free(reply->conn, &reply->chunk);
    if (reply->conn && reply->from == SOURCE_STREAM)
        cp_engine_stream_close(reply->conn);
    reply->conn = NULL;
    reply->from = SOURCE_NONE;
}

void cp_reply_free(cp_reply *reply)
{
    if (!reply)
        return;
    cp_reply_detach(reply);
    if (reply->spool)
        fclose(reply->spool);
    cp_encoder_free(reply->encoder);
    cp_text_free(&reply->buffer);
    free(reply);
}

void cp_reply_from_chunk(cp_reply *reply, const cp_engine_chunk *chunk)
{
    reply->from = SOURCE_CHUNK;
    reply->chunk = *chunk;
}

void cp_reply_from_stream(cp_reply *reply)
{
    reply->from = SOURCE_STREAM;
}

/* The encoder's sink. */
static int take_encoded(void *context, const void *data, size_t length)
{
    cp_reply *reply = context;
    if (reply->spooling) {
        reply->spool_length += (int64_t)length;
        return fwrite(data, 1, length, reply->spool) == length ? 0 : -1;
    }
    cp_text_append(&reply->buffer, data, length);
    return reply->buffer.failed ? -1 : 0;
}

/* A file without a name; NULL with errno. Not tmpfile(3): the engine's threads may write nowhere else. */
static FILE *spool_open(const char *directory)
{
    char name[PATH_MAX];
    const int length = snprintf(name, sizeof name, "%s/coldpath-chdb-spool-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof name) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    const int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return NULL;
    unlink(name);
    FILE *file = fdopen(fd, "w+");
    if (!file)
        close(fd);
    return file;
}

/* The next piece of the source, or length 0 at its end. */
static int source_next(cp_reply *reply, const char **data, size_t *length, cp_fault *fault)
{
    if (reply->from == SOURCE_STREAM) {
        cp_engine_chunk_free(reply->conn, &reply->chunk);
        if (cp_engine_stream_next(reply->conn, &reply->chunk, &reply->stats, fault) != 0)
            return fault->code;
        *data = reply->chunk.data;
        *length = reply->chunk.length;
        return 0;
    }
    const size_t left = reply->chunk.length - reply->chunk_at;
    *data = left > 0 ? reply->chunk.data + reply->chunk_at : NULL;
    *length = left < SLICE ? left : SLICE;
    reply->chunk_at += *length;
    return 0;
}

/* One piece from the source to the buffer; sets ended behind the last one. */
static int advance(cp_reply *reply, cp_fault *fault)
{
    const char *data = NULL;
    size_t length = 0;
    if (source_next(reply, &data, &length, fault) != 0)
        return fault->code;
    const bool last = length == 0;
    if (cp_encoder_feed(reply->encoder, data, length, last, take_encoded, reply) != 0) {
        return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY,
                            "Out of memory or disk while buffering the result.");
    }
    if (last) {
        reply->ended = true;
        cp_engine_chunk_free(reply->conn, &reply->chunk);
    }
    return 0;
}

int cp_reply_fill(cp_reply *reply, size_t buffer_size, bool to_end, cp_engine_stats *stats, cp_fault *fault)
{
    while (!reply->ended && (to_end || reply->buffer.length < buffer_size)) {
        if (to_end && !reply->spooling && reply->buffer.length >= buffer_size) {
            reply->spool = spool_open(reply->directory);
            if (!reply->spool) {
                return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY,
                                    "Cannot make a temporary file: %s.", strerror(errno));
            }
            reply->spooling = true;
        }
        if (advance(reply, fault) != 0)
            return fault->code;
    }
    if (reply->spooling && fseek(reply->spool, 0, SEEK_SET) != 0) {
        return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Cannot write the temporary file: %s.",
                            strerror(errno));
    }
    reply->spooling = false;
    *stats = reply->stats;
    return 0;
}

int64_t cp_reply_length(const cp_reply *reply)
{
    return reply->ended && !reply->cut
               ? (int64_t)(reply->buffer.length - reply->buffer_at) + reply->spool_length
               : -1;
}

/* Ends the body with the exception's frame. */
static void tell_fault(cp_reply *reply, const cp_fault *fault)
{
    const char *message = fault->text ? fault->text : "";
    cp_text frame = {0};
    cp_text_print(&frame, "\r\n__exception__\r\n%s\r\n%s\n%zu %s\r\n__exception__\r\n", reply->tag, message,
                  strlen(message) + 1, reply->tag);
    if (!frame.failed) /* without memory for it the cut connection has to be enough */
        (void)cp_encoder_feed(reply->encoder, frame.data, frame.length, true, take_encoded, reply);
    cp_text_free(&frame);
    reply->ended = true;
    reply->cut = true;
}

ssize_t cp_reply_read(cp_reply *reply, char *buffer, size_t size)
{
    while (reply->buffer_at == reply->buffer.length && !reply->spool) {
        if (reply->ended)
            return reply->cut ? -1 : 0;
        reply->buffer_at = 0;
        reply->buffer.length = 0;
        cp_fault fault = {0};
        if (advance(reply, &fault) != 0)
            tell_fault(reply, &fault);
        cp_fault_clear(&fault);
    }
    const size_t left = reply->buffer.length - reply->buffer_at;
    if (left > 0) {
        const size_t step = left < size ? left : size;
        memcpy(buffer, reply->buffer.data + reply->buffer_at, step);
        reply->buffer_at += step;
        return (ssize_t)step;
    }
    const size_t got = fread(buffer, 1, size, reply->spool);
    return got > 0 ? (ssize_t)got : ferror(reply->spool) ? -1 : 0;
}

const char *cp_reply_tag(const cp_reply *reply)
{
    return reply->tag;
}
