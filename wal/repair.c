#include "wal/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/trash.h"
#include "wal/log.h"

#define LOCK_FILE      "lock"
#define TEMPORARY_FILE "repair.tmp"

enum { STAGE = 4 * 1024 * 1024, SLOTS = 1000000 };

struct cp_wal_repair {
    cp_wal_view *view;
    cp_io *io;
    int lock;
};

/* A segment file being written. */
typedef struct rebuild {
    cp_io *io;
    int file;
    cp_wal_segment_header *header; /* two copies of room */
    uint8_t *stage;                /* records not yet written; whole blocks but for the end */
    uint64_t used;
    uint64_t offset; /* of the stage in the file */
    uint64_t next_lsn;
    uint64_t last_lsn;
    uint64_t sound_end; /* the records that go over end there in the old file, */
    uint64_t missing;   /* and at most so many empty ones come in addition */
    uint32_t previous_crc;
    uint64_t schema_hash;
    uint64_t purge_lo; /* records that are left out though they are sound; 0: none */
    uint64_t purge_hi;
    cp_error *err;
} rebuild;

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

static int lock_take(cp_wal_repair *repair, const char *dir, cp_error *err)
{
    cp_io *io = repair->io;
    repair->lock = io->ops->open(io, LOCK_FILE, 0);
    if (repair->lock == -ENOENT)
        return cp_error_set(err, CP_E_ABSENT,
                            "%s is not the directory of a log: it has no file '" LOCK_FILE "'", dir);
    if (repair->lock < 0)
        return cp_error_errno(err, cp_error_code_of_errno(-repair->lock), -repair->lock, "%s/" LOCK_FILE,
                              dir);
    const int result = io->ops->lock(io, repair->lock);
    if (result == -EWOULDBLOCK) {
        cp_wal_view *view = NULL;
        pid_t holder = 0;
        if (cp_wal_inspect(&view, dir, CP_WAL_HEADERS, NULL) == CP_OK)
            holder = view->holder;
        cp_wal_view_free(view);
        return cp_error_set(err, CP_E_BUSY,
                            "%s is in use by a recorder (process %ld): stop it first, a log is repaired "
                            "only while nobody writes to it",
                            dir, (long)holder);
    }
    return result < 0 ? cp_error_errno(err, CP_E_IO, -result, "%s/" LOCK_FILE ": cannot lock", dir) : CP_OK;
}

int cp_wal_repair_begin(cp_wal_repair **out, const char *dir, const cp_wal_known *known, cp_error *err)
{
    cp_wal_repair *repair = calloc(1, sizeof *repair);
    *out = NULL;
    if (!repair)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    repair->lock = -1;
    int code = cp_io_posix_create(&repair->io, dir, err);
    if (code == CP_OK)
        code = lock_take(repair, dir, err);
    if (code == CP_OK)
        code = cp_wal_inspect_known(&repair->view, dir, CP_WAL_ALL, known, err);
    if (code != CP_OK) {
        cp_wal_repair_end(repair);
        return code;
    }
    *out = repair;
    return CP_OK;
}

const cp_wal_view *cp_wal_repair_view(const cp_wal_repair *repair)
{
    return repair->view;
}

void cp_wal_repair_end(cp_wal_repair *repair)
{
    if (!repair)
        return;
    if (repair->io && repair->lock >= 0)
        repair->io->ops->close(repair->io, repair->lock);
    if (repair->io)
        repair->io->ops->destroy(repair->io);
    cp_wal_view_free(repair->view);
    free(repair);
}

/* ---- writing a segment ----------------------------------------------------------------------------------------- */

static int io_failed(rebuild *b, int64_t result)
{
    return cp_error_errno(b->err, cp_error_code_of_errno((int)-result), (int)-result,
                          "cannot write " TEMPORARY_FILE);
}

/* Writes what is staged, in whole blocks. */
static int stage_write(rebuild *b, bool all)
{
    const uint64_t size = all ? cp_wal_block_up(b->used) : b->used / CP_WAL_BLOCK * CP_WAL_BLOCK;
    if (all)
        memset(b->stage + b->used, 0, size - b->used);
    const int64_t result = size ? b->io->ops->write(b->io, b->file, b->stage, size, b->offset) : 0;
    if (result < 0)
        return io_failed(b, result);
    b->offset += size;
    b->used = all ? 0 : b->used - size;
    memmove(b->stage, b->stage + size, b->used);
    return CP_OK;
}

/* Adds a record, sealed for the new file. */
static int record_add(rebuild *b, const cp_wal_record *record, const uint8_t *payload)
{
    const uint64_t need = CP_WAL_RECORD_HEADER + (uint64_t)record->size + CP_WAL_BLOCK;
    int code = b->used + need > STAGE ? stage_write(b, false) : CP_OK;
    if (code != CP_OK)
        return code;
    uint8_t *at = b->stage + b->used;
    cp_wal_record *copy = (cp_wal_record *)(void *)at;
    *copy = *record;
    copy->previous_crc = b->previous_crc;
    if (record->size)
        memcpy(at + CP_WAL_RECORD_HEADER, payload, record->size);
    if (record->lsn == b->last_lsn)
        copy->flags |= CP_WAL_LAST_IN_FRAME;
    cp_wal_record_seal(copy, b->header->salt);
    b->previous_crc = copy->crc;
    b->next_lsn = record->lsn + 1;
    b->schema_hash = record->schema_hash;
    const uint64_t end = b->used + CP_WAL_RECORD_HEADER + record->size;
    b->used = copy->flags & CP_WAL_LAST_IN_FRAME ? cp_wal_block_up(end) : end;
    memset(b->stage + end, 0, b->used - end);
    return CP_OK;
}

/* Empty records up to, and with, last. */
static int fill(rebuild *b, uint64_t last)
{
    int code = CP_OK;
    while (code == CP_OK && b->next_lsn <= last) {
        const cp_wal_record empty = {.lsn = b->next_lsn,
                                     .segment_id = b->header->id,
                                     .durable_lsn = b->header->base_lsn - 1,
                                     .schema_hash = b->schema_hash,
                                     .payload_crc = cp_wal_payload_crc(b->next_lsn, NULL, 0),
                                     .kind = CP_WAL_CHUNK};
        code = record_add(b, &empty, NULL);
    }
    return code;
}

static int on_record(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    rebuild *b = ctx;
    if (record->lsn > b->last_lsn || record->lsn < b->next_lsn ||
        (record->lsn >= b->purge_lo && record->lsn <= b->purge_hi))
        return CP_OK;
    const int code = fill(b, record->lsn - 1);
    return code == CP_OK ? record_add(b, record, payload) : code;
}

/* Opens the temporary file; header is filled in but for salt and seal. */
static int rebuild_begin(rebuild *b)
{
    cp_wal_segment_header *header = b->header;
    const uint64_t room = cp_wal_block_up(b->sound_end) +
                          cp_wal_block_up(b->missing * (uint64_t)CP_WAL_RECORD_HEADER) + CP_WAL_BLOCK;
    header->flags |= CP_WAL_SEGMENT_REPAIRED;
    if (header->size < room)
        header->size = cp_wal_block_up(room);
    if (header->size > CP_WAL_SEGMENT_MAX)
        return cp_error_set(b->err, CP_E_TOO_BIG,
                            "%" PRIu64 " records from %" PRIu64
                            " on are too many to give up: restore the files",
                            b->last_lsn + 1 - header->base_lsn, header->base_lsn);
    if (getrandom(&header->salt, sizeof header->salt, 0) != sizeof header->salt)
        header->salt ^= cp_realtime_ns();
    cp_wal_block_seal(header, CP_WAL_SEGMENT_MAGIC);
    memcpy((uint8_t *)header + CP_WAL_BLOCK, header, CP_WAL_BLOCK);
    b->previous_crc = header->head.crc;
    b->next_lsn = header->base_lsn;
    b->offset = CP_WAL_FIRST_FRAME;
    b->schema_hash = header->schema_hash;
    b->io->ops->unlink(b->io, TEMPORARY_FILE); /* of one that was killed; mostly not there */
    b->file = b->io->ops->open(b->io, TEMPORARY_FILE, CP_IO_CREATE);
    if (b->file < 0)
        return io_failed(b, b->file);
    const int64_t result = b->io->ops->write(b->io, b->file, header, CP_WAL_FIRST_FRAME, 0);
    return result < 0 ? io_failed(b, result) : CP_OK;
}

/* Completes the file and gives it its name. */
static int rebuild_end(rebuild *b, uint32_t slot)
{
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, slot);
    int code = fill(b, b->last_lsn);
    if (code == CP_OK)
        code = stage_write(b, true);
    if (code != CP_OK)
        return code;
    int result = b->io->ops->sync(b->io, b->file);
    cp_failpoint(CP_FP_REPAIR_WRITTEN);
    if (result >= 0)
        result = b->io->ops->rename(b->io, TEMPORARY_FILE, name);
    cp_failpoint(CP_FP_REPAIR_RENAMED);
    if (result >= 0)
        result = b->io->ops->sync_dir(b->io);
    return result < 0 ? io_failed(b, result) : CP_OK;
}

static int rebuild_init(rebuild *b, cp_wal_repair *repair, uint64_t last_lsn, cp_error *err)
{
    *b = (rebuild){.io = repair->io, .file = -1, .last_lsn = last_lsn, .err = err};
    b->header = aligned_alloc(CP_IO_BLOCK, CP_WAL_FIRST_FRAME);
    b->stage = aligned_alloc(CP_IO_BLOCK, STAGE + CP_WAL_SCAN_PAYLOAD + 2 * CP_WAL_BLOCK);
    if (!b->header || !b->stage)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    memset(b->header, 0, CP_WAL_FIRST_FRAME);
    return CP_OK;
}

static void rebuild_destroy(rebuild *b)
{
    if (b->file >= 0)
        b->io->ops->close(b->io, b->file);
    free(b->header);
    free(b->stage);
}

/* ---- a damaged segment ----------------------------------------------------------------------------------------- */

/* A path below the log's directory, with room for a time behind it. */
typedef char kept_path[sizeof((cp_wal_view *)NULL)->dir + 128];

/* Gives the file a second name, which it keeps when the first is taken: durable before that happens. The directory in `to` is made. */
static int file_keep(const cp_wal_repair *repair, const cp_wal_view_segment *segment, kept_path to,
                     cp_error *err)
{
    kept_path from;
    snprintf(from, sizeof from, "%s/%06u.seg", repair->view->dir, segment->slot);
    char *slash = strrchr(to, '/');
    *slash = '\0';
    if (mkdir(to, 0750) < 0 && errno != EEXIST)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot make %s", to);
    *slash = '/';
    int result = link(from, to);
    if (result < 0 && errno == EEXIST) { /* of an earlier repair */
        const size_t length = strlen(to);
        snprintf(to + length, sizeof(kept_path) - length, "-%" PRIu64, cp_realtime_ns());
        result = link(from, to);
    }
    if (result < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot keep %s as %s", from, to);
    result = cp_dir_sync_parent(to);
    if (result == 0)
        result = repair->io->ops->sync_dir(repair->io); /* the directory is perhaps new */
    return result < 0 ? cp_error_errno(err, CP_E_IO, -result, "cannot sync the name %s", to) : CP_OK;
}

static int damaged_keep(const cp_wal_repair *repair, const cp_wal_view_segment *segment, cp_error *err)
{
    kept_path to;
    snprintf(to, sizeof to, "%s/" CP_WAL_DAMAGED_DIR "/%06u.seg-%" PRIu64, repair->view->dir, segment->slot,
             segment->origin.id);
    return file_keep(repair, segment, to, err);
}

static int purged_keep(const cp_wal_repair *repair, const cp_wal_view_segment *segment, cp_error *err)
{
    kept_path to;
    char name[64];
    snprintf(name, sizeof name, "%06u.seg-%" PRIu64, segment->slot, segment->origin.id);
    const int code = cp_trash_path(to, sizeof to, repair->view->dir, name, "purged", cp_realtime_ns(), err);
    return code == CP_OK ? file_keep(repair, segment, to, err) : code;
}

/* The header as it stands in the file: the copy that the view's origin is of. */
static int header_load(rebuild *b, int file, const cp_wal_view_segment *segment)
{
    const int64_t got = b->io->ops->read(b->io, file, b->header, CP_WAL_FIRST_FRAME, 0);
    const cp_wal_segment_header *second = b->header + 1;
    if (got == CP_WAL_FIRST_FRAME && b->header->head.crc != segment->origin.header_crc)
        memcpy(b->header, second, CP_WAL_BLOCK);
    if (got != CP_WAL_FIRST_FRAME || b->header->head.crc != segment->origin.header_crc)
        return cp_error_set(b->err, CP_E_IO, "%06u.seg: its header cannot be read again", segment->slot);
    return CP_OK;
}

/* Writes it anew without what is damaged, or, with a range, without that. */
static int segment_rebuild(cp_wal_repair *repair, const cp_wal_view_segment *segment, uint64_t purge_lo,
                           uint64_t purge_hi, cp_error *err)
{
    char name[CP_WAL_SEGMENT_NAME];
    rebuild b;
    cp_wal_scan scan;
    cp_wal_segment_name(name, segment->slot);
    int code = rebuild_init(&b, repair, segment->end_lsn, err);
    b.purge_lo = purge_lo;
    b.purge_hi = purge_hi;
    b.sound_end = segment->end > CP_WAL_FIRST_FRAME ? segment->end : CP_WAL_FIRST_FRAME;
    b.missing = segment->end_lsn + 1 - segment->origin.base_lsn - segment->records;
    const int initialised = cp_wal_scan_init(&scan, err);
    if (code == CP_OK)
        code = initialised;
    const int file = repair->io->ops->open(repair->io, name, CP_IO_READ_ONLY);
    if (code == CP_OK && file < 0)
        code = cp_error_errno(err, cp_error_code_of_errno(-file), -file, "%s", name);
    if (code == CP_OK)
        code = header_load(&b, file, segment);
    if (code == CP_OK)
        code = rebuild_begin(&b);
    scan.record = on_record;
    scan.ctx = &b;
    scan.last_lsn = segment->end_lsn;
    if (code == CP_OK)
        code = cp_wal_scan_run(&scan, &segment->origin, repair->io, file, err);
    if (code == CP_OK)
        code = purge_hi ? purged_keep(repair, segment, err) : damaged_keep(repair, segment, err);
    cp_failpoint(CP_FP_REPAIR_KEPT);
    if (code == CP_OK)
        code = rebuild_end(&b, segment->slot);
    if (file >= 0)
        repair->io->ops->close(repair->io, file);
    cp_wal_scan_destroy(&scan);
    rebuild_destroy(&b);
    return code;
}

/* ---- a missing one --------------------------------------------------------------------------------------------- */

/* A number no file has. */
static uint32_t slot_free(const cp_wal_view *view)
{
    uint32_t slot = 0;
    for (uint32_t n = 0; n < view->segment_count && slot < SLOTS; n++) {
        if (view->segments[n].state != CP_WAL_VIEW_MISSING && view->segments[n].slot >= slot)
            slot = view->segments[n].slot + 1;
    }
    return slot;
}

/* An empty stand-in, linked to what comes before it; what comes after names it already. */
static int segment_substitute(cp_wal_repair *repair, cp_wal_view_segment *segment, cp_error *err)
{
    cp_wal_view *view = repair->view;
    const cp_wal_view_segment *before = NULL;
    uint64_t end = CP_WAL_FIRST_FRAME; /* where the successor believes that it ends */
    for (uint32_t n = 0; n < view->segment_count; n++) {
        const cp_wal_view_segment *other = &view->segments[n];
        if (other->origin.id && other->origin.id < segment->origin.id && other->state == CP_WAL_VIEW_SEALED &&
            other->end_lsn + 1 == segment->origin.base_lsn)
            before = other;
        if (other->origin.id && other->previous_id == segment->origin.id && other->previous_end > end)
            end = other->previous_end;
    }
    rebuild b;
    int code = rebuild_init(&b, repair, segment->end_lsn, err);
    b.sound_end = CP_WAL_FIRST_FRAME;
    b.missing = segment->end_lsn + 1 - segment->origin.base_lsn;
    if (code == CP_OK) {
        memcpy(b.header->uuid, view->uuid, CP_WAL_UUID);
        b.header->id = segment->origin.id ? segment->origin.id : 1;
        b.header->base_lsn = segment->origin.base_lsn;
        b.header->activated_ns = cp_realtime_ns();
        b.header->size = cp_wal_block_up(end) + CP_WAL_BLOCK;
        b.header->ring_count = 0;
        b.header->epoch = before ? before->epoch : 0;
        b.header->previous_id = before ? before->origin.id : 0;
        b.header->previous_end = before ? before->end : 0;
        code = rebuild_begin(&b);
    }
    segment->slot = slot_free(view);
    if (code == CP_OK)
        code = rebuild_end(&b, segment->slot);
    if (code == CP_OK)
        segment->state = CP_WAL_VIEW_SEALED; /* its slot is taken */
    rebuild_destroy(&b);
    return code;
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static bool segment_damaged(const cp_wal_view *view, const cp_wal_view_segment *segment)
{
    for (uint32_t n = 0; n < view->fault_count && n < CP_WAL_FAULTS; n++) {
        if (view->faults[n].file && view->faults[n].segment_id == segment->origin.id)
            return true;
    }
    return false;
}

/* Links that contradict each other, with all records sound: no rewriting of records would mend that. */
static int links_refuse(const cp_wal_view *view, cp_error *err)
{
    for (uint32_t n = 0; n < view->fault_count && n < CP_WAL_FAULTS; n++) {
        const cp_wal_fault *fault = &view->faults[n];
        if (fault->file && fault->offset == 0)
            return cp_error_set(err, CP_E_CORRUPT,
                                "%s/%06u.seg: %s; repair cannot mend that: restore the files", view->dir,
                                fault->slot, fault->text);
    }
    return CP_OK;
}

int cp_wal_repair_run(cp_wal_repair *repair, cp_error *err)
{
    cp_wal_view *view = repair->view;
    int code = links_refuse(view, err);
    for (uint32_t n = 0; n < view->segment_count && code == CP_OK; n++) {
        cp_wal_view_segment *segment = &view->segments[n];
        if (segment->state == CP_WAL_VIEW_MISSING)
            code = segment_substitute(repair, segment, err);
        else if (segment->state == CP_WAL_VIEW_UNSOUND && view->fault_count)
            code = damaged_keep(repair, segment, err); /* recovery takes its first name away */
        else if (segment_damaged(view, segment))
            code = segment_rebuild(repair, segment, 0, 0, err);
    }
    return code == CP_OK ? CP_OK : cp_error_prefix(err, "%s", view->dir);
}

/* ---- purging --------------------------------------------------------------------------------------------------- */

int cp_wal_repair_may_purge(const cp_wal_repair *repair, uint64_t lo, uint64_t hi, cp_error *err)
{
    const cp_wal_view *view = repair->view;
    const uint64_t first =
        view->delivered_lsn + 1 > view->oldest_lsn ? view->delivered_lsn + 1 : view->oldest_lsn;
    if (view->fault_count)
        return cp_error_set(err, CP_E_CORRUPT, "%s is damaged: `coldpath wal repair` comes first", view->dir);
    if (view->checkpoint_lost)
        return cp_error_set(
            err, CP_E_CORRUPT,
            "%s has no sound checkpoint: nobody knows what ClickHouse has; coldpathd finds out", view->dir);
    if (view->end_lsn < first)
        return cp_error_set(err, CP_E_INVAL, "%s holds nothing that ClickHouse does not have", view->dir);
    if (lo < first || hi > view->end_lsn || lo > hi)
        return cp_error_set(err, CP_E_INVAL,
                            "records %" PRIu64 " to %" PRIu64 ": of %s, %" PRIu64 " to %" PRIu64
                            " are there and not delivered",
                            lo, hi, view->dir, first, view->end_lsn);
    for (uint32_t n = 0; n < view->checkpoint.intent_count; n++) {
        const cp_wal_intent *intent = &view->checkpoint.intents[n];
        if (hi >= intent->lo && lo <= intent->hi)
            return cp_error_set(err, CP_E_BUSY,
                                "records %" PRIu64 " to %" PRIu64 " %s: name a range without them%s",
                                intent->lo, intent->hi,
                                intent->token[0] ? "are a batch under way, which ClickHouse may have"
                                                 : "were delivered ahead of the others",
                                intent->token[0] ? ", or let coldpathd settle it" : "");
    }
    return CP_OK;
}

int cp_wal_repair_purge(cp_wal_repair *repair, uint64_t lo, uint64_t hi, cp_error *err)
{
    const cp_wal_view *view = repair->view;
    int code = cp_wal_repair_may_purge(repair, lo, hi, err);
    for (uint32_t n = 0; n < view->segment_count && code == CP_OK; n++) {
        const cp_wal_view_segment *segment = &view->segments[n];
        const bool used = segment->state == CP_WAL_VIEW_SEALED || segment->state == CP_WAL_VIEW_NEWEST;
        if (used && segment->origin.base_lsn <= hi && segment->end_lsn >= lo)
            code = segment_rebuild(repair, segment, lo, hi, err);
    }
    return code == CP_OK ? CP_OK : cp_error_prefix(err, "%s", view->dir);
}
