/* Puts rows of obf_universe into a region for so many seconds, at a given rate or flat out, for measurements of the
 * whole path: put_obf REGION SECONDS [ROWS_PER_SECOND]. 542 symbols, values that wander as a book's do. A full ring is
 * waited out. Prints one JSON line: {"rows", "seconds", "waits", "began_ns"}; the last on the boot-time clock, when its ring was open. */
#include <coldpath/coldpath.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "rows/obf_universe.h"

enum { SYMBOLS = 542, SYMBOL_ROOM = 16, BURST = 64, WAIT_NS = CP_NS_PER_S };

typedef struct obf_put {
    obf_universe_row row;
    char tail[SYMBOL_ROOM];
} obf_put;

static obf_put books[SYMBOLS];

static void make_books(void)
{
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        obf_put *book = &books[i];
        const int length = snprintf(book->tail, sizeof book->tail, "SYM%uUSDT", i);
        book->row.symbol = (cp_ref){sizeof book->row, (uint32_t)length};
        book->row.best_bid = 10.0 + i;
    }
}

static void next_values(obf_universe_row *row, uint64_t number)
{
    const uint64_t noise = number * 0x9e3779b97f4a7c15ull >> 40;
    row->ts = (int64_t)(cp_realtime_ns() / CP_NS_PER_MS);
    row->best_bid += ((double)(noise & 0xff) - 127.5) * 1e-4;
    row->best_ask = row->best_bid * 1.0002;
    row->spread_bps = 2.0f;
    row->depth_1pct_usd = 1e5 + (double)(noise & 0xfff);
    row->depth_quality = (float)(noise & 0x3ff) / 1024.0f;
    row->fill_probability = (float)(noise >> 10 & 0x3ff) / 1024.0f;
    row->imbalance = (float)(noise & 0x7f) / 64.0f - 1.0f;
    row->n_bid_levels = (uint8_t)(noise % 20);
    row->n_ask_levels = (uint8_t)(noise % 19);
}

/* Sleeps until the n-th row is due. */
static void pace(uint64_t start_ns, uint64_t number, uint64_t rate)
{
    const uint64_t due = start_ns + number * CP_NS_PER_S / rate;
    const uint64_t now = cp_boottime_ns();
    if (due > now) {
        const struct timespec time = {.tv_sec = 0,
                                      .tv_nsec = (long)(due - now < CP_NS_PER_S ? due - now : 999999999)};
        nanosleep(&time, NULL);
    }
}

int main(int argc, char **argv)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err;
    if (argc < 3) {
        fprintf(stderr, "usage: put_obf REGION SECONDS [ROWS_PER_SECOND]\n");
        return 64;
    }
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&ring, region, OBF_UNIVERSE_TABLE, OBF_UNIVERSE_SCHEMA_HASH, "put_obf", &err) < 0) {
        fprintf(stderr, "put_obf: %s\n", err.text);
        return 69;
    }
    const uint64_t rate = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    const uint64_t start = cp_boottime_ns();
    const uint64_t end = start + strtoull(argv[2], NULL, 10) * CP_NS_PER_S;
    uint64_t rows = 0;
    uint64_t waits = 0;
    make_books();
    while (cp_boottime_ns() < end) {
        for (int i = 0; i < BURST; i++) {
            obf_put *book = &books[rows % SYMBOLS];
            const uint32_t bytes = (uint32_t)sizeof book->row + book->row.symbol.length;
            next_values(&book->row, rows);
            while (cp_put(ring, book, bytes) != CP_OK) {
                waits++;
                if (cp_put_wait(ring, book, bytes, WAIT_NS) == CP_OK)
                    break;
            }
            rows++;
        }
        if (rate)
            pace(start, rows, rate);
    }
    const double seconds = (double)(cp_boottime_ns() - start) / CP_NS_PER_S;
    printf("{\"rows\": %llu, \"seconds\": %.3f, \"waits\": %llu, \"began_ns\": %llu}\n",
           (unsigned long long)rows, seconds, (unsigned long long)waits, (unsigned long long)start);
    cp_ring_close(ring);
    cp_detach(region);
    return 0;
}
