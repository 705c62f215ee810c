/* Puts rows of one String as fast as the ring takes them, sleeping while it is full: put_large REGION TABLE SECONDS BYTES. Large rows
 * fill a log at the cost of copying them, so that the disk is what is saturated and not a CPU. Prints one JSON line: {"rows", "bytes",
 * "waits"}; waits: how often the ring was full. */
#include <coldpath/coldpath.h>
#include <coldpath/row.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { MOST_BYTES = 1024 * 1024 };

int main(int argc, char **argv)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err;
    const uint32_t bytes = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
    if (bytes <= sizeof(cp_ref) || bytes > MOST_BYTES) {
        fprintf(stderr, "usage: put_large REGION TABLE SECONDS BYTES\n");
        return 64;
    }
    if (cp_attach(&region, argv[1], &err) < 0 ||
        cp_ring_open(&ring, region, argv[2], 0, "put_large", &err) < 0) {
        fprintf(stderr, "put_large: %s\n", err.text);
        return 69;
    }
    uint8_t *row = malloc(bytes);
    if (!row)
        return 1;
    const cp_ref text = {.offset = sizeof text, .length = bytes - (uint32_t)sizeof text};
    memset(row, 'a', bytes);
    memcpy(row, &text, sizeof text);
    const uint64_t end = cp_boottime_ns() + strtoull(argv[3], NULL, 10) * CP_NS_PER_S;
    uint64_t rows = 0;
    uint64_t waits = 0;
    for (uint64_t now = cp_boottime_ns(); now < end; now = cp_boottime_ns()) {
        int rc = cp_put(ring, row, bytes);
        if (rc == CP_FULL) {
            waits++;
            rc = cp_put_wait(ring, row, bytes, end - now);
        }
        rows += rc == CP_OK;
    }
    printf("{\"rows\": %llu, \"bytes\": %llu, \"waits\": %llu}\n", (unsigned long long)rows,
           (unsigned long long)rows * bytes, (unsigned long long)waits);
    free(row);
    cp_ring_close(ring);
    cp_detach(region);
    return 0;
}
