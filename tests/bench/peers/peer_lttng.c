/* An lttng-ust tracepoint with a 120-byte array field. peers.py has made a session that records it; without one the tracepoint
 * is off, and open fails. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "tests/bench/peers/lttng_row.h"

#include <stdio.h>
#include <time.h>

#include "peer.h"

static bool lttng_peer_open(int consumer_cpu)
{
    (void)consumer_cpu; /* the consumer daemon runs where peers.py has put it */
    const struct timespec second = {.tv_sec = 1};
    for (int tries = 0; tries < 5 && !lttng_ust_tracepoint_enabled(coldpath_peers, row); tries++)
        nanosleep(&second, NULL);
    if (!lttng_ust_tracepoint_enabled(coldpath_peers, row))
        fprintf(stderr, "peers: lttng: no session records coldpath_peers:row\n");
    return lttng_ust_tracepoint_enabled(coldpath_peers, row);
}

static bool lttng_peer_put(const void *row)
{
    lttng_ust_do_tracepoint(coldpath_peers, row, (const uint8_t *)row);
    return true; /* a full buffer discards, and says so in the trace */
}

static void lttng_peer_settle(void)
{
    const struct timespec second = {.tv_sec = 1};
    nanosleep(&second, NULL);
}

static void lttng_peer_close(void)
{
}

const peer peer_lttng = {"lttng-ust",
                         "tracepoint with a 120-byte field; its consumer daemon writes to tmpfs",
                         1,
                         lttng_peer_open,
                         lttng_peer_put,
                         lttng_peer_settle,
                         lttng_peer_close};
