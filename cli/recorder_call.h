/* Commanding the running recorder of a region over its control socket (recorder/command.h): one message there, one back. Who may is
 * decided at the other end, by what the kernel says of this process. */
#ifndef CP_CLI_RECORDER_CALL_H
#define CP_CLI_RECORDER_CALL_H

#include "recorder/command.h"

/* Sends a command to the recorder of the region in dir and waits for its answer, at most timeout_ns; one whose heartbeat is older than
 * CP_HEALTH_STALE_MS is not asked, or no longer waited for (CP_E_TIMEOUT). CP_OK: it is done, as far as reply says. CP_E_ABSENT: no recorder runs; CP_E_UNSUPPORTED: what holds the region takes no commands; CP_E_TIMEOUT; CP_E_PERM: this user may
 * not, or cannot reach the socket; CP_E_IO; or the recorder's own words for why not. */
int cp_recorder_call(const char *dir, const cp_command *command, uint64_t timeout_ns, cp_command_reply *reply,
                     cp_error *err);

#endif
