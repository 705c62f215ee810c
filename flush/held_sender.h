/* Sends the batches that were set aside (held.h), one after the other, each to the endpoint that may have it, when that answers;
 * or, when it will not come back, to the chosen one. One that waits, for its endpoint or for its table, makes way for others. The flusher's thread, but for create. */
#ifndef CP_FLUSH_HELD_SENDER_H
#define CP_FLUSH_HELD_SENDER_H

#include "flush/delivery.h"
#include "flush/held.h"

enum { CP_HELD_MOST = 64 }; /* at a time; beyond it a table waits with its batch */

typedef struct cp_held_sender cp_held_sender;

/* outer: the flusher's own deliveries' environment and events, which must outlive it. CP_E_NOMEM. */
int cp_held_sender_create(cp_held_sender **out, const cp_delivery_env *outer, cp_error *err);
void cp_held_sender_free(cp_held_sender *sender);

/* Where what is loaded is told. */
typedef struct cp_held_load {
    cp_held_visit *visit; /* for each span of each batch */
    void *ctx;
    cp_error *err;
} cp_held_load;

/* Before the thread runs: lists what was set aside of a table, and removes what a kill left half written. CP_E_CORRUPT: some of it cannot be read, and is logged; CP_E_CONFIG:
 * the configuration does not name its endpoint; CP_E_ABSENT and others: the directory cannot be read. */
int cp_held_sender_load(cp_held_sender *sender, uint32_t table, cp_delivery *of, const cp_held_load *load);

/* Then, once the account has what was settled: removes those files. */
void cp_held_sender_counted(const cp_delivery *of);

/* Whether one more of size bytes can be set aside, when the table may have limit bytes there. CP_E_TOO_BIG. */
int cp_held_sender_room(const cp_held_sender *sender, uint32_t table, uint64_t size, uint64_t limit,
                        cp_error *err);

/* A batch of the table has been set aside: rows and size bytes. */
void cp_held_sender_add(cp_held_sender *sender, uint32_t table, cp_delivery *of, const char *path,
                        const cp_held_header *header);

/* Goes on. Returns when to call again. */
uint64_t cp_held_sender_step(cp_held_sender *sender, uint64_t now_ns);

/* Somebody may have mended what they wait for: each is tried at the next step. */
void cp_held_sender_ask_now(cp_held_sender *sender);

/* The delivery that sends now, or NULL. */
cp_delivery *cp_held_sender_delivery(const cp_held_sender *sender);

/* What waits for an endpoint. */
void cp_held_sender_count(const cp_held_sender *sender, uint64_t endpoint, uint32_t *batches, uint64_t *rows);

/* The table of one that waits for the endpoint; NULL: none does. */
const cp_table *cp_held_sender_waits_for(const cp_held_sender *sender, uint64_t endpoint);

#endif
