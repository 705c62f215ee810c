/* Telling the service manager how it stands, by systemd's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET. Under
 * no manager all of it does nothing. */
#ifndef CP_RECORDER_NOTIFY_H
#define CP_RECORDER_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…". What cannot be sent is not: the manager notices. */
void cp_notify(const char *state);

/* How often "WATCHDOG=1" is due, half of what the manager allows, in nanoseconds; 0: it does not watch this process. */
uint64_t cp_notify_watchdog_ns(void);

#endif
