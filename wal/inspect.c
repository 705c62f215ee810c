#include "wal/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "wal/checkpoint.h"

enum {
    LOOKS = 4, /* at a log in use that seems to be damaged */
    LOCKS_LINE = 256
};

/* One look. */
typedef struct inspection {
    cp_wal_view *view;
    cp_io *io;
    cp_error *err;
    int code;
    cp_wal_depth depth;
    const cp_wal_known *known; /* NULL: nothing */
    cp_wal_scan scan;
    cp_wal_view_segment *at; /* being scanned */
    uint8_t *block;          /* CP_WAL_FIRST_FRAME, aligned */
    uint64_t newest_id;
} inspection;

const char *cp_wal_view_state_name(cp_wal_view_state state)
{
    static const char *const names[] = {"free", "sealed", "newest", "unsound", "missing"};
    return names[state];
}

/* ---- who has it ------------------------------------------------------------------------------------------------ */

/* The lock's holder out of /proc/locks: asking the lock itself would mean to take it. */
static void holder_find(cp_wal_view *view)
{
    char path[sizeof view->dir + 8];
    char line[LOCKS_LINE];
    struct stat st;
    snprintf(path, sizeof path, "%s/lock", view->dir);
    FILE *locks = stat(path, &st) == 0 ? fopen("/proc/locks", "re") : NULL;
    while (locks && fgets(line, sizeof line, locks)) {
        long pid;
        unsigned dev_major;
        unsigned dev_minor;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s WRITE %ld %x:%x:%llu", &pid, &dev_major, &dev_minor, &inode) == 4 &&
            inode == st.st_ino && dev_major == major(st.st_dev) && dev_minor == minor(st.st_dev)) {
            view->in_use = true;
            view->holder = pid > 0 ? (pid_t)pid : 0;
        }
    }
    if (locks)
        fclose(locks);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static cp_wal_view_segment *segment_add(inspection *i)
{
    cp_wal_view *view = i->view;
    if (view->segment_count == CP_WAL_MAX_SEGMENTS) {
        if (i->code == CP_OK)
            i->code = cp_error_set(i->err, CP_E_TOO_BIG, "%s holds more than %d segments", view->dir,
                                   CP_WAL_MAX_SEGMENTS);
        return NULL;
    }
    cp_wal_view_segment *segment = &view->segments[view->segment_count++];
    memset(segment, 0, sizeof *segment);
    return segment;
}

static void name_take(void *ctx, const char *name)
{
    uint32_t slot;
    cp_wal_view_segment *segment =
        cp_wal_segment_name_parse(name, &slot) ? segment_add((inspection *)ctx) : NULL;
    if (segment)
        segment->slot = slot;
}

static void checkpoint_take(inspection *i, const cp_wal_checkpoint_block *block, int copy)
{
    cp_wal_view *view = i->view;
    const int code = cp_wal_checkpoint_check(block, 0);
    if (code == CP_E_ABI)
        i->code = cp_error_set(i->err, CP_E_ABI,
                               "%s/" CP_WAL_CHECKPOINT_FILE " has format version %u, this program knows %d",
                               view->dir, block->head.version, CP_WAL_VERSION);
    view->checkpoint_sound[copy] = code == CP_OK;
    if (code == CP_OK && (view->checkpoint_lost || block->generation > view->checkpoint.generation)) {
        view->checkpoint = *block;
        view->checkpoint_lost = false;
    }
}

static int checkpoint_read(inspection *i)
{
    cp_wal_view *view = i->view;
    view->checkpoint_lost = true;
    const int file = i->io->ops->open(i->io, CP_WAL_CHECKPOINT_FILE, CP_IO_READ_ONLY);
    if (file == -ENOENT)
        return CP_OK;
    int64_t got = file;
    if (file >= 0) {
        got = i->io->ops->read(i->io, file, i->block, CP_WAL_FIRST_FRAME, 0);
        i->io->ops->close(i->io, file);
    }
    if (got < 0)
        return cp_error_errno(i->err, cp_error_code_of_errno((int)-got), (int)-got,
                              "%s/" CP_WAL_CHECKPOINT_FILE, view->dir);
    for (int copy = 0; copy < 2 && got >= (int64_t)(copy + 1) * CP_WAL_BLOCK; copy++)
        checkpoint_take(i, (const void *)(i->block + (size_t)copy * CP_WAL_BLOCK), copy);
    if (view->checkpoint_lost)
        return i->code;
    memcpy(view->uuid, view->checkpoint.uuid, CP_WAL_UUID);
    view->uuid_known = true;
    view->delivered_lsn = view->checkpoint.delivered_lsn;
    view->durable_lsn = view->checkpoint.durable_lsn;
    memcpy(view->rings, view->checkpoint.rings, sizeof view->rings);
    return i->code;
}

static void header_take(inspection *i, cp_wal_view_segment *segment, const cp_wal_segment_header *header)
{
    cp_wal_view *view = i->view;
    if (!view->uuid_known)
        memcpy(view->uuid, header->uuid, CP_WAL_UUID);
    view->uuid_known = true;
    if (memcmp(view->uuid, header->uuid, CP_WAL_UUID) != 0)
        i->code = cp_error_set(
            i->err, CP_E_CORRUPT,
            "%s/%06u.seg belongs to another log: move it back where it came from, out of this directory",
            view->dir, segment->slot);
    segment->state = CP_WAL_VIEW_FREE;
    segment->origin = cp_wal_origin_of(header);
    segment->epoch = header->epoch;
    segment->activated_ns = header->activated_ns;
    segment->previous_id = header->previous_id;
    segment->previous_end = header->previous_end;
    segment->previous_crc = header->previous_crc;
    segment->repaired = header->flags & CP_WAL_SEGMENT_REPAIRED;
    if (header->id > i->newest_id) {
        i->newest_id = header->id;
        for (uint32_t ring = 0; ring < header->ring_count; ring++) {
            if (header->rings[ring].lsn > view->rings[ring].lsn)
                view->rings[ring] = header->rings[ring];
        }
    }
    if (header->base_lsn - 1 > view->durable_lsn)
        view->durable_lsn = header->base_lsn - 1;
}

static int header_read(inspection *i, cp_wal_view_segment *segment)
{
    cp_io *io = i->io;
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, segment->slot);
    const int file = io->ops->open(io, name, CP_IO_READ_ONLY);
    segment->state = CP_WAL_VIEW_FREE;
    if (file == -ENOENT)
        return CP_OK; /* given back in between */
    int64_t size = file;
    int64_t got = file;
    if (file >= 0) {
        size = io->ops->size(io, file);
        got = io->ops->read(io, file, i->block, CP_WAL_FIRST_FRAME, 0);
        io->ops->close(io, file);
    }
    if (size < 0 || got < 0) {
        const int errnum = (int)-(size < 0 ? size : got);
        return cp_error_errno(i->err, cp_error_code_of_errno(errnum), errnum, "%s/%s", i->view->dir, name);
    }
    segment->bytes = (uint64_t)size;
    const cp_wal_segment_header *best = NULL;
    for (int copy = 0; copy < CP_WAL_HEADER_COPIES && got >= (int64_t)(copy + 1) * CP_WAL_BLOCK; copy++) {
        const cp_wal_segment_header *header = (const void *)(i->block + (size_t)copy * CP_WAL_BLOCK);
        const int code = cp_wal_segment_header_check(header, 0);
        if (code == CP_E_ABI)
            i->code = cp_error_set(i->err, CP_E_ABI, "%s/%s has format version %u, this program knows %d",
                                   i->view->dir, name, header->head.version, CP_WAL_VERSION);
        if (code == CP_OK && (!best || header->id > best->id))
            best = header;
    }
    if (best) {
        header_take(i, segment, best);
        return i->code;
    }
    for (int64_t at = 0; at < got && i->block && segment->state == CP_WAL_VIEW_FREE; at++) {
        if (i->block[at])
            segment->state = CP_WAL_VIEW_UNSOUND;
    }
    return i->code;
}

/* ---- the chain ------------------------------------------------------------------------------------------------- */

static cp_wal_view_segment *segment_by_id(const cp_wal_view *view, uint64_t id)
{
    for (uint32_t n = 0; id && n < view->segment_count; n++) {
        if (view->segments[n].origin.id == id)
            return &view->segments[n];
    }
    return NULL;
}

/* The latest one before id. */
static cp_wal_view_segment *segment_before(const cp_wal_view *view, uint64_t id)
{
    cp_wal_view_segment *best = NULL;
    for (uint32_t n = 0; n < view->segment_count; n++) {
        cp_wal_view_segment *segment = &view->segments[n];
        if (segment->origin.id && segment->origin.id < id && segment->state != CP_WAL_VIEW_MISSING &&
            (!best || segment->origin.id > best->origin.id))
            best = segment;
    }
    return best;
}

static void fault_add(inspection *i, const cp_wal_fault *fault)
{
    cp_wal_view *view = i->view;
    if (view->fault_count < CP_WAL_FAULTS)
        view->faults[view->fault_count] = *fault;
    view->fault_count++;
}

static void missing_add(inspection *i, uint64_t id, uint64_t lo, uint64_t hi)
{
    cp_wal_fault fault = {.segment_id = id, .lo = lo, .hi = hi, .delivered = hi <= i->view->delivered_lsn};
    snprintf(fault.text, sizeof fault.text, "segment %" PRIu64 " is missing, or its header is damaged", id);
    fault_add(i, &fault);
    cp_wal_view_segment *segment = segment_add(i);
    if (!segment)
        return;
    segment->state = CP_WAL_VIEW_MISSING;
    segment->origin.id = id;
    segment->origin.base_lsn = lo;
    segment->end_lsn = hi;
}

static int on_record(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    inspection *i = ctx;
    cp_wal_view_segment *at = i->at;
    (void)payload;
    at->records++;
    at->rows += record->rows;
    at->rejected += record->rejected;
    at->payload_bytes += record->size;
    if (record->size && (at->oldest_seen_ns == 0 || record->seen_ns < at->oldest_seen_ns))
        at->oldest_seen_ns = record->seen_ns;
    if (record->size)
        cp_wal_rings_note(i->view->rings, record->ring_slot, record->ring_epoch, record->ring_end,
                          record->lsn);
    if (record->lsn <= i->view->delivered_lsn)
        return CP_OK;
    at->waiting_records++;
    at->waiting_rows += record->rows;
    at->waiting_bytes += record->size;
    if (record->size && (at->waiting_since_ns == 0 || record->seen_ns < at->waiting_since_ns))
        at->waiting_since_ns = record->seen_ns;
    return CP_OK;
}

static int on_gap(void *ctx, uint64_t offset, uint64_t lo, uint64_t hi, const char *what)
{
    inspection *i = ctx;
    cp_wal_fault fault = {.segment_id = i->at->origin.id,
                          .slot = i->at->slot,
                          .file = true,
                          .offset = offset,
                          .lo = lo,
                          .hi = hi,
                          .delivered = hi <= i->view->delivered_lsn};
    snprintf(fault.text, sizeof fault.text, "%s", what);
    fault_add(i, &fault);
    return CP_OK;
}

/* last_lsn 0: the newest. */
static int segment_scan(inspection *i, cp_wal_view_segment *segment, uint64_t last_lsn, uint64_t last_end)
{
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, segment->slot);
    const int file = i->io->ops->open(i->io, name, CP_IO_READ_ONLY);
    if (file == -ENOENT && i->view->in_use)
        return CP_OK; /* given back in between */
    if (file < 0)
        return cp_error_errno(i->err, cp_error_code_of_errno(-file), -file, "%s/%s", i->view->dir, name);
    i->at = segment;
    i->scan.record = on_record;
    i->scan.gap = on_gap;
    i->scan.ctx = i;
    i->scan.last_lsn = last_lsn;
    i->scan.last_end = segment->repaired ? 0 : last_end;
    i->scan.stated = i->view->durable_lsn;
    const int code = cp_wal_scan_run(&i->scan, &segment->origin, i->io, file, i->err);
    i->io->ops->close(i->io, file);
    if (code != CP_OK)
        return cp_error_prefix(i->err, "%s/%s", i->view->dir, name);
    if (i->scan.stated > i->view->durable_lsn)
        i->view->durable_lsn = i->scan.stated;
    segment->scanned = true;
    segment->end_lsn = i->scan.end_lsn;
    segment->end = i->scan.end;
    return CP_OK;
}

/* Does the segment end as its successor says? Where repair or damage was, it need not. */
static void link_check(inspection *i, const cp_wal_view_segment *segment, const cp_wal_view_segment *next,
                       uint32_t faults_before)
{
    if (segment->repaired || next->repaired || i->view->fault_count != faults_before || !segment->scanned ||
        i->scan.end_crc == next->previous_crc)
        return;
    cp_wal_fault fault = {.segment_id = next->origin.id, .slot = next->slot, .file = true, .lo = 1};
    fault.delivered = next->origin.base_lsn <= i->view->delivered_lsn;
    snprintf(fault.text, sizeof fault.text,
             "its header says that segment %" PRIu64 " ends at %" PRIu64 ", that one ends otherwise",
             segment->origin.id, next->previous_end);
    fault_add(i, &fault);
}

/* Takes the predecessor of `next` into the chain; NULL: nothing before it is needed, or there. */
static cp_wal_view_segment *chain_step(inspection *i, const cp_wal_view_segment *next)
{
    cp_wal_view *view = i->view;
    const uint64_t delivered = view->delivered_lsn;
    const uint64_t base = next->origin.base_lsn;
    const uint32_t faults = view->fault_count;
    const cp_wal_view_segment linked = *next; /* adding one does not move them, but the copy is plainer */
    cp_wal_view_segment *segment = segment_by_id(view, next->previous_id);
    const bool whole = segment != NULL;
    if (!whole && (base <= delivered + 1 || view->checkpoint_lost))
        return NULL;
    if (!whole)
        segment = segment_before(view, next->origin.id);
    if (segment && segment->origin.base_lsn > base)
        segment = NULL;
    const bool wanted = i->depth == CP_WAL_ALL || (i->depth == CP_WAL_WAITING && base > delivered + 1);
    if (segment && (wanted || !whole)) {
        i->scan.open_end = !whole; /* its successor missing, it ends where its records do */
        i->code = segment_scan(i, segment, base - 1, whole && !linked.repaired ? linked.previous_end : 0);
        i->scan.open_end = false;
        if (i->code != CP_OK)
            return NULL;
    }
    if (segment && whole) {
        segment->end_lsn = base - 1;
        segment->end = segment->scanned ? segment->end : linked.previous_end;
        link_check(i, segment, &linked, faults);
    }
    if (segment)
        segment->state = CP_WAL_VIEW_SEALED;
    const uint64_t have = segment && segment->end_lsn > delivered ? segment->end_lsn : delivered;
    if (!whole && have + 1 < base)
        missing_add(i, linked.previous_id, have + 1, base - 1);
    return segment;
}

static int chain_walk(inspection *i)
{
    cp_wal_view *view = i->view;
    cp_wal_view_segment *segment = segment_by_id(view, i->newest_id);
    view->end_lsn = view->durable_lsn;
    view->oldest_lsn = view->delivered_lsn + 1;
    if (!segment) {
        if (view->delivered_lsn < view->durable_lsn)
            missing_add(i, 0, view->delivered_lsn + 1, view->durable_lsn);
        return i->code;
    }
    segment->state = CP_WAL_VIEW_NEWEST;
    if (i->depth != CP_WAL_HEADERS)
        i->code = segment_scan(i, segment, 0, 0);
    if (segment->scanned)
        view->end_lsn = segment->end_lsn;
    while (segment && i->code == CP_OK) {
        view->oldest_lsn = segment->origin.base_lsn;
        segment = chain_step(i, segment);
    }
    if (view->checkpoint_lost)
        view->delivered_lsn = view->oldest_lsn - 1;
    return i->code;
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static int segments_order(const void *a, const void *b)
{
    const cp_wal_view_segment *x = a;
    const cp_wal_view_segment *y = b;
    if (x->origin.id != y->origin.id)
        return x->origin.id < y->origin.id ? -1 : 1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

static int duplicates_refuse(inspection *i)
{
    const cp_wal_view *view = i->view;
    for (uint32_t n = 1; n < view->segment_count; n++) {
        const cp_wal_view_segment *segment = &view->segments[n];
        if (segment->origin.id && segment->origin.id == segment[-1].origin.id)
            return cp_error_set(i->err, CP_E_CORRUPT,
                                "%s holds segment %" PRIu64
                                " twice, in %06u.seg and %06u.seg: remove the copy",
                                view->dir, segment->origin.id, segment[-1].slot, segment->slot);
    }
    return CP_OK;
}

static int look(inspection *i)
{
    cp_wal_view *view = i->view;
    holder_find(view);
    int code = checkpoint_read(i); /* first: all it calls durable is in what is read later */
    const int result = code == CP_OK ? i->io->ops->list(i->io, name_take, i) : 0;
    if (result < 0)
        return cp_error_errno(i->err, CP_E_IO, -result, "cannot list %s", view->dir);
    for (uint32_t n = 0; code == CP_OK && n < view->segment_count; n++) {
        code = header_read(i, &view->segments[n]);
        view->bytes += view->segments[n].bytes;
    }
    if (code == CP_OK)
        code = i->code;
    qsort(view->segments, view->segment_count, sizeof *view->segments, segments_order);
    if (code == CP_OK)
        code = duplicates_refuse(i);
    if (i->known && view->uuid_known && i->known->id == cp_wal_uuid_id(view->uuid) &&
        i->known->durable_lsn > view->durable_lsn)
        view->durable_lsn = i->known->durable_lsn;
    view->empty = view->segment_count == 0 && !view->checkpoint_sound[0] && !view->checkpoint_sound[1];
    if (code == CP_OK)
        code = chain_walk(i);
    qsort(view->segments, view->segment_count, sizeof *view->segments, segments_order);
    return code;
}

static cp_wal_view *view_new(const char *dir)
{
    cp_wal_view *view = calloc(1, sizeof *view);
    if (!view)
        return NULL;
    view->segments = calloc(CP_WAL_MAX_SEGMENTS, sizeof *view->segments);
    view->faults = calloc(CP_WAL_FAULTS, sizeof *view->faults);
    snprintf(view->dir, sizeof view->dir, "%s", dir);
    if (view->segments && view->faults)
        return view;
    cp_wal_view_free(view);
    return NULL;
}

void cp_wal_view_free(cp_wal_view *view)
{
    if (!view)
        return;
    free(view->segments);
    free(view->faults);
    free(view);
}

static int inspect_once(cp_wal_view **out, const char *dir, cp_wal_depth depth, const cp_wal_known *known,
                        cp_error *err)
{
    inspection i = {.depth = depth, .known = known, .err = err};
    int code = cp_wal_scan_init(&i.scan, err);
    i.view = view_new(dir);
    i.block = aligned_alloc(CP_IO_BLOCK, CP_WAL_FIRST_FRAME);
    if (code == CP_OK && (!i.view || !i.block))
        code = cp_error_set(err, CP_E_NOMEM, "out of memory");
    if (code == CP_OK)
        code = cp_io_posix_create(&i.io, dir, err);
    if (code == CP_OK)
        code = look(&i);
    if (i.io)
        i.io->ops->destroy(i.io);
    cp_wal_scan_destroy(&i.scan);
    free(i.block);
    if (code != CP_OK) {
        cp_wal_view_free(i.view);
        i.view = NULL;
    }
    *out = i.view;
    return code;
}

int cp_wal_inspect(cp_wal_view **out, const char *dir, cp_wal_depth depth, cp_error *err)
{
    return cp_wal_inspect_known(out, dir, depth, NULL, err);
}

int cp_wal_inspect_known(cp_wal_view **out, const char *dir, cp_wal_depth depth, const cp_wal_known *known,
                         cp_error *err)
{
    int code = CP_OK;
    *out = NULL;
    for (int n = 0; n < LOOKS; n++) {
        cp_wal_view_free(*out);
        code = inspect_once(out, dir, depth, known, err);
        const bool doubtful =
            code == CP_E_CORRUPT || (code == CP_OK && (*out)->in_use && (*out)->fault_count);
        if (!doubtful)
            break;
    }
    return code;
}

uint64_t cp_wal_view_lost(const cp_wal_view *view)
{
    uint64_t lost = 0;
    for (uint32_t n = 0; n < view->fault_count && n < CP_WAL_FAULTS; n++) {
        const cp_wal_fault *fault = &view->faults[n];
        const uint64_t lo = fault->lo > view->delivered_lsn ? fault->lo : view->delivered_lsn + 1;
        if (fault->lo <= fault->hi && lo <= fault->hi)
            lost += fault->hi - lo + 1;
    }
    return lost;
}

/* ---- records --------------------------------------------------------------------------------------------------- */

typedef struct records {
    uint64_t lo;
    uint64_t hi;
    int (*each)(void *ctx, const cp_wal_record *record, const uint8_t *payload);
    void *ctx;
} records;

static int records_take(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    const records *r = ctx;
    if (record->lsn < r->lo)
        return CP_OK;
    if (record->lsn > r->hi)
        return CP_E_ABSENT; /* enough */
    return r->each(r->ctx, record, payload);
}

int cp_wal_view_records(const cp_wal_view *view, uint64_t lo, uint64_t hi,
                        int (*each)(void *ctx, const cp_wal_record *record, const uint8_t *payload),
                        void *ctx, cp_error *err)
{
    cp_wal_scan scan;
    cp_io *io = NULL;
    records r = {lo, hi, each, ctx};
    int code = cp_wal_scan_init(&scan, err);
    if (code == CP_OK)
        code = cp_io_posix_create(&io, view->dir, err);
    for (uint32_t n = 0; code == CP_OK && n < view->segment_count; n++) {
        const cp_wal_view_segment *segment = &view->segments[n];
        const bool newest = segment->state == CP_WAL_VIEW_NEWEST;
        if ((!newest && segment->state != CP_WAL_VIEW_SEALED) || segment->origin.base_lsn > hi ||
            (!newest && segment->end_lsn < lo))
            continue;
        char name[CP_WAL_SEGMENT_NAME];
        cp_wal_segment_name(name, segment->slot);
        const int file = io->ops->open(io, name, CP_IO_READ_ONLY);
        if (file < 0) {
            code = cp_error_errno(err, cp_error_code_of_errno(-file), -file, "%s/%s", view->dir, name);
            break;
        }
        scan.record = records_take;
        scan.ctx = &r;
        scan.last_lsn = newest ? 0 : segment->end_lsn;
        scan.stated = view->durable_lsn;
        code = cp_wal_scan_run(&scan, &segment->origin, io, file, err);
        io->ops->close(io, file);
        if (code == CP_E_ABSENT) {
            code = CP_OK;
            break;
        }
    }
    if (io)
        io->ops->destroy(io);
    cp_wal_scan_destroy(&scan);
    return code;
}
