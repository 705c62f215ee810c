#include "wal/frame.h"

#include <string.h>

#include "base/clock.h"

static cp_wal_record *record_at(const cp_frame *frame, uint32_t at)
{
    return (cp_wal_record *)(void *)(frame->buffer + CP_WAL_FIRST_FRAME + at);
}

/* The boot-time stamp as real time, which means something after a reboot too. */
static uint64_t real_of_boot(uint64_t boot_ns)
{
    const uint64_t age = boot_ns ? cp_boottime_ns() - boot_ns : 0;
    return cp_realtime_ns() - age;
}

/* Marks the rows that are in the bytes but not in the index: validation rejected them. */
static void rejected_mark(uint8_t *data, const cp_chunk *chunk)
{
    uint32_t good = 0;
    for (uint32_t at = 0; at + CP_RECORD_HEADER <= chunk->byte_count;) {
        uint32_t size;
        memcpy(&size, data + at, sizeof size);
        if (good < chunk->row_count && chunk->row_at[good] == at + CP_RECORD_HEADER) {
            good++;
        } else {
            const uint32_t marked = size | CP_WAL_ROW_REJECTED;
            memcpy(data + at, &marked, sizeof marked);
        }
        const uint64_t step =
            ((uint64_t)size + CP_RECORD_HEADER + CP_RECORD_ALIGN - 1) / CP_RECORD_ALIGN * CP_RECORD_ALIGN;
        if (step > chunk->byte_count - at)
            break;
        at += (uint32_t)step;
    }
}

bool cp_frame_add(cp_frame *frame, uint64_t capacity, const cp_chunk *chunk, uint64_t lsn,
                  uint64_t schema_hash)
{
    const uint64_t need = CP_WAL_RECORD_HEADER + (uint64_t)chunk->byte_count;
    if (need > capacity - frame->used)
        return false;
    cp_wal_record *record = record_at(frame, frame->used);
    uint8_t *data = (uint8_t *)(record + 1);
    memcpy(data, chunk->data, chunk->byte_count);
    if (chunk->rejected)
        rejected_mark(data, chunk);
    *record = (cp_wal_record){.lsn = lsn,
                              .ring_epoch = chunk->epoch,
                              .ring_begin = chunk->begin,
                              .ring_end = chunk->end,
                              .schema_hash = schema_hash,
                              .seen_ns = real_of_boot(chunk->first_seen_ns),
                              .size = chunk->byte_count,
                              .raw_size = chunk->byte_count,
                              .rows = chunk->row_count,
                              .rejected = chunk->rejected,
                              .payload_crc = cp_wal_payload_crc(lsn, data, chunk->byte_count),
                              .ring_slot = chunk->slot,
                              .kind = CP_WAL_CHUNK,
                              .table = chunk->table};
    if (frame->used == 0)
        frame->first_lsn = lsn;
    frame->last_lsn = lsn;
    frame->last_at = frame->used;
    frame->used += (uint32_t)need;
    return true;
}

void cp_frame_mark(cp_frame *frame, uint64_t durable_lsn)
{
    cp_wal_record *record = record_at(frame, 0);
    *record = (cp_wal_record){
        .lsn = durable_lsn, .kind = CP_WAL_MARK, .payload_crc = cp_wal_payload_crc(durable_lsn, record, 0)};
    frame->mark = true;
    frame->first_lsn = durable_lsn + 1;
    frame->last_lsn = durable_lsn;
    frame->last_at = 0;
    frame->used = CP_WAL_RECORD_HEADER;
}

const cp_wal_record *cp_frame_next(const cp_frame *frame, uint32_t *at)
{
    if (*at >= frame->used)
        return NULL;
    const cp_wal_record *record = record_at(frame, *at);
    *at += CP_WAL_RECORD_HEADER + record->size;
    return record;
}

uint32_t cp_frame_seal(cp_frame *frame, const cp_wal_origin *active, uint32_t previous_crc,
                       uint64_t durable_lsn, unsigned unsafe)
{
    for (uint32_t at = 0; at < frame->used;) {
        cp_wal_record *record = record_at(frame, at);
        record->segment_id = active->id;
        record->durable_lsn = durable_lsn;
        record->previous_crc = previous_crc;
        record->flags = at == frame->last_at ? CP_WAL_LAST_IN_FRAME : 0;
        cp_wal_record_seal(record, unsafe & CP_UNSAFE_IDENTITY ? 0 : active->salt);
        previous_crc = record->crc;
        at += CP_WAL_RECORD_HEADER + record->size;
    }
    const uint64_t padded = cp_wal_block_up(frame->used);
    memset(frame->buffer + CP_WAL_FIRST_FRAME + frame->used, 0, padded - frame->used);
    frame->stated = durable_lsn;
    frame->end_crc = previous_crc;
    frame->length = padded;
    return previous_crc;
}
