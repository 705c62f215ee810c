/* Recovery: from the files of a directory to a log that goes on.
 *
 *   lock ─► sync all ─► checkpoint ─► segment headers ─► chain ─► scan of the newest segment ─► judge the end
 *
 * Each segment's header states where its predecessor ends and with which CRC, and that everything before its base LSN was
 * durable. So only the newest segment has an end to be found; the others' records are verified when they are read
 * back. Where the newest one's valid records end, the question is whether more was ever acknowledged: the highest durable LSN
 * stated anywhere (checkpoint, headers, records, those behind the bad spot included) decides between a torn tail and
 * damage. To look at all those takes a read of the whole segment; a recorder that follows a killed one within the same boot
 * is spared it, by what its predecessor left in shared memory (cp_wal_config.known), and believes no record beyond that. Nothing is
 * written, so a recovery may be killed and repeated; the log goes on in a new segment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "wal/log_private.h"

#define LOCK_FILE "lock"

enum { HEADER_ROOM = CP_WAL_FIRST_FRAME, LOCK_PAUSE_MS = 5 };

/* What recovery knows beside the log itself. */
typedef struct recovery {
    cp_wal *wal;
    cp_io *io;
    cp_error *err;
    int code;
    uint8_t *headers;             /* room for the copies of one segment's header */
    cp_wal_segment_header newest; /* of the highest id */
    uint64_t stated;              /* highest durable LSN */
    uint64_t end_lsn;             /* of the valid records */
    bool uuid_known;
    bool checkpoint_absent;
    uint64_t max_epoch;
} recovery;

static void stated_raise(recovery *r, uint64_t lsn)
{
    if (lsn > r->stated)
        r->stated = lsn;
}

/* Waits for a lock whose holder is dying: its in-flight I/O keeps the file open. */
static int lock_wait(cp_io *io, int file)
{
    const struct timespec pause = {.tv_nsec = (long)LOCK_PAUSE_MS * CP_NS_PER_MS};
    int result = io->ops->lock(io, file);
    for (int waited = 0; result == -EWOULDBLOCK && waited < CP_WAL_LOCK_WAIT_MS; waited += LOCK_PAUSE_MS) {
        nanosleep(&pause, NULL);
        result = io->ops->lock(io, file);
    }
    return result;
}

static int directory_lock(cp_wal *wal, cp_error *err)
{
    cp_io *io = wal->files;
    wal->lock = io->ops->open(io, LOCK_FILE, 0);
    if (wal->lock == -ENOENT)
        wal->lock = io->ops->open(io, LOCK_FILE, CP_IO_CREATE);
    if (wal->lock == -EEXIST) /* made by another in between */
        wal->lock = io->ops->open(io, LOCK_FILE, 0);
    if (wal->lock < 0)
        return cp_error_errno(err, cp_error_code_of_errno(-wal->lock), -wal->lock, "%s/" LOCK_FILE, wal->dir);
    const int result = io->ops->lock(io, wal->lock);
    if (result == -EWOULDBLOCK)
        return cp_error_set(err, CP_E_BUSY,
                            "%s is in use by another recorder: stop that one, or give this one "
                            "a wal directory of its own",
                            wal->dir);
    if (result < 0)
        return cp_error_errno(err, CP_E_IO, -result, "%s/" LOCK_FILE ": cannot lock", wal->dir);
    return CP_OK;
}

static void name_take(void *ctx, const char *name)
{
    recovery *r = ctx;
    uint32_t slot;
    if (!cp_wal_segment_name_parse(name, &slot) || r->code != CP_OK)
        return;
    if (!cp_wal_segments_add(&r->wal->segments, slot))
        r->code = cp_error_set(r->err, CP_E_TOO_BIG, "%s holds more than %d segments", r->wal->dir,
                               CP_WAL_MAX_SEGMENTS);
}

/* The better of a header's two copies: the higher id, as a torn activation leaves one of each life. NULL: neither. */
static const cp_wal_segment_header *header_choose(recovery *r, uint64_t bytes, const char *name)
{
    const cp_wal_segment_header *best = NULL;
    for (uint64_t copy = 0; copy < CP_WAL_HEADER_COPIES && (copy + 1) * CP_WAL_BLOCK <= bytes; copy++) {
        const void *at = r->headers + copy * CP_WAL_BLOCK;
        const cp_wal_segment_header *header = at;
        const int code = cp_wal_segment_header_check(header, r->wal->seams.unsafe);
        if (code == CP_E_ABI)
            r->code =
                cp_error_set(r->err, CP_E_ABI,
                             "%s/%s has format version %u, this program knows version %d: use the coldpath "
                             "that wrote it, or drain the log with that one",
                             r->wal->dir, name, header->head.version, CP_WAL_VERSION);
        if (code == CP_OK && (!best || header->id > best->id))
            best = header;
    }
    return best;
}

static int header_take(recovery *r, cp_wal_segment *segment, const cp_wal_segment_header *header,
                       const char *name)
{
    cp_wal *wal = r->wal;
    if (!r->uuid_known) {
        memcpy(wal->uuid, header->uuid, CP_WAL_UUID);
        r->uuid_known = true;
    }
    if (memcmp(wal->uuid, header->uuid, CP_WAL_UUID) != 0)
        return cp_error_set(
            r->err, CP_E_CORRUPT,
            "%s/%s belongs to another log: move it back where it came from, out of this directory", wal->dir,
            name);
    if (cp_wal_segments_by_id(&wal->segments, header->id))
        return cp_error_set(r->err, CP_E_CORRUPT, "%s holds segment %llu twice, once in %s: remove the copy",
                            wal->dir, (unsigned long long)header->id, name);
    segment->origin = cp_wal_origin_of(header);
    segment->epoch = header->epoch;
    segment->previous_id = header->previous_id;
    segment->previous_end = header->previous_end;
    segment->previous_crc = header->previous_crc;
    segment->activated_ns = header->activated_ns;
    segment->repaired = header->flags & CP_WAL_SEGMENT_REPAIRED;
    if (header->id > r->newest.id)
        r->newest = *header;
    if (header->epoch > r->max_epoch)
        r->max_epoch = header->epoch;
    return CP_OK;
}

/* Reads one slot's header; what has none is free. */
static int segment_load(recovery *r, cp_wal_segment *segment)
{
    cp_io *io = r->io;
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, segment->slot);
    const int file = io->ops->open(io, name, 0);
    if (file < 0)
        return cp_error_errno(r->err, cp_error_code_of_errno(-file), -file, "%s/%s", r->wal->dir, name);
    int64_t result = lock_wait(io, file);
    if (result == 0)
        result = io->ops->sync(io, file);
    const int64_t size = result < 0 ? result : io->ops->size(io, file);
    if (size >= 0)
        result = io->ops->read(io, file, r->headers, HEADER_ROOM, 0);
    io->ops->close(io, file);
    if (size < 0 || result < 0) {
        const int errnum = (int)-(size < 0 ? size : result);
        if (errnum == EWOULDBLOCK)
            return cp_error_set(
                r->err, CP_E_BUSY,
                "%s/%s is in use after %d s: by another recorder (fuser names it), or by a write of the last "
                "one that does not end (does the disk hang? see dmesg); then start again",
                r->wal->dir, name, CP_WAL_LOCK_WAIT_MS / 1000);
        return cp_error_errno(r->err, CP_E_IO, errnum, "%s/%s: cannot read it", r->wal->dir, name);
    }
    segment->file_size = (uint64_t)size;
    const cp_wal_segment_header *header = header_choose(r, (uint64_t)result, name);
    if (r->code != CP_OK)
        return r->code;
    /* A torn activation is never written over, its file is removed instead: a later torn write could supply just the sectors
     * that it lacks, and bring it back to life. */
    const bool reuse = r->wal->seams.unsafe & CP_UNSAFE_REUSE;
    segment->poisoned =
        result != HEADER_ROOM || memcmp(r->headers, r->headers + CP_WAL_BLOCK, CP_WAL_BLOCK) != 0;
    segment->poisoned &= !reuse;
    if (header)
        return header_take(r, segment, header, name);
    bool blank = result == HEADER_ROOM;
    for (int64_t i = 0; i < result && blank && !reuse; i++)
        blank = r->headers[i] == 0;
    segment->state = blank ? CP_SEGMENT_READY : CP_SEGMENT_DEAD;
    return CP_OK;
}

static int segments_load(recovery *r)
{
    const int result = r->io->ops->list(r->io, name_take, r);
    if (result < 0)
        return cp_error_errno(r->err, CP_E_IO, -result, "cannot list %s", r->wal->dir);
    for (uint32_t i = 0; i < r->wal->segments.count && r->code == CP_OK; i++)
        r->code = segment_load(r, &r->wal->segments.items[i]);
    return r->code;
}

static int checkpoint_make(recovery *r)
{
    cp_wal_checkpoint_block *block = calloc(1, sizeof *block);
    if (!block)
        return cp_error_set(r->err, CP_E_NOMEM, "out of memory");
    for (int i = 0; i < CP_WAL_UUID; i += 8) {
        const uint64_t word = cp_wal_random(r->wal);
        memcpy(r->wal->uuid + i, &word, 8);
    }
    memcpy(block->uuid, r->wal->uuid, CP_WAL_UUID);
    block->generation = 1;
    block->written_ns = cp_realtime_ns();
    const int code = cp_wal_checkpoint_create(r->wal->sink_io, block, r->wal->seams.unsafe, r->err);
    free(block);
    return code;
}

/* Opens the checkpoint, or makes it for a directory without segments. */
static int checkpoint_load(recovery *r)
{
    cp_wal *wal = r->wal;
    const unsigned unsafe = wal->seams.unsafe;
    int code = cp_wal_checkpoint_open(&wal->checkpoint, wal->sink_io, unsafe, r->err);
    bool absent = code == CP_E_ABSENT;
    if (absent) {
        code = checkpoint_make(r);
        if (code == CP_OK)
            code = cp_wal_checkpoint_open(&wal->checkpoint, wal->sink_io, unsafe, r->err);
    }
    if (code != CP_OK)
        return cp_error_prefix(r->err, "%s", wal->dir);
    if (!wal->checkpoint.lost) {
        memcpy(wal->uuid, wal->checkpoint.now.uuid, CP_WAL_UUID);
        r->uuid_known = !absent; /* segments without a checkpoint keep their own */
    }
    r->checkpoint_absent = absent;
    stated_raise(r, wal->checkpoint.now.durable_lsn);
    for (uint32_t i = 0; i < wal->checkpoint.now.ring_count; i++)
        wal->rings[i] = wal->checkpoint.now.rings[i];
    return CP_OK;
}

static int chain_broken(recovery *r, uint64_t lo, uint64_t hi, uint64_t id)
{
    return cp_error_set(
        r->err, CP_E_CORRUPT,
        "%s: segment %llu with records %llu to %llu, which ClickHouse does not have yet, is missing or its "
        "header is damaged: put the file back; if it is lost, 'coldpath wal repair' gives these records up",
        r->wal->dir, (unsigned long long)id, (unsigned long long)lo, (unsigned long long)hi);
}

/* Walks from the newest segment back, sealing each one where its successor says it ends. */
static int chain_walk(recovery *r, uint64_t delivered)
{
    cp_wal_segments *segments = &r->wal->segments;
    cp_wal_segment *next = cp_wal_segments_by_id(segments, r->newest.id);
    while (next && next->previous_id) {
        cp_wal_segment *segment = cp_wal_segments_by_id(segments, next->previous_id);
        if (!segment)
            break;
        if (segment->origin.base_lsn > next->origin.base_lsn || next->previous_end < CP_WAL_FIRST_FRAME ||
            next->previous_end > segment->origin.size || segment->epoch > next->epoch)
            return chain_broken(r, segment->origin.base_lsn, next->origin.base_lsn - 1, segment->origin.id);
        segment->state = CP_SEGMENT_SEALED;
        segment->end = next->previous_end;
        segment->end_crc = next->previous_crc;
        segment->end_lsn = next->origin.base_lsn - 1;
        segment->sealed_ns = next->activated_ns;
        next = segment;
    }
    const uint64_t oldest = next ? next->origin.base_lsn : r->end_lsn + 1;
    if (r->wal->checkpoint.lost)
        r->wal->checkpoint.now.delivered_lsn = oldest - 1;
    else if (oldest > delivered + 1 && !(r->wal->seams.unsafe & CP_UNSAFE_CHAIN))
        return chain_broken(r, delivered + 1, oldest - 1, next ? next->previous_id : 0);
    return CP_OK;
}

static void record_note(recovery *r, const cp_wal_record *record)
{
    stated_raise(r, record->durable_lsn);
    if (record->kind != CP_WAL_CHUNK)
        return;
    if (record->size > 0) /* an empty one stands in place of one that repair gave up */
        cp_wal_rings_note(r->wal->rings, record->ring_slot, record->ring_epoch, record->ring_end,
                          record->lsn);
    r->end_lsn = record->lsn;
}

/* True when the caller knows that nothing behind the records that were found was ever acknowledged. */
static bool end_known(const recovery *r)
{
    const cp_wal_config *config = &r->wal->config;
    return config->known.id == cp_wal_id(r->wal) && r->end_lsn >= config->known.durable_lsn;
}

/* True when all is found that may be believed. Within one boot, what a killed predecessor wrote and did not acknowledge is no more
 * than what the caches hold: its sync may have failed, and a cache that has dropped what it could not write says nothing of it to
 * the sync above. Its rows are in their rings still, and are appended again. A frame is durable as a whole. */
static bool end_reached(const recovery *r, uint32_t flags)
{
    return (flags & CP_WAL_LAST_IN_FRAME) && end_known(r) && r->end_lsn >= r->stated;
}

/* For the same reason, a segment of which not a record was acknowledged may have no header on the disk: the log goes on behind the one
 * before it. When that is gone it was released, which it is only once something behind it is durable: a mark, here. */
static bool newest_is_rumour(const recovery *r)
{
    return r->end_lsn < r->newest.base_lsn && end_known(r) &&
           cp_wal_segments_by_id(&r->wal->segments, r->newest.previous_id);
}

/* Finds the end of the newest segment's records. */
static int newest_scan(recovery *r)
{
    cp_wal *wal = r->wal;
    cp_wal_segment *segment = cp_wal_segments_by_id(&wal->segments, r->newest.id);
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, segment->slot);
    cp_wal_cursor cursor = {.max_payload = wal->config.max_chunk_bytes, .unsafe = wal->seams.unsafe};
    const uint64_t window =
        segment->file_size < CP_WAL_WINDOW_AHEAD ? segment->file_size : CP_WAL_WINDOW_AHEAD;
    if (cp_wal_window_init(&cursor.window, cursor.max_payload, window, true) != CP_OK)
        return cp_error_set(r->err, CP_E_NOMEM, "out of memory");
    const int file = r->io->ops->open(r->io, name, CP_IO_READ_ONLY);
    cp_wal_cursor_begin(&cursor, &segment->origin, r->io, file);
    cursor.written = segment->file_size;
    int code = file < 0 ? cp_error_errno(r->err, CP_E_IO, -file, "cannot open") : CP_OK;
    const cp_wal_record *record;
    const uint8_t *payload;
    uint32_t flags = CP_WAL_LAST_IN_FRAME;
    while (code == CP_OK && !end_reached(r, flags) &&
           (code = cp_wal_cursor_next(&cursor, &record, &payload, r->err)) == CP_OK) {
        record_note(r, record);
        flags = record->flags;
    }
    uint64_t stated = 0;
    if (code == CP_E_CORRUPT)
        code = end_known(r) ? CP_OK : cp_wal_cursor_stated(&cursor, &stated, r->err);
    stated_raise(r, stated);
    cp_wal_cursor_forget(&cursor);
    if (file >= 0)
        r->io->ops->close(r->io, file);
    cp_wal_window_destroy(&cursor.window);
    if (code != CP_OK)
        return cp_error_prefix(r->err, "%s/%s", wal->dir, name);
    if (newest_is_rumour(r)) {
        segment->state = CP_SEGMENT_DEAD;
        wal->tail = (cp_wal_tail){segment->previous_id, segment->previous_end, segment->previous_crc};
        return CP_OK;
    }
    segment->state = CP_SEGMENT_SEALED;
    segment->end = cp_wal_block_up(cursor.offset);
    segment->end_crc = cursor.previous_crc;
    segment->end_lsn = r->end_lsn;
    segment->sealed_ns = cp_realtime_ns();
    wal->tail = (cp_wal_tail){.segment_id = segment->origin.id, .end = segment->end, .crc = segment->end_crc};
    return CP_OK;
}

/* A torn tail, or damage? */
static int end_judge(recovery *r)
{
    if (r->stated <= r->end_lsn || (r->wal->seams.unsafe & CP_UNSAFE_TORN_TAIL))
        return CP_OK;
    const cp_wal_segment *segment = cp_wal_segments_by_id(&r->wal->segments, r->newest.id);
    return cp_error_set(
        r->err, CP_E_CORRUPT,
        "%s: records %llu to %llu were acknowledged and are damaged or missing (segment %llu, file %06u.seg, "
        "from offset %llu): restore the file, or give exactly these records up with 'coldpath wal repair'",
        r->wal->dir, (unsigned long long)r->end_lsn + 1, (unsigned long long)r->stated,
        (unsigned long long)r->newest.id, segment ? segment->slot : 0, (unsigned long long)r->wal->tail.end);
}

static int recovery_run(recovery *r)
{
    cp_wal *wal = r->wal;
    int code = CP_OK;
    /* Names first: what is believed now must not vanish later. */
    const int result = wal->seams.unsafe & CP_UNSAFE_DIR_SYNC ? 0 : r->io->ops->sync_dir(r->io);
    if (result < 0)
        return cp_error_errno(r->err, CP_E_IO, -result, "%s: cannot sync", wal->dir);
    if ((code = checkpoint_load(r)) != CP_OK || (code = segments_load(r)) != CP_OK)
        return code;
    wal->checkpoint.lost |= r->checkpoint_absent && r->newest.id != 0;
    if (wal->config.known.id == cp_wal_id(wal))
        stated_raise(r, wal->config.known.durable_lsn);
    const uint64_t delivered = wal->checkpoint.now.delivered_lsn;
    r->end_lsn = wal->checkpoint.now.durable_lsn; /* of a log without segments */
    if (r->newest.id) {
        r->end_lsn = r->newest.base_lsn - 1;
        stated_raise(r, r->end_lsn);
        for (uint32_t i = 0; i < r->newest.ring_count; i++) {
            if (r->newest.rings[i].lsn > wal->rings[i].lsn)
                wal->rings[i] = r->newest.rings[i];
        }
        code = newest_scan(r);
    } else if (delivered < r->end_lsn && !(wal->seams.unsafe & CP_UNSAFE_CHAIN)) {
        code = chain_broken(r, delivered + 1, r->end_lsn, 0);
    }
    if (code == CP_OK)
        code = end_judge(r);
    if (code == CP_OK)
        code = chain_walk(r, delivered);
    return code;
}

/* Slots outside the chain hold nothing any more. */
static void segments_settle(recovery *r)
{
    for (uint32_t i = 0; i < r->wal->segments.count; i++) {
        cp_wal_segment *segment = &r->wal->segments.items[i];
        if (segment->state == CP_SEGMENT_READY &&
            (segment->poisoned || segment->file_size != r->wal->config.segment_size))
            segment->state = CP_SEGMENT_DEAD;
    }
}

int cp_wal_recover(cp_wal *wal, cp_error *err)
{
    int code = directory_lock(wal, err);
    if (code != CP_OK)
        return code;
    recovery *r = calloc(1, sizeof *r);
    if (!r)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    r->wal = wal;
    r->io = wal->files;
    r->err = err;
    r->headers = aligned_alloc(CP_IO_BLOCK, HEADER_ROOM);
    code = r->headers ? recovery_run(r) : cp_error_set(err, CP_E_NOMEM, "out of memory");
    if (code == CP_OK) {
        segments_settle(r);
        memcpy(wal->checkpoint.now.uuid, wal->uuid, CP_WAL_UUID);
        atomic_store(&wal->durable, r->end_lsn);
        atomic_store(&wal->tail_id, wal->tail.segment_id);
        atomic_store(&wal->delivered, wal->checkpoint.now.delivered_lsn);
        wal->next_lsn = r->end_lsn + 1;
        wal->next_id = r->newest.id + 1;
        wal->epoch = r->max_epoch + 1;
        wal->stated = r->stated;
    }
    free(r->headers);
    free(r);
    return code;
}
