#include "shm/sigbus_guard.h"

#include <signal.h>

_Thread_local sigjmp_buf cp_sigbus_jump_;
_Thread_local volatile bool cp_sigbus_armed_;

static void sigbus_handler(int signal_number)
{
    if (cp_sigbus_armed_) {
        cp_sigbus_armed_ = false;
        siglongjmp(cp_sigbus_jump_, 1);
    }
    signal(signal_number, SIG_DFL); /* the faulting instruction runs again, and kills */
}

void cp_sigbus_install(void)
{
    /* SA_NODEFER: the jump leaves the handler without returning, the signal must not stay blocked. */
    struct sigaction action = {.sa_handler = sigbus_handler, .sa_flags = SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
