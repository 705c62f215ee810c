#include "wal/cursor.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int cp_wal_window_init(cp_wal_window *window, uint32_t max_payload, uint64_t least)
{
    /* A record lies anywhere in its first block. */
    uint64_t capacity = cp_wal_block_up((uint64_t)max_payload + CP_WAL_RECORD_HEADER) + CP_WAL_BLOCK;
    if (capacity < least)
        capacity = cp_wal_block_up(least);
    *window = (cp_wal_window){.data = aligned_alloc(CP_IO_BLOCK, capacity), .capacity = capacity};
    return window->data ? CP_OK : CP_E_NOMEM;
}

void cp_wal_window_destroy(cp_wal_window *window)
{
    free(window->data);
    window->data = NULL;
}

void cp_wal_cursor_begin(cp_wal_cursor *cursor, const cp_wal_origin *origin, cp_io *io, int file)
{
    cursor->io = io;
    cursor->file = file;
    cursor->segment_id = origin->id;
    cursor->salt = origin->salt;
    cursor->size = origin->size;
    cursor->offset = CP_WAL_FIRST_FRAME;
    cursor->next_lsn = origin->base_lsn;
    cursor->previous_crc = origin->header_crc;
    cursor->window_size = 0;
}

/* Makes [offset, offset + size) of the segment readable in the window; *at is where. NULL when the file is shorter.
 * The caller has checked size against the window's capacity. */
static int window_reach(cp_wal_cursor *cursor, uint64_t offset, uint64_t size, const uint8_t **at,
                        cp_error *err)
{
    const uint64_t end = offset + size;
    if (offset < cursor->window_at || end > cursor->window_at + cursor->window_size) {
        cursor->window_at = offset / CP_WAL_BLOCK * CP_WAL_BLOCK;
        uint64_t want = cursor->window.capacity;
        const uint64_t there = cursor->size > cursor->window_at ? cursor->size - cursor->window_at : 0;
        if (want > there)
            want = there;
        const int64_t got =
            cursor->io->ops->read(cursor->io, cursor->file, cursor->window.data, want, cursor->window_at);
        cursor->window_size = got < 0 ? 0 : (uint64_t)got;
        if (got < 0)
            return cp_error_errno(err, CP_E_IO, (int)-got, "cannot read %llu bytes at offset %llu",
                                  (unsigned long long)want, (unsigned long long)cursor->window_at);
    }
    const bool whole = end <= cursor->window_at + cursor->window_size;
    *at = whole ? cursor->window.data + (offset - cursor->window_at) : NULL;
    return CP_OK;
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
