/* The body of a POST from the sections of a block: as one zstd frame, or as they are.
 *
 * Sections are fed to one streaming context that is made, and warmed up, at create: a batch allocates nothing. Frames
 * carry a checksum, so that a damaged body is refused by the server instead of stored. One thread. */
#ifndef CP_FLUSH_COMPRESS_H
#define CP_FLUSH_COMPRESS_H

#include <coldpath/error.h>
#include <stddef.h>
#include <stdint.h>

#include "flush/native.h"

typedef struct cp_compressor cp_compressor;

/* A zstd compressor of the given level, 1 … ZSTD_maxCLevel(). CP_E_INVAL, CP_E_NOMEM. */
int cp_compressor_create(cp_compressor **out, int level, cp_error *err);
void cp_compressor_free(cp_compressor *compressor);

/* Room that bodies of at most bytes need, whichever way they are made. */
size_t cp_compress_bound(uint64_t bytes);

/* Compresses block into body (capacity ≥ cp_compress_bound(block->bytes)). Returns the size of the frame in *size.
 * CP_E_TOO_BIG, CP_E_CORRUPT (zstd reports an internal error). */
int cp_compress_block(cp_compressor *compressor, const cp_native_block *block, void *body, size_t capacity,
                      size_t *size);

/* Copies the sections one after the other. CP_E_TOO_BIG. */
int cp_concat_block(const cp_native_block *block, uint8_t *body, size_t capacity, size_t *size);

#endif
