#include "cli/recorder_call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "monitor/health.h"
#include "shm/control.h"
#include "shm/region.h"

enum {
    LOOK_MS = 100,        /* between two looks at the heartbeat */
    SECOND_LOOK_MS = 2000 /* a host that slept, or a slow disk, shows an old heartbeat for a moment */
};

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

/* The drain thread of a recorder that serves has not turned for long: then nothing it is told is sure to be done. */
static bool is_stuck(const cp_control *control, uint64_t *age_ns)
{
    const uint64_t beat = __atomic_load_n(&control->header->heartbeat_ns, __ATOMIC_RELAXED);
    const uint64_t now = cp_boottime_ns();
    *age_ns = beat != 0 && now > beat ? now - beat : 0;
    return *age_ns > (uint64_t)CP_HEALTH_STALE_MS * CP_NS_PER_MS &&
           cp_control_state(control) == CP_RECORDER_RUNNING;
}

static int stuck(uint64_t age_ns, const char *done, cp_error *err)
{
    return cp_error_set(err, CP_E_TIMEOUT,
                        "the recorder is stuck or stopped, its heartbeat is %llu s old: %s; a restart loses "
                        "nothing (systemctl restart coldpathd)",
                        (unsigned long long)(age_ns / CP_NS_PER_S), done);
}

static int not_stuck(const cp_control *control, uint64_t until_ns, cp_error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * (long)CP_NS_PER_MS};
    const uint64_t patience_ns = cp_boottime_ns() + SECOND_LOOK_MS * (uint64_t)CP_NS_PER_MS;
    uint64_t age_ns;
    while (is_stuck(control, &age_ns)) {
        const uint64_t now = cp_boottime_ns();
        if (now >= patience_ns || now >= until_ns)
            return stuck(age_ns, "it was not asked", err);
        nanosleep(&pause, NULL);
    }
    return CP_OK;
}

/* Until there is something to receive. */
static int reply_await(int fd, const cp_control *control, uint64_t until_ns, uint64_t timeout_ns,
                       cp_error *err)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    for (;;) {
        const uint64_t now = cp_boottime_ns();
        const uint64_t left_ms = until_ns > now ? (until_ns - now) / CP_NS_PER_MS + 1 : 0;
        const int ready = poll(&wanted, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);
        uint64_t age_ns;
        if (ready > 0)
            return CP_OK;
        if (ready < 0 && errno != EINTR)
            return cp_error_errno(err, CP_E_IO, errno, "wait for the recorder's answer");
        if (left_ms == 0)
            return cp_error_set(
                err, CP_E_TIMEOUT,
                "the recorder has not answered within %llu ms, and may yet do it: coldpath status shows "
                "what is, its log says more",
                (unsigned long long)(timeout_ns / CP_NS_PER_MS));
        if (is_stuck(control, &age_ns))
            return stuck(age_ns, "it was asked, and may yet do it", err);
    }
}

static int reply_receive(int fd, cp_command_reply *reply, cp_error *err)
{
    uint8_t bytes[sizeof *reply];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_TRUNC);
    if (got < 0 &&
        errno == ECONNRESET) /* turned away before the command was read; the reply stands behind the error */
        got = recv(fd, bytes, sizeof bytes, MSG_TRUNC);
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errno, "receive the recorder's answer");
    if (got == 0)
        return cp_error_set(
            err, CP_E_ABSENT,
            "the recorder hung up without an answer: it has ended, or was asked by too many at a time");
    return cp_command_reply_parse(reply, bytes, (size_t)got, err);
}

static int call_exchange(int fd, const cp_control *control, const cp_command *command, uint64_t timeout_ns,
                         cp_command_reply *reply, cp_error *err)
{
    const uint64_t until_ns = cp_boottime_ns() + timeout_ns;
    int rc = not_stuck(control, until_ns, err);
    if (rc < 0)
        return rc;
    if (send(fd, command, sizeof *command, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        return cp_error_errno(err, CP_E_IO, errno, "send a command to the recorder");
    rc = reply_await(fd, control, until_ns, timeout_ns, err);
    if (rc == CP_OK)
        rc = reply_receive(fd, reply, err);
    return rc == CP_OK && reply->code < 0 ? cp_error_set(err, reply->code, "%s", reply->text) : rc;
}

/* How long connecting and sending may take: others may be waiting for a recorder that takes no more. */
static int patience_set(int fd, uint64_t timeout_ns, cp_error *err)
{
    const struct timeval patience = {.tv_sec = (time_t)(timeout_ns / CP_NS_PER_S),
                                     .tv_usec = (suseconds_t)(timeout_ns % CP_NS_PER_S / CP_NS_PER_US)};
    /* 0 would mean forever. */
    const struct timeval least = {.tv_usec = 1};
    const struct timeval *limit = timeout_ns < CP_NS_PER_US ? &least : &patience;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof *limit) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "set up the control socket");
    return CP_OK;
}

int cp_recorder_call(const char *dir, const cp_command *command, uint64_t timeout_ns, cp_command_reply *reply,
                     cp_error *err)
{
    cp_control control = {0};
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return cp_error_errno(err, CP_E_IO, errno, "make a socket");
    int rc = patience_set(fd, timeout_ns, err);
    if (rc == CP_OK)
        rc = call_connect(fd, dir, err);
    if (rc == CP_OK)
        rc = cp_control_open(&control, dir, false, err);
    if (rc == CP_OK)
        rc = call_exchange(fd, &control, command, timeout_ns, reply, err);
    cp_control_close(&control);
    close(fd);
    return rc;
}
