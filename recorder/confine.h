/* What the recorder gives up before it touches the first row, so that whoever takes it over from outside (rows, answers of
 * ClickHouse, requests to the monitor are all untrusted) finds little to use:
 *
 *   capabilities   all of them, out of every set: as root it is left with what root's files allow, and cannot get them back
 *   new privileges none, whatever it would execute
 *   core dumps     none, and no other process of the same user may look into its memory: a password may lie there
 *   system calls   those of the list in confine.c alone; others fail with EPERM (clone3 and openat2 with ENOSYS), and
 *                  the kernel's audit log says which. Nothing can be executed, traced, mounted, loaded or made a process;
 *                  memory is never writable and executable; sockets are IP, Unix, or netlink for looking up addresses.
 *
 * Refusing instead of killing: a library that meets EPERM reports an error, and rows go on; a recorder that is killed by a
 * library update does not.
 *
 * What this is not: files are not restricted (systemd's unit does that), and io_uring's operations are not seen by seccomp.
 *
 * References: seccomp(2), capabilities(7), https://libseccomp.readthedocs.io. */
#ifndef CP_RECORDER_CONFINE_H
#define CP_RECORDER_CONFINE_H

#include <coldpath/error.h>

/* Confines the process for good: the calling thread and all that it makes, not those there are. Under a sanitizer the system calls
 * stay, since it wants more of them; where the kernel has no filters, that is logged. CP_E_NOMEM; CP_E_PERM: it failed half-way. */
int cp_confine(cp_error *err);

#endif
