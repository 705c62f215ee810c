#include "cli/recorder_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "shm/region.h"

/* Nobody listens: why? */
static int nobody(const char *dir, cp_error *err)
{
    if (!cp_region_is_owned(dir))
        return cp_error_set(err, CP_E_ABSENT, "no recorder runs on %s: start coldpathd", dir);
    return cp_error_set(
        err, CP_E_UNSUPPORTED,
        "what holds %s takes no commands: it is starting or stopping, of an older version, or "
        "`coldpath replay --offline`; else its log says why it has no control socket",
        dir);
}

static int call_connect(int fd, const char *dir, cp_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open directory %s", dir);
    /* A path of any length, by way of a descriptor. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" CP_COMMAND_SOCKET, dir_fd);
    const int result = connect(fd, (const struct sockaddr *)&address, sizeof address);
    const int errnum = errno;
    close(dir_fd);
    if (result == 0)
        return CP_OK;
    if (errnum == ENOENT || errnum == ECONNREFUSED)
        return nobody(dir, err);
    if (errnum == EACCES || errnum == EPERM)
        return cp_error_set(err, CP_E_PERM,
                            "%s/" CP_COMMAND_SOCKET
                            ": permission denied: run this as the recorder's user, as root, "
                            "or as a member of recorder.control_group",
                            dir);
    return cp_error_errno(err, errnum == EAGAIN ? CP_E_TIMEOUT : CP_E_IO, errnum,
                          "connect to %s/" CP_COMMAND_SOCKET, dir);
}

static int reply_receive(int fd, uint64_t timeout_ns, cp_command_reply *reply, cp_error *err)
{
    uint8_t bytes[sizeof *reply];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_TRUNC);
    if (got < 0 &&
        errno == ECONNRESET) /* turned away before the command was read; the reply stands behind the error */
        got = recv(fd, bytes, sizeof bytes, MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return cp_error_set(
            err, CP_E_TIMEOUT,
            "the recorder has not answered within %llu ms, and may yet do it: coldpath status shows what is, "
            "its log says more",
            (unsigned long long)(timeout_ns / CP_NS_PER_MS));
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errno, "receive the recorder's answer");
    if (got == 0)
        return cp_error_set(
            err, CP_E_ABSENT,
            "the recorder hung up without an answer: it has ended, or was asked by too many at a time");
    return cp_command_reply_parse(reply, bytes, (size_t)got, err);
}

static int call_exchange(int fd, const char *dir, const cp_command *command, uint64_t timeout_ns,
                         cp_command_reply *reply, cp_error *err)
{
    const struct timeval patience = {.tv_sec = (time_t)(timeout_ns / CP_NS_PER_S),
                                     .tv_usec = (suseconds_t)(timeout_ns % CP_NS_PER_S / CP_NS_PER_US)};
    /* 0 would mean forever. */
    const struct timeval least = {.tv_usec = 1};
    const struct timeval *limit = timeout_ns < CP_NS_PER_US ? &least : &patience;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, limit, sizeof *limit) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof *limit) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "set up the control socket");
    int rc = call_connect(fd, dir, err);
    if (rc < 0)
        return rc;
    if (send(fd, command, sizeof *command, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        return cp_error_errno(err, CP_E_IO, errno, "send a command to the recorder");
    rc = reply_receive(fd, timeout_ns, reply, err);
    return rc == CP_OK && reply->code < 0 ? cp_error_set(err, reply->code, "%s", reply->text) : rc;
}

int cp_recorder_call(const char *dir, const cp_command *command, uint64_t timeout_ns, cp_command_reply *reply,
                     cp_error *err)
{
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return cp_error_errno(err, CP_E_IO, errno, "make a socket");
    const int rc = call_exchange(fd, dir, command, timeout_ns, reply, err);
    close(fd);
    return rc;
}
