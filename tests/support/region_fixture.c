#include "tests/support/region_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/ack.h"

void region_fixture_make(region_fixture *fixture, const char *ddl, uint64_t ring_size, uint32_t slots,
                         uint32_t row_max)
{
    cp_error err = {0};
    memset(fixture, 0, sizeof *fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "/dev/shm/coldpath-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    if (cp_table_parse(&fixture->table, "test.sql", ddl, strlen(ddl), &err) < 0)
        fail_msg("%s", err.text);
    fixture->spec = (cp_control_table){fixture->table, ring_size, slots, row_max, false};
    const cp_region_spec spec = {fixture->dir, "test", NULL, 0600, &fixture->spec, 1};
    if (cp_region_own(&fixture->owner, &spec, &err) < 0)
        fail_msg("%s", err.text);
}

void region_fixture_start_at(region_fixture *fixture, uint32_t slot, uint64_t position)
{
    char path[CP_MAX_REGION_PATH];
    cp_abi_ack ack;
    cp_abi_ack *shared = cp_control_ack(&fixture->owner.control, 0, slot);
    cp_ack_read(shared, &ack);
    ack.consumed = ack.durable = ack.delivered = position;
    cp_ack_write(shared, &ack);
    assert_int_equal(cp_ring_path(path, fixture->dir, fixture->table->name, slot, NULL), CP_OK);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &position, sizeof position, CP_ABI_RING_HOT_OFFSET), sizeof position);
    close(fd);
}

void region_fixture_ack(region_fixture *fixture, uint32_t slot, uint64_t position, uint64_t rows)
{
    cp_abi_ack ack;
    cp_abi_ack *shared = cp_control_ack(&fixture->owner.control, 0, slot);
    cp_ack_read(shared, &ack);
    ack.consumed = ack.durable = ack.delivered = position;
    ack.consumed_rows += rows;
    ack.delivered_rows += rows;
    cp_ack_write(shared, &ack);
}

void region_fixture_open_reader(region_fixture *fixture, uint32_t slot, cp_ring_reader *reader)
{
    cp_abi_ack ack;
    cp_error err = {0};
    cp_ack_read(cp_control_ack(&fixture->owner.control, 0, slot), &ack);
    if (cp_ring_reader_open(reader, fixture->dir, &fixture->owner.control.directory[0], slot, &ack, &err) < 0)
        fail_msg("%s", err.text);
}

void region_fixture_remove(region_fixture *fixture)
{
    cp_region_release(&fixture->owner);
    cp_table_free(fixture->table);
    DIR *dir = opendir(fixture->dir);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    assert_int_equal(rmdir(fixture->dir), 0);
}

uint64_t test_seed(void)
{
    const char *given = getenv("CP_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : cp_realtime_ns();
    print_message("seed: CP_SEED=%llu\n", (unsigned long long)seed);
    return seed ? seed : 1;
}

uint64_t test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}
