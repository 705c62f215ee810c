#include "recorder/command_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

enum { GROUPS_MAX = 1024 }; /* of a peer that are looked at; who has more is judged by these */

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* The socket's address, by way of an open directory: a path of any length fits. */
static void address_make(struct sockaddr_un *address, int dir)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/" CP_COMMAND_SOCKET, dir);
}

/* Linux gives a bound socket's file the mode of the socket, less the umask: nobody else gets in before it has the mode that was chosen,
 * whatever the umask, which is the whole process's and is left alone. */
static int socket_bind(const cp_command_socket *commands, int dir, cp_error *err)
{
    struct sockaddr_un address;
    const mode_t mode = commands->grouped ? 0666 : 0600;
    address_make(&address, dir);
    if (unlinkat(dir, CP_COMMAND_SOCKET, 0) < 0 && errno != ENOENT)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno,
                              "%s/" CP_COMMAND_SOCKET " is in the way and cannot be removed", commands->dir);
    if (fchmod(commands->fd, 0600) < 0 ||
        bind(commands->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "bind %s/" CP_COMMAND_SOCKET,
                              commands->dir);
    if (chmod(address.sun_path, mode) < 0 || listen(commands->fd, CP_COMMAND_CLIENTS) < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s/" CP_COMMAND_SOCKET,
                              commands->dir);
    return CP_OK;
}

static int group_find(cp_command_socket *commands, const char *name, cp_error *err)
{
    if (!name)
        return CP_OK;
    const struct group *group = getgrnam(name);
    if (!group)
        return cp_error_set(err, CP_E_INVAL, "recorder.control_group: group '%s' does not exist on this host",
                            name);
    commands->grouped = true;
    commands->group = group->gr_gid;
    return CP_OK;
}

int cp_command_socket_open(cp_command_socket *commands, const char *dir, const char *group,
                           const cp_command_events *events, cp_error *err)
{
    *commands = (cp_command_socket){.fd = -1, .events = *events};
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++)
        commands->clients[i].fd = -1;
    if (snprintf(commands->dir, sizeof commands->dir, "%s", dir) >= (int)sizeof commands->dir)
        return cp_error_set(err, CP_E_TOO_BIG, "the region's path is longer than %zu bytes",
                            sizeof commands->dir - 1);
    int rc = group_find(commands, group, err);
    if (rc < 0)
        return rc;
    const int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    commands->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (dir_fd < 0 || commands->fd < 0)
        rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "make a control socket in %s", dir);
    else
        rc = socket_bind(commands, dir_fd, err);
    if (dir_fd >= 0)
        close(dir_fd);
    if (rc < 0 && commands->fd >= 0) {
        close(commands->fd);
        commands->fd = -1;
    }
    return rc;
}

/* ---- who asks --------------------------------------------------------------------------------------------------- */

static bool in_group(const cp_command_socket *commands, int fd, const cp_command_peer *peer)
{
    gid_t groups[GROUPS_MAX];
    socklen_t size = sizeof groups;
    if (!commands->grouped)
        return false;
    if (peer->gid == commands->group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return false;
    for (size_t i = 0; i < size / sizeof groups[0]; i++) {
        if (groups[i] == commands->group)
            return true;
    }
    return false;
}

static bool peer_may(const cp_command_socket *commands, int fd, const cp_command_peer *peer)
{
    return peer->uid == 0 || peer->uid == geteuid() || in_group(commands, fd, peer);
}

static bool peer_read(int fd, cp_command_peer *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0 || size != sizeof credentials)
        return false;
    *peer = (cp_command_peer){credentials.pid, credentials.uid, credentials.gid};
    return true;
}

/* ---- answering -------------------------------------------------------------------------------------------------- */

static void client_end(cp_command_client *client)
{
    close(client->fd);
    client->fd = -1;
}

/* A new connection has room for one reply: it need not wait. */
static void reply_send(int fd, const cp_command_reply *reply)
{
    (void)send(fd, reply, sizeof *reply, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static cp_command_reply reply_make(void)
{
    return (cp_command_reply){.magic = CP_COMMAND_MAGIC, .version = CP_COMMAND_VERSION};
}

static void refuse(cp_command_socket *commands, int fd, const cp_command_peer *peer, const cp_error *reason)
{
    cp_command_reply reply = reply_make();
    reply.code = reason->code;
    snprintf(reply.text, sizeof reply.text, "%s", reason->text);
    commands->events.turn_away(commands->events.ctx, peer, reason);
    reply_send(fd, &reply);
    /* What was not read when a connection ends would reach the peer as an error, before the reply. */
    (void)recv(fd, &reply, sizeof reply, MSG_DONTWAIT);
}

static void client_obey(cp_command_socket *commands, cp_command_client *client, const uint8_t *bytes,
                        size_t size)
{
    cp_command command;
    cp_error err = {0};
    cp_command_reply reply = reply_make();
    if (cp_command_parse(&command, bytes, size, &err) < 0) {
        refuse(commands, client->fd, &client->peer, &err);
        return;
    }
    commands->events.obey(commands->events.ctx, &command, &client->peer, &reply);
    reply_send(client->fd, &reply);
}

static void client_read(cp_command_socket *commands, cp_command_client *client)
{
    uint8_t bytes[sizeof(cp_command)];
    const ssize_t got = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0) /* the message's length, were it longer than what was read of it */
        client_obey(commands, client, bytes, (size_t)got);
    client_end(client);
}

/* A free place, or the one of who has been connected longest. */
static cp_command_client *client_place(cp_command_socket *commands)
{
    cp_command_client *oldest = &commands->clients[0];
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++) {
        cp_command_client *client = &commands->clients[i];
        if (client->fd < 0)
            return client;
        if (client->until_ns < oldest->until_ns)
            oldest = client;
    }
    client_end(oldest);
    return oldest;
}

static void client_take(cp_command_socket *commands, int fd, uint64_t now_ns)
{
    cp_command_peer peer;
    cp_error err = {0};
    if (!peer_read(fd, &peer)) {
        close(fd);
        return;
    }
    if (!peer_may(commands, fd, &peer)) {
        cp_error_set(&err, CP_E_PERM,
                     "user %u may not command this recorder: run it as the recorder's user, as root, or as a "
                     "member of recorder.control_group",
                     (unsigned)peer.uid);
        refuse(commands, fd, &peer, &err);
        close(fd);
        return;
    }
    *client_place(commands) =
        (cp_command_client){fd, peer, now_ns + CP_COMMAND_PATIENCE_S * (uint64_t)CP_NS_PER_S};
}

void cp_command_socket_serve(cp_command_socket *commands, uint64_t now_ns)
{
    if (commands->fd < 0)
        return;
    /* So many at once at the most: more of them wait in the kernel. */
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++) {
        const int fd = accept4(commands->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        client_take(commands, fd, now_ns);
    }
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++) {
        cp_command_client *client = &commands->clients[i];
        if (client->fd >= 0)
            client_read(commands, client);
        if (client->fd >= 0 && now_ns >= client->until_ns)
            client_end(client);
    }
}

nfds_t cp_command_socket_wants(const cp_command_socket *commands, struct pollfd *fds, uint64_t now_ns,
                               uint64_t *wait_ns)
{
    nfds_t count = 0;
    if (commands->fd < 0)
        return 0;
    fds[count++] = (struct pollfd){.fd = commands->fd, .events = POLLIN};
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++) {
        const cp_command_client *client = &commands->clients[i];
        if (client->fd < 0)
            continue;
        fds[count++] = (struct pollfd){.fd = client->fd, .events = POLLIN};
        const uint64_t left = client->until_ns > now_ns ? client->until_ns - now_ns : 0;
        *wait_ns = left < *wait_ns ? left : *wait_ns;
    }
    return count;
}

bool cp_command_socket_is_there(const cp_command_socket *commands)
{
    char path[sizeof commands->dir + sizeof "/" CP_COMMAND_SOCKET];
    struct stat status;
    snprintf(path, sizeof path, "%s/" CP_COMMAND_SOCKET, commands->dir);
    return commands->fd > 0 && lstat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

void cp_command_socket_close(cp_command_socket *commands)
{
    if (commands->fd <= 0)
        return;
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++) {
        if (commands->clients[i].fd >= 0)
            client_end(&commands->clients[i]);
    }
    close(commands->fd);
    commands->fd = -1;
    const int dir = open(commands->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    (void)unlinkat(dir, CP_COMMAND_SOCKET, 0);
    close(dir);
}
