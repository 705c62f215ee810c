#include "wal/cursor.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/pages.h"

enum { TAG_AHEAD = 1 };

int cp_wal_window_init(cp_wal_window *window, uint32_t max_payload, uint64_t least, bool ahead)
{
    /* A record lies anywhere in its first block. */
    const uint64_t record = cp_wal_block_up((uint64_t)max_payload + CP_WAL_RECORD_HEADER) + CP_WAL_BLOCK;
    *window = (cp_wal_window){.keep = ahead ? record : 0};
    window->capacity = least > record ? cp_wal_block_up(least) : record;
    window->capacity = cp_pages_whole(window->keep + window->capacity) - window->keep;
    window->buffer = cp_pages_map(window->keep + window->capacity);
    if (ahead)
        window->other = cp_pages_map(window->keep + window->capacity);
    if (window->buffer && (window->other || !ahead))
        return CP_OK;
    cp_wal_window_destroy(window);
    return CP_E_NOMEM;
}

void cp_wal_window_destroy(cp_wal_window *window)
{
    cp_pages_free(window->buffer, window->keep + window->capacity);
    cp_pages_free(window->other, window->keep + window->capacity);
    window->buffer = window->other = NULL;
}

/* ---- reading ahead ---- */

/* How much can be read at offset: what the window holds, or less where the file, or what is written of it, ends. */
static uint64_t read_size(const cp_wal_cursor *cursor, uint64_t offset)
{
    const uint64_t end = cursor->written && cursor->written < cursor->size ? cursor->written : cursor->size;
    const uint64_t there = end > offset ? cp_wal_block_up(end - offset) : 0;
    return there < cursor->window.capacity ? there : cursor->window.capacity;
}

/* Asks for what follows the window, if it is known to be there. */
static void ahead_begin(cp_wal_cursor *cursor)
{
    cp_wal_window *window = &cursor->window;
    const cp_io_ops *ops = cursor->io->ops;
    const uint64_t offset = cursor->window_at + cursor->window_size;
    if (!window->other || !cursor->written || !ops->submit_read || offset % CP_WAL_BLOCK != 0)
        return;
    const uint64_t size = read_size(cursor, offset);
    if (size == 0 || ops->submit_read(cursor->io, cursor->file, window->other + window->keep, size, offset,
                                      TAG_AHEAD) != 0)
        return;
    window->ahead_at = offset;
    window->ahead_size = size;
}

/* Waits for it: the bytes that came; 0: none was under way, or it failed. */
static uint64_t ahead_end(cp_wal_cursor *cursor)
{
    cp_io_done done = {0};
    int count = 0;
    if (cursor->window.ahead_size == 0)
        return 0;
    while (count == 0)
        count = cursor->io->ops->reap(cursor->io, &done, 1, CP_NS_PER_S);
    cursor->window.ahead_size = 0;
    return count > 0 && done.result > 0 ? (uint64_t)done.result : 0;
}

/* Makes the bytes read ahead the window's, behind those of it from offset on. False: there are none, or not for here. */
static bool ahead_take(cp_wal_cursor *cursor, uint64_t offset)
{
    cp_wal_window *window = &cursor->window;
    const uint64_t edge = window->ahead_at;
    const uint64_t got = ahead_end(cursor);
    const bool follows = got > 0 && cursor->window_size > 0 && offset >= cursor->window_at &&
                         offset <= edge && edge - offset <= window->keep;
    if (!follows)
        return false;
    const uint64_t left = edge - offset;
    uint8_t *const filled = window->other;
    memcpy(filled + window->keep - left, cursor->read + (offset - cursor->window_at), left);
    window->other = window->buffer;
    window->buffer = filled;
    cursor->read = filled + window->keep - left;
    cursor->window_at = offset;
    cursor->window_size = left + got;
    return true;
}

void cp_wal_cursor_forget(cp_wal_cursor *cursor)
{
    ahead_end(cursor);
    cursor->window_size = 0;
}

cp_wal_origin cp_wal_origin_of(const cp_wal_segment_header *header)
{
    return (cp_wal_origin){.id = header->id,
                           .salt = header->salt,
                           .size = header->size,
                           .base_lsn = header->base_lsn,
                           .header_crc = header->head.crc};
}

void cp_wal_cursor_begin(cp_wal_cursor *cursor, const cp_wal_origin *origin, cp_io *io, int file)
{
    cursor->io = io;
    cursor->file = file;
    cursor->segment_id = origin->id;
    cursor->salt = origin->salt;
    cursor->size = origin->size;
    cursor->written = 0;
    cursor->offset = CP_WAL_FIRST_FRAME;
    cursor->next_lsn = origin->base_lsn;
    cursor->previous_crc = origin->header_crc;
    cursor->window_size = 0;
}

/* ---- records ---- */

static bool window_has(const cp_wal_cursor *cursor, uint64_t offset, uint64_t end)
{
    return offset >= cursor->window_at && end <= cursor->window_at + cursor->window_size;
}

/* Reads the window anew, from offset's block on. size: needed at least, if the file has it. */
static int window_read(cp_wal_cursor *cursor, uint64_t offset, uint64_t size, cp_error *err)
{
    cp_wal_window *window = &cursor->window;
    const uint64_t at = offset / CP_WAL_BLOCK * CP_WAL_BLOCK;
    const uint64_t need = cp_wal_block_up(offset + size - at);
    uint64_t want = read_size(cursor, at);
    if (want < need)
        want = need;
    cursor->read = window->buffer + window->keep;
    cursor->window_at = at;
    const int64_t got =
        cursor->io->ops->read(cursor->io, cursor->file, window->buffer + window->keep, want, at);
    cursor->window_size = got < 0 ? 0 : (uint64_t)got;
    return got < 0 ? cp_error_errno(err, CP_E_IO, (int)-got, "cannot read %llu bytes at offset %llu",
                                    (unsigned long long)want, (unsigned long long)at)
                   : CP_OK;
}

/* Makes [offset, offset + size) of the segment readable in the window; *at is where. NULL when the file is shorter.
 * The caller has checked size against the window's capacity. */
static int window_reach(cp_wal_cursor *cursor, uint64_t offset, uint64_t size, const uint8_t **at,
                        cp_error *err)
{
    const uint64_t end = offset + size;
    int code = CP_OK;
    if (!window_has(cursor, offset, end)) {
        if (!ahead_take(cursor, offset) || !window_has(cursor, offset, end))
            code = window_read(cursor, offset, size, err);
        if (code == CP_OK)
            ahead_begin(cursor);
    }
    *at =
        code == CP_OK && window_has(cursor, offset, end) ? cursor->read + (offset - cursor->window_at) : NULL;
    return code;
}

/* What is wrong with a header at the cursor, or NULL. */
static const char *header_fault(const cp_wal_cursor *cursor, const cp_wal_record *record)
{
    if (!cp_wal_record_sound(record, cursor->segment_id, cursor->salt, cursor->unsafe))
        return "no sound record header";
    if (record->lsn != cursor->next_lsn - (record->kind == CP_WAL_MARK))
        return "a record out of turn";
    if (record->previous_crc != cursor->previous_crc && !(cursor->unsafe & CP_UNSAFE_IDENTITY))
        return "a record that follows another one";
    if (record->size > cursor->max_payload)
        return "a record larger than the configured chunks";
    if (record->size > cursor->size - cursor->offset - CP_WAL_RECORD_HEADER)
        return "a record that reaches past the segment's end";
    return NULL;
}

static int record_absent(const cp_wal_cursor *cursor, cp_error *err, const char *what)
{
    return cp_error_set(err, CP_E_CORRUPT, "%s at offset %llu where record %llu should be", what,
                        (unsigned long long)cursor->offset, (unsigned long long)cursor->next_lsn);
}

int cp_wal_cursor_next(cp_wal_cursor *cursor, const cp_wal_record **record, const uint8_t **payload,
                       cp_error *err)
{
    const uint8_t *at = NULL;
    if (cursor->offset > cursor->size || cursor->size - cursor->offset < CP_WAL_RECORD_HEADER)
        return record_absent(cursor, err, "the segment's end");
    int code = window_reach(cursor, cursor->offset, CP_WAL_RECORD_HEADER, &at, err);
    if (code != CP_OK)
        return code;
    if (!at)
        return record_absent(cursor, err, "the file's end");
    const cp_wal_record *header = (const cp_wal_record *)(const void *)at;
    const char *fault = header_fault(cursor, header);
    if (fault)
        return record_absent(cursor, err, fault);
    const uint32_t size = header->size;
    code = window_reach(cursor, cursor->offset, CP_WAL_RECORD_HEADER + size, &at, err);
    if (code != CP_OK)
        return code;
    if (!at)
        return record_absent(cursor, err, "the file's end");
    header = (const cp_wal_record *)(const void *)at;
    *payload = at + CP_WAL_RECORD_HEADER;
    if (header->payload_crc != cp_wal_payload_crc(header->lsn, *payload, size) &&
        !(cursor->unsafe & CP_UNSAFE_PAYLOAD_CRC))
        return record_absent(cursor, err, "a record whose payload fails its CRC");
    *record = header;
    cursor->offset += CP_WAL_RECORD_HEADER + size;
    if (header->flags & CP_WAL_LAST_IN_FRAME)
        cursor->offset = cp_wal_block_up(cursor->offset);
    cursor->previous_crc = header->crc;
    cursor->next_lsn = header->lsn + 1;
    return CP_OK;
}

int cp_wal_cursor_stated(cp_wal_cursor *cursor, uint64_t *durable_lsn, cp_error *err)
{
    *durable_lsn = 0;
    /* Frames begin at blocks; a mark is a frame of its own. So the first record of each later frame is found. */
    for (uint64_t offset = cp_wal_block_up(cursor->offset); offset < cursor->size; offset += CP_WAL_BLOCK) {
        const uint8_t *at = NULL;
        const int code = window_reach(cursor, offset, CP_WAL_RECORD_HEADER, &at, err);
        if (code != CP_OK)
            return code;
        if (!at)
            break;
        const cp_wal_record *record = (const cp_wal_record *)(const void *)at;
        if (cp_wal_record_sound(record, cursor->segment_id, cursor->salt, cursor->unsafe) &&
            record->durable_lsn > *durable_lsn)
            *durable_lsn = record->durable_lsn;
    }
    return CP_OK;
}
