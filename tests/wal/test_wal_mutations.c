/* The mutation check: each protection of the log is taken away in turn, and the simulation must find a violation; with all of
 * them in place, on the same seeds, it must find none. A protection that can go without being missed would be either
 * useless or untested.
 *
 * The identity of records (salt, segment number, chain) backs up others: slots with torn headers are removed, so that stale
 * records with a fitting LSN hardly ever lie behind fresh ones. It is checked on bytes laid out for the purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/wal/sim_disk.h"
#include "tests/wal/sim_run.h"
#include "wal/cursor.h"

typedef struct mutation {
    const char *what;
    unsigned unsafe;
    bool short_lives;
} mutation;

enum { MOST_STATES = 300 * 1000, BASE_STATES = 20 * 1000, SECONDS_EACH = 60 };

static uint64_t seed_of_environment(void)
{
    const char *text = getenv("CP_SEED");
    const uint64_t seed = text && *text ? strtoull(text, NULL, 0) : cp_realtime_ns();
    print_message("CP_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void run(uint64_t seed, const mutation *without, uint64_t states, sim_result *result)
{
    const sim_options options = {.seed = seed,
                                 .max_states = states,
                                 .deadline_ns = cp_boottime_ns() + (uint64_t)SECONDS_EACH * CP_NS_PER_S,
                                 .unsafe = without->unsafe,
                                 .faults = true,
                                 .damage = true,
                                 .short_lives = without->short_lives};
    sim_run(&options, result);
}

static void test_every_protection_is_missed(void **state)
{
    (void)state;
    static const mutation mutations[] = {
        {"sync of the checkpoint", CP_UNSAFE_CHECKPOINT_SYNC, false},
        {"the checkpoint's second block", CP_UNSAFE_ONE_SLOT, false},
        {"the durable intent", CP_UNSAFE_INTENT, false},
        {"sync of the directory", CP_UNSAFE_DIR_SYNC, false},
        {"CRC of the record header", CP_UNSAFE_HEADER_CRC, true},
        {"CRC of the payload", CP_UNSAFE_PAYLOAD_CRC, false},
        {"sync before the acknowledgement", CP_UNSAFE_ACK_WRITTEN, false},
        {"acknowledging in order only", CP_UNSAFE_ACK_ORDER, false},
        {"giving up a segment whose sync failed", CP_UNSAFE_SYNC_RETRY, false},
        {"checkpoint before a segment is used again", CP_UNSAFE_RECYCLE, false},
        {"comparing a bad record with what was stated durable", CP_UNSAFE_TORN_TAIL, false},
        {"the links between segments", CP_UNSAFE_CHAIN, false},
        {"removing slots with a torn header", CP_UNSAFE_REUSE, true},
    };
    const uint64_t seed = seed_of_environment();
    unsigned unnoticed = 0;
    for (size_t i = 0; i < sizeof mutations / sizeof mutations[0]; i++) {
        static sim_result result;
        run(seed, &mutations[i], MOST_STATES, &result);
        print_message("without %s: %s after %llu states: %s\n", mutations[i].what,
                      result.violated ? "violation" : "NO VIOLATION", (unsigned long long)result.states,
                      result.text);
        unnoticed += !result.violated;
    }
    assert_int_equal(unnoticed, 0);
}

static void test_none_is_missed_when_all_are_there(void **state)
{
    (void)state;
    const uint64_t seed = seed_of_environment();
    for (int i = 0; i < 2; i++) {
        static sim_result result;
        const mutation none = {.short_lives = i};
        run(seed, &none, BASE_STATES, &result);
        if (result.violated)
            fail_msg("violation: %s", result.text);
        assert_true(result.states > 0);
    }
}

/* ---- stale records ---- */

enum { STALE_SALT = 11, SALT = 22, SEGMENT = 5, BASE = 12 };

static cp_wal_record record_of(uint64_t segment, uint64_t lsn, const uint8_t *payload, uint32_t size)
{
    return (cp_wal_record){.lsn = lsn,
                           .segment_id = segment,
                           .durable_lsn = lsn - 1,
                           .ring_end = size,
                           .size = size,
                           .raw_size = size,
                           .rows = 1,
                           .payload_crc = cp_wal_payload_crc(lsn, payload, size),
                           .kind = CP_WAL_CHUNK,
                           .flags = CP_WAL_LAST_IN_FRAME};
}

/* A fresh record 12, and in the next block record 13 of an earlier life of the slot. */
static int second_record(unsigned unsafe)
{
    static const uint8_t payload[16] = {8};
    static _Alignas(CP_WAL_BLOCK) uint8_t blocks[2 * CP_WAL_BLOCK];
    sim_disk *disk = sim_disk_new(1);
    cp_io *io = NULL;
    assert_int_equal(sim_io_create(disk, &io, NULL), CP_OK);
    const int file = io->ops->open(io, "000000.seg", CP_IO_CREATE);
    const cp_wal_origin origin = {
        .id = SEGMENT, .salt = SALT, .size = SIM_FILE_SIZE, .base_lsn = BASE, .header_crc = 7};
    cp_wal_record fresh = record_of(SEGMENT, BASE, payload, sizeof payload);
    cp_wal_record stale = record_of(SEGMENT - 1, BASE + 1, payload, sizeof payload);
    fresh.previous_crc = origin.header_crc;
    cp_wal_record_seal(&fresh, unsafe ? 0 : SALT);
    cp_wal_record_seal(&stale, unsafe ? 0 : STALE_SALT);
    memcpy(blocks, &fresh, sizeof fresh);
    memcpy(blocks + sizeof fresh, payload, sizeof payload);
    memcpy(blocks + CP_WAL_BLOCK, &stale, sizeof stale);
    memcpy(blocks + CP_WAL_BLOCK + sizeof stale, payload, sizeof payload);
    io->ops->write(io, file, blocks, sizeof blocks, CP_WAL_FIRST_FRAME);
    cp_wal_cursor cursor = {.max_payload = CP_WAL_BLOCK, .unsafe = unsafe};
    assert_int_equal(cp_wal_window_init(&cursor.window, CP_WAL_BLOCK, 0, false), CP_OK);
    cp_wal_cursor_begin(&cursor, &origin, io, file);
    const cp_wal_record *record;
    const uint8_t *data;
    assert_int_equal(cp_wal_cursor_next(&cursor, &record, &data, NULL), CP_OK);
    const int code = cp_wal_cursor_next(&cursor, &record, &data, NULL);
    cp_wal_window_destroy(&cursor.window);
    io->ops->destroy(io);
    sim_disk_free(disk);
    return code;
}

static void test_stale_records(void **state)
{
    (void)state;
    assert_int_equal(second_record(0), CP_E_CORRUPT);
    assert_int_equal(second_record(CP_UNSAFE_IDENTITY), CP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_records),
        cmocka_unit_test(test_none_is_missed_when_all_are_there),
        cmocka_unit_test(test_every_protection_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
