/* Making and owning a region: what `coldpath init` and coldpathd do to the directory before producers come.
 *
 * Preparing is idempotent. A region that already fits the configuration is taken over as it is, with all its rows.
 * Otherwise a new control file is written beside the old one and renamed over it: rings of tables that did not change
 * go on with their rows and positions; rings of new tables are made; rings of changed or removed tables are replaced or
 * removed, provided that they hold no undelivered row. The old control file is marked retired, so that producers which
 * still map it learn that they must attach again. */
#ifndef CP_SHM_REGION_H
#define CP_SHM_REGION_H

#include "shm/control.h"

#define CP_REGION_SOCKET "recorder.socket" /* where a running recorder takes commands (recorder/command.h) */

typedef struct cp_region_spec {
    const char *dir; /* absolute path; missing parents are made */
    const char *namespace_name;
    const char *group;  /* group of directory and files, or NULL */
    unsigned file_mode; /* of ring files: 0600, 0660, 0666 */
    const cp_control_table *tables;
    uint32_t table_count;
} cp_region_spec;

typedef struct cp_region_owner {
    cp_control control; /* writable */
    int lock_fd;        /* holds recorder.lock */
    char *dir;
    bool created; /* a new control file was made */
} cp_region_owner;

/* Takes the recorder's lock and prepares the region. On success the caller owns it until cp_region_release.
 * Errors: CP_E_BUSY (another recorder runs, or a changed table still holds rows or a producer: the text says which and
 * what to do), CP_E_PERM, CP_E_NOMEM (no space in the file system), CP_E_ABI, CP_E_CORRUPT, CP_E_INVAL, CP_E_IO. */
int cp_region_own(cp_region_owner *owner, const cp_region_spec *spec, cp_error *err);

/* Gives the lock back and unmaps; the region stays. */
void cp_region_release(cp_region_owner *owner);

/* True while some recorder holds the lock of the region at dir. */
bool cp_region_is_owned(const char *dir);

#endif
