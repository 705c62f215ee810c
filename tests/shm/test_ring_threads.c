/* Producer and reader on two threads of one process, with an exact ledger: for ThreadSanitizer, and for the order of
 * stores and loads. Every row carries its number and a checksum of its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE pairs (a UInt64) ENGINE = MergeTree ORDER BY a"

enum { ROWS = 300000, RING_SIZE = CP_RING_MIN_SIZE };

typedef struct pair_row {
    uint64_t number;
    uint64_t inverse;
    uint8_t more[40];
} pair_row;

static void *produce(void *argument)
{
    cp_ring *ring = argument;
    for (uint64_t i = 0; i < ROWS; i++) {
        pair_row row = {i, ~i, {0}};
        memset(row.more, (int)(i % 251), sizeof row.more);
        const uint32_t size = (uint32_t)(16 + i % 41);
        while (cp_put(ring, &row, size) == CP_FULL)
            ;
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    (void)state;
    static region_fixture fixture;
    static uint8_t copy[RING_SIZE];
    cp_region *region;
    cp_ring *ring;
    cp_ring_reader reader;
    cp_error err = {0};
    pthread_t producer;
    region_fixture_make(&fixture, DDL, RING_SIZE, 1, 1024);
    region_fixture_start_at(&fixture, 0, 0 - (uint64_t)1024 * 1024);
    assert_int_equal(cp_attach(&region, fixture.dir, &err), CP_OK);
    assert_int_equal(cp_ring_open(&ring, region, "pairs", 0, NULL, &err), CP_OK);
    region_fixture_open_reader(&fixture, 0, &reader);
    assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
    for (uint64_t next = 0; next < ROWS;) {
        const uint64_t copied =
            cp_ring_reader_copy(&reader, copy, sizeof copy, cp_ring_reader_pending(&reader));
        assert_int_equal(reader.fault, CP_RING_SOUND);
        uint64_t rows = 0;
        for (uint64_t at = 0; at < copied; rows++, next++) {
            uint32_t size;
            pair_row row = {0};
            memcpy(&size, copy + at, sizeof size);
            assert_int_equal(size, 16 + next % 41);
            memcpy(&row, copy + at + CP_RECORD_PREFIX, size);
            assert_int_equal(row.number, next);
            assert_int_equal(row.inverse, ~next);
            for (uint32_t i = 16; i < size; i++)
                assert_int_equal(row.more[i - 16], next % 251);
            at += cp_record_size_(size);
        }
        reader.cursor += copied;
        region_fixture_ack(&fixture, 0, reader.cursor, rows);
    }
    pthread_join(producer, NULL);
    assert_int_equal(cp_ring_reader_pending(&reader), 0);
    cp_ring_reader_close(&reader);
    cp_ring_close(ring);
    cp_detach(region);
    region_fixture_remove(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
