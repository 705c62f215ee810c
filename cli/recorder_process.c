#include "cli/recorder_process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

enum { PROC_PATH = 64, PROC_LINE = 512 };

/* True when the descriptor has an OFD write lock: "lock:\t1: OFDLCK ADVISORY  WRITE -1 00:1b:22790 0 0". */
static bool descriptor_locks(uint32_t pid, const char *number)
{
    char path[PROC_PATH];
    char line[PROC_LINE];
    bool locks = false;
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/fdinfo/%.20s", pid, number);
    FILE *file = fopen(path, "re");
    while (file && !locks && fgets(line, sizeof line, file))
        locks = strncmp(line, "lock:", 5) == 0 && strstr(line, "OFDLCK") && strstr(line, "WRITE");
    if (file)
        fclose(file);
    return locks;
}

/* 1 when one of pid's descriptors is that file and holds its lock, 0 when none does; -errno. */
static int process_holds(uint32_t pid, const struct stat *lock)
{
    char path[PROC_PATH];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int holds = 0;
    for (const struct dirent *entry = readdir(dir); entry && !holds; entry = readdir(dir)) {
        struct stat status;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &status, 0) < 0)
            continue;
        holds = status.st_dev == lock->st_dev && status.st_ino == lock->st_ino &&
                descriptor_locks(pid, entry->d_name);
    }
    closedir(dir);
    return holds;
}

/* By the mask of caught signals, "SigCgt:\t0000000000004202". */
static bool process_catches(uint32_t pid, int signal)
{
    char path[PROC_PATH];
    char line[PROC_LINE];
    uint64_t mask = 0;
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "SigCgt:", 7) == 0)
            mask = strtoull(line + 7, NULL, 16);
    }
    if (file)
        fclose(file);
    return mask >> (signal - 1) & 1;
}

static int process_check(const char *dir, uint32_t pid, int signal, cp_error *err)
{
    char path[PATH_MAX];
    struct stat lock;
    if (snprintf(path, sizeof path, "%s/recorder.lock", dir) >= (int)sizeof path)
        return cp_error_set(err, CP_E_TOO_BIG, "the region's path is over %d bytes", PATH_MAX - 1);
    if (stat(path, &lock) < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "%s", path);
    const int holds = process_holds(pid, &lock);
    if (holds == -EACCES || holds == -EPERM)
        return cp_error_set(
            err, CP_E_PERM,
            "process %" PRIu32 " belongs to another user: run this as the recorder's user or root", pid);
    if (holds < 0 && holds != -ENOENT && holds != -ESRCH)
        return cp_error_errno(err, CP_E_IO, -holds, "/proc/%" PRIu32 "/fd", pid);
    if (holds <= 0)
        return cp_error_set(err, CP_E_ABSENT,
                            "process %" PRIu32
                            " does not hold %s: the recorder has just ended, or runs in another "
                            "container (run this beside it)",
                            pid, path);
    if (!process_catches(pid, signal))
        return cp_error_set(err, CP_E_UNSUPPORTED,
                            "the recorder, process %" PRIu32
                            ", does not know that signal: it is of an older version, or "
                            "`coldpath replay`",
                            pid);
    return CP_OK;
}

int cp_recorder_process_signal(const char *dir, uint32_t pid, int signal, cp_error *err)
{
    const int fd = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0u) : -1;
    if (fd < 0)
        return cp_error_set(
            err, CP_E_ABSENT,
            "there is no process %" PRIu32
            ": the recorder has just ended, or runs in another container (run this beside it)",
            pid);
    int rc = process_check(dir, pid, signal, err);
    if (rc == CP_OK && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0u) < 0)
        rc = cp_error_errno(err, errno == ESRCH ? CP_E_ABSENT : cp_error_code_of_errno(errno), errno,
                            "signal the recorder, process %" PRIu32, pid);
    close(fd);
    return rc;
}
