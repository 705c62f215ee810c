/* What may be sent to ClickHouse now: by the recorder's mode, by who asks for replay, and by what the day's budget has left.
 *
 *     mode         lossy tables    critical tables
 *     direct       sent            sent
 *     wal_first    sent            logged; sent while a process holds <region>/replay.lock (`coldpath replay`)
 *     disabled     –               logged
 *
 * With limits.daily_bytes, nothing is sent either from when that much went out in a day (UTC) until the next day begins. What is
 * not sent waits as in an outage: critical rows in their logs, lossy ones in their rings, then under their tables' pressure
 * ladders. A batch under way when the gate closes stays under way, with its intent and token, and goes first when it opens: so
 * nothing that a gate does can lose or repeat a row.
 *
 * Delivery never leaves the recorder: who holds the lock only lets it happen, and may be killed at any instruction. */
#ifndef CP_RECORDER_GATE_H
#define CP_RECORDER_GATE_H

#include <stdatomic.h>

#include "recorder/config/config.h"
#include "shm/region.h"

#define CP_REPLAY_LOCK "replay.lock" /* in the region's directory */

/* Fields are private. */
typedef struct cp_gate {
    cp_abi_control *header;
    int replay_fd; /* -1: not open */
    _Atomic uint32_t mode;
    _Atomic uint64_t daily_bytes;
    _Atomic bool replaying;
    _Atomic bool spent;
    /* flusher's thread */
    uint64_t looked_ns;
    bool warned;
} cp_gate;

/* Makes the lock's file, for this user alone, and goes on with what a predecessor sent today. Errors of open. */
int cp_gate_open(cp_gate *gate, const cp_config *config, const cp_region_owner *region, cp_error *err);

/* Takes over mode and daily_bytes of a configuration. Any thread. */
void cp_gate_configure(cp_gate *gate, const cp_config *config);

/* Whether a table may send now, as far as was seen last. Any thread. */
bool cp_gate_sends(const cp_gate *gate, bool critical);

/* The same, after a look at lock and clock when the last one was a while ago. The flusher's thread; likewise the next. */
bool cp_gate_lets(cp_gate *gate, bool critical);
void cp_gate_sent(cp_gate *gate, uint64_t bytes);

void cp_gate_close(cp_gate *gate);

#endif
