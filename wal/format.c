#include "wal/format.h"

#include <string.h>

#include "wal/crc32c.h"

static uint32_t block_crc(const cp_wal_block_head *head)
{
    cp_wal_block_head copy = *head;
    copy.crc = 0;
    const uint32_t crc = cp_crc32c(0, &copy, sizeof copy);
    return cp_crc32c(crc, (const uint8_t *)head + sizeof *head, CP_WAL_BLOCK - sizeof *head);
}

void cp_wal_block_seal(void *block, uint64_t magic)
{
    cp_wal_block_head *head = block;
    head->magic = magic;
    head->version = CP_WAL_VERSION;
    head->crc = block_crc(head);
}

int cp_wal_block_check(const void *block, uint64_t magic, unsigned unsafe)
{
    const cp_wal_block_head *head = block;
    if (head->magic != magic || (head->crc != block_crc(head) && !(unsafe & CP_UNSAFE_BLOCK_CRC)))
        return CP_E_CORRUPT;
    return head->version == CP_WAL_VERSION ? CP_OK : CP_E_ABI;
}

int cp_wal_segment_header_check(const cp_wal_segment_header *header, unsigned unsafe)
{
    const int code = cp_wal_block_check(header, CP_WAL_SEGMENT_MAGIC, unsafe);
    if (code != CP_OK)
        return code;
    const bool sane = header->id > 0 && header->base_lsn > 0 && header->previous_id < header->id &&
                      header->size % CP_WAL_BLOCK == 0 && header->size > CP_WAL_FIRST_FRAME &&
                      header->ring_count <= CP_WAL_RINGS;
    return sane ? CP_OK : CP_E_CORRUPT;
}

bool cp_wal_intent_sane(const cp_wal_intent *intent, uint64_t delivered_lsn, uint64_t durable_lsn)
{
    const uint64_t piece_end = (uint64_t)intent->piece_first + intent->piece_rows;
    return intent->lo <= intent->hi && intent->lo > delivered_lsn && intent->hi <= durable_lsn &&
           memchr(intent->token, 0, sizeof intent->token) &&
           (intent->piece_rows > 0 ? piece_end <= intent->rows : intent->piece_first == 0);
}

int cp_wal_checkpoint_check(const cp_wal_checkpoint_block *block, unsigned unsafe)
{
    const int code = cp_wal_block_check(block, CP_WAL_CHECKPOINT_MAGIC, unsafe);
    if (code != CP_OK)
        return code;
    if (block->intent_count > CP_WAL_INTENTS || block->ring_count > CP_WAL_RINGS ||
        block->delivered_lsn > block->durable_lsn)
        return CP_E_CORRUPT;
    for (uint32_t i = 0; i < block->intent_count; i++) {
        if (!cp_wal_intent_sane(&block->intents[i], block->delivered_lsn, block->durable_lsn))
            return CP_E_CORRUPT;
    }
    return CP_OK;
}

uint32_t cp_wal_payload_crc(uint64_t lsn, const void *data, uint32_t size)
{
    return cp_crc32c(cp_crc32c(0, &lsn, sizeof lsn), data, size);
}

static uint32_t record_crc(const cp_wal_record *record, uint64_t salt)
{
    cp_wal_record copy = *record;
    copy.crc = 0;
    const uint64_t seed[2] = {salt, record->segment_id};
    return cp_crc32c(cp_crc32c(0, seed, sizeof seed), &copy, sizeof copy);
}

void cp_wal_record_seal(cp_wal_record *record, uint64_t salt)
{
    record->magic = CP_WAL_RECORD_MAGIC;
    record->crc = record_crc(record, salt);
}

static bool record_belongs(const cp_wal_record *record, uint64_t segment_id, uint64_t salt, unsigned unsafe)
{
    if (unsafe & CP_UNSAFE_HEADER_CRC)
        return true;
    if (unsafe & CP_UNSAFE_IDENTITY)
        return record->crc == record_crc(record, 0);
    return record->segment_id == segment_id && record->crc == record_crc(record, salt);
}

bool cp_wal_record_sound(const cp_wal_record *record, uint64_t segment_id, uint64_t salt, unsigned unsafe)
{
    if (record->magic != CP_WAL_RECORD_MAGIC || !record_belongs(record, segment_id, salt, unsafe))
        return false;
    if (record->kind == CP_WAL_MARK)
        return record->size == 0;
    return record->kind == CP_WAL_CHUNK && record->size % 8 == 0 && record->raw_size == record->size &&
           record->codec == 0 && record->ring_slot < CP_WAL_RINGS &&
           record->ring_end - record->ring_begin == record->size && record->durable_lsn < record->lsn;
}

void cp_wal_rings_note(cp_wal_ring *rings, uint32_t slot, uint64_t epoch, uint64_t end, uint64_t lsn)
{
    if (lsn > rings[slot].lsn)
        rings[slot] = (cp_wal_ring){.epoch = epoch, .end = end, .lsn = lsn};
}

uint64_t cp_wal_uuid_id(const uint8_t uuid[CP_WAL_UUID])
{
    uint64_t id;
    memcpy(&id, uuid, sizeof id);
    return id ? id : 1;
}
