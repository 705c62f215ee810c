#include "cli/bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

enum { OWN_FILE = 0600 };

static int program_path(char path[PATH_MAX], const char *name, cp_error *err)
{
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *slash = NULL;
    if (length > 0) {
        path[length] = 0;
        slash = strrchr(path, '/');
    }
    if (!slash || (size_t)(slash - path) + strlen(name) + 2 > PATH_MAX)
        return cp_error_set(err, CP_E_ABSENT, "cannot tell where %s is", name);
    memcpy(slash + 1, name, strlen(name) + 1);
    return access(path, X_OK) == 0 ? CP_OK : cp_error_set(err, CP_E_ABSENT, "there is no %s", path);
}

/* Runs in the child. */
static void child_exec(const char *program, const char *const *argv, const char *log)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, OWN_FILE) : null;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* its parent hears of it, and ends it */
    if (null >= 0 && out >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(out, STDERR_FILENO) >= 0)
        execv(program, (char *const *)(uintptr_t)argv);
    _exit(1);
}

int cp_bench_child_start(pid_t *child, const char *name, const char *const *argv, const char *log,
                         cp_error *err)
{
    char program[PATH_MAX];
    *child = 0;
    const int rc = program_path(program, name, err);
    if (rc < 0)
        return rc;
    const pid_t pid = fork();
    if (pid == 0)
        child_exec(program, argv, log);
    if (pid < 0)
        return cp_error_errno(err, CP_E_NOMEM, errno, "cannot start %s", program);
    *child = pid;
    return CP_OK;
}

bool cp_bench_child_runs(pid_t *child)
{
    if (*child > 0 && waitpid(*child, NULL, WNOHANG) == *child)
        *child = 0;
    return *child > 0;
}

void cp_bench_child_end(pid_t *child, int signal)
{
    if (*child <= 0)
        return;
    kill(*child, signal);
    while (waitpid(*child, NULL, 0) < 0 && errno == EINTR)
        ;
    *child = 0;
}

uint64_t cp_bench_child_cpu_ns(pid_t child)
{
    clockid_t clock;
    struct timespec time;
    if (child <= 0 || clock_getcpuclockid(child, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * CP_NS_PER_S + (uint64_t)time.tv_nsec;
}

int cp_bench_file_write(const char *path, const char *text, cp_error *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, OWN_FILE);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file && fd >= 0)
        close(fd);
    const bool good = file && fputs(text, file) >= 0;
    const bool closed = file && fclose(file) == 0;
    return good && closed ? CP_OK : cp_error_errno(err, CP_E_IO, errno, "cannot write %s", path);
}
