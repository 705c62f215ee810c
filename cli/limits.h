/* Every limit that a recorder may run into, how much of it is taken, and what room is left: said before it bites.
 *
 *   memory at most    what the configuration lets the recorder take          of the host's memory (or its cgroup's)
 *   memory now        what a running recorder has taken                      of that
 *   shared memory     what rings need whose table never had a producer       of what is free there
 *   log of a table    rows that wait in it, by the mean size of rows so far  of wal_limit
 *   disk of the logs  what they may grow by until they are at their limits   of what is free there
 *   bytes sent today  bodies of inserts, since midnight UTC                  of limits.daily_bytes
 *   ring of a table   the fullest                                            of ring_size
 *
 * From the configuration, the region, or both: what needs the missing one is left out. A limit is above its watermark when
 * more than a share of it is taken; a log also when the recorder says that it takes no rows. */
#ifndef CP_CLI_LIMITS_H
#define CP_CLI_LIMITS_H

#include <json-c/json.h>
#include <stdio.h>

#include "recorder/config/config.h"
#include "shm/observer.h"

enum {
    CP_LIMIT_WATERMARK_PERMILLE = 900,
    CP_LIMIT_LOG_PERMILLE = 750,   /* of logs: segments are not always full, and some wait to be used */
    CP_LIMIT_SHOWN_PERMILLE = 500, /* rings emptier than this are not printed as text */
    CP_LIMIT_WHAT = 160,
    CP_LIMIT_NOTE = 160,
    CP_LIMITS_MAX = 8 + 2 * CP_REGION_MAX_TABLES
};

typedef struct cp_limit {
    char what[CP_LIMIT_WHAT];
    uint64_t taken; /* or needed; bytes */
    uint64_t limit;
    bool ring;
    bool judged;              /* the recorder's health has a reason of its own for it */
    bool above;               /* its watermark */
    char note[CP_LIMIT_NOTE]; /* for people, or "" */
    const char *remedy;       /* what to do when it is above; a literal */
} cp_limit;

typedef struct cp_limits {
    uint32_t count;
    bool above; /* any */
    cp_limit list[CP_LIMITS_MAX];
} cp_limits;

/* config: NULL when it is not known; observer: looked at, or NULL when there is no region. */
void cp_limits_look(cp_limits *limits, const cp_config *config, const cp_observer *observer);

/* "log of trades: 60.1 MiB of 64.0 MiB, 3.9 MiB left" */
char *cp_limit_text(const cp_limit *limit, char *text, size_t size);

/* As a table, and below it what to do about each that is above; without rings that have plenty of room. */
void cp_limits_print(const cp_limits *limits, FILE *out);
json_object *cp_limits_json(const cp_limits *limits);

#endif
