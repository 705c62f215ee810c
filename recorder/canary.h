/* The canary: a thread that puts a row of the recorder's own into an ordinary ring, one each canary.interval, and follows each until
 * it is durable and until ClickHouse has acknowledged it. What it finds stands in the region (cp_abi_canary of shm/abi.h), for
 * whoever watches: shm/canary_view.h.
 *
 *     thread ──put──► ring of recorder_canary ──► drain ──► (log) ──► flusher ──► ClickHouse
 *       ▲                                          every other row goes the same way
 *       └── durable, delivered: positions in the ring's acknowledgement
 *
 * There is one when the configuration has the table recorder_canary (schema/ddl/recorder_canary.sql); its class and flush settings
 * are those of the table, so the lag is that of a table like it. Rows are put also while others are under way, so that an outage
 * does not hide in a single late row. The drain thread does nothing for it that it does not do for every ring; the canary's own
 * allocates nothing. */
#ifndef CP_RECORDER_CANARY_H
#define CP_RECORDER_CANARY_H

#include "recorder/config/config.h"

#define CP_CANARY_TABLE "recorder_canary"

typedef struct cp_canary cp_canary;

/* Attaches to the region, which this process owns, and starts the thread. *out is NULL, and all is well, when the configuration has
 * no such table. The configuration must outlive it. CP_E_CONFIG: the table has other columns. Errors of cp_attach, cp_ring_open and
 * cp_control_open; CP_E_NOMEM. */
int cp_canary_start(cp_canary **out, const cp_config *config, cp_error *err);

/* Ends the thread, before the recorder stops: rows under way are shipped with all others, and no longer followed. NULL is allowed. */
void cp_canary_stop(cp_canary *canary);

#endif
