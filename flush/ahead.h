/* The next batch of a table, made while the last one is on its way: so a table whose rows come faster than ClickHouse takes them does
 * not wait for its encoder.
 *
 *     batch   ── sent ─────────── waited for ─────────── answered │ sent ──────── …
 *     ahead                 made of the queue's head ► ready ─────┘ it becomes the batch
 *
 * It is no more than a body. Its chunks stay in the queue, no intent names it, and it is made only when nothing more fits into it: it
 * holds what a batch cut at the answer would hold. So it may be dropped at any time, and is when the queue's head is taken away
 * or the configuration changes.
 *
 * There is one, as large as any batch of a table without a log. The table that has it sends from it and from its own in turns, and
 * gives it back when its rows no longer wait. The flusher's thread, but for map and unmap. */
#ifndef CP_FLUSH_AHEAD_H
#define CP_FLUSH_AHEAD_H

#include "flush/batch.h"
#include "flush/delivery.h"

typedef struct cp_ahead {
    cp_batch batch;
    const cp_delivery *user; /* NULL: nobody */
    uint32_t chunks;         /* of the user's queue that batch is made of; 0: it is not */
} cp_ahead;

/* Room for any batch of these. Before the thread runs; again is allowed. CP_E_NOMEM. */
int cp_ahead_map(cp_ahead *ahead, cp_delivery *const *deliveries, uint32_t count, cp_error *err);
void cp_ahead_unmap(cp_ahead *ahead);

/* With nothing else to be done before next_ns: makes a batch for one of them. Returns when to call again: now_ns, or at most next_ns. */
uint64_t cp_ahead_step(cp_ahead *ahead, cp_delivery *const *deliveries, uint32_t count, uint64_t now_ns,
                       uint64_t next_ns);

/* What was made for the delivery becomes its batch, which is empty. Returns of how many chunks, listed in delivery->chunks; 0: nothing
 * was made. ahead may be NULL. */
uint32_t cp_ahead_take(cp_ahead *ahead, cp_delivery *delivery);

/* What was made for the delivery is not to be sent. Likewise. */
void cp_ahead_drop(cp_ahead *ahead, const cp_delivery *delivery);

/* With nothing made, and an empty batch: the delivery gives it back, if it has it. Likewise. */
void cp_ahead_end(cp_ahead *ahead, cp_delivery *delivery);

#endif
