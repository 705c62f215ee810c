/* Puts quotes at a rate until its standard input ends, and says window by window how long the puts took:
 * put_windows REGION TABLE ROWS_PER_SECOND WINDOW_MS [sleep].
 *
 *   ├─ SETTLE ─┬───────── counted ─────────┤─ SETTLE ─┬── …      one JSON line at the end of each window
 *
 * Windows follow each other without a gap, so that whoever reads them can say afterwards which lie where. Saying so costs system calls
 * and cold caches: what is put in the first milliseconds of a window is not counted. A window's times are the buckets of
 * base/put_timer.h, [least, most, count] in ticks, for several windows to be added up; the first line says what a tick is.
 *
 *     clock read ── clock read ── put ── clock read ─────── gap ─────── clock read ── put ── put ──…
 *                                                                       ├──── SHADOW: disturbed ────┤
 *
 * Between puts it does nothing but read the clock, some 30 ns a time. Where two readings with no put between them lie GAP_NS apart, an
 * interrupt, another thread or the hypervisor has had the CPU: puts of the next SHADOW_NS, which find its caches, count among
 * "times" but not among "undisturbed". How long a put takes has no part in that.
 *
 * It does not sleep between puts, as a trading process would not; with `sleep`, a millisecond at a time. A row carries its number; its
 * quote changes, over 64 symbols. */
#include <coldpath/coldpath.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/put_timer.h"
#include "tests/bench/quote_puts.h"

enum {
    SETTLE_NS = 5 * CP_NS_PER_MS,
    NAP_NS = CP_NS_PER_MS,
    GAP_NS = CP_NS_PER_US,
    SHADOW_NS = 200 * CP_NS_PER_US,
    BEHIND_NS = 50 * CP_NS_PER_MS, /* what was due before is let go */
};

static quote_put quotes[QUOTE_SYMBOLS];
static cp_put_timer times;       /* of all puts */
static cp_put_timer undisturbed; /* and of those */
static uint64_t full;
static uint64_t gaps;
static uint64_t gaps_ns;
static bool ended; /* atomic */

static void row_put(cp_ring *ring, uint64_t number, bool counted, bool disturbed)
{
    quote_put *quote = &quotes[number % QUOTE_SYMBOLS];
    quote->row.recv_ts = (int64_t)cp_realtime_ns();
    quote->row.update_id = number;
    quote->row.bid_px += (int64_t)(number & 0xff) - 127;
    quote->row.ask_px = quote->row.bid_px + 1000000;
    const uint32_t bytes = (uint32_t)sizeof quote->row + quote->row.symbol.length;
    static uint32_t scatter;
    cp_put_timer_scatter(&scatter);
    const uint64_t begin = cp_put_timer_now();
    full += cp_put(ring, quote, bytes) != CP_OK;
    const uint64_t end = cp_put_timer_now();
    if (counted)
        cp_put_timer_record(&times, begin, end);
    if (counted && !disturbed)
        cp_put_timer_record(&undisturbed, begin, end);
}

static void buckets_print(cp_put_timer *timer, const char *name)
{
    const char *separator = "";
    uint64_t bottom = 0;
    printf(", \"%s\": [", name);
    for (uint32_t i = 0; i < CP_TIMER_BUCKETS; i++) {
        const uint64_t top = cp_put_timer_bucket_top(i);
        if (timer->buckets[i] > 0) {
            printf("%s[%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", separator, bottom, top, timer->buckets[i]);
            separator = ", ";
        }
        timer->buckets[i] = 0;
        bottom = top + 1;
    }
    printf("]");
}

static void window_print(uint64_t from, uint64_t to)
{
    printf("{\"from_ns\": %" PRIu64 ", \"to_ns\": %" PRIu64 ", \"full\": %" PRIu64 ", \"gaps\": %" PRIu64
           ", \"gaps_ns\": %" PRIu64,
           from, to, full, gaps, gaps_ns);
    buckets_print(&times, "times");
    buckets_print(&undisturbed, "undisturbed");
    printf("}\n");
    fflush(stdout);
    gaps = gaps_ns = 0;
}

static void nap(void)
{
    const struct timespec time = {.tv_nsec = NAP_NS};
    nanosleep(&time, NULL);
}

/* Until `end`; which rows are due follows from the clock alone. Returns how many were due since start. */
static uint64_t window_run(cp_ring *ring, uint64_t start, uint64_t end, uint64_t rate, uint64_t due,
                           bool sleeps)
{
    const uint64_t counted_from = cp_boottime_ns() + SETTLE_NS;
    uint64_t disturbed_until = 0;
    uint64_t idle_since = 0; /* the last reading, when nothing was put since */
    for (uint64_t now = cp_boottime_ns(); now < end; now = cp_boottime_ns()) {
        if (idle_since > 0 && now - idle_since >= GAP_NS) {
            gaps++;
            gaps_ns += now - idle_since;
            disturbed_until = now + SHADOW_NS;
        }
        const uint64_t wanted = (uint64_t)((double)(now - start) * (double)rate / CP_NS_PER_S);
        const uint64_t most = rate * (BEHIND_NS / CP_NS_PER_MS) / 1000 + 1;
        idle_since = due < wanted || sleeps ? 0 : now;
        due = wanted > due + most ? wanted - most : due;
        for (; due < wanted; due++)
            row_put(ring, due, now >= counted_from, now < disturbed_until);
        if (sleeps)
            nap();
    }
    return due;
}

static void *input_wait(void *unused)
{
    char byte;
    (void)unused;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
    return NULL;
}

static int windows_run(cp_ring *ring, uint64_t rate, uint64_t window_ns, bool sleeps)
{
    pthread_t input;
    cp_put_times about;
    if (pthread_create(&input, NULL, input_wait, NULL) != 0) {
        perror("put_windows");
        return 71;
    }
    cp_put_timer_init(&undisturbed);
    cp_put_timer_init(&times);
    cp_put_timer_read(&times, &about);
    printf("{\"tick_ns\": %.6f, \"step_ticks\": %" PRIu64 ", \"overhead_ticks\": %.2f}\n",
           about.overhead_ns / times.overhead_ticks, times.step_ticks, times.overhead_ticks);
    const uint64_t start = cp_boottime_ns();
    uint64_t due = 0;
    for (uint64_t from = start; !__atomic_load_n(&ended, __ATOMIC_ACQUIRE); from += window_ns) {
        due = window_run(ring, start, from + window_ns, rate, due, sleeps);
        window_print(from, from + window_ns);
    }
    pthread_join(input, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err = {0};
    const uint64_t rate = argc > 4 ? strtoull(argv[3], NULL, 10) : 0;
    const uint64_t window_ms = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    if (rate == 0 || window_ms * CP_NS_PER_MS <= SETTLE_NS) {
        fprintf(stderr, "usage: put_windows REGION TABLE ROWS_PER_SECOND WINDOW_MS [sleep]\n");
        return 64;
    }
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&ring, region, argv[2], 0, "put_windows", &err) < 0) {
        fprintf(stderr, "put_windows: %s\n", err.text);
        return 69;
    }
    quote_puts_make(quotes);
    const int status = windows_run(ring, rate, window_ms * CP_NS_PER_MS, argc > 5);
    cp_ring_close(ring);
    cp_detach(region);
    return status;
}
