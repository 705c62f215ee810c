/* Content-Encoding, in both directions, piece by piece: no body is ever held for it.
 *
 * A decoder takes encoded bytes and hands decoded ones to a sink in pieces of at most CP_CODEC_PIECE; an
 * encoder the other way round. gzip and deflate are zlib's, zstd and lz4 the frame formats of their
 * libraries. Several members or frames after one another are one body, as for a ClickHouse server. */
#ifndef CP_EMBEDDED_CODEC_H
#define CP_EMBEDDED_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "embedded/fault.h"

enum { CP_CODEC_PIECE = 128 * 1024 };

typedef enum cp_coding {
    CP_CODING_IDENTITY,
    CP_CODING_GZIP,
    CP_CODING_DEFLATE,
    CP_CODING_ZSTD,
    CP_CODING_LZ4,
    CP_CODING_UNKNOWN
} cp_coding;

/* Takes a piece; anything but 0 stops the codec, which gives the value back. */
typedef int (*cp_codec_sink)(void *context, const void *data, size_t length);

typedef struct cp_decoder cp_decoder;
typedef struct cp_encoder cp_encoder;

/* The coding a Content-Encoding header names; NULL and "" are identity. */
cp_coding cp_coding_of_name(const char *name);

/* Its name in a header; "" for identity. */
const char *cp_coding_name(cp_coding coding);

/* The coding to answer with: of those in Accept-Encoding the first of zstd, lz4, gzip, deflate (a server's
 * order, less those not had here); one with q=0 is refused by the client. NULL: identity. */
cp_coding cp_coding_choose(const char *accept_encoding);

/* NULL when memory is out. */
cp_decoder *cp_decoder_new(cp_coding coding);

/* Decodes a piece into sink. 0, or the fault's code when the bytes are not of this coding, or what the sink
 * gave. */
int cp_decoder_feed(cp_decoder *decoder, const void *data, size_t length, cp_codec_sink sink, void *context,
                    cp_fault *fault);

/* The body has ended; a fault when it was in the middle of a frame. A body of no bytes is fine. */
int cp_decoder_finish(const cp_decoder *decoder, cp_fault *fault);

void cp_decoder_free(cp_decoder *decoder);

/* level is zlib's for gzip and deflate (1–9), and taken the same for the others. NULL when memory is out. */
cp_encoder *cp_encoder_new(cp_coding coding, int level);

/* Encodes a piece; last ends the frame and must be the final call (length may be 0). 0, the sink's value, or
 * -1 when the library fails. */
int cp_encoder_feed(cp_encoder *encoder, const void *data, size_t length, bool last, cp_codec_sink sink,
                    void *context);

void cp_encoder_free(cp_encoder *encoder);

#endif
