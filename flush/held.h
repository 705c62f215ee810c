/* Batches set aside: each may have been stored at an endpoint that does not answer, and waits for it on disk, so that rings and logs
 * need not wait with it.
 *
 *   <dir>/<table>.<hash of the token>.held            waits
 *                                    .held.new        being written; what a kill left is removed at the next start
 *                                    .held.settled    settled, while the account learns of it
 *
 *     ├ header 1024 B ┼ cp_held_chunk × chunk_count ┼ offsets of rows, records │ of each chunk ┤   parts padded to 8 bytes
 *
 * A file is written whole beside its name, made durable, and renamed. All of it is under a checksum, but for the piece: when the
 * batch goes in pieces, which one is under way. A batch that went in pieces before it was set aside is here without the rows that
 * were settled; `base` says how many those are, for the tokens of its pieces (pieces.h) count them. Integers are little-endian. */
#ifndef CP_FLUSH_HELD_H
#define CP_FLUSH_HELD_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "flush/batch.h"
#include "flush/flusher.h"

enum { CP_HELD_PATH = 1400 };

typedef struct cp_held_header {
    uint64_t magic;
    uint64_t checksum; /* XXH3 of all, with this field and the piece 0 */
    uint64_t size;     /* of the file */
    uint64_t endpoint; /* as in cp_batch_intent */
    uint64_t schema_hash;
    uint32_t rows;
    uint32_t chunk_count;
    uint32_t piece_first;
    uint32_t piece_rows;
    char table[128];
    char token[CP_TOKEN_MAX];
    uint32_t base;
    uint8_t reserved[1024 - 60 - 128 - CP_TOKEN_MAX];
} cp_held_header;

/* A batch read back. Mapped; changes to the rows are private. */
typedef struct cp_held {
    const cp_held_header *header;
    uint64_t size;
    cp_chunk *chunks;
    cp_chunk **pointers; /* to them */
} cp_held;

/* The path of the batch with this token. False: it is too long. */
bool cp_held_path(char path[CP_HELD_PATH], const char *dir, const char *table, const char *token);

/* How long the file of these chunks is. */
uint64_t cp_held_size(cp_chunk *const *chunks, uint32_t count);

/* Writes a batch; header: all but magic, checksum, size and chunk_count. Makes the directory. Durable on CP_OK. CP_E_IO, CP_E_PERM,
 * CP_E_TOO_BIG. */
int cp_held_write(const char *path, const char *dir, cp_held_header *header, cp_chunk *const *chunks,
                  uint32_t count, cp_error *err);

/* Reads one. CP_E_ABSENT, CP_E_CORRUPT, CP_E_IO, CP_E_NOMEM. */
int cp_held_open(cp_held *held, const char *path, cp_error *err);
void cp_held_close(cp_held *held);

/* The piece that is about to be sent, durable. CP_E_IO. */
int cp_held_set_piece(const char *path, cp_batch_piece piece, cp_error *err);

/* A batch is settled: renames its file, durably, to what cp_held_settled_path says. CP_E_IO. */
int cp_held_settle(const char *path, const char *dir, cp_error *err);
void cp_held_settled_path(char settled[CP_HELD_PATH], const char *path);

/* Removes a batch, durably. One that is not there is no error. CP_E_IO. */
int cp_held_remove(const char *path, const char *dir, cp_error *err);

#endif
