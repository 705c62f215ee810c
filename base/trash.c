#include "base/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

int cp_trash_path(char *out, size_t size, const char *dir, const char *name, const char *why, uint64_t now_ns,
                  cp_error *err)
{
    const int len =
        snprintf(out, size, "%s/" CP_TRASH_DIR "/%s.%llu.%s", dir, name, (unsigned long long)now_ns, why);
    return len >= 0 && (size_t)len < size
               ? CP_OK
               : cp_error_set(err, CP_E_TOO_BIG, "the path of %s/" CP_TRASH_DIR " is too long", dir);
}

/* The time in "<name>.<time>.<why>"; false when it is no such name. */
static bool time_of(const char *name, uint64_t *ns)
{
    const char *why = strrchr(name, '.');
    const char *time = why;
    while (time && time > name && time[-1] >= '0' && time[-1] <= '9')
        time--;
    if (!time || time == why || time < name + 2 || time[-1] != '.')
        return false;
    errno = 0;
    *ns = strtoull(time, NULL, 10);
    return errno == 0;
}

int cp_trash_expire(const char *dir, uint64_t keep_ns, uint64_t now_ns, uint32_t *deleted, cp_error *err)
{
    char path[PATH_MAX];
    int rc = CP_OK;
    *deleted = 0;
    if (snprintf(path, sizeof path, "%s/" CP_TRASH_DIR, dir) >= (int)sizeof path)
        return cp_error_set(err, CP_E_TOO_BIG, "the path of %s/" CP_TRASH_DIR " is too long", dir);
    DIR *trash = opendir(path);
    if (!trash)
        return errno == ENOENT ? CP_OK
                               : cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    for (const struct dirent *entry = readdir(trash); rc == CP_OK && entry; entry = readdir(trash)) {
        struct stat status;
        uint64_t since;
        if (!time_of(entry->d_name, &since) || since > now_ns || now_ns - since <= keep_ns ||
            fstatat(dirfd(trash), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(status.st_mode))
            continue;
        if (unlinkat(dirfd(trash), entry->d_name, 0) == 0)
            ++*deleted;
        else if (errno != ENOENT)
            rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "delete %s/%s", path,
                                entry->d_name);
    }
    closedir(trash);
    return rc;
}
