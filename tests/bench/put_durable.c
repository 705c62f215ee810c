/* Puts a row of obf_universe every millisecond and waits until it is durable, for so many seconds: put_durable REGION SECONDS.
 * Prints one line, at once, for each wait of 5 ms or more: when the row was put and when it was durable, in nanoseconds of the
 * boot-time clock. So whoever kills the recorder learns when the log took rows again. */
#include <coldpath/coldpath.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "rows/obf_universe.h"

enum { SYMBOL_BYTES = 7, SYMBOL_ROOM = 16, LONG_NS = 5 * CP_NS_PER_MS, PATIENCE_S = 30 };

int main(int argc, char **argv)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err;
    if (argc < 3) {
        fprintf(stderr, "usage: put_durable REGION SECONDS\n");
        return 64;
    }
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&ring, region, OBF_UNIVERSE_TABLE, OBF_UNIVERSE_SCHEMA_HASH, "put_durable", &err) < 0) {
        fprintf(stderr, "put_durable: %s\n", err.text);
        return 69;
    }
    struct {
        obf_universe_row row;
        char tail[SYMBOL_ROOM];
    } put = {.row = {.best_bid = 10.0}, .tail = "BTCUSDT"};
    put.row.symbol = (cp_ref){sizeof put.row, SYMBOL_BYTES};
    const struct timespec pause = {.tv_nsec = CP_NS_PER_MS};
    const uint64_t end = cp_boottime_ns() + strtoull(argv[2], NULL, 10) * CP_NS_PER_S;
    int code = 0;
    while (code == 0 && cp_boottime_ns() < end) {
        const uint64_t began = cp_boottime_ns();
        put.row.ts = (int64_t)(cp_realtime_ns() / CP_NS_PER_MS);
        if (cp_put(ring, &put, sizeof put.row + SYMBOL_BYTES) != CP_OK ||
            cp_wait(ring, CP_DURABLE, ring->write, PATIENCE_S * (uint64_t)CP_NS_PER_S) != CP_OK) {
            fprintf(stderr, "put_durable: a row was not durable within %d s\n", PATIENCE_S);
            code = 1;
        }
        const uint64_t durable = cp_boottime_ns();
        if (durable - began >= LONG_NS) {
            printf("%llu %llu\n", (unsigned long long)began, (unsigned long long)durable);
            fflush(stdout);
        }
        nanosleep(&pause, NULL);
    }
    cp_ring_close(ring);
    cp_detach(region);
    return code;
}
