/* ClickHouse, as far as the recorder can tell: it answers the questions about server and tables, takes inserts of blocks in Native
 * format, and counts rows.
 *
 *     insert ──► table there? ──► trouble? ──► token known? ──► constraint ──► stored, token noted
 *                 404, 60          its code     200, dropped      469, "at row n"     200; or it dies between the two
 *
 * Tokens are remembered as a plain MergeTree does: the newest WINDOW of a table. One that is noted before its rows are stored, by a
 * server that dies between the two, drops the retry of rows it does not have; so does ours.
 *
 * There are SIM_SINKS servers, http://sim0:8123 and on. The first ones may be replicas of each other: what one has stored the others
 * have, too, but see it a while later; and they know each other's tokens, which they note together with the rows. */
#ifndef COLDPATH_TESTS_SIMULATE_SINK_H
#define COLDPATH_TESTS_SIMULATE_SINK_H

#include "tests/simulate/network.h"
#include "tests/simulate/rows.h"

/* In permille of inserts. */
typedef struct sim_trouble {
    bool missing[SIM_TABLES];
    bool constrained;      /* rows that are poison are refused */
    bool forgets;          /* tokens: never in a world without a mutation */
    unsigned error;        /* some code that a server may answer with, nothing stored */
    unsigned unsure;       /* code 319: stored, or not */
    unsigned too_big;      /* refused for its size; of countable tables */
    unsigned dies;         /* between token and rows; likewise */
    unsigned cannot_count; /* of counts */
    uint64_t think_ns;
    uint64_t lag_ns; /* of a replica: until it sees what another one has stored */
} sim_trouble;

extern sim_trouble sim_server[SIM_SINKS];
extern uint32_t sim_replicas; /* so many of the first servers are replicas of each other; 0: none are */

typedef struct sim_sink_totals {
    uint64_t inserts, stored, repeated, refused, failed, counts, deaths;
} sim_sink_totals;

extern sim_sink_totals sim_sink_total;

void sim_sink_begin(void);

/* Of a URL. */
uint32_t sim_sink_host(const char *url);

/* A request arrived, whole or its first bytes. */
void sim_sink_take(const char *url, const uint8_t *body, size_t size, sim_reply *reply);

#endif
