/* put makes no system call, faults no page, allocates nothing and takes no lock: a million puts on a thread under strict seccomp, where any
 * system call but read, write and exit kills, with the process's fault counters compared before and after; the linker leads calls of
 * the allocator and of pthread's locks past counters. The parent plays the recorder, so that the ring goes round many times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE quiet (a Int64, b FixedString(112)) ENGINE = MergeTree ORDER BY a"

enum { PUTS = 1000000, RING_SIZE = 1 << 20, RECORD = 128 };

typedef struct quiet_row {
    int64_t a;
    char b[112];
} quiet_row;

/* Shared with the parent; its page is touched before the puts. */
typedef struct quiet_result {
    int ready;
    int go;
    int done;
    long refused;
    long minor_faults;
    long major_faults;
    long calls;
} quiet_result;

/* ---- what is counted ------------------------------------------------------------------------------------------------ */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);

static _Thread_local long calls; /* of any of them, by this thread */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

void *__wrap_malloc(size_t size)
{
    calls++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    calls++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    calls++;
    return __real_realloc(old, size);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    calls++;
    return __real_posix_memalign(out, alignment, size);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    calls++;
    return __real_pthread_mutex_lock(mutex);
}

/* ---- the puts ------------------------------------------------------------------------------------------------------- */

typedef struct quiet_job {
    cp_ring *ring;
    quiet_result *result;
    bool misbehave; /* makes a system call: the test of the test */
} quiet_job;

static void *put_a_million(void *argument)
{
    quiet_job *job = argument;
    quiet_row row = {0};
    long refused = 0;
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    calls = 0;
    __atomic_store_n(&job->result->ready, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&job->result->go, __ATOMIC_ACQUIRE))
        ;
    for (long i = 0; i < PUTS; i++) {
        row.a = i;
        while (cp_put(job->ring, &row, sizeof row) == CP_FULL)
            refused++;
        if (i % 16 == 0 && cp_claim(job->ring, sizeof row))
            cp_abort(job->ring);
        if (job->misbehave && i == PUTS / 2)
            getppid();
    }
    job->result->refused = refused;
    job->result->calls = calls;
    __atomic_store_n(&job->result->done, 1, __ATOMIC_RELEASE);
    syscall(SYS_exit, 0); /* strict mode has no exit_group */
    return NULL;
}

static void nap(void)
{
    const struct timespec time = {.tv_sec = 0, .tv_nsec = 200000};
    nanosleep(&time, NULL);
}

static void child_run(const region_fixture *fixture, quiet_result *result, bool misbehave)
{
    quiet_job job = {.result = result, .misbehave = misbehave};
    cp_region *region;
    pthread_t thread;
    struct rusage before;
    struct rusage after;
    if (cp_attach(&region, fixture->dir, NULL) < 0 ||
        cp_ring_open(&job.ring, region, "quiet", 0, NULL, NULL) < 0 ||
        calls == 0 || /* attaching allocates: they are counted */
        pthread_create(&thread, NULL, put_a_million, &job) != 0)
        _exit(2);
    getrusage(RUSAGE_SELF, &after); /* what the calls below touch, is touched before it counts */
    nap();
    while (!__atomic_load_n(&result->ready, __ATOMIC_ACQUIRE))
        nap();
    getrusage(RUSAGE_SELF, &before);
    __atomic_store_n(&result->go, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&result->done, __ATOMIC_ACQUIRE))
        nap();
    getrusage(RUSAGE_SELF, &after);
    result->minor_faults = after.ru_minflt - before.ru_minflt;
    result->major_faults = after.ru_majflt - before.ru_majflt;
    _exit(0);
}

/* Runs the child, giving back ring space as it goes. Returns its wait status. */
static int run_child(region_fixture *fixture, quiet_result *result, bool misbehave)
{
    const pid_t child = fork();
    if (child == 0)
        child_run(fixture, result, misbehave);
    cp_ring_reader reader;
    region_fixture_open_reader(fixture, 0, &reader);
    int status = 0;
    bool ended = false;
    while (!ended) {
        ended = waitpid(child, &status, WNOHANG) != 0;
        const uint64_t pending = cp_ring_reader_pending(&reader);
        reader.cursor += pending;
        region_fixture_ack(fixture, 0, reader.cursor, pending / RECORD);
    }
    cp_ring_reader_close(&reader);
    return status;
}

static quiet_result *make_result(void)
{
    quiet_result *result =
        mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(result, MAP_FAILED);
    memset(result, 0, sizeof *result);
    return result;
}

static void test_a_million_puts(void **state)
{
    (void)state;
    region_fixture fixture;
    quiet_result *result = make_result();
    region_fixture_make(&fixture, DDL, RING_SIZE, 1, 1024);
    const int status = run_child(&fixture, result, false);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(result->done, 1);
    print_message("faults: %ld minor, %ld major; refused as full: %ld\n", result->minor_faults,
                  result->major_faults, result->refused);
    assert_int_equal(result->minor_faults, 0);
    assert_int_equal(result->major_faults, 0);
    assert_int_equal(result->calls, 0);
    munmap(result, sizeof *result);
    region_fixture_remove(&fixture);
}

/* The same with one system call in the middle must be noticed, or the test above proves nothing. */
static void test_a_system_call_would_be_noticed(void **state)
{
    (void)state;
    region_fixture fixture;
    quiet_result *result = make_result();
    region_fixture_make(&fixture, DDL, RING_SIZE, 1, 1024);
    const pid_t watchdog = fork(); /* strict mode kills the thread alone; its process then waits for ever */
    if (watchdog == 0) {
        alarm(5);
        child_run(&fixture, result, true);
    }
    cp_ring_reader reader;
    region_fixture_open_reader(&fixture, 0, &reader);
    int status = 0;
    while (waitpid(watchdog, &status, WNOHANG) == 0) {
        const uint64_t pending = cp_ring_reader_pending(&reader);
        reader.cursor += pending;
        region_fixture_ack(&fixture, 0, reader.cursor, pending / RECORD);
        nap();
    }
    cp_ring_reader_close(&reader);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(result->done, 0);
    munmap(result, sizeof *result);
    region_fixture_remove(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_million_puts),
        cmocka_unit_test(test_a_system_call_would_be_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
