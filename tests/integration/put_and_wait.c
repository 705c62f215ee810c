/* A producer that follows its rows, for tests: puts trades, waits for a stage with cp_wait, and says what came of it.
 *
 *   put_and_wait REGION STAGE ROWS TIMEOUT_MS [FIRST_ID]   waits for the last of the rows (0 rows: for what the ring holds)
 *   put_and_wait REGION STAGE ROWS TIMEOUT_MS each         after each row waits for it
 *   put_and_wait REGION quiet ROWS TIMEOUT_MS              after each row reads the durable position until the row is durable, on
 *                                                          a thread where any system call but exit kills the process
 *   put_and_wait REGION noisy ROWS TIMEOUT_MS              the same with one system call in the middle: it must be killed
 *
 * STAGE: consumed, durable, delivered. One JSON line: {"rc", "seconds", "position", "consumed", "durable", "delivered",
 * "p50_us", "p99_us"}; the last two of `each`. */
#include <coldpath/coldpath.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "rows/trades.h"

enum { TEXT_ROOM = 32, MAX_ROWS = 1000000, TICKS_PER_NS_MAX = 8 /* no processor's counter is faster */ };

typedef struct trade_put {
    trades_row row;
    char tail[TEXT_ROOM];
} trade_put;

typedef struct wait_job {
    cp_ring *ring;
    cp_stage stage;
    uint64_t rows;
    uint64_t first;
    uint64_t timeout_ns;
    bool each;
    bool noisy;
    uint64_t position; /* behind the last row */
    uint64_t *waits;   /* ns, per row */
    int rc;
} wait_job;

static uint32_t trade_make(trade_put *put, uint64_t id)
{
    put->row = (trades_row){.recv_ts = INT64_C(1700000000000000000) + (int64_t)id,
                            .exch_ts = INT64_C(1700000000000),
                            .trade_id = id,
                            .price = 100000000,
                            .qty = 100000000};
    cp_tail tail = cp_tail_begin(put, sizeof put->row, sizeof *put);
    cp_tail_put(&tail, &put->row.venue, "test", 4);
    cp_tail_put(&tail, &put->row.symbol, "BTCUSDT", 7);
    return tail.used;
}

static int rows_put(wait_job *job)
{
    trade_put put;
    cp_ring_stats stats;
    cp_ring_get_stats(job->ring, &stats);
    job->position = stats.written;
    for (uint64_t i = 0; i < job->rows; i++) {
        const uint32_t bytes = trade_make(&put, job->first + i);
        const int rc = cp_put_wait(job->ring, &put, bytes, job->timeout_ns);
        if (rc != CP_OK)
            return rc;
        job->position = job->ring->write;
        if (!job->each)
            continue;
        const uint64_t begin = cp_boottime_ns();
        const int waited = cp_wait(job->ring, job->stage, job->position, job->timeout_ns);
        if (waited != CP_OK)
            return waited;
        job->waits[i] = cp_boottime_ns() - begin;
    }
    return cp_wait(job->ring, job->stage, job->position, job->timeout_ns);
}

/* From here on this thread may do nothing but end. */
static int calls_forbid(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Time is the time stamp counter: even a clock's page may, on some hosts, be behind a system call. */
static void *quiet_run(void *argument)
{
    wait_job *job = argument;
    trade_put put;
    const uint64_t limit = __rdtsc() + job->timeout_ns * TICKS_PER_NS_MAX;
    if (calls_forbid() < 0) {
        job->rc = CP_E_UNSUPPORTED;
        return NULL;
    }
    job->rc = CP_OK;
    for (uint64_t i = 0; i < job->rows && job->rc == CP_OK; i++) {
        const uint32_t bytes = trade_make(&put, job->first + i);
        while (cp_put(job->ring, &put, bytes) == CP_FULL)
            _mm_pause();
        job->position = job->ring->write;
        while ((int64_t)(cp_position(job->ring, CP_DURABLE) - job->position) < 0 && job->rc == CP_OK) {
            _mm_pause();
            if (__rdtsc() > limit)
                job->rc = CP_E_TIMEOUT;
        }
        if (job->noisy && i == job->rows / 2)
            syscall(SYS_getppid);
    }
    syscall(SYS_exit, 0);
    return NULL;
}

static int quiet_start(wait_job *job)
{
    pthread_t thread;
    const int rc = pthread_create(&thread, NULL, quiet_run, job);
    if (rc == 0)
        pthread_join(thread, NULL);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void job_print(wait_job *job, double seconds)
{
    qsort(job->waits, job->rows, sizeof *job->waits, by_value);
    const uint64_t last = job->rows ? job->rows - 1 : 0;
    const uint64_t middle = last / 2;
    const uint64_t high = last * 99 / 100;
    printf("{\"rc\": %d, \"seconds\": %.3f, \"position\": %llu, \"consumed\": %llu, \"durable\": %llu, "
           "\"delivered\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           job->rc, seconds, (unsigned long long)job->position,
           (unsigned long long)cp_position(job->ring, CP_CONSUMED),
           (unsigned long long)cp_position(job->ring, CP_DURABLE),
           (unsigned long long)cp_position(job->ring, CP_DELIVERED), (double)job->waits[middle] / 1e3,
           (double)job->waits[high] / 1e3);
}

static bool job_parse(wait_job *job, int argc, char **argv, bool *quiet)
{
    static const char *const stages[] = {"consumed", "durable", "delivered"};
    if (argc < 5)
        return false;
    job->noisy = strcmp(argv[2], "noisy") == 0;
    *quiet = job->noisy || strcmp(argv[2], "quiet") == 0;
    job->stage = CP_DURABLE;
    bool known = *quiet;
    for (unsigned i = 0; !known && i < sizeof stages / sizeof stages[0]; i++) {
        job->stage = (cp_stage)i;
        known = strcmp(argv[2], stages[i]) == 0;
    }
    job->rows = strtoull(argv[3], NULL, 10);
    job->timeout_ns = strtoull(argv[4], NULL, 10) * CP_NS_PER_MS;
    job->each = argc > 5 && strcmp(argv[5], "each") == 0;
    job->first = argc > 5 && !job->each ? strtoull(argv[5], NULL, 10) : 0;
    return known && job->rows <= MAX_ROWS;
}

int main(int argc, char **argv)
{
    cp_region *region;
    cp_error err;
    wait_job job = {0};
    bool quiet;
    if (!job_parse(&job, argc, argv, &quiet)) {
        fprintf(stderr, "usage: put_and_wait REGION STAGE ROWS TIMEOUT_MS [FIRST_ID | each]\n");
        return 64;
    }
    static uint64_t waits[MAX_ROWS + 1];
    job.waits = waits;
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&job.ring, region, TRADES_TABLE, TRADES_SCHEMA_HASH, "put_and_wait", &err) < 0) {
        fprintf(stderr, "put_and_wait: %s\n", err.text);
        return 69;
    }
    const uint64_t begin = cp_boottime_ns();
    if (quiet && quiet_start(&job) != 0)
        return 1;
    if (!quiet)
        job.rc = rows_put(&job);
    job_print(&job, (double)(cp_boottime_ns() - begin) / CP_NS_PER_S);
    cp_ring_close(job.ring);
    cp_detach(region);
    return 0;
}
