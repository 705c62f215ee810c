#include "flush/compress.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/error.h"
#include "flush/compress_choice.h"

struct cp_compressor {
    ZSTD_CCtx *context;
    bool choose;
    cp_compress_choice choice;
};

/* Compresses some bytes, so that the context takes its memory now and not with the first batch. */
static size_t compressor_warm_up(cp_compressor *compressor)
{
    static const uint8_t input[64];
    uint8_t output[256];
    ZSTD_inBuffer in = {input, sizeof input, 0};
    ZSTD_outBuffer out = {output, sizeof output, 0};
    size_t left = ZSTD_compressStream2(compressor->context, &out, &in, ZSTD_e_continue);
    if (!ZSTD_isError(left))
        left = ZSTD_compressStream2(compressor->context, &out, &in, ZSTD_e_end);
    return left;
}

int cp_compressor_create(cp_compressor **out, int level, bool choose, cp_error *err)
{
    *out = NULL;
    if (level < 1 || level > ZSTD_maxCLevel())
        return cp_error_set(err, CP_E_INVAL, "zstd level %d is not in 1 … %d", level, ZSTD_maxCLevel());
    cp_compressor *compressor = calloc(1, sizeof *compressor);
    if (!compressor)
        return cp_error_set(err, CP_E_NOMEM, "no memory for compression");
    compressor->choose = choose;
    cp_compress_choice_init(&compressor->choice);
    compressor->context = ZSTD_createCCtx();
    if (!compressor->context ||
        ZSTD_isError(ZSTD_CCtx_setParameter(compressor->context, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(compressor->context, ZSTD_c_checksumFlag, 1)) ||
        compressor_warm_up(compressor) != 0) {
        cp_compressor_free(compressor);
        return cp_error_set(err, CP_E_NOMEM, "no memory for zstd at level %d", level);
    }
    *out = compressor;
    return CP_OK;
}

void cp_compressor_free(cp_compressor *compressor)
{
    if (!compressor)
        return;
    ZSTD_freeCCtx(compressor->context);
    free(compressor);
}

bool cp_compressor_wants(cp_compressor *compressor, uint64_t bytes)
{
    return !compressor->choose || cp_compress_choice_next(&compressor->choice, bytes);
}

void cp_compressor_learn(cp_compressor *compressor, bool compressed, uint64_t bytes, uint64_t ns)
{
    if (compressor->choose)
        cp_compress_choice_learn(&compressor->choice, compressed, bytes, ns);
}

size_t cp_compress_bound(uint64_t bytes)
{
    return ZSTD_compressBound(bytes);
}

int cp_compress_block(cp_compressor *compressor, const cp_native_block *block, void *body, size_t capacity,
                      size_t *size)
{
    ZSTD_outBuffer out = {body, capacity, 0};
    ZSTD_CCtx_reset(compressor->context, ZSTD_reset_session_only);
    for (uint32_t i = 0; i < block->section_count; i++) {
        ZSTD_inBuffer in = {block->sections[i].data, block->sections[i].size, 0};
        const bool last = i + 1 == block->section_count;
        size_t left = 0;
        do {
            left = ZSTD_compressStream2(compressor->context, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
            if (ZSTD_isError(left))
                return CP_E_CORRUPT;
            if (out.pos == out.size && (left > 0 || in.pos < in.size))
                return CP_E_TOO_BIG;
        } while (last ? left > 0 : in.pos < in.size);
    }
    *size = out.pos;
    return CP_OK;
}

int cp_concat_block(const cp_native_block *block, uint8_t *body, size_t capacity, size_t *size)
{
    if (block->bytes > capacity)
        return CP_E_TOO_BIG;
    uint8_t *to = body;
    for (uint32_t i = 0; i < block->section_count; i++) {
        memcpy(to, block->sections[i].data, block->sections[i].size);
        to += block->sections[i].size;
    }
    *size = (size_t)(to - body);
    return CP_OK;
}
