#include "cli/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static int there_error(const char *path, cp_error *err)
{
    return cp_error_set(err, CP_E_INVAL, "%s is there already; --force writes it anew", path);
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
    const int fd = open(file->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot write %s", file->part);
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
