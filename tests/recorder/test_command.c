/* Commands: what is refused in their bytes; and the socket, with real peers: who may, who may not, who says nothing, who is too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "recorder/command_socket.h"

enum { NOBODY = 65534, OBEYED = 7 };

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static void refused(const cp_command *command, size_t size, int code, const char *why)
{
    cp_error err = {0};
    cp_command taken;
    assert_int_equal(cp_command_parse(&taken, command, size, &err), code);
    if (!strstr(err.text, why))
        fail_msg("'%s' expected, got '%s'", why, err.text);
}

static void test_sound_bytes(void **state)
{
    (void)state;
    cp_error err = {0};
    cp_command sound;
    cp_command taken;
    char longest[CP_COMMAND_TABLE];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_true(cp_command_make(&sound, CP_COMMAND_PAUSE, longest));
    assert_int_equal(cp_command_parse(&taken, &sound, sizeof sound, &err), CP_OK);
    assert_memory_equal(&taken, &sound, sizeof sound);
    char longer[CP_COMMAND_TABLE + 1];
    snprintf(longer, sizeof longer, "%sx", longest);
    assert_false(cp_command_make(&taken, CP_COMMAND_PAUSE, longer));
    for (uint32_t kind = 1; kind < CP_COMMAND_KINDS; kind++) {
        assert_true(cp_command_make(&sound, (cp_command_kind)kind, NULL));
        assert_int_equal(cp_command_parse(&taken, &sound, sizeof sound, &err), CP_OK);
        assert_string_not_equal(cp_command_name(kind), "unknown");
    }
    assert_true(cp_command_make(&sound, CP_COMMAND_PAUSE, "quotes"));
    sound.kind = CP_COMMAND_DEGRADE;
    sound.level = 1;
    assert_int_equal(cp_command_parse(&taken, &sound, sizeof sound, &err), CP_OK);
}

static void test_refused_bytes(void **state)
{
    (void)state;
    cp_command sound;
    assert_true(cp_command_make(&sound, CP_COMMAND_PAUSE, "quotes"));
    refused(&sound, sizeof sound - 1, CP_E_INVAL, "255 bytes");
    refused(&sound, 0, CP_E_INVAL, "0 bytes");
    refused(&sound, sizeof sound + 1, CP_E_INVAL, "257 bytes");
    cp_command bad = sound;
    bad.magic++;
    refused(&bad, sizeof bad, CP_E_INVAL, "no message");
    bad = sound;
    bad.version++;
    refused(&bad, sizeof bad, CP_E_ABI, "version 2");
    bad = sound;
    bad.kind = 0;
    refused(&bad, sizeof bad, CP_E_INVAL, "command 0");
    bad.kind = CP_COMMAND_KINDS;
    refused(&bad, sizeof bad, CP_E_INVAL, "which there is not");
    bad = sound;
    bad.level = 1;
    refused(&bad, sizeof bad, CP_E_INVAL, "level 1 of pause");
    bad.kind = CP_COMMAND_DEGRADE;
    bad.level = CP_COMMAND_AUTO + 1;
    refused(&bad, sizeof bad, CP_E_INVAL, "level 5 of degrade");
    bad = sound;
    bad.reserved0 = 1;
    refused(&bad, sizeof bad, CP_E_INVAL, "reserved");
    bad = sound;
    bad.reserved[sizeof bad.reserved - 1] = 1;
    refused(&bad, sizeof bad, CP_E_INVAL, "reserved");
    bad = sound;
    memset(bad.table, 'x', sizeof bad.table);
    refused(&bad, sizeof bad, CP_E_INVAL, "no name");
    bad = sound;
    bad.table[100] = 'x'; /* behind the end */
    refused(&bad, sizeof bad, CP_E_INVAL, "no name");
    bad = sound;
    static const char strange[] =
        "\n =\"/.\x7f\xc3"; /* what would end a word of the log's line, or be no text */
    for (size_t i = 0; i < sizeof strange - 1; i++) {
        bad.table[1] = strange[i];
        refused(&bad, sizeof bad, CP_E_INVAL, "no name");
    }
    bad = sound;
    bad.kind = CP_COMMAND_FLUSH;
    refused(&bad, sizeof bad, CP_E_INVAL, "whole recorder");
}

static void test_replies(void **state)
{
    (void)state;
    cp_error err = {0};
    cp_command_reply taken;
    cp_command_reply reply = {.magic = CP_COMMAND_MAGIC, .version = CP_COMMAND_VERSION, .text = "why"};
    assert_int_equal(cp_command_reply_parse(&taken, &reply, sizeof reply, &err), CP_OK);
    assert_int_equal(cp_command_reply_parse(&taken, &reply, sizeof reply - 1, &err), CP_E_CORRUPT);
    reply.code = 1;
    assert_int_equal(cp_command_reply_parse(&taken, &reply, sizeof reply, &err), CP_E_CORRUPT);
    reply.code = CP_E_PERM;
    memset(reply.text, 'x', sizeof reply.text);
    assert_int_equal(cp_command_reply_parse(&taken, &reply, sizeof reply, &err), CP_E_CORRUPT);
    reply.version = 9;
    assert_int_equal(cp_command_reply_parse(&taken, &reply, sizeof reply, &err), CP_E_ABI);
}

/* ---- the socket ------------------------------------------------------------------------------------------------- */

typedef struct world {
    char dir[256];
    cp_command_socket commands;
    uint32_t obeyed;
    uint32_t turned_away;
    cp_command last;
    cp_command_peer peer;
} world;

static void on_obey(void *ctx, const cp_command *command, const cp_command_peer *peer,
                    cp_command_reply *reply)
{
    world *w = ctx;
    w->obeyed++;
    w->last = *command;
    w->peer = *peer;
    reply->tables = OBEYED;
}

static void on_turned_away(void *ctx, const cp_command_peer *peer, const cp_error *reason)
{
    world *w = ctx;
    w->turned_away++;
    w->peer = *peer;
    assert_true(reason->code < 0 && reason->text[0]);
}

static int open_socket(world *w, const char *group, cp_error *err)
{
    const cp_command_events events = {w, on_obey, on_turned_away};
    return cp_command_socket_open(&w->commands, w->dir, group, &events, err);
}

/* A directory whose path is longer than a socket's address. */
static int setup(void **state)
{
    static world w;
    memset(&w, 0, sizeof w);
    snprintf(w.dir, sizeof w.dir, "/tmp/coldpath-command-%060d-%040d-XXXXXX", 1, 2);
    if (!mkdtemp(w.dir) || chmod(w.dir, 0755) < 0)
        return -1;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    char path[512];
    cp_command_socket_close(&w->commands);
    snprintf(path, sizeof path, "%s/" CP_COMMAND_SOCKET, w->dir);
    if (access(path, F_OK) == 0)
        return -1; /* it is to be gone */
    return rmdir(w->dir);
}

static void open_sound(world *w, const char *group)
{
    cp_error err = {0};
    if (open_socket(w, group, &err) < 0)
        fail_msg("%s", err.text);
}

static int client_connect(const world *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int dir = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" CP_COMMAND_SOCKET, dir);
    const int rc = connect(fd, (const struct sockaddr *)&address, sizeof address);
    close(dir);
    if (rc == 0)
        return fd;
    close(fd);
    return -errno;
}

static void client_send(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

/* The reply's code; *reply is the reply. Ends the connection. */
static int client_reply(int fd, cp_command_reply *reply)
{
    cp_error err = {0};
    uint8_t bytes[2 * sizeof *reply];
    const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    assert_true(got >= 0);
    assert_int_equal(cp_command_reply_parse(reply, bytes, (size_t)got, &err), CP_OK);
    close(fd);
    return reply->code;
}

static void serve(world *w)
{
    cp_command_socket_serve(&w->commands, cp_boottime_ns());
}

static void test_asked_and_answered(void **state)
{
    world *w = *state;
    cp_command command;
    cp_command_reply reply;
    open_sound(w, NULL);
    cp_command_make(&command, CP_COMMAND_PAUSE, "quotes");
    const int fd = client_connect(w);
    assert_true(fd >= 0);
    serve(w);
    assert_int_equal(w->obeyed, 0); /* it has not spoken yet */
    client_send(fd, &command, sizeof command);
    serve(w);
    assert_int_equal(w->obeyed, 1);
    assert_string_equal(w->last.table, "quotes");
    assert_int_equal(w->peer.pid, getpid());
    assert_int_equal(w->peer.uid, geteuid());
    assert_int_equal(client_reply(fd, &reply), CP_OK);
    assert_int_equal(reply.tables, OBEYED);
}

static void test_not_understood(void **state)
{
    world *w = *state;
    cp_command_reply reply;
    char flood[64 * 1024] = "pause quotes";
    open_sound(w, NULL);
    const size_t sizes[] = {12, 255, 257, sizeof flood};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int fd = client_connect(w);
        client_send(fd, flood, sizes[i]);
        serve(w);
        assert_int_equal(w->turned_away, i + 1);
        assert_int_equal(client_reply(fd, &reply), CP_E_INVAL);
        assert_non_null(strstr(reply.text, "a command has 256"));
    }
    assert_int_equal(w->obeyed, 0);
}

/* Those who say nothing go when their time is over, or when others want their place; whoever speaks is served. */
static void test_silence_keeps_nobody_out(void **state)
{
    world *w = *state;
    int silent[3 * CP_COMMAND_CLIENTS];
    cp_command command;
    cp_command_reply reply;
    struct pollfd fds[CP_COMMAND_CLIENTS + 1];
    uint64_t wait_ns = UINT64_MAX;
    open_sound(w, NULL);
    assert_int_equal(cp_command_socket_wants(&w->commands, fds, cp_boottime_ns(), &wait_ns), 1);
    assert_true(wait_ns == UINT64_MAX);
    cp_command_make(&command, CP_COMMAND_FLUSH, NULL);
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        silent[i] = client_connect(w);
        assert_true(silent[i] >= 0);
        serve(w);
    }
    const uint64_t now = cp_boottime_ns();
    assert_int_equal(cp_command_socket_wants(&w->commands, fds, now, &wait_ns), CP_COMMAND_CLIENTS + 1);
    assert_true(wait_ns <= CP_COMMAND_PATIENCE_S * (uint64_t)CP_NS_PER_S);
    const int fd = client_connect(w);
    client_send(fd, &command, sizeof command);
    serve(w);
    assert_int_equal(client_reply(fd, &reply), CP_OK);
    cp_command_socket_serve(&w->commands, now + (CP_COMMAND_PATIENCE_S + 60) * (uint64_t)CP_NS_PER_S);
    wait_ns = UINT64_MAX;
    assert_int_equal(cp_command_socket_wants(&w->commands, fds, now, &wait_ns), 1);
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        char byte;
        assert_int_equal(recv(silent[i], &byte, 1, MSG_DONTWAIT), 0); /* hung up */
        close(silent[i]);
    }
}

static void test_hung_up(void **state)
{
    world *w = *state;
    cp_command command;
    open_sound(w, NULL);
    cp_command_make(&command, CP_COMMAND_FLUSH, NULL);
    close(client_connect(w));
    serve(w);
    const int fd = client_connect(w);
    client_send(fd, &command, sizeof command);
    close(fd); /* it does not wait for the answer */
    serve(w);
    assert_int_equal(w->obeyed, 1);
}

/* ---- its file --------------------------------------------------------------------------------------------------- */

static mode_t mode_of(const world *w)
{
    char path[512];
    struct stat status;
    snprintf(path, sizeof path, "%s/" CP_COMMAND_SOCKET, w->dir);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    return status.st_mode & 07777;
}

static void test_mode_under_any_umask(void **state)
{
    world *w = *state;
    const mode_t masks[] = {0, 0022, 0077, 0777};
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        const mode_t before = umask(masks[i]);
        open_sound(w, NULL);
        assert_int_equal(umask(before), masks[i]);
        assert_int_equal(mode_of(w), 0600);
        cp_command_socket_close(&w->commands);
        umask(masks[i]);
        open_sound(w, "root");
        umask(before);
        assert_int_equal(mode_of(w), 0666);
        cp_command_socket_close(&w->commands);
    }
}

static void test_what_is_in_the_way(void **state)
{
    world *w = *state;
    cp_error err = {0};
    char path[512];
    char other[512];
    snprintf(path, sizeof path, "%s/" CP_COMMAND_SOCKET, w->dir);
    snprintf(other, sizeof other, "%s/other", w->dir);
    /* Of a recorder that was killed: its socket is there, nobody listens. */
    open_sound(w, NULL);
    for (uint32_t i = 0; i < CP_COMMAND_CLIENTS; i++)
        assert_int_equal(w->commands.clients[i].fd, -1);
    close(w->commands.fd);
    assert_int_equal(client_connect(w), -ECONNREFUSED);
    open_sound(w, NULL);
    close(client_connect(w));
    cp_command_socket_close(&w->commands);
    assert_int_equal(client_connect(w), -ENOENT);
    /* A link is removed, not followed. */
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(symlink(other, path), 0);
    open_sound(w, NULL);
    assert_int_equal(mode_of(w), 0600);
    assert_int_equal(access(other, F_OK), 0);
    cp_command_socket_close(&w->commands);
    assert_int_equal(unlink(other), 0);
    /* A directory stays. */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(open_socket(w, NULL, &err) < 0);
    assert_non_null(strstr(err.text, "in the way"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(open_socket(w, "no-such-group-here", &err), CP_E_INVAL);
    assert_non_null(strstr(err.text, "no-such-group-here"));
}

/* ---- who may ---------------------------------------------------------------------------------------------------- */

/* A child as another user asks. What it got: the reply's code, or 1. */
static int ask_as(world *w, uid_t uid, gid_t gid, const gid_t *groups, size_t group_count)
{
    int pipe_fds[2];
    int status;
    assert_int_equal(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
        cp_command command;
        cp_command_reply reply = {.code = 1};
        const bool became = setgroups(group_count, groups) == 0 && setgid(gid) == 0 && setuid(uid) == 0;
        cp_command_make(&command, CP_COMMAND_FLUSH, NULL);
        const int fd = became ? client_connect(w) : -1;
        (void)!write(pipe_fds[1], "c", 1);
        if (fd >= 0) {
            /* Who is turned away at once may find it out already while sending. */
            (void)send(fd, &command, sizeof command, MSG_NOSIGNAL);
            if (recv(fd, &reply, sizeof reply, 0) < 0 && errno == ECONNRESET)
                (void)!recv(fd, &reply, sizeof reply, 0);
        } else if (became) {
            reply.code = fd;
        }
        (void)!write(pipe_fds[1], &reply.code, sizeof reply.code);
        _exit(0);
    }
    char connected;
    int code = 1;
    assert_int_equal(read(pipe_fds[0], &connected, 1), 1);
    /* Until it has its answer. */
    while (waitpid(child, &status, WNOHANG) == 0) {
        serve(w);
        usleep(1000);
    }
    assert_int_equal(read(pipe_fds[0], &code, sizeof code), sizeof code);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return code;
}

static void test_who_may(void **state)
{
    world *w = *state;
    const struct group *group = getgrnam("games");
    if (geteuid() != 0 || !group)
        skip();
    const gid_t games[] = {NOBODY, group->gr_gid};
    open_sound(w, NULL);
    assert_int_equal(ask_as(w, 0, 0, NULL, 0), CP_OK);
    assert_int_equal(ask_as(w, NOBODY, NOBODY, games, 2), -EACCES); /* the file's mode */
    cp_command_socket_close(&w->commands);
    open_sound(w, "games");
    assert_int_equal(w->obeyed, 1);
    assert_int_equal(ask_as(w, NOBODY, NOBODY, NULL, 0), CP_E_PERM);
    assert_int_equal(w->obeyed, 1);
    assert_int_equal(w->turned_away, 1);
    assert_int_equal(w->peer.uid, NOBODY);
    assert_int_equal(ask_as(w, NOBODY, group->gr_gid, NULL, 0), CP_OK);
    assert_int_equal(ask_as(w, NOBODY, NOBODY, games, 2), CP_OK);
    assert_int_equal(w->obeyed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_bytes),
        cmocka_unit_test(test_refused_bytes),
        cmocka_unit_test(test_replies),
        cmocka_unit_test_setup_teardown(test_asked_and_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_keeps_nobody_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hung_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mode_under_any_umask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
