/* Fuzz target: what a stranger writes into the control socket. The input is one message, sent to a real socket by a real peer; what is
 * obeyed must be a command that makes sense, whatever the bytes were, and everybody gets a sound answer. The seeds are commands; most of
 * what is made of them has the right size, so that the checks behind it are reached. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "recorder/command_socket.h"
#include "tests/fuzz/fuzz.h"

static char dir[] = "/tmp/coldpath-fuzz-command-XXXXXX";
static cp_command_socket commands;
static unsigned answered;

static void on_obey(void *ctx, const cp_command *command, const cp_command_peer *peer,
                    cp_command_reply *reply)
{
    (void)ctx;
    cp_command again;
    if (peer->pid != getpid() || command->kind == 0 || command->kind >= CP_COMMAND_KINDS ||
        command->level > CP_COMMAND_AUTO || !memchr(command->table, '\0', sizeof command->table) ||
        strpbrk(command->table, "/\n") || cp_command_parse(&again, command, sizeof *command, NULL) != CP_OK)
        abort();
    reply->tables = command->kind;
    answered++;
}

static void on_turned_away(void *ctx, const cp_command_peer *peer, const cp_error *reason)
{
    (void)ctx;
    if (peer->uid != geteuid() || reason->code >= 0 || !reason->text[0])
        abort();
    answered++;
}

static void end(void)
{
    cp_command_socket_close(&commands);
    (void)rmdir(dir);
}

static void begin(void)
{
    const cp_command_events events = {NULL, on_obey, on_turned_away};
    if (!mkdtemp(dir) || cp_command_socket_open(&commands, dir, NULL, &events, NULL) < 0)
        abort();
    (void)atexit(end);
}

static int client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/" CP_COMMAND_SOCKET, dir);
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[sizeof(cp_command_reply) + 1];
    cp_command_reply reply;
    if (!answered && commands.dir[0] == '\0')
        begin();
    const int fd = client();
    const unsigned before = answered;
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        abort();
    cp_command_socket_serve(&commands, cp_boottime_ns());
    const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    close(fd);
    if (size == 0) { /* taken for the end of the connection */
        if (got != 0 || answered != before)
            abort();
        return 0;
    }
    if (got < 0 || answered != before + 1 ||
        cp_command_reply_parse(&reply, bytes, (size_t)got, NULL) != CP_OK)
        abort();
    return 0;
}
