#include "cli/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int there_error(const char *path, cp_error *err)
{
    return cp_error_set(err, CP_E_INVAL, "%s is there already; --force writes it anew", path);
}

/* The .part file, empty and locked. One that is left has either one name, and is begun anew, or two: its writer was killed when it
 * had named it, and what has the other name must not be touched. None: its writer has just ended. */
static int part_open(const char *part, cp_error *err)
{
    enum { TRIES = 3 };
    for (int i = 0; i < TRIES; i++) {
        struct stat is;
        const int fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot write %s", part);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(fd);
            break;
        }
        if (fstat(fd, &is) == 0 && is.st_nlink == 1 && ftruncate(fd, 0) == 0)
            return fd;
        if (is.st_nlink > 1)
            unlink(part);
        close(fd);
    }
    return cp_error_set(err, CP_E_BUSY, "%s is being written by another run; wait for it", part);
}

int cp_whole_file_begin(cp_whole_file *file, const char *path, bool replace, cp_error *err)
{
    file->stream = NULL;
    file->bytes = 0;
    const int len = snprintf(file->path, sizeof file->path, "%s", path);
    const int part = snprintf(file->part, sizeof file->part, "%s.part", path);
    if (len >= (int)sizeof file->path || part >= (int)sizeof file->part)
        return cp_error_set(err, CP_E_TOO_BIG, "the path of a file is over %d bytes", PATH_MAX - 6);
    if (!replace && access(path, F_OK) == 0)
        return there_error(path, err);
    const int fd = part_open(file->part, err);
    if (fd < 0)
        return fd;
    file->stream = fdopen(fd, "w");
    if (file->stream)
        return CP_OK;
    close(fd);
    return cp_error_errno(err, CP_E_IO, errno, "cannot write %s", file->part);
}

int cp_whole_file_write(void *ctx, const void *data, size_t size)
{
    cp_whole_file *file = ctx;
    file->bytes += size;
    return fwrite(data, 1, size, file->stream) == size ? 0 : -1;
}

/* The directory's entry is durable only with the directory. */
static int directory_sync(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const int rc = fsync(fd);
    close(fd);
    return rc;
}

int cp_whole_file_end(cp_whole_file *file, bool replace, cp_error *err)
{
    bool good = fflush(file->stream) == 0 && fsync(fileno(file->stream)) == 0;
    int number = errno;
    if (fclose(file->stream) != 0 && good) {
        good = false;
        number = errno;
    }
    file->stream = NULL;
    if (good && (replace ? rename(file->part, file->path) : link(file->part, file->path)) != 0) {
        good = false; /* link: what has come into being meanwhile is not written over */
        number = errno;
    }
    if (good && (replace || unlink(file->part) == 0) && directory_sync(file->path) == 0)
        return CP_OK;
    if (good)
        return cp_error_errno(err, CP_E_IO, errno, "cannot make %s durable", file->path);
    unlink(file->part);
    return number == EEXIST ? there_error(file->path, err)
                            : cp_error_errno(err, CP_E_IO, number, "cannot write %s", file->path);
}

void cp_whole_file_drop(cp_whole_file *file)
{
    if (!file->stream)
        return;
    fclose(file->stream);
    unlink(file->part);
    file->stream = NULL;
}
