/* Reading the configuration anew while the recorder runs: all of it valid, and then taken over at once, or the old one is kept.
 *
 *   SIGHUP ──► read and check ──► compare, key by key ──► live keys: recorder, flusher, drain, log level
 *                  │ not valid                              others: "needs a restart"
 *                  └──► nothing changes                              │
 *                               └─────── outcome: log, control file ─┘──► coldpath reload
 */
#ifndef CP_RECORDER_RELOAD_H
#define CP_RECORDER_RELOAD_H

#include "recorder/recorder.h"

typedef struct cp_reload {
    cp_recorder *recorder;    /* running */
    const cp_config *started; /* what it was made with; the caller's */
    cp_config *applied;       /* read last and taken over; NULL: started */
} cp_reload;

/* Reads the file that started was read from, and what belongs to it, and takes over what can be. Failures go to the log and the
 * control file. The thread that starts and stops the recorder. */
void cp_reload_run(cp_reload *reload);

/* Frees what it has read; after the recorder's end. */
void cp_reload_free(cp_reload *reload);

#endif
