#include "wal/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/failpoint.h"

#define CHECKPOINT_TEMPORARY "checkpoint.tmp"

static cp_wal_checkpoint_block *block_at(const cp_wal_checkpoint *checkpoint, unsigned slot)
{
    return (cp_wal_checkpoint_block *)(void *)(checkpoint->blocks + (size_t)slot * CP_WAL_BLOCK);
}

static int file_sync(cp_io *io, int file, unsigned unsafe)
{
    return unsafe & CP_UNSAFE_CHECKPOINT_SYNC ? 0 : io->ops->sync(io, file);
}

/* Takes the newest of the sound blocks that were read. */
static int blocks_choose(cp_wal_checkpoint *checkpoint, int64_t size, cp_error *err)
{
    int best = -1;
    for (unsigned slot = 0; slot < 2; slot++) {
        const cp_wal_checkpoint_block *block = block_at(checkpoint, slot);
        const bool there = size >= (int64_t)(slot + 1) * CP_WAL_BLOCK;
        const int code = there ? cp_wal_checkpoint_check(block, checkpoint->unsafe) : CP_E_CORRUPT;
        if (code == CP_E_ABI)
            return cp_error_set(err, CP_E_ABI,
                                CP_WAL_CHECKPOINT_FILE
                                " has format version %u, this program knows version %d: use "
                                "the coldpath that wrote it, or drain the log with that one",
                                block->head.version, CP_WAL_VERSION);
        checkpoint->newest[slot] = code == CP_OK;
        if (code == CP_OK &&
            (best < 0 || block->generation > block_at(checkpoint, (unsigned)best)->generation))
            best = (int)slot;
    }
    checkpoint->lost = best < 0;
    if (best < 0) {
        memset(&checkpoint->now, 0, sizeof checkpoint->now);
        return CP_OK;
    }
    checkpoint->now = *block_at(checkpoint, (unsigned)best);
    for (unsigned slot = 0; slot < 2; slot++)
        checkpoint->newest[slot] &= block_at(checkpoint, slot)->generation == checkpoint->now.generation;
    return CP_OK;
}

int cp_wal_checkpoint_open(cp_wal_checkpoint *checkpoint, cp_io *io, unsigned unsafe, cp_error *err)
{
    memset(checkpoint, 0, sizeof *checkpoint);
    checkpoint->io = io;
    checkpoint->unsafe = unsafe;
    checkpoint->file = io->ops->open(io, CP_WAL_CHECKPOINT_FILE, 0);
    if (checkpoint->file < 0)
        return cp_error_errno(err, cp_error_code_of_errno(-checkpoint->file), -checkpoint->file,
                              "cannot open " CP_WAL_CHECKPOINT_FILE);
    checkpoint->blocks = aligned_alloc(CP_IO_BLOCK, (size_t)2 * CP_WAL_BLOCK);
    if (!checkpoint->blocks) {
        cp_wal_checkpoint_close(checkpoint);
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    }
    memset(checkpoint->blocks, 0, (size_t)2 * CP_WAL_BLOCK);
    /* What a killed process wrote may be in the cache only; it must not vanish after it has been believed. */
    int code = CP_OK;
    int64_t result = io->ops->sync(io, checkpoint->file);
    if (result >= 0)
        result = io->ops->read(io, checkpoint->file, checkpoint->blocks, (uint64_t)2 * CP_WAL_BLOCK, 0);
    if (result < 0)
        code = cp_error_errno(err, CP_E_IO, (int)-result, "cannot read " CP_WAL_CHECKPOINT_FILE);
    if (code == CP_OK)
        code = blocks_choose(checkpoint, result, err);
    if (code != CP_OK)
        cp_wal_checkpoint_close(checkpoint);
    return code;
}

int cp_wal_checkpoint_create(cp_io *io, const cp_wal_checkpoint_block *block, unsigned unsafe, cp_error *err)
{
    uint8_t *blocks = aligned_alloc(CP_IO_BLOCK, (size_t)2 * CP_WAL_BLOCK);
    if (!blocks)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    memcpy(blocks, block, CP_WAL_BLOCK);
    cp_wal_block_seal(blocks, CP_WAL_CHECKPOINT_MAGIC);
    memcpy(blocks + CP_WAL_BLOCK, blocks, CP_WAL_BLOCK);
    io->ops->unlink(io, CHECKPOINT_TEMPORARY); /* of an attempt that was killed; mostly not there */
    int64_t result = 0;
    const int file = io->ops->open(io, CHECKPOINT_TEMPORARY, CP_IO_CREATE);
    if (file < 0) {
        result = file;
    } else {
        result = io->ops->write(io, file, blocks, (uint64_t)2 * CP_WAL_BLOCK, 0);
        if (result >= 0)
            result = file_sync(io, file, unsafe);
        io->ops->close(io, file);
    }
    free(blocks);
    if (result >= 0)
        result = io->ops->rename(io, CHECKPOINT_TEMPORARY, CP_WAL_CHECKPOINT_FILE);
    if (result >= 0 && !(unsafe & CP_UNSAFE_DIR_SYNC))
        result = io->ops->sync_dir(io);
    if (result < 0)
        return cp_error_errno(err, cp_error_code_of_errno((int)-result), (int)-result,
                              "cannot write " CP_WAL_CHECKPOINT_FILE);
    return CP_OK;
}

static int64_t slot_write(cp_wal_checkpoint *checkpoint, unsigned slot, const cp_wal_checkpoint_block *block)
{
    checkpoint->newest[slot] = false;
    *block_at(checkpoint, slot) = *block;
    const int64_t result =
        checkpoint->io->ops->write(checkpoint->io, checkpoint->file, block_at(checkpoint, slot), CP_WAL_BLOCK,
                                   (uint64_t)slot * CP_WAL_BLOCK);
    return result < 0 ? result : file_sync(checkpoint->io, checkpoint->file, checkpoint->unsafe);
}

int cp_wal_checkpoint_store(cp_wal_checkpoint *checkpoint, const cp_wal_checkpoint_block *block,
                            cp_error *err)
{
    cp_wal_checkpoint_block *next = &checkpoint->next;
    *next = *block;
    memcpy(next->uuid, checkpoint->now.uuid, sizeof next->uuid);
    next->generation = checkpoint->now.generation + 1;
    cp_wal_block_seal(next, CP_WAL_CHECKPOINT_MAGIC);
    unsigned first = checkpoint->newest[0] && !checkpoint->newest[1] ? 1 : 0;
    if (checkpoint->unsafe & CP_UNSAFE_ONE_SLOT)
        first = 0;
    const int64_t result = slot_write(checkpoint, first, next);
    if (result < 0)
        return cp_error_errno(err, CP_E_IO, (int)-result, "cannot write " CP_WAL_CHECKPOINT_FILE);
    checkpoint->newest[first] = true;
    checkpoint->newest[1 - first] = false;
    checkpoint->now = *next;
    if (checkpoint->unsafe & CP_UNSAFE_ONE_SLOT)
        return CP_OK;
    cp_failpoint(CP_FP_WAL_CHECKPOINT_HALF);
    /* Durable already; should the second block fail, it is the one to be written first next time. */
    checkpoint->newest[1 - first] = slot_write(checkpoint, 1 - first, next) >= 0;
    return CP_OK;
}

void cp_wal_checkpoint_close(cp_wal_checkpoint *checkpoint)
{
    if (checkpoint->file >= 0)
        checkpoint->io->ops->close(checkpoint->io, checkpoint->file);
    free(checkpoint->blocks);
    checkpoint->blocks = NULL;
    checkpoint->file = -1;
}
