/* A log of its own on the real file system, below the build directory, and the driving of it. */
#ifndef COLDPATH_TESTS_WAL_SCRATCH_H
#define COLDPATH_TESTS_WAL_SCRATCH_H

#include "tests/wal/chunks.h"
#include "wal/log.h"
#include "wal/reader.h"

enum {
    SCRATCH_SEGMENT = 256 * 1024,
    SCRATCH_LIMIT = 8 * SCRATCH_SEGMENT,
    SCRATCH_CHUNK = 32 * 1024,
    SCRATCH_SCHEMA = 77
};

typedef struct scratch {
    char dir[256];
    cp_wal_config config;
    cp_wal *wal;
    cp_chunk chunk;
    cp_chunk read;
    uint64_t position; /* of the one ring */
    uint64_t reported; /* LSN of the last durable event */
    bool out_of_order;
} scratch;

/* Makes an empty directory; fills in a configuration. */
void scratch_init(scratch *s, cp_wal_backend backend);
/* Removes it all. */
void scratch_destroy(scratch *s);

/* Opens and starts; fails the test when that fails. */
void scratch_open(scratch *s);
void scratch_close(scratch *s);

/* Appends records first … last; their content follows from their LSN. False when one found no room for long. */
bool scratch_append(scratch *s, uint64_t first, uint64_t last);
/* Steps until everything up to lsn is durable; false when that takes too long. */
bool scratch_wait(scratch *s, uint64_t lsn);
/* Reads back first … last and compares; returns the first bad code. */
int scratch_read(scratch *s, uint64_t first, uint64_t last, cp_error *err);

/* "DIR/name" of the highest or lowest numbered file that ends in .seg and is in use (has a header). */
void scratch_segment(const scratch *s, uint64_t id, char out[300]);
/* Changes the byte at offset of a file. */
void scratch_flip(const char *path, uint64_t offset);

#endif
