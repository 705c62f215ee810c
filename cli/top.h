/* What `coldpath top` shows: two looks at a region made into rates and words, as a screenful of text or as JSON. */
#ifndef CP_CLI_TOP_H
#define CP_CLI_TOP_H

#include <json-c/json.h>
#include <stdio.h>

#include "monitor/watch.h"

typedef enum cp_top_sort {
    CP_TOP_BY_REGION,
    CP_TOP_BY_RATE,
    CP_TOP_BY_RING,
    CP_TOP_BY_WAITING,
    CP_TOP_SORTS
} cp_top_sort;

typedef struct cp_top_row {
    char table[CP_ABI_NAME];
    bool critical;
    uint32_t pressure;
    uint32_t producers; /* live */
    uint32_t dead;      /* slots whose producer is gone, and which still hold rows */
    uint32_t slots;
    uint64_t put;
    uint64_t delivered;
    uint64_t waiting;  /* in rings, in the log, at risk */
    uint64_t lost;     /* dropped, given up, refused */
    uint64_t left_out; /* downsampled, rejected, quarantined */
    double put_per_s;
    double delivered_per_s;
    double ring; /* 0 to 1 */
    double ring_peak;
    double oldest_s;     /* age of the oldest row not delivered; negative: none waits, or it is not known */
    bool oldest_unknown; /* some wait, and since when is not known */
    double
        insert_p50_ms; /* of the last minute, or, when it had none, of the region's life; negative: there was none */
    double insert_p99_ms;
} cp_top_row;

typedef struct cp_top {
    uint64_t taken_ns; /* of the last sample; 0: none yet */
    bool present;
    char absent[CP_ERROR_TEXT];
    char region[CP_MAX_REGION_PATH];
    char name[CP_ABI_NAME]; /* the namespace */
    cp_health health;
    const char *state;
    const char *sink;
    uint32_t pid;
    double up_s;
    double cpu; /* of one processor; negative: not known */
    uint64_t cpu_ticks;
    uint64_t log_bytes;
    uint64_t log_limit;
    double log_full_s;  /* at the rate of the last minutes; negative: it does not grow */
    double sync_p99_ms; /* negative: no log was written */
    double durable_p99_ms;
    uint32_t row_count;
    uint32_t row_room;
    cp_top_row *rows; /* in the region's order */
} cp_top;

/* Takes a sample: what came since the last one becomes the rates. False: no memory. */
bool cp_top_sample(cp_top *top, cp_watch *watch);
void cp_top_free(cp_top *top);

/* How a screenful is to look. */
typedef struct cp_top_look {
    unsigned width;  /* columns; lines are cut there */
    unsigned height; /* lines; 0: as many as there are */
    unsigned first;  /* of the tables, the first shown */
    cp_top_sort sort;
    bool styled; /* colours and bold */
    bool paused;
    const char *line_end; /* what ends a line: "\n", or the terminal's order to clear to its end first */
} cp_top_look;

/* Writes a screenful. */
void cp_top_write(const cp_top *top, const cp_top_look *look, FILE *out);

/* Adds all of it to an answer. */
void cp_top_json(const cp_top *top, json_object *answer);

const char *cp_top_sort_name(cp_top_sort sort);

#endif
