/* Whether the region's files still bear their names. What is mapped outlives its name: when somebody removes the region, or a ring, the
 * recorder and the producers that are attached go on as if nothing had happened, but nobody finds them any more, and the next recorder
 * makes them anew, empty. So it is said, once for each file. */
#ifndef CP_RECORDER_REGION_WATCH_H
#define CP_RECORDER_REGION_WATCH_H

#include "shm/region.h"

typedef struct cp_region_watch {
    const cp_region_owner *region;
    bool gone;                              /* the control file; said */
    uint32_t table;                         /* whose rings are looked at next */
    uint64_t missing[CP_REGION_MAX_TABLES]; /* a bit for each slot whose file is gone; said */
} cp_region_watch;

/* Looks at the control file and at the rings of one table, the next one each time: a system call for each. */
void cp_region_watch_look(cp_region_watch *watch);

#endif
