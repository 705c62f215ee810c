/* Puts rows of the shape of quotes into any number of tables, each at its own rate, and measures what a producer feels and what
 * a reader of ClickHouse does: put_paced REGION SECONDS FOLLOWED TABLE:ROWS_PER_SECOND …
 *
 *   every millisecond, per table:   rows that are due ──► cp_put, timed ──► full? counted, and the row is let go
 *                                   the first of them ──► (position, now) ──► queue of marks
 *                                   delivered position ──► marks it has passed ──► histogram of put → delivered
 *
 * Only the first FOLLOWED tables' marks count, and at the end only theirs are waited for. A row carries its number in its
 * table; its quote changes every fourth time, over 64 symbols. Falling behind by more than 50 ms loses the rest: `skipped`.
 * Prints one JSON line. */
#include <coldpath/coldpath.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/put_timer.h"
#include "tests/bench/quote_puts.h"

enum {
    MAX_TABLES = 64,
    NAME_ROOM = 64,
    MARKS = 1 << 16, /* a minute of milliseconds */
    TICK_NS = CP_NS_PER_S / 1000,
    BEHIND_NS = CP_NS_PER_S / 20,
    WAIT_SECONDS = 30 /* for the last marks */
};

typedef struct mark {
    uint64_t position;
    uint64_t ticks;
} mark;

typedef struct feed {
    char name[NAME_ROOM];
    uint64_t rate;
    cp_ring *ring;
    uint64_t due; /* rows, put or not */
    uint64_t put;
    uint64_t full;
    uint64_t skipped;
    cp_put_timer puts;
    cp_put_timer delivered;
    uint64_t marks_in;
    uint64_t marks_out;
    mark marks[MARKS];
} feed;

static feed feeds[MAX_TABLES];
static cp_put_timer followed; /* put → delivered of all followed tables */
static quote_put quotes[QUOTE_SYMBOLS];

static int row_put(feed *to, uint64_t number)
{
    quote_put *quote = &quotes[number % QUOTE_SYMBOLS];
    quote->row.recv_ts = (int64_t)cp_realtime_ns();
    quote->row.update_id = number;
    if ((number / QUOTE_SYMBOLS) % 4 == 0)
        quote->row.bid_px += (int64_t)(number & 0xff) - 127;
    quote->row.ask_px = quote->row.bid_px + 1000000;
    const uint32_t bytes = (uint32_t)sizeof quote->row + quote->row.symbol.length;
    const uint64_t begin = cp_put_timer_now();
    const int rc = cp_put(to->ring, quote, bytes);
    cp_put_timer_record(&to->puts, begin, cp_put_timer_now());
    return rc;
}

static void feed_tick(feed *to, uint64_t elapsed_ns)
{
    const uint64_t due = (uint64_t)((double)elapsed_ns * (double)to->rate / CP_NS_PER_S);
    const uint64_t most = to->rate * (BEHIND_NS / 1000) / (CP_NS_PER_S / 1000) + 1;
    if (due > to->due + most) {
        to->skipped += due - to->due - most;
        to->due = due - most;
    }
    bool marked = false;
    for (; to->due < due; to->due++) {
        if (row_put(to, to->put) != CP_OK) {
            to->full++;
            continue;
        }
        to->put++;
        if (!marked && to->marks_in - to->marks_out < MARKS)
            to->marks[to->marks_in++ % MARKS] = (mark){to->ring->write, cp_put_timer_now()};
        marked = true;
    }
}

static void feed_look(feed *of)
{
    const uint64_t delivered = cp_position(of->ring, CP_DELIVERED);
    const uint64_t now = cp_put_timer_now();
    for (; of->marks_out < of->marks_in; of->marks_out++) {
        const mark *at = &of->marks[of->marks_out % MARKS];
        if ((int64_t)(delivered - at->position) < 0)
            break;
        cp_put_timer_record(&of->delivered, at->ticks, now);
        cp_put_timer_record(&followed, at->ticks, now);
    }
}

static void sleep_tick(void)
{
    const struct timespec time = {.tv_nsec = TICK_NS};
    nanosleep(&time, NULL);
}

static void feeds_run(uint64_t seconds, unsigned count, unsigned follow)
{
    const uint64_t start = cp_boottime_ns();
    for (uint64_t now = start; now < start + seconds * CP_NS_PER_S; now = cp_boottime_ns()) {
        for (unsigned i = 0; i < count; i++) {
            feed_tick(&feeds[i], now - start);
            if (i < follow)
                feed_look(&feeds[i]);
        }
        sleep_tick();
    }
    const uint64_t patience = cp_boottime_ns() + WAIT_SECONDS * (uint64_t)CP_NS_PER_S;
    for (unsigned i = 0; i < follow; i++) {
        while (feeds[i].marks_out < feeds[i].marks_in && cp_boottime_ns() < patience) {
            for (unsigned j = i; j < follow; j++)
                feed_look(&feeds[j]);
            sleep_tick();
        }
    }
}

static int feed_open(feed *to, cp_region *region, const char *argument, cp_error *err)
{
    const char *colon = strchr(argument, ':');
    const size_t length = colon ? (size_t)(colon - argument) : 0;
    if (length == 0 || length >= sizeof to->name)
        return -1;
    memcpy(to->name, argument, length);
    to->rate = strtoull(colon + 1, NULL, 10);
    cp_put_timer_init(&to->puts);
    cp_put_timer_init(&to->delivered);
    return cp_ring_open(&to->ring, region, to->name, 0, "put_paced", err); /* 0: the shape, another name */
}

static void print_times(const cp_put_timer *timer, const char *what, double unit)
{
    cp_put_times times;
    cp_put_timer_read(timer, &times);
    printf("\"%s\": {\"count\": %" PRIu64 ", \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}",
           what, times.count, times.p50_ns / unit, times.p99_ns / unit, times.p999_ns / unit,
           times.max_ns / unit);
}

static void feed_print(const feed *of)
{
    printf("{\"table\": \"%s\", \"put\": %" PRIu64 ", \"full\": %" PRIu64 ", \"skipped\": %" PRIu64 ", ",
           of->name, of->put, of->full, of->skipped);
    print_times(&of->puts, "put_ns", 1);
    printf(", ");
    print_times(&of->delivered, "delivered_ms", 1e6);
    printf("}");
}

int main(int argc, char **argv)
{
    cp_region *region;
    cp_error err = {0};
    const unsigned count = argc > 4 ? (unsigned)(argc - 4) : 0;
    if (count == 0 || count > MAX_TABLES) {
        fprintf(stderr, "usage: put_paced REGION SECONDS FOLLOWED TABLE:ROWS_PER_SECOND …\n");
        return 64;
    }
    const unsigned follow = (unsigned)strtoul(argv[3], NULL, 10);
    int rc = cp_attach(&region, argv[1], &err);
    quote_puts_make(quotes);
    cp_put_timer_init(&followed);
    for (unsigned i = 0; i < count && rc == CP_OK; i++)
        rc = feed_open(&feeds[i], region, argv[4 + i], &err);
    if (rc < 0) {
        fprintf(stderr, "put_paced: %s\n", err.text);
        return 69;
    }
    feeds_run(strtoull(argv[2], NULL, 10), count, follow < count ? follow : count);
    printf("{");
    print_times(&followed, "delivered_ms", 1e6);
    printf(", \"tables\": [");
    for (unsigned i = 0; i < count; i++) {
        printf("%s", i ? ", " : "");
        feed_print(&feeds[i]);
        cp_ring_close(feeds[i].ring);
    }
    printf("]}\n");
    cp_detach(region);
    return 0;
}
