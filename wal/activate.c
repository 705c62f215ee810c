/* Taking segments into use and out of it: the drain thread's short part of what maintenance prepared. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "wal/log_private.h"

/* Takes a ready slot out of the table's free ones; UINT32_MAX when there is none. */
static uint32_t slot_take(cp_wal *wal)
{
    uint32_t slot = UINT32_MAX;
    const uint64_t salt = cp_wal_random(wal); /* a system call */
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segment *segment = cp_wal_segments_first(&wal->segments, CP_SEGMENT_READY);
    if (segment) {
        slot = segment->slot;
        segment->state = CP_SEGMENT_ACTIVE;
        segment->epoch = wal->epoch;
        segment->previous_id = wal->tail.segment_id;
        segment->origin = (cp_wal_origin){.id = wal->next_id++,
                                          .salt = salt,
                                          .size = segment->file_size,
                                          .base_lsn = atomic_load(&wal->durable) + 1};
        wal->active = segment->origin;
    }
    pthread_cond_signal(&wal->wake);
    pthread_mutex_unlock(&wal->mutex);
    return slot;
}

static void header_fill(cp_wal *wal, cp_wal_segment_header *header)
{
    memset(header, 0, sizeof *header);
    memcpy(header->uuid, wal->uuid, CP_WAL_UUID);
    header->id = wal->active.id;
    header->epoch = wal->epoch;
    header->salt = wal->active.salt;
    header->base_lsn = wal->active.base_lsn;
    header->size = wal->active.size;
    header->activated_ns = cp_realtime_ns();
    header->previous_id = wal->tail.segment_id;
    header->previous_end = wal->tail.end;
    header->previous_crc = wal->tail.crc;
    header->schema_hash = wal->config.schema_hash;
    header->ring_count = CP_WAL_RINGS;
    pthread_mutex_lock(&wal->mutex);
    memcpy(header->rings, wal->rings, sizeof header->rings);
    pthread_mutex_unlock(&wal->mutex);
    cp_wal_block_seal(header, CP_WAL_SEGMENT_MAGIC);
}

/* A slot that cannot be opened or locked is of no use. */
static void slot_drop(cp_wal *wal, uint32_t slot)
{
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segment *segment = cp_wal_segments_by_slot(&wal->segments, slot);
    segment->state = CP_SEGMENT_DEAD;
    segment->origin = (cp_wal_origin){0};
    pthread_mutex_unlock(&wal->mutex);
}

static int slot_open(cp_wal *wal, uint32_t slot)
{
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, slot);
    const int file = wal->io->ops->open(wal->io, name, 0);
    if (file < 0)
        return file;
    /* On the descriptor of the I/O itself: should this process be killed, the lock stays until its last write has ended. */
    const int result = wal->io->ops->lock(wal->io, file);
    if (result < 0) {
        wal->io->ops->close(wal->io, file);
        return result;
    }
    wal->io->ops->use_file(wal->io, file);
    return file;
}

bool cp_wal_segment_activate(cp_wal *wal, cp_frame *frame)
{
    const uint32_t slot = slot_take(wal);
    if (slot == UINT32_MAX) {
        if (wal->state == CP_WAL_RUNNING)
            cp_wal_report(wal, CP_WAL_STALLED,
                          "%s: no segment is free, nothing more is acknowledged: ClickHouse must take rows, "
                          "or the log's "
                          "limit (now %llu bytes) or the free space of its file system must grow",
                          wal->dir, (unsigned long long)wal->config.limit);
        return false;
    }
    wal->file = slot_open(wal, slot);
    if (wal->file < 0) {
        cp_wal_report(wal, CP_WAL_FAILING, "%s/%06u.seg: cannot open it for writing: %s", wal->dir, slot,
                      strerror(-wal->file));
        wal->file = -1;
        slot_drop(wal, slot);
        return false;
    }
    if (wal->state == CP_WAL_STALLED)
        cp_wal_report_over(wal);
    cp_wal_segment_header *header = (cp_wal_segment_header *)(void *)frame->buffer;
    header_fill(wal, header);
    for (int copy = 1; copy < CP_WAL_HEADER_COPIES; copy++)
        memcpy(frame->buffer + (size_t)copy * CP_WAL_BLOCK, header, CP_WAL_BLOCK);
    wal->active.header_crc = header->head.crc;
    wal->write_crc = header->head.crc;
    wal->write_offset = CP_WAL_FIRST_FRAME;
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segment *segment = cp_wal_segments_by_id(&wal->segments, wal->active.id);
    segment->origin = wal->active;
    segment->repaired = false;
    segment->activated_ns = header->activated_ns;
    pthread_mutex_unlock(&wal->mutex);
    return true;
}

void cp_wal_segment_seal(cp_wal *wal, bool poisoned)
{
    if (wal->file < 0)
        return;
    wal->io->ops->close(wal->io, wal->file);
    wal->file = -1;
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segment *segment = cp_wal_segments_by_id(&wal->segments, wal->active.id);
    segment->poisoned = poisoned;
    segment->sealed_ns = cp_realtime_ns();
    if (wal->tail.segment_id == wal->active.id) {
        segment->state = CP_SEGMENT_SEALED;
        segment->end = wal->tail.end;
        segment->end_crc = wal->tail.crc;
        segment->end_lsn = atomic_load(&wal->durable);
    } else {
        segment->state = CP_SEGMENT_DEAD; /* nothing in it was ever acknowledged */
        segment->origin = (cp_wal_origin){0};
    }
    pthread_cond_signal(&wal->wake);
    pthread_mutex_unlock(&wal->mutex);
}
