/* Liveness by kernel lock: an open-file-description lock on a file's first byte lives exactly as long as its holder's
 * descriptor, so that a killed process is known dead at once and a reused pid fools nobody. */
#ifndef CP_SHM_LOCK_H
#define CP_SHM_LOCK_H

#include <stdbool.h>

/* Takes the lock on a descriptor opened for writing, without waiting. 0, or -errno (-EAGAIN: held by another). */
int cp_lock_take(int fd);

/* True when another open file description holds the lock. Works on read-only descriptors. */
bool cp_lock_held(int fd);

#endif
