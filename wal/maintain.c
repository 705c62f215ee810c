/* Maintenance: the slow work on files, by a thread of its own, so that the drain thread finds segments ready.
 *
 * A slot is made under a temporary name: allocated, written full of zeros (unwritten extents and growing files cost a
 * journal commit with every sync; written ones of fixed size do not), synced, renamed, the directory synced. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "wal/log_private.h"

enum { ZEROS = 1024 * 1024, CUT_SHARE = 8 /* a sealed segment that is emptier by this part of it is cut */ };

static _Alignas(CP_IO_BLOCK) uint8_t zeros[ZEROS]; /* never written to: costs no memory */

/* What there is to do; at most one thing a round. */
typedef enum task_kind { TASK_NONE, TASK_UNLINK, TASK_CUT, TASK_PREPARE } task_kind;

typedef struct task {
    task_kind kind;
    uint32_t slot;
    uint64_t size;
} task;

static uint32_t slot_unused(const cp_wal_segments *segments)
{
    uint32_t slot = 0;
    while (cp_wal_segments_by_slot(segments, slot))
        slot++;
    return slot;
}

/* A segment that ends early (the log went on in another one) keeps only what it holds. */
static const cp_wal_segment *segment_to_cut(const cp_wal *wal)
{
    const uint64_t tail = atomic_load(&wal->tail_id);
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        const cp_wal_segment *segment = &wal->segments.items[i];
        if (segment->state == CP_SEGMENT_SEALED && segment->origin.id < tail &&
            segment->file_size > segment->end + segment->origin.size / CUT_SHARE)
            return segment;
    }
    return NULL;
}

static task task_prepare(cp_wal *wal, uint64_t now_ns)
{
    cp_wal_segments *segments = &wal->segments;
    const uint64_t size = wal->config.segment_size;
    if (cp_wal_segments_count(segments, CP_SEGMENT_READY) >= CP_WAL_READY || now_ns < wal->prepare_after_ns ||
        segments->count == segments->capacity)
        return (task){.kind = TASK_NONE};
    if (cp_wal_segments_bytes(segments) + size > wal->config.limit) {
        /* What was delivered and is only kept for replay gives way first. */
        cp_wal_segment *oldest = cp_wal_segments_oldest(segments, CP_SEGMENT_SEALED);
        if (!oldest || oldest->pins || oldest->end_lsn > atomic_load(&wal->delivered))
            return (task){.kind = TASK_NONE};
        const bool whole = oldest->file_size == size && !oldest->poisoned;
        oldest->state = whole ? CP_SEGMENT_READY : CP_SEGMENT_DEAD;
        return whole ? (task){.kind = TASK_NONE} : (task){.kind = TASK_UNLINK, .slot = oldest->slot};
    }
    return (task){.kind = TASK_PREPARE, .slot = slot_unused(segments), .size = size};
}

static task task_choose(cp_wal *wal, uint64_t now_ns)
{
    task chosen = {.kind = TASK_NONE};
    pthread_mutex_lock(&wal->mutex);
    if (cp_wal_segments_count(&wal->segments, CP_SEGMENT_READY) > CP_WAL_READY_MOST)
        cp_wal_segments_first(&wal->segments, CP_SEGMENT_READY)->state = CP_SEGMENT_DEAD;
    const cp_wal_segment *dead = cp_wal_segments_first(&wal->segments, CP_SEGMENT_DEAD);
    const cp_wal_segment *cut = segment_to_cut(wal);
    if (dead)
        chosen = (task){.kind = TASK_UNLINK, .slot = dead->slot};
    else if (cut)
        chosen = (task){.kind = TASK_CUT, .slot = cut->slot, .size = cut->end};
    else
        chosen = task_prepare(wal, now_ns);
    pthread_mutex_unlock(&wal->mutex);
    return chosen;
}

static int zeros_write(cp_wal *wal, int file, uint64_t size)
{
    cp_io *io = wal->files;
    int64_t result = io->ops->allocate(io, file, size);
    for (uint64_t at = 0; at < size && result >= 0; at += ZEROS) {
        const uint64_t part = size - at < ZEROS ? size - at : ZEROS;
        result = io->ops->write(io, file, zeros, part, at);
        pthread_mutex_lock(&wal->mutex);
        const bool stop = wal->stop;
        pthread_mutex_unlock(&wal->mutex);
        if (stop && result >= 0)
            result = -ECANCELED;
    }
    return result < 0 ? (int)result : io->ops->sync(io, file);
}

static int slot_prepare(cp_wal *wal, uint32_t slot, uint64_t size)
{
    cp_io *io = wal->files;
    char name[CP_WAL_SEGMENT_NAME];
    char temporary[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, slot);
    snprintf(temporary, sizeof temporary, "%06u.tmp", slot % 1000000);
    io->ops->unlink(io, temporary); /* of an attempt that was killed; mostly not there */
    const int file = io->ops->open(io, temporary, CP_IO_CREATE);
    if (file < 0)
        return file;
    int result = zeros_write(wal, file, size);
    io->ops->close(io, file);
    cp_failpoint(CP_FP_WAL_PREPARED);
    if (result >= 0)
        result = io->ops->rename(io, temporary, name);
    if (result >= 0 && !(wal->seams.unsafe & CP_UNSAFE_DIR_SYNC))
        result = io->ops->sync_dir(io);
    if (result < 0)
        io->ops->unlink(io, temporary);
    return result;
}

static int slot_cut(cp_wal *wal, uint32_t slot, uint64_t size)
{
    cp_io *io = wal->files;
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, slot);
    const int file = io->ops->open(io, name, 0);
    if (file < 0)
        return file;
    const int result = io->ops->truncate(io, file, size);
    io->ops->close(io, file);
    return result;
}

static int slot_unlink(cp_wal *wal, uint32_t slot)
{
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, slot);
    const int result = wal->files->ops->unlink(wal->files, name);
    return result == -ENOENT ? 0 : result;
}

/* Enters what was done into the table. Only maintenance adds and removes, so that the slot is still what it was. */
static void task_finish(cp_wal *wal, const task *done, int result, uint64_t now_ns)
{
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segment *segment = cp_wal_segments_by_slot(&wal->segments, done->slot);
    if (done->kind == TASK_UNLINK && segment && result >= 0) {
        cp_wal_segments_remove(&wal->segments, segment);
    } else if (done->kind == TASK_CUT && segment) {
        segment->file_size = done->size; /* not cut, it is only larger than it need be */
    } else if (done->kind == TASK_PREPARE && result >= 0) {
        segment = cp_wal_segments_add(&wal->segments, done->slot);
        segment->file_size = done->size;
        segment->state = CP_SEGMENT_READY;
        if (wal->state == CP_WAL_RUNNING)
            wal->error[0] = 0; /* of an earlier attempt */
    }
    if (result < 0)
        wal->prepare_after_ns = now_ns + (uint64_t)CP_WAL_PAUSE_MS * CP_NS_PER_MS;
    pthread_mutex_unlock(&wal->mutex);
    if (result == -ENOSPC || result == -EDQUOT)
        cp_wal_report(
            wal, CP_WAL_RUNNING,
            "%s: no space for another segment of %llu bytes: free some on this file system, or lower the "
            "log's limit; what is in the log is safe",
            wal->dir, (unsigned long long)done->size);
    else if (result < 0 && result != -ECANCELED)
        cp_wal_report(wal, CP_WAL_RUNNING, "%s: cannot %s slot %06u: %s", wal->dir,
                      done->kind == TASK_PREPARE ? "prepare" : "clean up", done->slot, strerror(-result));
}

bool cp_wal_maintain(cp_wal *wal, uint64_t now_ns)
{
    const task todo = task_choose(wal, now_ns);
    int result = 0;
    switch (todo.kind) {
    case TASK_NONE:
        return false;
    case TASK_UNLINK:
        result = slot_unlink(wal, todo.slot);
        break;
    case TASK_CUT:
        result = slot_cut(wal, todo.slot, todo.size);
        break;
    case TASK_PREPARE:
        result = slot_prepare(wal, todo.slot, todo.size);
        break;
    }
    task_finish(wal, &todo, result, now_ns);
    return result >= 0;
}

/* Somebody may remove the log's files under a running recorder: no write fails then, and what is written is nowhere. */
static void active_look(cp_wal *wal)
{
    char name[CP_WAL_SEGMENT_NAME];
    uint64_t id = 0;
    pthread_mutex_lock(&wal->mutex);
    const cp_wal_segment *active = cp_wal_segments_first(&wal->segments, CP_SEGMENT_ACTIVE);
    if (active) {
        id = active->origin.id;
        cp_wal_segment_name(name, active->slot);
    }
    pthread_mutex_unlock(&wal->mutex);
    if (id == 0)
        return;
    const int file = wal->files->ops->open(wal->files, name, CP_IO_READ_ONLY);
    if (file >= 0)
        wal->files->ops->close(wal->files, file);
    else if (file == -ENOENT)
        atomic_store(&wal->removed, id);
}

void *cp_wal_maintain_run(void *arg)
{
    cp_wal *wal = arg;
    for (;;) {
        while (cp_wal_maintain(wal, cp_boottime_ns())) {
        }
        active_look(wal);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += CP_WAL_PAUSE_MS / 1000;
        pthread_mutex_lock(&wal->mutex);
        if (!wal->stop)
            pthread_cond_timedwait(&wal->wake, &wal->mutex, &until);
        const bool stop = wal->stop;
        pthread_mutex_unlock(&wal->mutex);
        if (stop)
            return NULL;
    }
}
