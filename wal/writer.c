/* The writer: frames on their way to the disk.
 *
 *   EMPTY ─append─► FILLING ─► WRITING ─► WRITTEN ─► SYNCING ─► DURABLE ─events─► EMPTY
 *                      │ full    ▲ │ failed           │ failed
 *                      ▼         │ ▼                  ▼
 *                    CLOSED ─────┘ segment given up: CLOSED again, for another segment
 *
 * Frames leave in the order in which they were filled; with O_DSYNC writes the two states of syncing fall away. The first
 * frame of a segment carries the segment's headers in the same write, and waits until all before it is durable: so a
 * header's base LSN is itself a statement of durability. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "wal/frame.h"

/* Tags: the frame's index, or TAG_SYNC. A write is resubmitted only after its completion, so the index is unambiguous. */
enum { TAG_SYNC = 0x100 };

static void count(atomic_uint_fast64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

/* ---- filling ---- */

static cp_frame *frame_filling(cp_wal *wal)
{
    if (wal->frame_count > 0) {
        cp_frame *last = cp_wal_frame(wal, wal->frame_count - 1);
        if (last->state == CP_FRAME_FILLING)
            return last;
    }
    if (wal->frame_count == CP_WAL_FRAMES)
        return NULL;
    cp_frame *frame = cp_wal_frame(wal, wal->frame_count++);
    uint8_t *buffer = frame->buffer;
    *frame = (cp_frame){.state = CP_FRAME_FILLING, .buffer = buffer};
    return frame;
}

int cp_wal_append(cp_wal *wal, const cp_chunk *chunk, uint64_t *lsn)
{
    if (chunk->byte_count != chunk->end - chunk->begin || chunk->byte_count % CP_RECORD_ALIGN != 0 ||
        chunk->byte_count == 0 || chunk->slot >= CP_WAL_RINGS)
        return CP_E_INVAL;
    if (chunk->byte_count > wal->config.max_chunk_bytes)
        return CP_E_TOO_BIG;
    cp_frame *frame = frame_filling(wal);
    if (frame && !cp_frame_add(frame, wal->frame_capacity, chunk, wal->next_lsn, wal->config.schema_hash)) {
        frame->state = CP_FRAME_CLOSED;
        frame = frame_filling(wal);
        const bool fits =
            !frame || cp_frame_add(frame, wal->frame_capacity, chunk, wal->next_lsn, wal->config.schema_hash);
        assert(fits); /* an empty frame has room for any chunk */
    }
    if (!frame)
        return CP_FULL;
    *lsn = wal->next_lsn++;
    count(&wal->payload_bytes, chunk->byte_count);
    return CP_OK;
}

/* ---- failing and giving up ---- */

static void writer_fail(cp_wal *wal, int errnum, const char *what)
{
    if (wal->failing == 0)
        wal->failing = errnum;
    cp_wal_report(
        wal, CP_WAL_FAILING,
        "%s: %s of segment %llu failed: %s; what was not acknowledged is written again into another segment. "
        "If this goes on, look at the disk (dmesg, smartctl) and its free space",
        wal->dir, what, (unsigned long long)wal->active.id, strerror(errnum));
}

/* When nothing is under way in it any more: leaves the segment that failed, and its frames start again. */
static void segment_give_up(cp_wal *wal, uint64_t now_ns)
{
    cp_wal_segment_seal(wal, true);
    wal->epoch++;
    for (uint32_t i = 0; i < wal->frame_count; i++) {
        cp_frame *frame = cp_wal_frame(wal, i);
        if (frame->state > CP_FRAME_CLOSED)
            frame->state = CP_FRAME_CLOSED;
        frame->tries = 0;
    }
    count(&wal->given_up, 1);
    wal->failing = 0;
    if (++wal->failures >= CP_WAL_FAILURES)
        wal->pause_until_ns = now_ns + (uint64_t)CP_WAL_PAUSE_MS * CP_NS_PER_MS;
}

/* ---- completions ---- */

static void frame_submit(cp_wal *wal, cp_frame *frame)
{
    const uint8_t *start = frame->buffer + (frame->opens ? 0 : CP_WAL_FIRST_FRAME);
    const uint64_t tag = (uint64_t)(frame - wal->frames);
    const int result =
        wal->io->ops->submit_write(wal->io, wal->file, start + frame->written, frame->length - frame->written,
                                   frame->offset + frame->written, wal->dsync, tag);
    frame->state = CP_FRAME_WRITING;
    if (result == 0) {
        wal->writes++;
        return;
    }
    writer_fail(wal, -result, "a write");
}

static void write_done(cp_wal *wal, cp_frame *frame, int64_t result)
{
    wal->writes--;
    if (result < 0 && result != -EAGAIN && result != -EINTR && result != -ECANCELED) {
        writer_fail(wal, (int)-result, "a write");
        return;
    }
    const uint64_t rest = frame->length - frame->written;
    /* O_DIRECT goes on at a block only; less than one is done again. */
    const uint64_t whole = result < 0                 ? 0
                           : (uint64_t)result >= rest ? rest
                                                      : (uint64_t)result / CP_IO_BLOCK * CP_IO_BLOCK;
    frame->written += whole;
    count(&wal->device_bytes, whole);
    if (frame->written == frame->length) {
        cp_failpoint(CP_FP_WAL_WRITTEN);
        frame->state =
            wal->dsync || (wal->seams.unsafe & CP_UNSAFE_ACK_WRITTEN) ? CP_FRAME_DURABLE : CP_FRAME_WRITTEN;
        return;
    }
    frame->tries = whole ? 0 : frame->tries + 1;
    count(&wal->retries, 1);
    if (frame->tries > CP_WAL_RETRIES)
        writer_fail(wal, result < 0 ? (int)-result : EIO, "a write");
    else if (wal->failing == 0)
        frame_submit(wal, frame);
}

static void sync_done(cp_wal *wal, int64_t result)
{
    wal->syncing = false;
    const bool again = result < 0 && (wal->seams.unsafe & CP_UNSAFE_SYNC_RETRY);
    for (uint32_t i = 0; i < wal->frame_count; i++) {
        cp_frame *frame = cp_wal_frame(wal, i);
        if (frame->state == CP_FRAME_SYNCING)
            frame->state = result >= 0 ? CP_FRAME_DURABLE : CP_FRAME_WRITTEN;
    }
    if (result < 0 && !again)
        writer_fail(wal, (int)-result, "a sync");
}

static bool completions_reap(cp_wal *wal, uint64_t wait_ns)
{
    cp_io_done done[CP_IO_DEPTH];
    if (wal->writes == 0 && !wal->syncing)
        return false;
    const int reaped = wal->io->ops->reap(wal->io, done, CP_IO_DEPTH, wait_ns);
    if (reaped < 0)
        writer_fail(wal, -reaped, "the submission");
    for (int i = 0; i < reaped; i++) {
        if (done[i].tag == TAG_SYNC)
            sync_done(wal, done[i].result);
        else if (done[i].tag < CP_WAL_FRAMES && wal->frames[done[i].tag].state == CP_FRAME_WRITING)
            write_done(wal, &wal->frames[done[i].tag], done[i].result);
    }
    return reaped > 0;
}

void cp_wal_settle(cp_wal *wal)
{
    cp_io_done done[CP_IO_DEPTH];
    int reaped = 0;
    while (wal->writes + wal->syncing > 0 && reaped >= 0) {
        reaped = wal->io->ops->reap(wal->io, done, CP_IO_DEPTH, CP_NS_PER_S);
        for (int i = 0; i < reaped; i++) {
            if (done[i].tag == TAG_SYNC)
                wal->syncing = false;
            else
                wal->writes--;
        }
    }
}

/* ---- acknowledging ---- */

static void records_report(cp_wal *wal, const cp_frame *frame)
{
    uint32_t at = 0;
    const cp_wal_record *record;
    pthread_mutex_lock(&wal->mutex);
    while ((record = cp_frame_next(frame, &at))) {
        if (record->kind == CP_WAL_CHUNK)
            cp_wal_rings_note(wal->rings, record->ring_slot, record->ring_epoch, record->ring_end,
                              record->lsn);
    }
    wal->durable_tail = wal->tail;
    pthread_mutex_unlock(&wal->mutex);
    atomic_store_explicit(&wal->durable, frame->last_lsn, memory_order_release);
    at = 0;
    while (wal->config.events.durable && (record = cp_frame_next(frame, &at))) {
        if (record->kind != CP_WAL_CHUNK)
            continue;
        const cp_wal_durable_event event = {.lsn = record->lsn,
                                            .slot = record->ring_slot,
                                            .epoch = record->ring_epoch,
                                            .begin = record->ring_begin,
                                            .end = record->ring_end,
                                            .rows = record->rows,
                                            .rejected = record->rejected};
        wal->config.events.durable(wal->config.events.ctx, &event);
    }
}

/* Reports the durable frames at the front: the contiguous prefix. */
static bool frames_acknowledge(cp_wal *wal, uint64_t now_ns)
{
    bool moved = false;
    for (uint32_t i = 0; i < wal->frame_count && (wal->seams.unsafe & CP_UNSAFE_ACK_ORDER); i++) {
        const cp_frame *frame = cp_wal_frame(wal, i);
        if (frame->state == CP_FRAME_DURABLE && frame->last_lsn > atomic_load(&wal->durable))
            atomic_store(&wal->durable, frame->last_lsn);
    }
    while (wal->frame_count > 0 && cp_wal_frame(wal, 0)->state == CP_FRAME_DURABLE) {
        cp_frame *frame = cp_wal_frame(wal, 0);
        wal->tail = (cp_wal_tail){
            .segment_id = wal->active.id, .end = frame->offset + frame->length, .crc = frame->end_crc};
        atomic_store(&wal->tail_id, wal->active.id);
        if (frame->stated > wal->stated)
            wal->stated = frame->stated;
        records_report(wal, frame);
        if (wal->config.events.committed)
            wal->config.events.committed(wal->config.events.ctx, now_ns - frame->placed_ns);
        frame->state = CP_FRAME_EMPTY;
        wal->frame_first = (wal->frame_first + 1) % CP_WAL_FRAMES;
        wal->frame_count--;
        wal->last_commit_ns = now_ns;
        count(&wal->commits, 1);
        if (wal->failures && wal->failing == 0) {
            wal->failures = 0;
            cp_wal_report_over(wal);
        }
        moved = true;
    }
    return moved;
}

/* ---- submitting ---- */

static bool frames_sync(cp_wal *wal)
{
    bool any = false;
    if (wal->syncing || wal->failing)
        return false;
    for (uint32_t i = 0; i < wal->frame_count; i++)
        any |= cp_wal_frame(wal, i)->state == CP_FRAME_WRITTEN;
    if (!any)
        return false;
    const int result = wal->io->ops->submit_sync(wal->io, wal->file, TAG_SYNC);
    if (result < 0) {
        writer_fail(wal, -result, "a sync");
        return true;
    }
    wal->syncing = true;
    for (uint32_t i = 0; i < wal->frame_count; i++) {
        cp_frame *frame = cp_wal_frame(wal, i);
        if (frame->state == CP_FRAME_WRITTEN)
            frame->state = CP_FRAME_SYNCING;
    }
    return true;
}

static uint32_t frames_under_way(cp_wal *wal)
{
    uint32_t under_way = 0;
    for (uint32_t i = 0; i < wal->frame_count; i++)
        under_way += cp_wal_frame(wal, i)->state >= CP_FRAME_WRITING;
    return under_way;
}

void cp_wal_rotate(cp_wal *wal)
{
    atomic_store(&wal->rotate, true);
}

/* Somebody wants the next frame to open a segment, and there is one. */
static bool rotation_is_due(cp_wal *wal)
{
    if (!atomic_load_explicit(&wal->rotate, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&wal->mutex);
    const bool ready = cp_wal_segments_first(&wal->segments, CP_SEGMENT_READY) != NULL;
    pthread_mutex_unlock(&wal->mutex);
    return ready;
}

/* Gives the frame its place in a segment and sends it off. False when it must wait. */
static bool frame_place(cp_wal *wal, cp_frame *frame, bool alone)
{
    const uint64_t size = cp_wal_block_up(frame->used);
    const bool fits = wal->file >= 0 && size <= wal->active.size - wal->write_offset &&
                      (frame->mark || !rotation_is_due(wal));
    if (!fits) {
        if (!alone)
            return false;
        if (wal->file >= 0) {
            cp_wal_segment_seal(wal, false);
            cp_failpoint(CP_FP_WAL_SEALED);
        }
        frame->opens = true;
        if (!cp_wal_segment_activate(wal, frame))
            return false;
        atomic_store(&wal->rotate, false);
        cp_failpoint(CP_FP_WAL_ACTIVATED);
    } else {
        frame->opens = false;
    }
    const uint64_t durable = atomic_load_explicit(&wal->durable, memory_order_relaxed);
    wal->write_crc = cp_frame_seal(frame, &wal->active, wal->write_crc, durable, wal->seams.unsafe);
    frame->offset = frame->opens ? 0 : wal->write_offset;
    if (frame->opens)
        frame->length += CP_WAL_FIRST_FRAME;
    frame->written = 0;
    wal->write_offset = frame->offset + frame->length;
    frame_submit(wal, frame);
    return true;
}

/* Sends frames off: at once when nothing is under way, a full one beside others. */
static bool frames_place(cp_wal *wal, uint64_t now_ns)
{
    bool moved = false;
    if (wal->failing || now_ns < wal->pause_until_ns)
        return false;
    uint32_t under_way = frames_under_way(wal);
    for (uint32_t i = 0; i < wal->frame_count && under_way < CP_WAL_UNDER_WAY; i++) {
        cp_frame *frame = cp_wal_frame(wal, i);
        if (frame->state >= CP_FRAME_WRITING)
            continue;
        if ((frame->state == CP_FRAME_FILLING && under_way > 0) || !frame_place(wal, frame, under_way == 0)) {
            if (wal->file <
                0) /* no segment is free: maintenance knows, there is no use in asking all the time */
                wal->pause_until_ns = now_ns + (uint64_t)CP_WAL_STARVED_MS * CP_NS_PER_MS;
            break;
        }
        frame->placed_ns = now_ns;
        moved = true;
        under_way++;
        if (wal->failing)
            break;
    }
    return moved;
}

/* The newest frame's durability is stated by the frame after it; when none comes, by a mark. Without, damage to the last
 * frame could pass for a torn tail. */
static bool mark_place(cp_wal *wal, uint64_t now_ns)
{
    const uint64_t durable = atomic_load_explicit(&wal->durable, memory_order_relaxed);
    if (wal->frame_count > 0 || wal->stated >= durable ||
        now_ns - wal->last_commit_ns < wal->config.mark_ns || wal->file < 0 ||
        wal->active.size - wal->write_offset < CP_WAL_BLOCK || wal->failing)
        return false;
    cp_frame *frame = frame_filling(wal);
    cp_frame_mark(frame, durable);
    frame->state = CP_FRAME_CLOSED;
    return frames_place(wal, now_ns);
}

bool cp_wal_step_wait(cp_wal *wal, uint64_t now_ns, uint64_t wait_ns)
{
    bool moved = completions_reap(wal, wait_ns);
    moved |= frames_acknowledge(wal, now_ns);
    if (wal->file >= 0 && atomic_load_explicit(&wal->removed, memory_order_relaxed) == wal->active.id &&
        wal->failing == 0)
        writer_fail(wal, ENOENT, "the file");
    if (wal->failing && wal->writes == 0 && !wal->syncing) {
        segment_give_up(wal, now_ns);
        moved = true;
    }
    moved |= frames_sync(wal);
    moved |= frames_place(wal, now_ns);
    moved |= mark_place(wal, now_ns);
    return moved;
}

bool cp_wal_step(cp_wal *wal, uint64_t now_ns)
{
    return cp_wal_step_wait(wal, now_ns, 0);
}
