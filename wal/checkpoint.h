/* The checkpoint: how far ClickHouse has the log, and which batches may or may not have arrived.
 *
 *   store(generation 8):   A: 7  B: 7  ──write, sync──► A: 8  B: 7  ──write, sync──► A: 8  B: 8
 *
 * Both blocks are written, one after the other, each durable before the next step: whatever is torn on the way, one of them
 * is whole; and at rest a single bad block costs nothing, not even the newest intent. The block that does not hold the
 * newest generation is always written first. One thread. */
#ifndef CP_WAL_CHECKPOINT_H
#define CP_WAL_CHECKPOINT_H

#include "wal/format.h"
#include "wal/io.h"

#define CP_WAL_CHECKPOINT_FILE "checkpoint"

typedef struct cp_wal_checkpoint {
    cp_io *io;
    int file;
    unsigned unsafe;
    bool newest[2];               /* the block holds the newest generation */
    bool lost;                    /* neither block was sound when it was loaded */
    cp_wal_checkpoint_block now;  /* the newest, as stored */
    cp_wal_checkpoint_block next; /* being stored */
    uint8_t *blocks;              /* both, aligned */
} cp_wal_checkpoint;

/* Opens the checkpoint of the directory and takes the newest sound block; when there is none, `lost` is set and `now` empty.
 * CP_E_ABSENT: no such file; CP_E_ABI: of another version; CP_E_IO, CP_E_NOMEM. To be closed in every case but an error. */
int cp_wal_checkpoint_open(cp_wal_checkpoint *checkpoint, cp_io *io, unsigned unsafe, cp_error *err);

/* Makes the file of a new log, or in place of one that is gone; a crash leaves either none or a whole one. */
int cp_wal_checkpoint_create(cp_io *io, const cp_wal_checkpoint_block *block, unsigned unsafe, cp_error *err);

/* Stores block, whose generation this sets; on CP_OK it is durable, and `now`. CP_E_IO: whether it is durable is not known;
 * `now` stays, and another store will do what is right. */
int cp_wal_checkpoint_store(cp_wal_checkpoint *checkpoint, const cp_wal_checkpoint_block *block,
                            cp_error *err);

void cp_wal_checkpoint_close(cp_wal_checkpoint *checkpoint);

#endif
