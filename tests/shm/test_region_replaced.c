/* A region that is replaced again and again, with a table that changes each time, while producers come and go: a row for which put said
 * CP_OK is in the ring that the next recorder reads, or its table was not replaced. Nobody holds a slot for long, so that the recorder
 * often finds none in use, and a producer is often between opening a ring's file and taking its lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE changing (number Int64) ENGINE = MergeTree ORDER BY number"

enum {
    PRODUCERS = 3,
    SLOTS = 3,
    SMALL = CP_RING_MIN_SIZE,
    LARGE = 2 * CP_RING_MIN_SIZE,
    RECORD = 16,
    RUN_S = 3
};

/* Shared with the producers. */
typedef struct counts {
    uint64_t put[PRODUCERS];
    uint64_t refused[PRODUCERS]; /* attempts to attach */
    int ready;
    int end;
} counts;

static void nap(uint64_t ns)
{
    const struct timespec time = {.tv_nsec = (long)ns};
    nanosleep(&time, NULL);
}

static void put_one(const region_fixture *fixture, counts *shared, int which)
{
    cp_region *region;
    cp_ring *ring;
    if (cp_attach(&region, fixture->dir, NULL) < 0) {
        shared->refused[which]++;
        return;
    }
    if (cp_ring_open(&ring, region, "changing", 0, NULL, NULL) == CP_OK) {
        const int64_t row = which;
        shared->put[which] += cp_put(ring, &row, sizeof row) == CP_OK;
        cp_ring_close(ring);
    } else {
        shared->refused[which]++;
    }
    cp_detach(region);
}

static pid_t producer_start(const region_fixture *fixture, counts *shared, int which)
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || close(fixture->owner.lock_fd) < 0)
        _exit(1);
    __atomic_fetch_add(&shared->ready, 1, __ATOMIC_RELEASE);
    uint64_t random = (uint64_t)which + 1;
    while (!__atomic_load_n(&shared->end, __ATOMIC_ACQUIRE)) {
        put_one(fixture, shared, which);
        nap(test_random(&random) % (300 * (uint64_t)CP_NS_PER_US));
    }
    _exit(0);
}

/* Reads and acknowledges what is in the rings. */
static uint64_t rows_take(region_fixture *fixture)
{
    uint64_t rows = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        cp_ring_reader reader;
        region_fixture_open_reader(fixture, slot, &reader);
        assert_int_equal(reader.fault, CP_RING_SOUND);
        const uint64_t pending = cp_ring_reader_pending(&reader);
        assert_int_equal(pending % RECORD, 0);
        region_fixture_ack(fixture, slot, reader.cursor + pending, pending / RECORD);
        rows += pending / RECORD;
        cp_ring_reader_close(&reader);
    }
    return rows;
}

/* Becomes the region's recorder, with rings of this size; false when the old ones are in use. */
static bool own(region_fixture *fixture, uint64_t ring_size)
{
    cp_error err = {0};
    fixture->spec.ring_size = ring_size;
    const cp_region_spec spec = {fixture->dir, "test", NULL, 0600, &fixture->spec, 1};
    const int rc = cp_region_own(&fixture->owner, &spec, &err);
    if (rc < 0 && (rc != CP_E_BUSY))
        fail_msg("%s", err.text);
    return rc == CP_OK;
}

static void test_no_row_is_put_where_nobody_looks(void **state)
{
    (void)state;
    region_fixture fixture;
    pid_t pids[PRODUCERS];
    uint64_t taken = 0;
    uint64_t replaced = 0;
    uint64_t in_use = 0;
    uint64_t size = SMALL;
    counts *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    region_fixture_make(&fixture, DDL, size, SLOTS, 1024);
    for (int i = 0; i < PRODUCERS; i++)
        pids[i] = producer_start(&fixture, shared, i);
    /* The recorder's lock lives as long as any copy of its descriptor. */
    while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < PRODUCERS)
        nap(CP_NS_PER_MS);
    const uint64_t end = cp_boottime_ns() + RUN_S * (uint64_t)CP_NS_PER_S;
    while (cp_boottime_ns() < end) {
        taken += rows_take(&fixture);
        cp_region_release(&fixture.owner);
        const uint64_t other = size == SMALL ? LARGE : SMALL;
        if (own(&fixture, other)) {
            size = other;
            replaced++;
        } else {
            in_use++;
            assert_true(own(&fixture, size));
        }
    }
    __atomic_store_n(&shared->end, 1, __ATOMIC_RELEASE);
    uint64_t put = 0;
    uint64_t refused = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        put += shared->put[i];
        refused += shared->refused[i];
    }
    taken += rows_take(&fixture);
    print_message("%llu rows put, %llu found; %llu replacements, %llu refused since in use, %llu attempts to "
                  "attach refused\n",
                  (unsigned long long)put, (unsigned long long)taken, (unsigned long long)replaced,
                  (unsigned long long)in_use, (unsigned long long)refused);
    assert_true(replaced > 0);
    assert_true(put > 0);
    assert_int_equal(taken, put);
    munmap(shared, sizeof *shared);
    region_fixture_remove(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_row_is_put_where_nobody_looks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
