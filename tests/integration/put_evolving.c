/* A producer for test_evolution.py, compiled there against the header of one version of table t: put_evolving REGION FIRST puts
 * rows with id FIRST, FIRST + 1 … until SIGTERM, attaching again when the region was replaced, as a program that must not stop
 * does. Prints how many were put. With T_HAS_VENUE the row has the added columns. */
#include <coldpath/coldpath.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "t.h"

enum { PAUSE_NS = 200000, ATTACH_TRIES = 300, ATTACH_PAUSE_NS = 100000000 };

static volatile sig_atomic_t stopped;

static void on_term(int number)
{
    (void)number;
    stopped = 1;
}

static void pause_ns(long ns)
{
    const struct timespec pause = {.tv_nsec = ns};
    nanosleep(&pause, NULL);
}

static cp_ring *attach(cp_region **region, const char *path)
{
    cp_error err = {0};
    for (int tries = 0; tries < ATTACH_TRIES; tries++) {
        cp_ring *ring = NULL;
        if (cp_attach(region, path, &err) == CP_OK) {
            if (cp_ring_open(&ring, *region, T_TABLE, T_SCHEMA_HASH, NULL, &err) == CP_OK)
                return ring;
            cp_detach(*region);
        }
        if (err.code == CP_E_SCHEMA)
            break;
        pause_ns(ATTACH_PAUSE_NS);
    }
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

int main(int argc, char **argv)
{
    struct {
        t_row row;
        char tail[64];
    } put = {0};
    cp_region *region = NULL;
    if (argc != 3)
        return 64;
    cp_ring *ring = attach(&region, argv[1]);
    signal(SIGTERM, on_term);
    const uint64_t first = strtoull(argv[2], NULL, 10);
    uint64_t id = first;
    puts("ready");
    fflush(stdout);
    while (!stopped) {
        cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
        put.row.id = id;
        put.row.x_is_null = id % 3 == 0;
        put.row.x = put.row.x_is_null ? 0 : (int32_t)(id % 1000);
        cp_tail_put(&tail, &put.row.note, "note", 4);
#ifdef T_HAS_VENUE
        put.row.fee = (double)id / 8;
        cp_tail_put(&tail, &put.row.venue, "new", 3);
#endif
        const int rc = cp_put(ring, &put, tail.used);
        if (rc == CP_E_RETIRED) {
            cp_ring_close(ring);
            cp_detach(region);
            ring = attach(&region, argv[1]);
        } else if (rc == CP_OK) {
            id++;
        } else if (rc != CP_FULL) {
            fprintf(stderr, "%s\n", cp_strerror(rc));
            return 1;
        }
        pause_ns(PAUSE_NS);
    }
    printf("%llu\n", (unsigned long long)(id - first));
    cp_ring_close(ring);
    cp_detach(region);
    return 0;
}
