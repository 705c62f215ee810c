/* A feed: one producer of one table, with the account of what it did. Both programs here report the same way, so that a
 * checker can count in ClickHouse exactly the rows of one run: those of its spans (feeds/producer.h), which are one unless
 * the configuration changed meanwhile. */
#ifndef CP_FEEDS_FEED_H
#define CP_FEEDS_FEED_H

#include <coldpath/coldpath.h>
#include <stdio.h>

#include "base/put_timer.h"
#include "feeds/producer.h"

typedef enum cp_on_full { CP_ON_FULL_WAIT, CP_ON_FULL_DROP } cp_on_full;

/* What the feeds of one program share. */
typedef struct cp_feed_policy {
    cp_on_full on_full;
    const char *region;                   /* as cp_attach takes it */
    const char *producer;                 /* the program's name, for status */
    uint64_t timeout_ns;                  /* of one wait for room, or for a region that is replaced */
    const volatile sig_atomic_t *stopped; /* a set one ends waiting */
    cp_put_timer *timer;                  /* times the puts that found room */
} cp_feed_policy;

typedef struct cp_feed {
    const cp_feed_policy *policy;
    cp_producer producer;
    uint64_t rows;
    uint64_t waits; /* puts that had to wait for room */
    uint64_t waited_ns;
    uint64_t dropped;
} cp_feed;

/* Attaches and takes a slot of the table. Errors as cp_producer_open. */
int cp_feed_open(cp_feed *feed, const cp_feed_policy *policy, const char *table, uint64_t schema_hash,
                 cp_error *err);

/* True once it was opened: there is something to report. */
bool cp_feed_was_open(const cp_feed *feed);

/* Puts a row; when the region was replaced, after attaching anew. CP_OK also when it was dropped by the policy;
 * CP_E_TIMEOUT, CP_E_TOO_BIG, or what cp_producer_reopen says, with err set. When stopped while waiting: CP_OK, the row is
 * not put. */
int cp_feed_put(cp_feed *feed, const void *row, uint32_t bytes, cp_error *err);

/* Writes {"table":…,"rows":…,"epoch":"…","slot":…,"first":…,"last":…,"waits":…,"dropped":…,"spans":[…]}: epoch to last
 * are those of the last span, spans are all of them. */
void cp_feed_json(cp_feed *feed, FILE *out);

/* Closes the ring and frees what the feed has. */
void cp_feed_close(cp_feed *feed);

/* Writes "put_p50_ns":…,"put_p99_ns":…,… of a timer, without braces. */
void cp_feed_times_json(const cp_put_timer *timer, FILE *out);

/* Sets *stopped_flag on SIGINT and SIGTERM; the flag is the program's only one. */
const volatile sig_atomic_t *cp_feed_catch_signals(void);

#endif
