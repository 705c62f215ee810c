#include "embedded/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "embedded/text.h"

/* ---- the engine's own access control ------------------------------------------------------------------- */

static const char config_name[] = "coldpath-chdb.xml";
static const char users_name[] = "coldpath-chdb-users.xml";

/* The engine takes a relative path to be in its working directory. */
static const char config_head[] = "<clickhouse>\n"
                                  "    <!-- Written by coldpath-chdb at every start. -->\n"
                                  "    <users_config>";
static const char config_tail[] = "</users_config>\n"
                                  "</clickhouse>\n";

/* A grant names what statements may do; what is not named, nobody may. SYSTEM, SOURCES, BACKUP, CREATE DICTIONARY
 * and access management are left out. The settings that are const name files of the host, or a dialect. */
static const char users_text[] =
    "<clickhouse>\n"
    "    <!-- Written by coldpath-chdb at every start: no files, no network (see docs/embedded.md). -->\n"
    "    <profiles><default><constraints>\n"
    "        <dialect><const/></dialect>\n"
    "        <format_schema><const/></format_schema>\n"
    "        <format_template_row><const/></format_template_row>\n"
    "        <format_template_resultset><const/></format_template_resultset>\n"
    "    </constraints></default></profiles>\n"
    "    <quotas><default/></quotas>\n"
    "    <users><default>\n"
    "        <password></password>\n"
    "        <networks><ip>::/0</ip></networks>\n"
    "        <profile>default</profile>\n"
    "        <quota>default</quota>\n"
    "        <grants>\n"
    "            <query>GRANT SHOW, SELECT, INSERT, ALTER TABLE, ALTER VIEW, CREATE DATABASE, CREATE TABLE, "
    "CREATE VIEW, CREATE TEMPORARY TABLE, CREATE FUNCTION, DROP DATABASE, DROP TABLE, DROP VIEW, DROP "
    "FUNCTION, "
    "UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM FLUSH "
    "ON *.*</query>\n"
    "        </grants>\n"
    "    </default></users>\n"
    "</clickhouse>\n";

/* A new file each time: what stands there may be a link to something else. */
static int policy_file(const char *path, const char *text, cp_error *err)
{
    enum { PRIVATE = 0600 };
    if (unlink(path) != 0 && errno != ENOENT)
        return cp_error_errno(err, CP_E_IO, errno, "cannot replace %s", path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, PRIVATE);
    if (fd < 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot make %s", path);
    const size_t length = strlen(text);
    const bool written = write(fd, text, length) == (ssize_t)length;
    const int why = errno;
    if (close(fd) != 0 || !written)
        return cp_error_errno(err, CP_E_IO, written ? errno : why, "cannot write %s", path);
    return CP_OK;
}

/* text with what means something to XML replaced. */
static void xml_append(cp_text *xml, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
        cp_text_append(xml, entity ? entity : text, entity ? strlen(entity) : 1);
    }
}

int cp_confine_policy(const char *directory, char *path, size_t size, cp_error *err)
{
    char whole[PATH_MAX];
    char users[PATH_MAX];
    if (!realpath(directory, whole))
        return cp_error_errno(err, CP_E_IO, errno, "cannot find the data directory %s", directory);
    const int made = snprintf(users, sizeof users, "%s/%s", whole, users_name);
    const int config = snprintf(path, size, "%s/%s", whole, config_name);
    if (made < 0 || (size_t)made >= sizeof users || config < 0 || (size_t)config >= size)
        return cp_error_set(err, CP_E_INVAL, "the data directory's name is too long");
    cp_text text = {0};
    cp_text_append(&text, config_head, sizeof config_head - 1);
    xml_append(&text, users);
    cp_text_append(&text, config_tail, sizeof config_tail); /* with its NUL */
    int code =
        text.failed ? cp_error_set(err, CP_E_NOMEM, "out of memory") : policy_file(users, users_text, err);
    if (code == CP_OK)
        code = policy_file(path, text.data, err);
    cp_text_free(&text);
    return code;
}

/* ---- Landlock ------------------------------------------------------------------------------------------ */

/* Debian 12's header ends with version 2 of the interface; these are of 3, 4 and 5. */
enum {
    ABI_REFER = 2, /* before it no file can be moved to another directory, which the engine must */
    ABI_TRUNCATE = 3,
    ABI_NET = 4,
    ABI_IOCTL = 5
};

static const uint64_t access_truncate = 1ULL << 14;
static const uint64_t access_ioctl_dev = 1ULL << 15;
static const uint64_t net_connect = 1ULL << 1;

typedef struct ruleset_attr { /* struct landlock_ruleset_attr with the field of version 4 */
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
} ruleset_attr;

static const uint64_t access_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t access_file = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;

/* What the C library, the loader and the engine look up while they run. Of /proc/self only what tells of
 * resources: its environ may hold secrets. */
static const char *const readable[] = {
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/sys",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/vmstat",
    "/proc/version",
    "/proc/sys",
    "/proc/diskstats",
    "/proc/self/statm",
    "/proc/self/status",
    "/proc/self/stat",
    "/proc/self/maps",
    "/proc/self/limits",
    "/proc/self/io",
    "/proc/self/mountinfo",
    "/proc/self/mounts",
    "/proc/self/cgroup",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
};

static int landlock_abi(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* Everything this kernel knows how to refuse. */
static ruleset_attr handled_of(int abi)
{
    ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_REFER | (LANDLOCK_ACCESS_FS_REFER - 1)};
    attr.handled_access_fs |= abi >= ABI_TRUNCATE ? access_truncate : 0;
    attr.handled_access_fs |= abi >= ABI_IOCTL ? access_ioctl_dev : 0;
    attr.handled_access_net = abi >= ABI_NET ? net_connect : 0;
    return attr;
}

/* Lets path, and what is below it, be used in these ways; a path that is not there needs no rule. */
static int allow(int ruleset, const char *path, uint64_t access, cp_error *err)
{
    struct stat found;
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR
                   ? CP_OK
                   : cp_error_errno(err, CP_E_IO, errno, "cannot look at %s", path);
    }
    int rc = fstat(fd, &found);
    if (rc == 0) {
        const uint64_t of_files = access_file | access_truncate;
        const struct landlock_path_beneath_attr rule = {
            .allowed_access = S_ISDIR(found.st_mode) ? access : access & of_files, .parent_fd = fd};
        rc = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    const int why = errno;
    close(fd);
    return rc == 0 ? CP_OK : cp_error_errno(err, CP_E_PERM, why, "cannot make a Landlock rule for %s", path);
}

static int rules_make(int ruleset, const ruleset_attr *attr, const char *directory, const char *library,
                      cp_error *err)
{
    const uint64_t data =
        attr->handled_access_fs & ~(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                    LANDLOCK_ACCESS_FS_MAKE_BLOCK | access_ioctl_dev);
    int code = allow(ruleset, directory, data, err);
    for (size_t i = 0; code == CP_OK && i < sizeof readable / sizeof readable[0]; i++)
        code = allow(ruleset, readable[i], access_read, err);
    if (code == CP_OK)
        code = allow(ruleset, library, LANDLOCK_ACCESS_FS_READ_FILE, err);
    if (code == CP_OK)
        code = allow(ruleset, "/dev/null", access_file, err);
    return code;
}

int cp_confine_thread(const char *directory, const char *library, cp_error *err)
{
    const int abi = landlock_abi();
    if (abi < ABI_REFER)
        return cp_error_set(err, CP_E_ABSENT, "this kernel has no Landlock that could confine the engine");
    const ruleset_attr attr = handled_of(abi);
    const size_t size = abi >= ABI_NET ? sizeof attr : offsetof(ruleset_attr, handled_access_net);
    const int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return cp_error_errno(err, CP_E_PERM, errno, "cannot make a Landlock ruleset");
    int code = rules_make(ruleset, &attr, directory, library, err);
    /* Without this only a privileged process may confine itself; nothing is executed here anyway. */
    if (code == CP_OK &&
        (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) != 0))
        code = cp_error_errno(err, CP_E_PERM, errno, "cannot confine the engine with Landlock");
    close(ruleset);
    return code;
}
