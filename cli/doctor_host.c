/* The checks of this host. See doctor.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "wal/log.h"

enum {
    FIRST_LOGIN_UID = 1000, /* logind leaves the users below it alone */
    FILES_BESIDES = 256,    /* logs, connections, the region's own */
    LINE = 256
};

static bool first_line(const char *path, char line[LINE])
{
    FILE *file = fopen(path, "re");
    const bool read = file && fgets(line, LINE, file);
    if (file)
        fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

static uint32_t critical_tables(const cp_config *config)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->table_count; i++)
        count += config->tables[i].critical;
    return count;
}

/* ---- limits of a process --------------------------------------------------------------------------------------- */

static void look_memlock(cp_doctor *doctor, const cp_config *config)
{
    struct rlimit limit;
    const uint64_t wanted = (uint64_t)critical_tables(config) * CP_WAL_MEMLOCK;
    if (wanted == 0 || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted || geteuid() == 0) {
        cp_doctor_find(doctor, "memlock", CP_VERDICT_OK, "enough for the logs' buffers");
        return;
    }
    cp_doctor_find(doctor, "memlock", CP_VERDICT_ADVICE,
                   "%llu KiB of memory may be locked: the logs' buffers are not registered, and each write "
                   "costs a little more",
                   (unsigned long long)limit.rlim_cur / 1024);
    cp_doctor_remedy(doctor, "LimitMEMLOCK=%lluM in the unit, or ulimit -l %llu",
                     (unsigned long long)(wanted >> 20) + 1, (unsigned long long)(wanted >> 10) + 1024);
}

static void look_files(cp_doctor *doctor, const cp_config *config)
{
    struct rlimit limit;
    uint64_t wanted = FILES_BESIDES;
    for (uint32_t i = 0; i < config->table_count; i++)
        wanted += config->tables[i].slots; /* a ring is a file */
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    const bool enough = limit.rlim_cur >= wanted;
    cp_doctor_find(doctor, "open files", enough ? CP_VERDICT_OK : CP_VERDICT_WRONG,
                   "%llu may be open, %llu may be needed", (unsigned long long)limit.rlim_cur,
                   (unsigned long long)wanted);
    if (!enough)
        cp_doctor_remedy(doctor, "LimitNOFILE=%llu in the unit, or ulimit -n %llu",
                         (unsigned long long)wanted * 2, (unsigned long long)wanted * 2);
}

/* ---- the kernel ------------------------------------------------------------------------------------------------ */

static void look_uring(cp_doctor *doctor, const cp_config *config)
{
    char line[LINE] = "";
    if (critical_tables(config) == 0 || config->wal_backend == CP_WAL_POSIX)
        return;
    /* Without parameters: a kernel that has it finds the address bad, one that refuses says so first. */
    const long rc = syscall(SYS_io_uring_setup, 1, NULL);
    const int why = rc < 0 ? errno : 0;
    if (rc >= 0)
        close((int)rc);
    const bool refused = why == ENOSYS || why == EPERM || why == EACCES;
    cp_doctor_find(
        doctor, "io_uring",
        !refused                                 ? CP_VERDICT_OK
        : config->wal_backend == CP_WAL_IO_URING ? CP_VERDICT_WRONG
                                                 : CP_VERDICT_ADVICE,
        refused ? "the kernel refuses it (%s): logs are written with plain system calls, which cost more time"
                : "the kernel lets it%s",
        refused ? strerror(why) : "");
    if (!refused)
        return;
    const bool disabled = first_line("/proc/sys/kernel/io_uring_disabled", line) && line[0] != '0';
    cp_doctor_remedy(
        doctor, "%s",
        disabled ? "sysctl kernel.io_uring_disabled=0"
        : why == ENOSYS
            ? "a kernel from 5.11 on; or wal.backend: posix, and this is silent"
            : "let it through the container's seccomp profile; or wal.backend: posix, and this is silent");
}

static void look_governor(cp_doctor *doctor)
{
    glob_t found;
    char line[LINE];
    size_t slow = 0;
    char which[LINE] = "";
    if (glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor", 0, NULL, &found) != 0)
        return; /* a virtual machine: its host decides */
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (first_line(found.gl_pathv[i], line) && strcmp(line, "performance") != 0) {
            memcpy(which, line, sizeof which);
            slow++;
        }
    }
    if (slow) {
        cp_doctor_find(doctor, "CPU governor", CP_VERDICT_ADVICE,
                       "%zu CPUs may run slower (%s): the first puts after a pause take longer", slow, which);
        cp_doctor_remedy(doctor, "cpupower frequency-set -g performance");
    } else {
        cp_doctor_find(doctor, "CPU governor", CP_VERDICT_OK, "performance");
    }
    globfree(&found);
}

static void look_clock(cp_doctor *doctor)
{
    struct timex state = {0};
    const int rc = adjtimex(&state);
    if (rc < 0) {
        cp_doctor_find(doctor, "clock", CP_VERDICT_UNKNOWN, "its state cannot be read: %s", strerror(errno));
        return;
    }
    if (rc == TIME_ERROR || (state.status & STA_UNSYNC)) {
        cp_doctor_find(doctor, "clock", CP_VERDICT_ADVICE,
                       "nothing synchronises it: times of rows drift away from those of other hosts");
        cp_doctor_remedy(doctor, "install and start chrony or systemd-timesyncd");
    } else {
        cp_doctor_find(doctor, "clock", CP_VERDICT_OK, "synchronised, within %ld ms", state.maxerror / 1000);
    }
}

/* ---- shared memory --------------------------------------------------------------------------------------------- */

/* The directory, or the nearest one above it that is there. */
static bool nearest(const char *path, char out[PATH_MAX])
{
    struct stat found;
    if (snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX)
        return false;
    while (stat(out, &found) < 0) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out)
            return false;
        *slash = '\0';
    }
    return true;
}

static bool is_memory(const struct statfs *fs)
{
    return fs->f_type == TMPFS_MAGIC || fs->f_type == HUGETLBFS_MAGIC || fs->f_type == RAMFS_MAGIC;
}

/* The mount that a path is on, and its options; of two at one place the later one hides the earlier. */
static bool mount_look(const char *path, char dir[PATH_MAX], char options[LINE])
{
    char real[PATH_MAX];
    char text[PATH_MAX];
    struct mntent entry;
    size_t deepest = 0;
    FILE *mounts = realpath(path, real) ? setmntent("/proc/self/mounts", "re") : NULL;
    while (mounts && getmntent_r(mounts, &entry, text, sizeof text)) {
        const size_t len = strcmp(entry.mnt_dir, "/") == 0 ? 0 : strlen(entry.mnt_dir);
        if (strncmp(real, entry.mnt_dir, len) != 0 || (real[len] != '/' && real[len] != '\0') ||
            len < deepest)
            continue;
        deepest = len;
        snprintf(dir, PATH_MAX, "%s", entry.mnt_dir);
        snprintf(options, LINE, "%s", entry.mnt_opts);
    }
    if (mounts)
        endmntent(mounts);
    return deepest > 0;
}

/* Of a mount its option decides; shmem_enabled is for shared memory without one, but that deny and force overrule all. */
static void look_huge_pages(cp_doctor *doctor, const char *region)
{
    char line[LINE] = "";
    char path[PATH_MAX];
    char dir[PATH_MAX];
    char options[LINE];
    struct statfs fs;
    if (!first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", line) || !nearest(region, path) ||
        statfs(path, &fs) < 0 || fs.f_type != TMPFS_MAGIC || !mount_look(path, dir, options))
        return;
    const bool denied = strstr(line, "[deny]") != NULL;
    const bool has =
        strstr(line, "[force]") || strstr(options, "huge=always") || strstr(options, "huge=within_size");
    if (has && !denied) {
        cp_doctor_find(doctor, "huge pages", CP_VERDICT_OK, "%s has them", dir);
        return;
    }
    cp_doctor_find(doctor, "huge pages", CP_VERDICT_ADVICE,
                   "%s has none: large rings miss the processor's table of pages more often", dir);
    cp_doctor_remedy(doctor,
                     "%smount -o remount,huge=within_size %s, before the region is made, and in /etc/fstab",
                     denied ? "echo never > /sys/kernel/mm/transparent_hugepage/shmem_enabled; " : "", dir);
}

static void look_file_systems(cp_doctor *doctor, const cp_config *config, const char *region)
{
    char path[PATH_MAX];
    struct statfs fs;
    if (nearest(region, path) && statfs(path, &fs) == 0) {
        cp_doctor_find(doctor, "region's file system", is_memory(&fs) ? CP_VERDICT_OK : CP_VERDICT_WRONG,
                       is_memory(&fs)
                           ? "%s is memory"
                           : "%s is a disk: the kernel writes the rings to it, and puts wait for that",
                       path);
        if (!is_memory(&fs))
            cp_doctor_remedy(doctor, "put region.dir under /dev/shm, or another tmpfs or hugetlbfs");
    }
    if (critical_tables(config) > 0 && nearest(config->wal_dir, path) && statfs(path, &fs) == 0) {
        cp_doctor_find(doctor, "logs' file system", is_memory(&fs) ? CP_VERDICT_WRONG : CP_VERDICT_OK,
                       is_memory(&fs) ? "%s is memory: logs of critical tables do not survive the host"
                                      : "%s is a disk",
                       path);
        if (is_memory(&fs))
            cp_doctor_remedy(doctor, "put wal.dir on a disk");
    }
}

/* "RemoveIPC = no" and the like; spaces around the sign are allowed. */
static bool line_says(const char *line, bool *removes)
{
    while (isspace((unsigned char)*line))
        line++;
    if (strncasecmp(line, "RemoveIPC", 9) != 0)
        return false;
    line += 9 + strspn(line + 9, " \t");
    if (*line++ != '=')
        return false;
    line += strspn(line, " \t");
    *removes = strncasecmp(line, "no", 2) != 0 && strncasecmp(line, "false", 5) != 0 &&
               strncasecmp(line, "off", 3) != 0 && line[0] != '0';
    return true;
}

bool cp_logind_removes_ipc(const char *const *files, size_t count)
{
    bool removes = true;
    char line[LINE];
    for (size_t i = 0; i < count; i++) {
        FILE *file = fopen(files[i], "re");
        while (file && fgets(line, sizeof line, file))
            line_says(line, &removes);
        if (file)
            fclose(file);
    }
    return removes;
}

static bool logind_removes(void)
{
    static const char *const patterns[] = {
        "/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf", "/usr/lib/systemd/logind.conf.d/*.conf",
        "/run/systemd/logind.conf.d/*.conf", "/etc/systemd/logind.conf.d/*.conf"};
    glob_t found = {0};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &found);
    const bool removes = cp_logind_removes_ipc((const char *const *)found.gl_pathv, found.gl_pathc);
    globfree(&found);
    return removes;
}

static void look_remove_ipc(cp_doctor *doctor, const char *region)
{
    char path[PATH_MAX];
    struct stat owner;
    const bool there = stat(region, &owner) == 0;
    const uid_t uid = there ? owner.st_uid : geteuid();
    if (access("/run/systemd/system", F_OK) != 0 || strncmp(region, "/dev/shm/", 9) != 0 ||
        !nearest(region, path))
        return;
    const bool wrong = uid >= FIRST_LOGIN_UID && logind_removes();
    cp_doctor_find(doctor, "RemoveIPC", wrong ? CP_VERDICT_WRONG : CP_VERDICT_OK,
                   wrong
                       ? "the region belongs to user %u: logind deletes it when that user's last session ends"
                       : "logind leaves the region of user %u alone",
                   (unsigned)uid);
    if (wrong)
        cp_doctor_remedy(
            doctor, "run coldpathd as a system user (below %d), or RemoveIPC=no in /etc/systemd/logind.conf",
            FIRST_LOGIN_UID);
}

void cp_doctor_host(cp_doctor *doctor, const cp_config *config, const char *region)
{
    look_file_systems(doctor, config, region);
    look_remove_ipc(doctor, region);
    look_uring(doctor, config);
    look_memlock(doctor, config);
    look_files(doctor, config);
    look_huge_pages(doctor, region);
    look_governor(doctor);
    look_clock(doctor);
}
