/* A throw-away region for tests: made under /dev/shm (or $TMPDIR), removed at the end. */
#ifndef CP_TESTS_REGION_FIXTURE_H
#define CP_TESTS_REGION_FIXTURE_H

#include "shm/region.h"
#include "shm/ring_reader.h"

typedef struct region_fixture {
    char dir[128];
    cp_table *table;
    cp_control_table spec;
    cp_region_owner owner;
} region_fixture;

/* One table, named in ddl, with rings of ring_size and so many slots. Fails the test when it cannot. */
void region_fixture_make(region_fixture *fixture, const char *ddl, uint64_t ring_size, uint32_t slots,
                         uint32_t row_max);

/* Sets every position of a slot to `position`, as if that many bytes had gone through it. No producer may be attached. */
void region_fixture_start_at(region_fixture *fixture, uint32_t slot, uint64_t position);

/* Acknowledges up to position, as the recorder would after delivering `rows` more rows. */
void region_fixture_ack(region_fixture *fixture, uint32_t slot, uint64_t position, uint64_t rows);

void region_fixture_open_reader(region_fixture *fixture, uint32_t slot, cp_ring_reader *reader);

/* Releases the region and removes its directory. */
void region_fixture_remove(region_fixture *fixture);

/* The seed of a random test: $CP_SEED or the clock; printed. */
uint64_t test_seed(void);

/* xorshift64*: the next number of a sequence; state must not be 0. */
uint64_t test_random(uint64_t *state);

#endif
