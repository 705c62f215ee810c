#include "wal/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "wal/log_private.h"

struct cp_wal_reader {
    cp_wal *wal;
    cp_io *io;
    uint64_t next_lsn;
    uint32_t slot; /* of the segment that is held */
    bool holds;
    uint64_t end_lsn; /* of the held one; UINT64_MAX while it is active */
    cp_wal_cursor cursor;
};

static void segment_leave(cp_wal_reader *reader)
{
    if (!reader->holds)
        return;
    cp_wal_cursor_forget(&reader->cursor);
    reader->io->ops->close(reader->io, reader->cursor.file);
    pthread_mutex_lock(&reader->wal->mutex);
    cp_wal_segments_by_slot(&reader->wal->segments, reader->slot)->pins--;
    pthread_mutex_unlock(&reader->wal->mutex);
    reader->holds = false;
}

/* How far a segment is written and durable; 0: not known. The log's mutex is held. */
static uint64_t segment_written(const cp_wal *wal, const cp_wal_segment *segment)
{
    if (segment->state != CP_SEGMENT_ACTIVE)
        return segment->end;
    return wal->durable_tail.segment_id == segment->origin.id ? wal->durable_tail.end : 0;
}

/* Takes hold of the segment with next_lsn and opens it. */
static int segment_enter(cp_wal_reader *reader, cp_error *err)
{
    cp_wal *wal = reader->wal;
    cp_wal_origin origin = {0};
    uint64_t written = 0;
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segment *segment = cp_wal_segments_by_lsn(&wal->segments, reader->next_lsn);
    if (segment) {
        segment->pins++;
        reader->slot = segment->slot;
        origin = segment->origin;
        written = segment_written(wal, segment);
    }
    pthread_mutex_unlock(&wal->mutex);
    if (!segment)
        return cp_error_set(err, CP_E_ABSENT, "%s does not hold record %llu any more", wal->dir,
                            (unsigned long long)reader->next_lsn);
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, reader->slot);
    const int file = reader->io->ops->open(reader->io, name, CP_IO_READ_ONLY);
    reader->holds = true;
    cp_wal_cursor_begin(&reader->cursor, &origin, reader->io, file);
    reader->cursor.written = written;
    if (file >= 0)
        return CP_OK;
    pthread_mutex_lock(&wal->mutex);
    cp_wal_segments_by_slot(&wal->segments, reader->slot)->pins--;
    pthread_mutex_unlock(&wal->mutex);
    reader->holds = false;
    return cp_error_errno(err, cp_error_code_of_errno(-file), -file, "%s/%s", wal->dir, name);
}

/* True when the held segment ends before next_lsn: it was sealed, or left for another. If not, the cursor learns how far it
 * is written. */
static bool segment_over(cp_wal_reader *reader)
{
    cp_wal *wal = reader->wal;
    pthread_mutex_lock(&wal->mutex);
    const cp_wal_segment *held = cp_wal_segments_by_slot(&wal->segments, reader->slot);
    const bool over = held->state != CP_SEGMENT_ACTIVE && reader->next_lsn > held->end_lsn;
    reader->cursor.written = segment_written(wal, held);
    pthread_mutex_unlock(&wal->mutex);
    return over;
}

/* The record at the cursor. What was read before it became durable is read again once. */
static int record_read(cp_wal_reader *reader, const cp_wal_record **record, const uint8_t **payload,
                       cp_error *err)
{
    cp_wal_cursor *cursor = &reader->cursor;
    int code = CP_OK;
    do {
        code = cp_wal_cursor_next(cursor, record, payload, err);
        if (code == CP_E_CORRUPT) {
            cp_wal_cursor_forget(cursor);
            code = cp_wal_cursor_next(cursor, record, payload, err);
        }
    } while (code == CP_OK && ((*record)->kind == CP_WAL_MARK || (*record)->lsn < reader->next_lsn));
    if (code == CP_OK)
        return CP_OK;
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, reader->slot);
    if (code == CP_E_CORRUPT)
        return cp_error_prefix(
            err,
            "%s/%s: record %llu was acknowledged and is damaged (restore the file, or give it up "
            "with 'coldpath wal repair')",
            reader->wal->dir, name, (unsigned long long)cursor->next_lsn);
    return cp_error_prefix(err, "%s/%s", reader->wal->dir, name);
}

/* Rebuilds the index by the lengths; the CRC has vouched for them, but not for whoever wrote them. */
static int rows_index(cp_chunk *into, const cp_wal_record *record, cp_error *err)
{
    uint32_t rejected = 0;
    uint64_t at = 0;
    while (at < record->size) {
        uint32_t size;
        memcpy(&size, into->data + at, sizeof size);
        const bool bad = size & CP_WAL_ROW_REJECTED;
        size &= ~CP_WAL_ROW_REJECTED;
        const uint64_t step =
            ((uint64_t)size + CP_RECORD_HEADER + CP_RECORD_ALIGN - 1) / CP_RECORD_ALIGN * CP_RECORD_ALIGN;
        if (size == 0 || step > record->size - at)
            return cp_error_set(err, CP_E_CORRUPT, "record %llu holds a row with a length of %u",
                                (unsigned long long)record->lsn, size);
        if (bad) {
            memcpy(into->data + at, &size, sizeof size);
            rejected++;
        } else if (into->row_count < into->row_capacity) {
            into->row_at[into->row_count++] = (uint32_t)at + CP_RECORD_HEADER;
        } else {
            return cp_error_set(err, CP_E_TOO_BIG, "record %llu has more than %u rows",
                                (unsigned long long)record->lsn, into->row_capacity);
        }
        at += step;
    }
    if (into->row_count != record->rows || rejected != record->rejected)
        return cp_error_set(err, CP_E_CORRUPT, "record %llu says %u rows and %u rejected, it holds %u and %u",
                            (unsigned long long)record->lsn, record->rows, record->rejected, into->row_count,
                            rejected);
    return CP_OK;
}

static int chunk_fill(cp_chunk *into, const cp_wal_record *record, const uint8_t *payload, cp_error *err)
{
    if (record->size > into->data_capacity)
        return cp_error_set(err, CP_E_TOO_BIG, "record %llu has %u bytes, the chunk has room for %u",
                            (unsigned long long)record->lsn, record->size, into->data_capacity);
    const uint64_t real_ns = cp_realtime_ns();
    const uint64_t boot_ns = cp_boottime_ns();
    const uint64_t age = real_ns > record->seen_ns ? real_ns - record->seen_ns : 0;
    into->table = record->table;
    into->slot = record->ring_slot;
    into->epoch = record->ring_epoch;
    into->begin = record->ring_begin;
    into->end = record->ring_end;
    into->first_seen_ns = boot_ns > age ? boot_ns - age : 1; /* before this boot: as old as can be said */
    into->rejected = record->rejected;
    into->byte_count = record->size;
    into->row_count = 0;
    memcpy(into->data, payload, record->size);
    return rows_index(into, record, err);
}

int cp_wal_reader_next(cp_wal_reader *reader, cp_chunk *into, uint64_t *lsn, cp_error *err)
{
    cp_wal *wal = reader->wal;
    if (reader->next_lsn > cp_wal_durable(wal))
        return CP_E_ABSENT;
    if (reader->holds && segment_over(reader))
        segment_leave(reader);
    int code = CP_OK;
    if (!reader->holds && (code = segment_enter(reader, err)) != CP_OK)
        return code == CP_E_ABSENT ? cp_error_set(err, CP_E_CORRUPT, "%s: record %llu is gone", wal->dir,
                                                  (unsigned long long)reader->next_lsn)
                                   : code;
    const uint64_t offset = reader->cursor.offset;
    const uint64_t next_lsn = reader->cursor.next_lsn;
    const uint32_t previous_crc = reader->cursor.previous_crc;
    const cp_wal_record *record;
    const uint8_t *payload;
    code = record_read(reader, &record, &payload, err);
    if (code == CP_OK && wal->config.schema_hash && record->size > 0 &&
        record->schema_hash != wal->config.schema_hash)
        code = cp_error_set(
            err, CP_E_SCHEMA,
            "%s: record %llu was written for other columns (schema %016llx, now %016llx): drain the log "
            "with the configuration that wrote it",
            wal->dir, (unsigned long long)record->lsn, (unsigned long long)record->schema_hash,
            (unsigned long long)wal->config.schema_hash);
    if (code == CP_OK)
        code = chunk_fill(into, record, payload, err);
    if (code != CP_OK) {
        cp_wal_cursor_forget(&reader->cursor); /* stays on the record */
        reader->cursor.offset = offset;
        reader->cursor.next_lsn = next_lsn;
        reader->cursor.previous_crc = previous_crc;
        return code;
    }
    *lsn = record->lsn;
    reader->next_lsn = record->lsn + 1;
    return CP_OK;
}

int cp_wal_reader_seek(cp_wal_reader *reader, uint64_t lsn, cp_error *err)
{
    const uint64_t from = reader->holds ? reader->cursor.next_lsn : UINT64_MAX;
    reader->next_lsn = lsn;
    if (from <= lsn && !segment_over(reader))
        return CP_OK; /* ahead in the same segment */
    segment_leave(reader);
    if (lsn > cp_wal_durable(reader->wal))
        return CP_OK; /* entered when it is there */
    return segment_enter(reader, err);
}

void cp_wal_reader_rest(cp_wal_reader *reader)
{
    segment_leave(reader);
}

uint64_t cp_wal_reader_position(const cp_wal_reader *reader)
{
    return reader->next_lsn;
}

int cp_wal_reader_create(cp_wal_reader **out, cp_wal *wal, uint64_t lsn, cp_error *err)
{
    cp_wal_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    reader->wal = wal;
    reader->cursor.max_payload = wal->config.max_chunk_bytes;
    reader->cursor.unsafe = wal->seams.unsafe;
    const uint64_t window = wal->seams.reader_window ? wal->seams.reader_window : CP_WAL_WINDOW_AHEAD;
    int code =
        cp_wal_window_init(&reader->cursor.window, wal->config.max_chunk_bytes,
                           wal->config.segment_size < window ? wal->config.segment_size : window, true);
    if (code != CP_OK)
        cp_error_set(err, code, "out of memory");
    else
        code = cp_wal_io_create(wal, &reader->io, err);
    if (code == CP_OK)
        code = cp_wal_reader_seek(reader, lsn, err);
    if (code != CP_OK) {
        cp_wal_reader_free(reader);
        return code;
    }
    *out = reader;
    return CP_OK;
}

void cp_wal_reader_free(cp_wal_reader *reader)
{
    if (!reader)
        return;
    segment_leave(reader);
    if (reader->io)
        reader->io->ops->destroy(reader->io);
    cp_wal_window_destroy(&reader->cursor.window);
    free(reader);
}
