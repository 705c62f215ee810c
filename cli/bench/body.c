#include "cli/bench/body.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "flush/arena.h"
#include "flush/compress.h"
#include "flush/native.h"

enum {
    ARENA_FACTOR = 8, /* streams double: room for the worst case, untouched where it is not needed */
    ARENA_LEAST = 64 << 20
};

int cp_bench_body_make(cp_bench_body *body, const cp_bench_rows *rows, uint32_t first, uint32_t count,
                       cp_error *err)
{
    cp_native *native = NULL;
    cp_native_block block = {0};
    cp_arena arena = {0};
    *body = (cp_bench_body){0};
    int rc = cp_native_create(&native, rows->table, err);
    if (rc == CP_OK && cp_arena_map(&arena, ARENA_FACTOR * rows->bytes + ARENA_LEAST) < 0)
        rc = cp_error_set(err, CP_E_NOMEM, "no memory to encode %u rows", rows->row_count);
    if (rc == CP_OK &&
        (rc = cp_native_encode(native, &arena, rows->chunks + first, count, SIZE_MAX, &block)) < 0)
        cp_error_set(err, rc, "the rows do not fit one block; fewer with --rows");
    if (rc == CP_OK) {
        body->rows = block.rows;
        body->bytes = malloc(block.bytes);
        if (!body->bytes || cp_concat_block(&block, body->bytes, block.bytes, &body->size) != CP_OK)
            rc = cp_error_set(err, CP_E_NOMEM, "no memory for a body of %" PRIu64 " bytes", block.bytes);
    }
    cp_native_free(native);
    cp_arena_unmap(&arena);
    return rc;
}
