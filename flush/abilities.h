/* What the server at the other end can do, asked of it rather than assumed.
 *
 *            suspect                     every step answered
 *     UNKNOWN ────────► probing ────────────────────────────► KNOWN ──── suspect ────► UNKNOWN
 *        ▲                 │ no answer: again, with backoff     │ refresh: probes, stays KNOWN
 *        └─────────────────┘                                    ▼
 *
 * Probed at first, again before anything else is sent after the server could not be reached (a light half-open probe
 * instead of a heavy batch; it may also have come back as another version), and in the background after errors that a
 * changed table or setting explains. The steps, each one small SELECT:
 *
 *     1. version() and which of the settings we would like exist: only those are sent, for an unknown one fails the
 *        insert with error 115. Without this step nothing is known.
 *     2. the server's default of non_replicated_deduplication_window   } for the guarantee that is
 *     3. engine, own window and materialized views of each table      } displayed; old servers may refuse
 *     4. of replicated tables, the path in Keeper: what replicas of one table have in common
 *
 * Bodies are compressed with zstd from 21.1 on; older servers get them plain. One thread; guarantee: any. */
#ifndef CP_FLUSH_ABILITIES_H
#define CP_FLUSH_ABILITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/flusher.h"
#include "flush/http.h"

typedef struct cp_abilities cp_abilities;

typedef enum cp_probe_result {
    CP_PROBE_GOING_ON, /* another step has been started */
    CP_PROBE_DONE,
    CP_PROBE_FAILED /* will be tried again at the next deadline */
} cp_probe_result;

/* config and base must outlive it; base: its URL as cp_http_check_url gave it. CP_E_NOMEM. */
int cp_abilities_create(cp_abilities **out, cp_http *http, const cp_sink_config *config, const char *base);
void cp_abilities_free(cp_abilities *abilities);

/* Announces a table, in the order of the flusher's indices. CP_E_NOMEM. */
int cp_abilities_add_table(cp_abilities *abilities, const char *database, const char *table);

/* Announces the tables that were announced to another one. CP_E_NOMEM. */
int cp_abilities_add_tables_of(cp_abilities *abilities, const cp_abilities *other);

/* The server could not be reached, or not used: nothing is to be sent until a probe succeeds. */
void cp_abilities_suspect(cp_abilities *abilities);

/* Its base has moved to another address. */
void cp_abilities_set_base(cp_abilities *abilities, const char *base);

/* The credentials have changed: what is known is forgotten, a probe under way ended, and the next one is due at once. */
void cp_abilities_forget(cp_abilities *abilities);

/* Something may have changed: probe again when convenient. */
void cp_abilities_refresh(cp_abilities *abilities);

/* Somebody may have mended what keeps the server from answering: a probe that waits is sent at the next step. */
void cp_abilities_ask_now(cp_abilities *abilities);

/* True when the server answered the last probe: batches may be sent. */
bool cp_abilities_known(const cp_abilities *abilities);

/* True when the exchange is the probe's. */
bool cp_abilities_owns(const cp_abilities *abilities, const cp_http_exchange *exchange);

/* Starts a probe if one is wanted and due. Returns when to call again (boot-time clock), UINT64_MAX: not needed. */
uint64_t cp_abilities_step(cp_abilities *abilities, uint64_t now_ns);

/* Takes the reply to a step. */
cp_probe_result cp_abilities_reply(cp_abilities *abilities, const cp_http_reply *reply, uint64_t now_ns);

/* Of the last failed probe: when the next one is, and the reason for people. */
uint64_t cp_abilities_retry_ns(const cp_abilities *abilities);
uint32_t cp_abilities_failures(const cp_abilities *abilities);

/* "&name=value…" of the known settings for an insert. */
const char *cp_abilities_settings(const cp_abilities *abilities);

/* "&name=value…" for a count of rows: whatever the user's profile says, it counts all of them, now, or fails. */
const char *cp_abilities_count_settings(const cp_abilities *abilities);

/* True when the setting insert_deduplication_token is known. */
bool cp_abilities_has_token(const cp_abilities *abilities);

/* True when the server takes zstd bodies. */
bool cp_abilities_has_zstd(const cp_abilities *abilities);

/* What rows that a count finds, or does not find, say about this table. */
typedef enum cp_counting {
    CP_COUNTING_UNKNOWN, /* the table has not been seen yet: it was missing when it was asked for, or the answer did not come */
    CP_COUNTING_NOT,   /* another engine than these, which may merge rows into one */
    CP_COUNTING_LAGS,  /* Replicated…, Shared…: what one replica has not, another one may have */
    CP_COUNTING_FINAL, /* MergeTree: what an acknowledged insert has stored is found */
} cp_counting;
cp_counting cp_abilities_counting(const cp_abilities *abilities, uint32_t table);

/* Names the set of replicas that share the table's deduplication tokens: the hash of their path in Keeper, the same at each of
 * them. 0: the table is not replicated, or the server does not say. */
uint64_t cp_abilities_group(const cp_abilities *abilities, uint32_t table);

/* True when the table has materialized views, as far as is known: an insert that a view refuses is refused after its table has the rows. */
bool cp_abilities_has_views(const cp_abilities *abilities, uint32_t table);

/* How often the server was asked which tables it has and has answered, be it with an error. */
uint32_t cp_abilities_lists(const cp_abilities *abilities);

/* The guarantee for a table. Any thread. */
cp_guarantee cp_abilities_guarantee(const cp_abilities *abilities, uint32_t table);

#endif
