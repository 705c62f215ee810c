/* What a running recorder looks after now and then, on its main thread, so that nobody has to come by for it:
 *
 *   once in ...
 *   second    the region's file of errors: made anew when somebody cut it short or took it away; whether the region's other files are
 *             still there (recorder/region_watch.h)
 *   ten min   trash/ of the quarantine's directory and of each log's: what has lain there for trash.keep is deleted
 *
 * The trash is looked at first when the recorder runs: what a predecessor left under way has been taken up by then, for which what was
 * dropped may be looked up there (flush/quarantine.h). */
#ifndef CP_RECORDER_HOUSEKEEPING_H
#define CP_RECORDER_HOUSEKEEPING_H

#include "recorder/recorder.h"
#include "recorder/region_watch.h"
#include "recorder/reload.h"

typedef struct cp_housekeeping {
    const cp_reload *reload; /* whose configuration holds */
    cp_recorder_parts parts;
    cp_region_watch region;
    uint64_t look_ns; /* boot-time clock: when to look again */
    uint64_t trash_ns;
} cp_housekeeping;

/* Both borrowed; the recorder runs. */
void cp_housekeeping_init(cp_housekeeping *house, const cp_recorder *recorder, const cp_reload *reload);

/* Does what is due at now_ns (boot-time clock). True when it was time to look, once a second: whoever has something of his own to look
 * after does so then. */
bool cp_housekeeping_run(cp_housekeeping *house, uint64_t now_ns);

/* How long after now_ns there is nothing to do, at most. */
uint64_t cp_housekeeping_wait(const cp_housekeeping *house, uint64_t now_ns);

#endif
