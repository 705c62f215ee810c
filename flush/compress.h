/* The body of a POST from the sections of a block: as one zstd frame, or as they are.
 *
 * Sections are fed to one streaming context that is made, and warmed up, at create: a batch allocates nothing. Frames
 * carry a checksum, so that a damaged body is refused by the server instead of stored. One thread. */
#ifndef CP_FLUSH_COMPRESS_H
#define CP_FLUSH_COMPRESS_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flush/native.h"

typedef struct cp_compressor cp_compressor;

/* A zstd compressor of the given level, 1 … ZSTD_maxCLevel(); choose: some bodies may go plain, as measured (compress_choice.h).
 * CP_E_INVAL, CP_E_NOMEM. */
int cp_compressor_create(cp_compressor **out, int level, bool choose, cp_error *err);
void cp_compressor_free(cp_compressor *compressor);

/* Whether a body of so many bytes is to be compressed. */
bool cp_compressor_wants(cp_compressor *compressor, uint64_t bytes);

/* A body of so many bytes before compression has been answered at its first attempt, ns after it was begun to be made. */
void cp_compressor_learn(cp_compressor *compressor, bool compressed, uint64_t bytes, uint64_t ns);

/* Room that bodies of at most bytes need, whichever way they are made. */
size_t cp_compress_bound(uint64_t bytes);

/* Compresses block into body (capacity ≥ cp_compress_bound(block->bytes)). Returns the size of the frame in *size.
 * CP_E_TOO_BIG, CP_E_CORRUPT (zstd reports an internal error). */
int cp_compress_block(cp_compressor *compressor, const cp_native_block *block, void *body, size_t capacity,
                      size_t *size);

/* Copies the sections one after the other. CP_E_TOO_BIG. */
int cp_concat_block(const cp_native_block *block, uint8_t *body, size_t capacity, size_t *size);

#endif
