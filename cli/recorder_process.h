/* The process that is the recorder of a region: finding it for certain, and sending it a signal.
 *
 * A control file names its recorder's pid, which proves nothing: the recorder may be dead and the number another
 * process's. What proves it is the lock on recorder.lock. F_OFD_GETLK tells that it is held, not by whom; but the kernel
 * lists the locks of a descriptor in /proc/PID/fdinfo/N. So:
 *
 *   pidfd = pidfd_open(pid)                      from here on the process cannot be confused with a later one
 *   some /proc/PID/fd/N is <region>/recorder.lock (device and inode), and
 *   /proc/PID/fdinfo/N has a "lock:" line of an OFD write lock
 *   /proc/PID/status says that it catches the signal: it would die of it otherwise
 *   pidfd_send_signal(pidfd)
 *
 * /proc shows descriptors to the same user and to root only, which is whom kill(2) lets through, too. */
#ifndef CP_CLI_RECORDER_PROCESS_H
#define CP_CLI_RECORDER_PROCESS_H

#include <coldpath/error.h>
#include <stdint.h>

/* Sends signal to process pid if it holds <dir>/recorder.lock and catches that signal. CP_E_ABSENT: no such process, or it is not
 * the recorder; CP_E_PERM: this user may not look at it or signal it; CP_E_UNSUPPORTED: it does not catch the signal;
 * CP_E_IO. */
int cp_recorder_process_signal(const char *dir, uint32_t pid, int signal, cp_error *err);

#endif
