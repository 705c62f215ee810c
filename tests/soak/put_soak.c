/* A producer of the soak test: put_soak REGION TABLE WHO ROWS_PER_SECOND puts rows until SIGTERM, and never waits for room: a row that finds
 * its ring full is tried again a millisecond later. The rows of one life are numbered from 0 without a gap, and what a row holds
 * follows from its number. When it falls behind by more than BEHIND_NS (it was stopped, or its ring was full) the rate goes on
 * from there, so that a fault is not followed by a flood.
 *
 *   every millisecond:  rows due ──► cp_put, timed ──► the last of them: (position, now) ──► queue of marks
 *                       delivered position ──► marks it has passed ──► put → delivered
 *   every second:       {"put": rows so far, "full": refusals so far, "put_ns": {…}, "delivered_ms": {…}}   of this second
 *
 * The last line is of what was put after the last full second. */
#include <coldpath/coldpath.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/put_timer.h"
#include "rows/ticks.h"

enum {
    MARKS =
        1 << 17, /* of a millisecond each: an outage of two minutes; a mark that finds no place is left out */
    TICK_NS = CP_NS_PER_S / 1000,
    BEHIND_NS = CP_NS_PER_S / 10,
    NOTES = 1000,
    NOTE_ROOM = 16,
    WHO_ROOM = 32,
    CODES = 1000,
    PRICES = 1000000
};

typedef struct tick_put {
    ticks_row row;
    char tail[WHO_ROOM + NOTE_ROOM];
} tick_put;

typedef struct mark {
    uint64_t position;
    uint64_t ticks;
} mark;

static volatile sig_atomic_t ended;
static cp_put_timer put_times;       /* of this second */
static cp_put_timer delivered_times; /* marks that were delivered in this second */
static mark marks[MARKS];
static uint64_t marks_in, marks_out;
static char notes[NOTES][NOTE_ROOM];
static uint64_t put, full;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static void notes_make(void)
{
    for (unsigned i = 0; i < NOTES; i++)
        snprintf(notes[i], sizeof notes[i], "note %u", i);
}

static int row_put(cp_ring *ring, const char *who, uint32_t who_length, uint64_t number)
{
    const char *note = notes[number % NOTES];
    tick_put it = {.row = {.number = number,
                           .at = INT64_C(1700000000000000000) + (int64_t)number * 1000,
                           .price = (int64_t)(number % PRICES) * 100000000 + 25000000,
                           .qty = (double)number / 4,
                           .code = (int32_t)(number % CODES) - CODES / 2,
                           .code_is_null = number % 7 == 0}};
    cp_tail tail = cp_tail_begin(&it, sizeof it.row, sizeof it);
    cp_tail_put(&tail, &it.row.who, who, who_length);
    cp_tail_put(&tail, &it.row.note, note, (uint32_t)strlen(note));
    const uint64_t begin = cp_put_timer_now();
    const int rc = cp_put(ring, &it, tail.used);
    if (rc == CP_OK)
        cp_put_timer_record(&put_times, begin, cp_put_timer_now());
    return rc;
}

static void look(const cp_ring *ring)
{
    const uint64_t position = cp_position(ring, CP_DELIVERED);
    const uint64_t now = cp_put_timer_now();
    for (; marks_out < marks_in && (int64_t)(position - marks[marks_out % MARKS].position) >= 0; marks_out++)
        cp_put_timer_record(&delivered_times, marks[marks_out % MARKS].ticks, now);
}

static void print_times(const char *name, const cp_put_timer *timer, double unit)
{
    cp_put_times times;
    cp_put_timer_read(timer, &times);
    printf(", \"%s\": {\"count\": %" PRIu64 ", \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f}", name,
           times.count, times.p50_ns / unit, times.p99_ns / unit, times.p999_ns / unit);
}

static void report(void)
{
    printf("{\"put\": %" PRIu64 ", \"full\": %" PRIu64, put, full);
    print_times("put_ns", &put_times, 1);
    print_times("delivered_ms", &delivered_times, 1e6);
    printf("}\n");
    fflush(stdout);
    cp_put_timer_init(&put_times);
    cp_put_timer_init(&delivered_times);
}

static void run(cp_ring *ring, const char *who, uint64_t rate)
{
    const uint32_t who_length = (uint32_t)strlen(who);
    const uint64_t behind = rate / (CP_NS_PER_S / BEHIND_NS) + 1; /* rows */
    uint64_t start = cp_boottime_ns();
    uint64_t base = 0;            /* rows before start */
    uint64_t next_report = start; /* at once: who reads it knows that SIGTERM is heeded */
    while (!ended) {
        const uint64_t now = cp_boottime_ns();
        uint64_t due = base + (uint64_t)((double)(now - start) * (double)rate / CP_NS_PER_S);
        if (due > put + behind) {
            start = now;
            base = put;
            due = put;
        }
        const uint64_t before = put;
        int rc = CP_OK;
        while (put < due && (rc = row_put(ring, who, who_length, put)) == CP_OK)
            put++;
        full += rc != CP_OK;
        if (put > before && marks_in - marks_out < MARKS)
            marks[marks_in++ % MARKS] = (mark){ring->write, cp_put_timer_now()};
        look(ring);
        if (now >= next_report) {
            report();
            next_report = now + CP_NS_PER_S;
        }
        const struct timespec pause = {.tv_nsec = TICK_NS};
        nanosleep(&pause, NULL);
    }
    report();
}

int main(int argc, char **argv)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err = {0};
    const struct sigaction end = {.sa_handler = on_end};
    if (argc != 5 || strlen(argv[3]) >= WHO_ROOM) {
        fprintf(stderr, "usage: put_soak REGION TABLE WHO ROWS_PER_SECOND\n");
        return 64;
    }
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&ring, region, argv[2], 0, argv[3], &err) < 0) { /* 0: the shape, another name */
        fprintf(stderr, "put_soak: %s\n", err.text);
        return 69;
    }
    sigaction(SIGTERM, &end, NULL);
    notes_make();
    cp_put_timer_init(&put_times);
    cp_put_timer_init(&delivered_times);
    run(ring, argv[3], strtoull(argv[4], NULL, 10));
    cp_ring_close(ring);
    cp_detach(region);
    return 0;
}
