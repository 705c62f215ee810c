/* Which way to sync is faster depends on the device and the size of the writes: on some, a write that is durable by itself
 * (O_DSYNC, at best FUA) beats a write and a sync, on others it is four times slower. So both are measured, on blocks of a ready
 * segment that nobody has written to yet.
 *
 * Except where durable writes through the backend would wait for a kernel thread that the polling drain thread keeps off its
 * processor (dsync_defers): a few measurements in a row do not show that, the steady state does. There, write and sync it
 * is, and nothing is measured: a start that waits for a dozen commits has rows waiting too. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wal/log_private.h"

enum {
    ROUNDS = 3,
    HOPELESS = 4,
    TAG_WRITE = 1,
    TAG_SYNC = 2,
    SMALL = CP_WAL_BLOCK,
    LARGE = 16 * CP_WAL_BLOCK
};

#define SPIN_NS                                                                                              \
    ((uint64_t)100 * CP_NS_PER_MS) /* what takes longer is waited for without looking all the time */

/* However long it takes: what is left under way would come out of the writer's reaping as one of its own, and its zeros could
 * fall on a frame. */
static bool completion_wait(cp_io *io, int64_t least)
{
    cp_io_done done;
    const uint64_t until = cp_boottime_ns() + SPIN_NS;
    int count = 0;
    while ((count = io->ops->reap(io, &done, 1, cp_boottime_ns() < until ? 0 : CP_NS_PER_S)) == 0) {
    }
    return count == 1 && done.result >= least;
}

/* One commit; its nanoseconds, 0 when it failed. */
static uint64_t commit_time(cp_wal *wal, int file, uint64_t size, bool dsync)
{
    cp_io *io = wal->io;
    const uint64_t began = cp_boottime_ns();
    const uint8_t *data = wal->frames[0].buffer;
    if (io->ops->submit_write(io, file, data, size, CP_WAL_FIRST_FRAME, dsync, TAG_WRITE) != 0 ||
        !completion_wait(io, (int64_t)size))
        return 0;
    if (!dsync && (io->ops->submit_sync(io, file, TAG_SYNC) != 0 || !completion_wait(io, 0)))
        return 0;
    return cp_boottime_ns() - began;
}

static int compare_time(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The median; 0 when any failed. The first one that takes longer than `most` ends it. */
static uint64_t commit_median(cp_wal *wal, int file, uint64_t size, bool dsync, uint64_t most)
{
    uint64_t times[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        times[i] = commit_time(wal, file, size, dsync);
        if (times[i] == 0 || times[i] > most)
            return times[i];
    }
    qsort(times, ROUNDS, sizeof times[0], compare_time);
    return times[ROUNDS / 2];
}

void cp_wal_calibrate(cp_wal *wal)
{
    wal->dsync = wal->config.sync == CP_WAL_DSYNC;
    if (wal->config.sync != CP_WAL_SYNC_AUTO || wal->io->dsync_defers)
        return;
    pthread_mutex_lock(&wal->mutex);
    const cp_wal_segment *ready = cp_wal_segments_first(&wal->segments, CP_SEGMENT_READY);
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, ready ? ready->slot : 0);
    pthread_mutex_unlock(&wal->mutex);
    const int file = ready ? wal->io->ops->open(wal->io, name, 0) : -1;
    if (file < 0)
        return;
    /* Not past the frame's buffer, nor past the segment's end. */
    const uint64_t most_bytes = wal->frame_capacity < LARGE ? wal->frame_capacity : LARGE;
    memset(wal->frames[0].buffer, 0, most_bytes);
    uint64_t most = UINT64_MAX;
    for (int dsync = 0; dsync < 2; dsync++) {
        const uint64_t small = commit_median(wal, file, SMALL, dsync, most);
        const uint64_t large = small ? commit_median(wal, file, most_bytes, dsync, most) : 0;
        wal->calibrated[dsync] = large ? small + large : 0;
        most = large ? HOPELESS * large : UINT64_MAX;
    }
    wal->io->ops->close(wal->io, file);
    wal->dsync =
        wal->calibrated[1] != 0 && (wal->calibrated[0] == 0 || wal->calibrated[1] < wal->calibrated[0]);
}
