/* The format's fixed points: sizes and offsets that files already written depend on, CRC check values, and that headers of
 * another life, size or kind are not taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wal/crc32c.h"
#include "wal/format.h"
#include "wal/segment.h"

static void test_crc(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    uint8_t ascending[32];
    for (uint8_t i = 0; i < 32; i++)
        ascending[i] = i;
    assert_int_equal(cp_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(cp_crc32c(0, zeros, sizeof zeros), 0x8a9136aa); /* RFC 3720, B.4 */
    assert_int_equal(cp_crc32c(0, ascending, sizeof ascending), 0x46dd794e);
    assert_int_equal(cp_crc32c(cp_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(cp_crc32c(0, zeros, 0), 0);
}

static void test_layout(void **state)
{
    (void)state;
    assert_int_equal(sizeof(cp_wal_block_head), 16);
    assert_int_equal(offsetof(cp_wal_segment_header, id), 32);
    assert_int_equal(offsetof(cp_wal_segment_header, rings), 112);
    assert_int_equal(offsetof(cp_wal_checkpoint_block, intents), 72);
    assert_int_equal(offsetof(cp_wal_checkpoint_block, rings), 2216);
    assert_int_equal(offsetof(cp_wal_intent, piece_first), 528);
    assert_int_equal(offsetof(cp_wal_intent, piece_rows), 532);
    assert_int_equal(offsetof(cp_wal_record, size), 72);
    assert_int_equal(offsetof(cp_wal_record, ring_slot), 96);
}

static void test_blocks(void **state)
{
    (void)state;
    static cp_wal_segment_header header;
    header.id = 4;
    header.base_lsn = 9;
    header.previous_id = 3;
    header.size = 65536;
    cp_wal_block_seal(&header, CP_WAL_SEGMENT_MAGIC);
    assert_int_equal(cp_wal_segment_header_check(&header, 0), CP_OK);
    for (size_t byte = 0; byte < sizeof header; byte += 97) {
        ((uint8_t *)&header)[byte] ^= 1;
        assert_int_equal(cp_wal_segment_header_check(&header, 0), CP_E_CORRUPT);
        ((uint8_t *)&header)[byte] ^= 1;
    }
    assert_int_equal(cp_wal_block_check(&header, CP_WAL_CHECKPOINT_MAGIC, 0), CP_E_CORRUPT);
    header.previous_id = 4; /* sound, but no sense */
    cp_wal_block_seal(&header, CP_WAL_SEGMENT_MAGIC);
    assert_int_equal(cp_wal_segment_header_check(&header, 0), CP_E_CORRUPT);
}

static void test_checkpoint_blocks(void **state)
{
    (void)state;
    static cp_wal_checkpoint_block block;
    block.delivered_lsn = 5;
    block.durable_lsn = 9;
    block.intent_count = 1;
    block.intents[0] = (cp_wal_intent){.lo = 6, .hi = 9, .token = "t"};
    cp_wal_block_seal(&block, CP_WAL_CHECKPOINT_MAGIC);
    assert_int_equal(cp_wal_checkpoint_check(&block, 0), CP_OK);
    block.intents[0].lo = 5;
    cp_wal_block_seal(&block, CP_WAL_CHECKPOINT_MAGIC);
    assert_int_equal(cp_wal_checkpoint_check(&block, 0), CP_E_CORRUPT);
    block.intents[0].lo = 6;
    block.intent_count = CP_WAL_INTENTS + 1;
    cp_wal_block_seal(&block, CP_WAL_CHECKPOINT_MAGIC);
    assert_int_equal(cp_wal_checkpoint_check(&block, 0), CP_E_CORRUPT);
    block.intent_count = 1;
    memset(block.intents[0].token, 'x', sizeof block.intents[0].token);
    cp_wal_block_seal(&block, CP_WAL_CHECKPOINT_MAGIC);
    assert_int_equal(cp_wal_checkpoint_check(&block, 0), CP_E_CORRUPT);
}

static void test_pieces(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, rows;
        int code;
    } cases[] = {
        {0, 0, CP_OK},        {0, 10, CP_OK},       {3, 7, CP_OK},         {9, 1, CP_OK},
        {3, 8, CP_E_CORRUPT}, {3, 0, CP_E_CORRUPT}, {0, 11, CP_E_CORRUPT}, {UINT32_MAX, 2, CP_E_CORRUPT},
    };
    static cp_wal_checkpoint_block block;
    block.durable_lsn = 9;
    block.intent_count = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        block.intents[0] = (cp_wal_intent){.lo = 6,
                                           .hi = 9,
                                           .rows = 10,
                                           .token = "t",
                                           .piece_first = cases[i].first,
                                           .piece_rows = cases[i].rows};
        cp_wal_block_seal(&block, CP_WAL_CHECKPOINT_MAGIC);
        assert_int_equal(cp_wal_checkpoint_check(&block, 0), cases[i].code);
    }
}

static void test_records(void **state)
{
    (void)state;
    cp_wal_record record = {.lsn = 7,
                            .segment_id = 2,
                            .durable_lsn = 6,
                            .ring_end = 64,
                            .size = 64,
                            .raw_size = 64,
                            .kind = CP_WAL_CHUNK};
    cp_wal_record_seal(&record, 99);
    assert_true(cp_wal_record_sound(&record, 2, 99, 0));
    assert_false(cp_wal_record_sound(&record, 2, 98, 0));
    assert_false(cp_wal_record_sound(&record, 3, 99, 0));
    record.codec = 1; /* of a version to come */
    cp_wal_record_seal(&record, 99);
    assert_false(cp_wal_record_sound(&record, 2, 99, 0));
}

static void test_names(void **state)
{
    (void)state;
    char name[CP_WAL_SEGMENT_NAME];
    uint32_t slot = 0;
    cp_wal_segment_name(name, 12);
    assert_string_equal(name, "000012.seg");
    assert_true(cp_wal_segment_name_parse(name, &slot));
    assert_int_equal(slot, 12);
    static const char *const others[] = {"",           "lock",      "00012.seg", "000012.tmp", "000012.seg~",
                                         "-00012.seg", "checkpoint"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(cp_wal_segment_name_parse(others[i], &slot));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),    cmocka_unit_test(test_layout),
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_checkpoint_blocks),
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_records),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
