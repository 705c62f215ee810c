#define ZLIB_CONST /* z_stream.next_in is then const */
#include "embedded/codec.h"

#include <ctype.h>
#include <limits.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum {
    GZIP_WINDOW = 15 + 16, /* zlib's way to say: gzip header and trailer */
    DEFLATE_WINDOW = 15,   /* the zlib header, as HTTP's "deflate" means it */
    ZLIB_MEMORY = 8,       /* zlib's default */
    ZSTD_WINDOW_LOG_LIMIT =
        27, /* 128 MiB: zstd's own default bound, so that a small body cannot ask for gigabytes */
    LZ4_STEP = 64 * 1024 /* input per LZ4F_compressUpdate: its output bound then fits the piece */
};

struct cp_decoder {
    cp_coding coding;
    bool open; /* inside a frame */
    z_stream zlib;
    ZSTD_DCtx *zstd;
    LZ4F_dctx *lz4;
    unsigned char piece[CP_CODEC_PIECE];
};

struct cp_encoder {
    cp_coding coding;
    bool begun;
    int level;
    z_stream zlib;
    ZSTD_CCtx *zstd;
    LZ4F_cctx *lz4;
    unsigned char piece[2 * CP_CODEC_PIECE];
};

static const char *const coding_names[] = {"", "gzip", "deflate", "zstd", "lz4"};

cp_coding cp_coding_of_name(const char *name)
{
    if (!name || strcasecmp(name, "identity") == 0)
        return CP_CODING_IDENTITY;
    if (strcasecmp(name, "x-gzip") == 0)
        return CP_CODING_GZIP;
    for (int i = 0; i < CP_CODING_UNKNOWN; i++)
        if (strcasecmp(name, coding_names[i]) == 0)
            return (cp_coding)i;
    return CP_CODING_UNKNOWN;
}

const char *cp_coding_name(cp_coding coding)
{
    return coding < CP_CODING_UNKNOWN ? coding_names[coding] : "";
}

/* True when the list names the coding without q=0. */
static bool accepts(const char *list, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " \t,");
        const size_t item = strcspn(at, ",");
        const size_t word = strcspn(at, " \t,;");
        if (word == length && strncasecmp(at, name, length) == 0) {
            const char *weight = memmem(at, item, "q=", 2);
            return !weight || strtod(weight + 2, NULL) > 0;
        }
        at += item;
    }
    return false;
}

cp_coding cp_coding_choose(const char *accept_encoding)
{
    static const cp_coding preferred[] = {CP_CODING_ZSTD, CP_CODING_LZ4, CP_CODING_GZIP, CP_CODING_DEFLATE};
    for (size_t i = 0; accept_encoding && i < sizeof preferred / sizeof preferred[0]; i++)
        if (accepts(accept_encoding, coding_names[preferred[i]]))
            return preferred[i];
    return CP_CODING_IDENTITY;
}

cp_decoder *cp_decoder_new(cp_coding coding)
{
    cp_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return NULL;
    decoder->coding = coding;
    bool made = true;
    if (coding == CP_CODING_GZIP || coding == CP_CODING_DEFLATE) {
        made = inflateInit2(&decoder->zlib, coding == CP_CODING_GZIP ? GZIP_WINDOW : DEFLATE_WINDOW) == Z_OK;
    } else if (coding == CP_CODING_ZSTD) {
        decoder->zstd = ZSTD_createDCtx();
        made = decoder->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax,
                                                                     ZSTD_WINDOW_LOG_LIMIT));
    } else if (coding == CP_CODING_LZ4) {
        made = !LZ4F_isError(LZ4F_createDecompressionContext(&decoder->lz4, LZ4F_VERSION));
    }
    if (!made) {
        decoder->coding = CP_CODING_IDENTITY; /* zlib's state was not made: nothing of it to free */
        cp_decoder_free(decoder);
        return NULL;
    }
    return decoder;
}

void cp_decoder_free(cp_decoder *decoder)
{
    if (!decoder)
        return;
    if (decoder->coding == CP_CODING_GZIP || decoder->coding == CP_CODING_DEFLATE)
        inflateEnd(&decoder->zlib);
    ZSTD_freeDCtx(decoder->zstd);
    LZ4F_freeDecompressionContext(decoder->lz4);
    free(decoder);
}

static int zlib_feed(cp_decoder *decoder, const unsigned char *data, size_t length, cp_codec_sink sink,
                     void *context, cp_fault *fault)
{
    z_stream *zlib = &decoder->zlib;
    zlib->next_in = data;
    zlib->avail_in = (unsigned)length;
    do {
        if (!decoder->open && zlib->avail_in == 0)
            return 0;
        zlib->next_out = decoder->piece;
        zlib->avail_out = sizeof decoder->piece;
        decoder->open = true;
        const int rc = inflate(zlib, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            return cp_fault_set(fault, CP_FAULT_ZLIB_INFLATE_FAILED, "inflate failed: %s",
                                zlib->msg ? zlib->msg : "the body is not what its Content-Encoding says");
        }
        const size_t made = sizeof decoder->piece - zlib->avail_out;
        const int taken = made > 0 ? sink(context, decoder->piece, made) : 0;
        if (taken != 0)
            return taken;
        if (rc == Z_STREAM_END) {
            decoder->open = false;
            inflateReset(zlib);
        }
    } while (zlib->avail_in > 0 || zlib->avail_out == 0);
    return 0;
}

static int zstd_feed(cp_decoder *decoder, const unsigned char *data, size_t length, cp_codec_sink sink,
                     void *context, cp_fault *fault)
{
    ZSTD_inBuffer in = {data, length, 0};
    bool full = false;
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = {decoder->piece, sizeof decoder->piece, 0};
        const size_t rc = ZSTD_decompressStream(decoder->zstd, &out, &in);
        if (ZSTD_isError(rc)) {
            return cp_fault_set(fault, CP_FAULT_ZSTD_DECODER_FAILED, "ZSTD stream decoding failed: %s",
                                ZSTD_getErrorName(rc));
        }
        decoder->open = rc != 0;
        full = out.pos == out.size && decoder->open;
        const int taken = out.pos > 0 ? sink(context, decoder->piece, out.pos) : 0;
        if (taken != 0)
            return taken;
    }
    return 0;
}

static int lz4_feed(cp_decoder *decoder, const unsigned char *data, size_t length, cp_codec_sink sink,
                    void *context, cp_fault *fault)
{
    size_t at = 0;
    bool full = false;
    while (at < length || full) {
        size_t made = sizeof decoder->piece;
        size_t used = length - at;
        const size_t rc = LZ4F_decompress(decoder->lz4, decoder->piece, &made, data + at, &used, NULL);
        if (LZ4F_isError(rc)) {
            return cp_fault_set(fault, CP_FAULT_LZ4_DECODER_FAILED, "LZ4 decompression failed: %s",
                                LZ4F_getErrorName(rc));
        }
        at += used;
        decoder->open = rc != 0;
        full = made == sizeof decoder->piece && decoder->open;
        const int taken = made > 0 ? sink(context, decoder->piece, made) : 0;
        if (taken != 0)
            return taken;
    }
    return 0;
}

int cp_decoder_feed(cp_decoder *decoder, const void *data, size_t length, cp_codec_sink sink, void *context,
                    cp_fault *fault)
{
    switch (decoder->coding) {
    case CP_CODING_GZIP:
    case CP_CODING_DEFLATE:
        for (size_t at = 0; at < length;) { /* zlib counts in unsigned int */
            const size_t step = length - at < INT_MAX ? length - at : INT_MAX;
            const int code = zlib_feed(decoder, (const unsigned char *)data + at, step, sink, context, fault);
            if (code != 0)
                return code;
            at += step;
        }
        return 0;
    case CP_CODING_ZSTD:
        return zstd_feed(decoder, data, length, sink, context, fault);
    case CP_CODING_LZ4:
        return lz4_feed(decoder, data, length, sink, context, fault);
    default:
        return length > 0 ? sink(context, data, length) : 0;
    }
}

int cp_decoder_finish(const cp_decoder *decoder, cp_fault *fault)
{
    if (!decoder->open)
        return 0;
    const int code = decoder->coding == CP_CODING_ZSTD  ? CP_FAULT_ZSTD_DECODER_FAILED
                     : decoder->coding == CP_CODING_LZ4 ? CP_FAULT_LZ4_DECODER_FAILED
                                                        : CP_FAULT_ZLIB_INFLATE_FAILED;
    return cp_fault_set(fault, code, "The body ends in the middle of its %s frame.",
                        cp_coding_name(decoder->coding));
}

cp_encoder *cp_encoder_new(cp_coding coding, int level)
{
    cp_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return NULL;
    encoder->coding = coding;
    encoder->level = level;
    bool made = true;
    if (coding == CP_CODING_GZIP || coding == CP_CODING_DEFLATE) {
        made = deflateInit2(&encoder->zlib, level, Z_DEFLATED,
                            coding == CP_CODING_GZIP ? GZIP_WINDOW : DEFLATE_WINDOW, ZLIB_MEMORY,
                            Z_DEFAULT_STRATEGY) == Z_OK;
    } else if (coding == CP_CODING_ZSTD) {
        encoder->zstd = ZSTD_createCCtx();
        made = encoder->zstd &&
               !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, level));
    } else if (coding == CP_CODING_LZ4) {
        made = !LZ4F_isError(LZ4F_createCompressionContext(&encoder->lz4, LZ4F_VERSION));
    }
    if (!made) {
        encoder->coding = CP_CODING_IDENTITY;
        cp_encoder_free(encoder);
        return NULL;
    }
    return encoder;
}

void cp_encoder_free(cp_encoder *encoder)
{
    if (!encoder)
        return;
    if (encoder->coding == CP_CODING_GZIP || encoder->coding == CP_CODING_DEFLATE)
        deflateEnd(&encoder->zlib);
    ZSTD_freeCCtx(encoder->zstd);
    LZ4F_freeCompressionContext(encoder->lz4);
    free(encoder);
}

static int zlib_encode(cp_encoder *encoder, const unsigned char *data, size_t length, bool last,
                       cp_codec_sink sink, void *context)
{
    z_stream *zlib = &encoder->zlib;
    zlib->next_in = data;
    zlib->avail_in = (unsigned)length;
    for (;;) {
        zlib->next_out = encoder->piece;
        zlib->avail_out = sizeof encoder->piece;
        const int rc = deflate(zlib, last ? Z_FINISH : Z_NO_FLUSH);
        if (rc == Z_STREAM_ERROR)
            return -1;
        const size_t made = sizeof encoder->piece - zlib->avail_out;
        const int taken = made > 0 ? sink(context, encoder->piece, made) : 0;
        if (taken != 0)
            return taken;
        if (zlib->avail_out > 0)
            return 0;
    }
}

static int zstd_encode(cp_encoder *encoder, const unsigned char *data, size_t length, bool last,
                       cp_codec_sink sink, void *context)
{
    ZSTD_inBuffer in = {data, length, 0};
    for (;;) {
        ZSTD_outBuffer out = {encoder->piece, sizeof encoder->piece, 0};
        const size_t left =
            ZSTD_compressStream2(encoder->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return -1;
        const int taken = out.pos > 0 ? sink(context, encoder->piece, out.pos) : 0;
        if (taken != 0)
            return taken;
        if (last ? left == 0 : in.pos == in.size)
            return 0;
    }
}

/* Gives what an LZ4F call made to the sink. */
static int lz4_give(cp_encoder *encoder, size_t made, cp_codec_sink sink, void *context)
{
    if (LZ4F_isError(made))
        return -1;
    return made > 0 ? sink(context, encoder->piece, made) : 0;
}

static int lz4_encode(cp_encoder *encoder, const unsigned char *data, size_t length, bool last,
                      cp_codec_sink sink, void *context)
{
    int code = 0;
    if (!encoder->begun) {
        encoder->begun = true;
        const size_t made = LZ4F_compressBegin(encoder->lz4, encoder->piece, sizeof encoder->piece, NULL);
        code = lz4_give(encoder, made, sink, context);
    }
    for (size_t at = 0; code == 0 && at < length;) {
        const size_t step = length - at < LZ4_STEP ? length - at : LZ4_STEP;
        const size_t made =
            LZ4F_compressUpdate(encoder->lz4, encoder->piece, sizeof encoder->piece, data + at, step, NULL);
        code = lz4_give(encoder, made, sink, context);
        at += step;
    }
    if (code == 0 && last) {
        const size_t made = LZ4F_compressEnd(encoder->lz4, encoder->piece, sizeof encoder->piece, NULL);
        code = lz4_give(encoder, made, sink, context);
    }
    return code;
}

int cp_encoder_feed(cp_encoder *encoder, const void *data, size_t length, bool last, cp_codec_sink sink,
                    void *context)
{
    if (length == 0 && !last)
        return 0;
    switch (encoder->coding) {
    case CP_CODING_GZIP:
    case CP_CODING_DEFLATE:
        for (; length > INT_MAX; length -= INT_MAX) {
            const int code = zlib_encode(encoder, data, INT_MAX, false, sink, context);
            if (code != 0)
                return code;
            data = (const unsigned char *)data + INT_MAX;
        }
        return zlib_encode(encoder, data, length, last, sink, context);
    case CP_CODING_ZSTD:
        return zstd_encode(encoder, data, length, last, sink, context);
    case CP_CODING_LZ4:
        return lz4_encode(encoder, data, length, last, sink, context);
    default:
        return length > 0 ? sink(context, data, length) : 0;
    }
}
