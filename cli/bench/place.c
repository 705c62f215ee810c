#include "cli/bench/place.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "cli/cli.h"

int cp_bench_place_check(const char *dir, const char *verb, uint64_t need, cp_error *err)
{
    struct statvfs fs;
    char wanted[CP_HUMAN_TEXT];
    char there[CP_HUMAN_TEXT];
    if (statvfs(dir, &fs) < 0) {
        const int errnum = errno;
        return cp_error_errno(err, cp_error_code_of_errno(errnum), errnum, "cannot look at the disk of %s",
                              dir);
    }
    const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room >= need ||
        fs.f_blocks == 0) /* none: a file system that does not count, as a tmpfs without a limit */
        return CP_OK;
    return cp_error_set(err, CP_E_IO,
                        "%s takes %s in %s, and its disk has %s free: free some, or name a directory on "
                        "another disk with --dir",
                        verb, cp_human_bytes(wanted, need), dir, cp_human_bytes(there, room));
}
