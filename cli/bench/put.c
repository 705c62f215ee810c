#include "cli/bench/put.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "ingest/drain.h"
#include "shm/ack.h"
#include "shm/sigbus_guard.h"

enum {
    CONSUMER_NAP_NS = 50 * CP_NS_PER_US,
    CONSUMER_INTERVAL_NS = 5 * CP_NS_PER_MS,
    POOL_BYTES = 64 * 1024 * 1024,
    FLOOR_COPIES = 400000,
    SATURATED_PUTS = 400000,
    PINGPONG_TRIPS = 100000,
    LUMPS = 100,
    ROW_BYTES_MAX = 512,
    CALIBRATE_NS = 2 * CP_NS_PER_MS,
    LINE_PAIR = 2 * CP_CACHE_LINE /* the prefetcher fetches lines in pairs */
};

/* 500 bytes are no multiple of 8: a fixed part and a string make them up. */
static const struct {
    uint32_t bytes;
    const char *ddl;
} bench_tables[CP_BENCH_SIZES] = {
    {24, "CREATE TABLE bench24 (a FixedString(24)) ENGINE = Null"},
    {120, "CREATE TABLE bench120 (a FixedString(120)) ENGINE = Null"},
    {500, "CREATE TABLE bench500 (a FixedString(480), b String) ENGINE = Null"},
};

typedef struct bench_line {
    _Alignas(LINE_PAIR) uint64_t value;
    uint8_t padding[LINE_PAIR - sizeof(uint64_t)];
} bench_line;

typedef enum figure { FLOOR, FLOOR_PACED, P50, P99, P999, MAX, SATURATED, DRAIN, FIGURES } figure;

typedef enum consumer_task { TASK_DRAIN, TASK_PINGPONG, TASK_LUMPS } consumer_task;

typedef struct bench {
    bench_line ping;
    bench_line pong;
    const cp_bench_put_options *options;
    char dir[64];
    cp_table *tables[CP_BENCH_SIZES];
    cp_region_owner owner;
    cp_drain *drain;
    cp_region *region;
    cp_ring *rings[CP_BENCH_SIZES];
    uint8_t *area; /* of the floor */
    cp_put_timer timer;
    pthread_t consumer;
    uint64_t lumps_ns;    /* the consumer's: for all of them */
    uint32_t lumps_put;   /* atomic: so many are in their ring, and */
    uint32_t lumps_taken; /*   so many out of it again */
    consumer_task task;   /* atomic: what the consumer thread does */
    uint32_t scatter;     /* of cp_put_timer_scatter */
    bool consumer_runs;
    bool stop; /* atomic */
    double samples[CP_BENCH_SIZES][FIGURES][CP_BENCH_MAX_ROUNDS];
    double pingpong_samples[CP_BENCH_MAX_ROUNDS];
} bench;

/* ---- the consumer ---------------------------------------------------------------------------------------------- */

/* What the flusher does when ClickHouse has acknowledged, at once. */
static cp_submit_result consumer_submit(void *ctx, uint32_t table, cp_chunk *chunk)
{
    bench *b = ctx;
    cp_abi_ack *shared = cp_control_ack(&b->owner.control, table, chunk->slot);
    cp_abi_ack ack;
    cp_ack_read(shared, &ack);
    ack.consumed = ack.durable = ack.delivered = chunk->end;
    ack.consumed_rows += chunk->row_count;
    ack.delivered_rows += chunk->row_count;
    cp_ack_write(shared, &ack);
    return CP_SUBMIT_COPIED;
}

static void consumer_fault(void *ctx, uint32_t table, uint32_t slot, cp_ring_fault fault, const char *reason)
{
    (void)ctx;
    fprintf(stderr, "bench: ring %u.%u: %s: %s\n", table, slot, cp_ring_fault_name(fault), reason);
    abort();
}

static void consumer_rejected(void *ctx, uint32_t table, uint32_t slot, uint32_t rows, const char *reason)
{
    (void)ctx;
    fprintf(stderr, "bench: %u rows of ring %u.%u rejected: %s\n", rows, table, slot, reason);
    abort();
}

static void play_pong(bench *b)
{
    uint64_t seen = 0;
    while (__atomic_load_n(&b->task, __ATOMIC_ACQUIRE) == TASK_PINGPONG) {
        const uint64_t ping = __atomic_load_n(&b->ping.value, __ATOMIC_ACQUIRE);
        if (ping != seen) {
            seen = ping;
            __atomic_store_n(&b->pong.value, ping, __ATOMIC_RELEASE);
        }
    }
}

/* Leaves the rings alone until a lump is there, then takes all of it, due or not. */
static void take_lumps(bench *b)
{
    cp_drain_set_urgent(b->drain, true);
    while (__atomic_load_n(&b->task, __ATOMIC_ACQUIRE) == TASK_LUMPS) {
        if (__atomic_load_n(&b->lumps_put, __ATOMIC_ACQUIRE) == b->lumps_taken)
            continue;
        const uint64_t start = cp_boottime_ns();
        while (cp_drain_turn(b->drain, start) > 0)
            ;
        b->lumps_ns += cp_boottime_ns() - start;
        __atomic_store_n(&b->lumps_taken, b->lumps_taken + 1, __ATOMIC_RELEASE);
    }
    cp_drain_set_urgent(b->drain, false);
}

static void *consumer_run(void *argument)
{
    bench *b = argument;
    const struct timespec nap = {.tv_sec = 0, .tv_nsec = CONSUMER_NAP_NS};
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    while (!__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
        const consumer_task task = __atomic_load_n(&b->task, __ATOMIC_ACQUIRE);
        if (task == TASK_PINGPONG)
            play_pong(b);
        else if (task == TASK_LUMPS)
            take_lumps(b);
        if (cp_drain_turn(b->drain, cp_boottime_ns()) == 0)
            nanosleep(&nap, NULL);
    }
    return NULL;
}

/* ---- measuring ------------------------------------------------------------------------------------------------- */

static double pingpong(bench *b)
{
    __atomic_store_n(&b->pong.value, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&b->ping.value, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&b->task, TASK_PINGPONG, __ATOMIC_RELEASE);
    uint64_t start = 0;
    const uint64_t warm_up = PINGPONG_TRIPS / 10;
    for (uint64_t i = 1; i <= PINGPONG_TRIPS + warm_up; i++) {
        if (i == warm_up + 1)
            start = cp_boottime_ns();
        __atomic_store_n(&b->ping.value, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&b->pong.value, __ATOMIC_ACQUIRE) != i)
            ;
    }
    const uint64_t taken = cp_boottime_ns() - start;
    __atomic_store_n(&b->task, TASK_DRAIN, __ATOMIC_RELEASE);
    return (double)taken / PINGPONG_TRIPS / 2;
}

/* Where the i-th record would lie if the area were a ring. */
static uint8_t *area_at(const bench *b, uint64_t i, uint32_t bytes)
{
    const uint64_t record = cp_record_size_(bytes);
    const uint64_t position = i * record & (b->options->ring_size - 1);
    return b->area + position + CP_RECORD_PREFIX;
}

/* Keeps the compiler from hoisting or dropping copies that nobody reads. */
static inline void touch(const void *memory)
{
    __asm__ volatile("" : : "r"(memory) : "memory");
}

static double floor_saturated(bench *b, uint32_t bytes, const uint8_t *row)
{
    const uint64_t start = cp_boottime_ns();
    for (uint64_t i = 0; i < FLOOR_COPIES; i++) {
        uint8_t *to = area_at(b, i, bytes);
        touch(row);
        memcpy(to, row, bytes);
        touch(to);
    }
    return (double)(cp_boottime_ns() - start) / FLOOR_COPIES;
}

static void wait_until_tick(bench *b, uint64_t tick)
{
    while ((int64_t)(cp_put_timer_now() - tick) < 0)
        ;
    cp_put_timer_scatter(&b->scatter);
}

static uint64_t ticks_per_pace(const bench *b)
{
    const uint64_t start = cp_put_timer_now();
    const uint64_t begin = cp_boottime_ns();
    uint64_t taken;
    while ((taken = cp_boottime_ns() - begin) < CALIBRATE_NS)
        ;
    return (cp_put_timer_now() - start) * b->options->pace_ns / taken;
}

static void floor_bursts(bench *b, uint32_t bytes, const uint8_t *row, uint64_t bursts, uint64_t pace)
{
    uint64_t next = cp_put_timer_now();
    for (uint64_t i = 0; i < bursts; i++) {
        next += pace * CP_BENCH_BURST;
        wait_until_tick(b, next);
        const uint64_t begin = cp_put_timer_now();
        for (uint64_t k = 0; k < CP_BENCH_BURST; k++) {
            uint8_t *to = area_at(b, i * CP_BENCH_BURST + k, bytes);
            touch(row);
            memcpy(to, row, bytes);
            touch(to);
        }
        cp_put_timer_record(&b->timer, begin, cp_put_timer_now());
    }
}

static void put_bursts(bench *b, cp_ring *ring, uint32_t bytes, const uint8_t *row, uint64_t bursts,
                       uint64_t pace)
{
    uint64_t next = cp_put_timer_now();
    for (uint64_t i = 0; i < bursts; i++) {
        next += pace * CP_BENCH_BURST;
        wait_until_tick(b, next);
        const uint64_t begin = cp_put_timer_now();
        for (uint64_t k = 0; k < CP_BENCH_BURST; k++)
            (void)cp_put(ring, row, bytes);
        cp_put_timer_record(&b->timer, begin, cp_put_timer_now());
    }
}

static void put_singles(bench *b, cp_ring *ring, uint32_t bytes, const uint8_t *row, uint64_t count,
                        uint64_t pace)
{
    uint64_t next = cp_put_timer_now();
    for (uint64_t i = 0; i < count; i++) {
        next += pace;
        wait_until_tick(b, next);
        const uint64_t begin = cp_put_timer_now();
        (void)cp_put(ring, row, bytes);
        cp_put_timer_record(&b->timer, begin, cp_put_timer_now());
    }
}

static double put_saturated(cp_ring *ring, uint32_t bytes, const uint8_t *row)
{
    const uint64_t start = cp_boottime_ns();
    for (uint64_t i = 0; i < SATURATED_PUTS; i++) {
        while (cp_put(ring, row, bytes) != CP_OK)
            __builtin_ia32_pause();
    }
    return (double)(cp_boottime_ns() - start) / SATURATED_PUTS;
}

static void wait_until_empty(const cp_ring *ring)
{
    const struct timespec nap = {.tv_sec = 0, .tv_nsec = CP_NS_PER_MS};
    while (cp_position(ring, CP_CONSUMED) != ring->write)
        nanosleep(&nap, NULL);
}

/* Mean per row. The consumer has nothing else to do then; a lump may be taken in several turns. */
static double drain_lumps(bench *b, cp_ring *ring, uint32_t bytes, const uint8_t *row)
{
    const uint64_t half = b->options->ring_size / 2;
    const uint64_t lump = half < CP_BENCH_LUMP ? half : CP_BENCH_LUMP;
    uint64_t rows = 0;
    b->lumps_put = b->lumps_taken = 0;
    b->lumps_ns = 0;
    __atomic_store_n(&b->task, TASK_LUMPS, __ATOMIC_RELEASE);
    for (uint32_t i = 1; i <= LUMPS; i++) {
        for (uint64_t put = 0; put < lump; put += cp_record_size_(bytes))
            rows += cp_put(ring, row, bytes) == CP_OK;
        __atomic_store_n(&b->lumps_put, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&b->lumps_taken, __ATOMIC_ACQUIRE) != i)
            __builtin_ia32_pause();
    }
    __atomic_store_n(&b->task, TASK_DRAIN, __ATOMIC_RELEASE);
    return (double)b->lumps_ns / (double)rows;
}

static void measure_size(bench *b, uint32_t size, uint32_t round, cp_bench_put_report *report)
{
    const uint32_t bytes = bench_tables[size].bytes;
    const uint64_t count = b->options->round_ns / b->options->pace_ns;
    const uint64_t pace = ticks_per_pace(b);
    double(*samples)[CP_BENCH_MAX_ROUNDS] = b->samples[size];
    cp_ring *ring = b->rings[size];
    uint8_t row[ROW_BYTES_MAX] = {0};
    cp_put_times times;
    samples[FLOOR][round] = floor_saturated(b, bytes, row);
    cp_put_timer_init(&b->timer);
    floor_bursts(b, bytes, row, count / CP_BENCH_BURST, pace);
    cp_put_timer_read(&b->timer, &times);
    samples[FLOOR_PACED][round] = times.p50_ns / CP_BENCH_BURST;
    cp_put_timer_init(&b->timer);
    put_bursts(b, ring, bytes, row, count / CP_BENCH_BURST, pace);
    cp_put_timer_read(&b->timer, &times);
    samples[P50][round] = times.p50_ns / CP_BENCH_BURST;
    cp_put_timer_init(&b->timer);
    put_singles(b, ring, bytes, row, count, pace);
    cp_put_timer_read(&b->timer, &times);
    samples[P99][round] = times.p99_ns;
    samples[P999][round] = times.p999_ns;
    samples[MAX][round] = times.max_ns;
    wait_until_empty(ring);
    samples[SATURATED][round] = put_saturated(ring, bytes, row);
    wait_until_empty(ring);
    samples[DRAIN][round] = drain_lumps(b, ring, bytes, row);
    report->timer_ns = times.overhead_ns;
    report->step_ns = times.step_ns;
    report->sizes[size].puts += 2 * count + SATURATED_PUTS;
}

/* Of each round, and of those the median and the spread. */
static cp_bench_figure ratio_of(const double *figures, const double *to, uint32_t rounds)
{
    double ratios[CP_BENCH_MAX_ROUNDS];
    for (uint32_t i = 0; i < rounds; i++)
        ratios[i] = to[i] > 0 ? figures[i] / to[i] : 0;
    return cp_bench_figure_of(ratios, rounds);
}

/* Ratios first: figures are sorted. */
static void bench_summarise(bench *b, cp_bench_put_report *report)
{
    for (uint32_t size = 0; size < CP_BENCH_SIZES; size++) {
        cp_bench_put_result *result = &report->sizes[size];
        double(*samples)[CP_BENCH_MAX_ROUNDS] = b->samples[size];
        result->bytes = bench_tables[size].bytes;
        result->p50_over_floor = ratio_of(samples[P50], samples[FLOOR_PACED], report->rounds);
        result->p999_over_pingpong = ratio_of(samples[P999], b->pingpong_samples, report->rounds);
        result->saturated_over_floor = ratio_of(samples[SATURATED], samples[FLOOR], report->rounds);
        result->drain_over_floor = ratio_of(samples[DRAIN], samples[FLOOR], report->rounds);
        result->floor_ns = cp_bench_figure_of(samples[FLOOR], report->rounds);
        result->floor_paced_ns = cp_bench_figure_of(samples[FLOOR_PACED], report->rounds);
        result->p50_ns = cp_bench_figure_of(samples[P50], report->rounds);
        result->p99_ns = cp_bench_figure_of(samples[P99], report->rounds);
        result->p999_ns = cp_bench_figure_of(samples[P999], report->rounds);
        result->max_ns = cp_bench_figure_of(samples[MAX], report->rounds);
        result->saturated_ns = cp_bench_figure_of(samples[SATURATED], report->rounds);
        result->drain_ns = cp_bench_figure_of(samples[DRAIN], report->rounds);
    }
    report->pingpong_ns = cp_bench_figure_of(b->pingpong_samples, report->rounds);
}

/* ---- setting up ------------------------------------------------------------------------------------------------ */

static int pin_to(int cpu, cp_error *err)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    const int rc = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    return rc == 0 ? CP_OK : cp_error_errno(err, CP_E_INVAL, rc, "CPU %d", cpu);
}

static int bench_make_region(bench *b, cp_error *err)
{
    cp_control_table tables[CP_BENCH_SIZES];
    snprintf(b->dir, sizeof b->dir, "/dev/shm/coldpath-bench-XXXXXX");
    if (!mkdtemp(b->dir)) {
        b->dir[0] = '\0';
        return cp_error_errno(err, CP_E_IO, errno, "make a region under /dev/shm");
    }
    for (uint32_t i = 0; i < CP_BENCH_SIZES; i++) {
        const int rc =
            cp_table_parse(&b->tables[i], "bench", bench_tables[i].ddl, strlen(bench_tables[i].ddl), err);
        if (rc < 0)
            return rc;
        tables[i] = (cp_control_table){b->tables[i], b->options->ring_size, 1, 4096, false};
    }
    const cp_region_spec spec = {b->dir, "bench", NULL, 0600, tables, CP_BENCH_SIZES};
    return cp_region_own(&b->owner, &spec, err);
}

static int bench_make_ends(bench *b, cp_error *err)
{
    const uint64_t intervals[CP_BENCH_SIZES] = {CONSUMER_INTERVAL_NS, CONSUMER_INTERVAL_NS,
                                                CONSUMER_INTERVAL_NS};
    const cp_drain_events events = {b, consumer_submit, consumer_fault, consumer_rejected};
    const cp_table *const tables[CP_BENCH_SIZES] = {b->tables[0], b->tables[1], b->tables[2]};
    int rc = cp_drain_create(&b->drain, &b->owner, tables, intervals, POOL_BYTES, &events, err);
    if (rc == CP_OK)
        rc = cp_attach(&b->region, b->dir, err);
    for (uint32_t i = 0; rc == CP_OK && i < CP_BENCH_SIZES; i++)
        rc = cp_ring_open(&b->rings[i], b->region, b->tables[i]->name, 0, "bench", err);
    if (rc < 0)
        return rc;
    const size_t area = b->options->ring_size + ROW_BYTES_MAX + CP_RECORD_PREFIX;
    b->area = mmap(NULL, area, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (b->area == MAP_FAILED) {
        b->area = NULL;
        return cp_error_errno(err, CP_E_NOMEM, errno, "map %zu bytes", area);
    }
    return CP_OK;
}

static int bench_start_consumer(bench *b, cp_error *err)
{
    /* A thread inherits its maker's affinity: make it there, then go to the producer's CPU. */
    int rc = pin_to(b->options->consumer_cpu, err);
    if (rc < 0)
        return rc;
    rc = pthread_create(&b->consumer, NULL, consumer_run, b);
    if (rc != 0)
        return cp_error_errno(err, CP_E_NOMEM, rc, "start a thread");
    b->consumer_runs = true;
    return pin_to(b->options->producer_cpu, err);
}

static void bench_free(bench *b)
{
    __atomic_store_n(&b->stop, true, __ATOMIC_RELEASE);
    if (b->consumer_runs)
        pthread_join(b->consumer, NULL);
    for (uint32_t i = 0; i < CP_BENCH_SIZES; i++)
        cp_ring_close(b->rings[i]);
    cp_detach(b->region);
    cp_drain_free(b->drain);
    cp_region_release(&b->owner);
    for (uint32_t i = 0; i < CP_BENCH_SIZES; i++)
        cp_table_free(b->tables[i]);
    if (b->area)
        munmap(b->area, b->options->ring_size + ROW_BYTES_MAX + CP_RECORD_PREFIX);
    cp_bench_remove(b->dir);
    free(b);
}

int cp_bench_put_run(const cp_bench_put_options *options, cp_bench_put_report *report, cp_error *err)
{
    memset(report, 0, sizeof *report);
    bench *b = NULL;
    if (posix_memalign((void **)&b, LINE_PAIR, sizeof *b) != 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory");
    memset(b, 0, sizeof *b);
    b->options = options;
    b->owner.lock_fd = -1;
    cp_sigbus_install();
    int rc = bench_make_region(b, err);
    if (rc == CP_OK)
        rc = bench_make_ends(b, err);
    if (rc == CP_OK)
        rc = bench_start_consumer(b, err);
    for (uint32_t round = 0; rc == CP_OK && round < options->rounds && !options->cancelled(); round++) {
        options->progress(round, options->rounds);
        b->pingpong_samples[round] = pingpong(b);
        for (uint32_t size = 0; size < CP_BENCH_SIZES; size++)
            measure_size(b, size, round, report);
        report->rounds = round + 1;
    }
    if (rc == CP_OK && report->rounds > 0)
        bench_summarise(b, report);
    bench_free(b);
    return rc;
}
