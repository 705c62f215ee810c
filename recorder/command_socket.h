/* The recorder's end of the control socket: who asks is known from the kernel, what is asked is read whole or not at all, and nobody
 * can keep it waiting.
 *
 *   <region>/recorder.socket ──► accept ──► uid, gids of the peer ──► one message ──► obey ──► one reply ──► closed
 *                                 │ at most CP_COMMAND_CLIENTS at a time, each for CP_COMMAND_PATIENCE_S; then the oldest goes
 *
 * The socket is for the recorder's user alone (0600); with a group that may command, everybody may connect (0666), and the kernel's
 * word on who it is decides: the recorder, which has given up its capabilities, could not give the file to that group. All calls: the
 * thread that made it. Serving allocates nothing. */
#ifndef CP_RECORDER_COMMAND_SOCKET_H
#define CP_RECORDER_COMMAND_SOCKET_H

#include <poll.h>
#include <sys/types.h>

#include "recorder/command.h"

enum {
    CP_COMMAND_CLIENTS = 8,   /* connections at a time */
    CP_COMMAND_PATIENCE_S = 5 /* from connecting to the whole message */
};

/* Who asks, by the kernel. */
typedef struct cp_command_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
} cp_command_peer;

/* Obeys a command of somebody who may. reply comes with CP_OK and zeros. */
typedef void cp_command_obey(void *ctx, const cp_command *command, const cp_command_peer *peer,
                             cp_command_reply *reply);
/* Somebody was turned away: may not, or was not understood. */
typedef void cp_command_turn_away(void *ctx, const cp_command_peer *peer, const cp_error *reason);

typedef struct cp_command_events {
    void *ctx;
    cp_command_obey *obey;
    cp_command_turn_away *turn_away;
} cp_command_events;

typedef struct cp_command_client {
    int fd; /* -1: none */
    cp_command_peer peer;
    uint64_t until_ns; /* boot-time clock */
} cp_command_client;

typedef struct cp_command_socket {
    char dir[3072];
    int fd;
    bool grouped;
    gid_t group; /* whose members may command, too, when grouped */
    cp_command_events events;
    cp_command_client clients[CP_COMMAND_CLIENTS];
} cp_command_socket;

/* Makes the socket in region dir, of which the caller holds the recorder's lock: what a predecessor left there under its name is
 * removed. group: name of the group whose members may command beside root and this user, or NULL. CP_E_INVAL: no such group;
 * CP_E_TOO_BIG, CP_E_PERM, CP_E_IO. */
int cp_command_socket_open(cp_command_socket *commands, const char *dir, const char *group,
                           const cp_command_events *events, cp_error *err);

/* What poll is to wait for, up to CP_COMMAND_CLIENTS + 1 entries; returns how many. *wait_ns becomes less when somebody's patience
 * ends before. */
nfds_t cp_command_socket_wants(const cp_command_socket *commands, struct pollfd *fds, uint64_t now_ns,
                               uint64_t *wait_ns);

/* Takes what came, answers, and ends connections that waited too long. Does not wait. */
void cp_command_socket_serve(cp_command_socket *commands, uint64_t now_ns);

/* False when it is not open, or somebody has taken its name in the region away. */
bool cp_command_socket_is_there(const cp_command_socket *commands);

/* Ends all connections and removes the socket. Safe on one that was never opened, if it is zeroed. */
void cp_command_socket_close(cp_command_socket *commands);

#endif
