/* Which of several ClickHouse endpoints new batches go to.
 *
 *     in order of preference    a        b        c
 *     a goes down               ✗   ───► b                 at once, to the first that is up
 *     b goes down as well       ✗        ✗   ───► c
 *     a is up again             a ◄──────────────── c      when it has been up for `patience` without a break
 *     a goes down soon after    ✗   ───► b                 its patience doubles, up to CP_FAILOVER_RELAPSES times
 *
 * While nobody has been heard of, and while none is up, the choice stays: an endpoint that has not answered yet is not taken for
 * down. No clock, no I/O. */
#ifndef CP_FLUSH_FAILOVER_H
#define CP_FLUSH_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/flusher.h"

enum { CP_FAILOVER_RELAPSES = 4 }; /* 16 times the patience: a flapping endpoint still gets its chance */

typedef enum cp_reach { CP_REACH_UNKNOWN, CP_REACH_UP, CP_REACH_DOWN } cp_reach;

typedef struct cp_failover_member {
    cp_reach reach;
    uint64_t since_ns;  /* of reach */
    uint64_t chosen_ns; /* when it was chosen again after others; 0: it was not */
    uint32_t relapses;  /* in a row: down again before its patience was over */
} cp_failover_member;

typedef struct cp_failover {
    uint32_t count;
    uint32_t chosen;
    uint64_t patience_ns;
    cp_failover_member members[CP_MAX_ENDPOINTS]; /* in order of preference */
} cp_failover;

/* Begins with the first of count ≥ 1. */
void cp_failover_begin(cp_failover *failover, uint32_t count, uint64_t patience_ns);

/* What is known of a member now. */
void cp_failover_tell(cp_failover *failover, uint32_t member, cp_reach reach, uint64_t now_ns);

/* Chooses anew. True: `chosen` has changed. */
bool cp_failover_choose(cp_failover *failover, uint64_t now_ns);

#endif
