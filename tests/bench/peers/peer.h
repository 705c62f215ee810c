/* A peer: another way of handing a row of bytes over to another process or thread, measured beside ours.
 *
 *   open ──► put, put, put … ──► settle ──► close        one peer at a time; all calls from the producer's thread
 *
 * Every peer copies the same row. Whoever takes the rows runs on the consumer's CPU: a forked process for the rings, the
 * library's own thread or daemon for the others. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PEER_ROW = 120,
    PEER_RING_BYTES = 8 * 1024 * 1024,
    PEER_NAP_NS = 50 * 1000,           /* of a lazy consumer between two looks */
    PEER_INTERVAL_NS = 5 * 1000 * 1000 /* the longest that it leaves rows in a ring */
};

typedef struct peer {
    const char *name;
    const char *what;       /* for people: what a put is */
    uint32_t paced_divisor; /* measured at pace × this: slow peers get fewer puts */
    bool (*open)(int consumer_cpu);
    bool (*put)(const void *row); /* PEER_ROW bytes; false: no room now */
    void (*settle)(void);         /* until the consumer has what was put, or nearly */
    void (*close)(void);
} peer;

extern const peer peer_floor, peer_coldpath, peer_boost, peer_boost_lazy, peer_ck, peer_ck_lazy, peer_lttng,
    peer_spdlog, peer_kafka, peer_sqlite;

/* Forks a consumer, pinned: run returns never; the child dies with its parent. Its process id, or -1. */
int peer_fork(int cpu, void (*run)(void));
void peer_reap(int pid);

/* Into which a lazy consumer copies what it takes out, one row behind the other: a lump, as a chunk of the drain's. */
enum { PEER_LUMP_ROWS = 2048 };

/* For a lazy consumer: naps until `waiting` says that as much has gathered as the recorder's drain waits for, or for the interval.
 * The rows that wait then. */
uint32_t peer_gather(uint32_t (*waiting)(void));

/* Memory shared with what is forked later; NULL when there is none. */
void *peer_share(uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
