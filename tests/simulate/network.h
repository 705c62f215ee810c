/* The simulated network and libcurl: what http.c calls of libcurl ends here, and so everything above it, how replies are understood
 * included, is the product's own.
 *
 *     curl_multi_add_handle ──► message ──► … ──► the sink ──► reply ──► … ──► callbacks ──► curl_multi_info_read
 *                                  │ refused, reset, stalled   │ slow   │ lost, cut, silent
 *
 * A message that has left goes its way whatever becomes of its sender: it may be taken after the sender gave up, or was killed. */
#ifndef COLDPATH_TESTS_SIMULATE_NETWORK_H
#define COLDPATH_TESTS_SIMULATE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_SINKS = 3, SIM_REPLY_HEADS = 256, SIM_REPLY_BODY = 1024 };

/* What the sink says. */
typedef struct sim_reply {
    int status;
    char heads[SIM_REPLY_HEADS]; /* lines behind the status line, each ended */
    char body[SIM_REPLY_BODY];
    bool reset;        /* it dies instead of answering */
    uint64_t think_ns; /* before it answers */
} sim_reply;

/* In permille of messages. */
typedef struct sim_weather {
    unsigned reset_before; /* the message never arrives */
    unsigned garbled;      /* it arrives in part */
    unsigned stalled;      /* the sink takes a part of it, and no more */
    unsigned reset_after;  /* the reply is lost */
    unsigned cut;          /* it arrives in part */
    unsigned silent;       /* it never comes, the connection stays */
    unsigned slow;         /* the message takes long */
    uint64_t latency_ns;   /* most of one way */
    bool refused;          /* nobody listens */
    bool unreachable;      /* connecting takes as long as it may, and fails */
} sim_weather;

extern sim_weather sim_network[SIM_SINKS]; /* on the way to each */

typedef struct sim_network_totals {
    uint64_t messages, taken, lost_before, lost_after, late;
} sim_network_totals;

extern sim_network_totals sim_network_total;

void sim_network_begin(void);
void sim_network_end(void);

/* Gives the sink a message that has arrived; false: none has. */
bool sim_network_step(void);

/* When the next one arrives, of sim.now_ns. */
uint64_t sim_network_next_ns(void);

/* Messages for a table that are on their way, or wait at the sink. */
unsigned sim_network_under_way(const char *table);

/* The process that had connections is gone: what it has sent goes on, or not. */
void sim_network_drop(void);

#endif
