#include "shm/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

int cp_file_open(const char *path, int flags, mode_t mode, uint64_t *size, cp_error *err)
{
    const int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
    if (fd < 0) {
        if (errno == ELOOP)
            return cp_error_set(err, CP_E_CORRUPT, "%s is a symbolic link: remove it", path);
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    }
    struct stat status;
    if (fstat(fd, &status) < 0) {
        const int errnum = errno;
        close(fd);
        return cp_error_errno(err, CP_E_IO, errnum, "stat %s", path);
    }
    if (!S_ISREG(status.st_mode)) {
        close(fd);
        return cp_error_set(err, CP_E_CORRUPT, "%s is not a regular file: remove it", path);
    }
    if (size)
        *size = (uint64_t)status.st_size;
    return fd;
}

uint64_t cp_random_id(void)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, GRND_NONBLOCK) != (ssize_t)sizeof id)
        id = cp_realtime_ns() * 0x9e3779b97f4a7c15ull ^ cp_boottime_ns() ^ (uint64_t)getpid() << 40;
    return id ? id : 1;
}
