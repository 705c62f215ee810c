/* Surviving a mapped file that becomes shorter: touching a page behind its new end raises SIGBUS. Code that reads files
 * which other processes own runs inside a guard, and a SIGBUS there becomes a return value.
 *
 *     if (cp_sigbus_enter()) {              true the first time
 *         … read the mapping …
 *         cp_sigbus_leave();
 *     } else {
 *         … the file was truncated: locals changed since enter are unreliable …
 *     }
 *
 * Guards do not nest. The guarded code must hold no lock and own nothing that would leak. A SIGBUS outside a guard ends
 * the process as it always would. */
#ifndef CP_SHM_SIGBUS_GUARD_H
#define CP_SHM_SIGBUS_GUARD_H

#include <setjmp.h>
#include <stdbool.h>

/* Installs the handler for the process. Programs call it at start, the library never does. */
void cp_sigbus_install(void);

extern _Thread_local sigjmp_buf cp_sigbus_jump_;
extern _Thread_local volatile bool cp_sigbus_armed_;

#define cp_sigbus_enter() (sigsetjmp(cp_sigbus_jump_, 0) == 0 && (cp_sigbus_armed_ = true))

static inline void cp_sigbus_leave(void)
{
    cp_sigbus_armed_ = false;
}

#endif
