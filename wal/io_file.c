#include "wal/io_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"

static int dir_of(const cp_io *io)
{
    return ((const cp_io_file *)io)->dir;
}

/* What the kernel says of the device below the directory; false when it says nothing. */
static bool fua_read(int dir)
{
    struct stat st;
    char value = '0';
    for (int parent = 0; parent < 2 && value == '0' && fstat(dir, &st) == 0; parent++) {
        char path[64];
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%squeue/fua", major(st.st_dev), minor(st.st_dev),
                 parent ? "../" : ""); /* a partition's queue is its disk's */
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, &value, 1) != 1)
            value = '0';
        close(fd);
    }
    return value == '1';
}

int cp_io_file_init(cp_io_file *io, const char *dir, cp_error *err)
{
    io->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (io->dir < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "%s", dir);
    struct statfs fs;
    if (fstatfs(io->dir, &fs) != 0) {
        const int code = cp_error_errno(err, CP_E_IO, errno, "%s: cannot ask its file system", dir);
        close(io->dir);
        return code;
    }
    /* tmpfs takes O_DIRECT on newer kernels, and means nothing by it. */
    if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
        io->base.degraded |= CP_IO_VOLATILE | CP_IO_BUFFERED;
    io->fua = fua_read(io->dir);
    return CP_OK;
}

void cp_io_file_destroy(cp_io_file *io)
{
    close(io->dir);
}

int cp_io_file_open(cp_io *io, const char *name, unsigned flags)
{
    int mode = O_CLOEXEC | O_NOFOLLOW | O_DIRECT;
    mode |= flags & CP_IO_READ_ONLY ? O_RDONLY : O_RDWR;
    if (flags & CP_IO_CREATE)
        mode |= O_CREAT | O_EXCL;
    int file = openat(dir_of(io), name, mode, 0640);
    if (file < 0 && errno == EINVAL) { /* no O_DIRECT here; with O_CREAT the file may exist by now */
        mode &= ~(O_DIRECT | O_EXCL);
        file = openat(dir_of(io), name, mode, 0640);
        if (file >= 0)
            io->degraded |= CP_IO_BUFFERED;
    }
    if (file < 0)
        return -errno;
    struct stat st;
    const int failed = fstat(file, &st) != 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (failed) {
        close(file);
        return -failed;
    }
    return file;
}

void cp_io_file_close(cp_io *io, int file)
{
    (void)io;
    close(file);
}

int cp_io_file_lock(cp_io *io, int file)
{
    (void)io;
    while (flock(file, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int64_t cp_io_file_size(cp_io *io, int file)
{
    (void)io;
    struct stat st;
    return fstat(file, &st) == 0 ? (int64_t)st.st_size : -errno;
}

int cp_io_file_allocate(cp_io *io, int file, uint64_t size)
{
    (void)io;
    int result;
    do {
        result = posix_fallocate(file, 0, (off_t)size);
    } while (result == EINTR);
    return -result;
}

int cp_io_file_truncate(cp_io *io, int file, uint64_t size)
{
    (void)io;
    return ftruncate(file, (off_t)size) == 0 ? 0 : -errno;
}

int64_t cp_io_file_read(cp_io *io, int file, void *data, uint64_t size, uint64_t offset)
{
    (void)io;
    uint64_t done = 0;
    while (done < size) {
        const ssize_t got = pread(file, (uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (uint64_t)got;
        if (done % CP_IO_BLOCK != 0)
            break; /* the file's end: O_DIRECT could not go on from here */
    }
    return (int64_t)done;
}

int64_t cp_io_file_write(cp_io *io, int file, const void *data, uint64_t size, uint64_t offset)
{
    (void)io;
    uint64_t done = 0;
    while (done < size) {
        const ssize_t put = pwrite(file, (const uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (put < CP_IO_BLOCK)
            return -EIO; /* less than a block was taken: there is nothing to go on with */
        done += (uint64_t)put / CP_IO_BLOCK * CP_IO_BLOCK;
    }
    return (int64_t)done;
}

int cp_io_file_sync(cp_io *io, int file)
{
    (void)io;
    return fdatasync(file) == 0 ? 0 : -errno;
}

int cp_io_file_rename(cp_io *io, const char *from, const char *to)
{
    return renameat(dir_of(io), from, dir_of(io), to) == 0 ? 0 : -errno;
}

int cp_io_file_unlink(cp_io *io, const char *name)
{
    return unlinkat(dir_of(io), name, 0) == 0 ? 0 : -errno;
}

int cp_io_file_sync_dir(cp_io *io)
{
    return fsync(dir_of(io)) == 0 ? 0 : -errno;
}

int cp_io_file_list(cp_io *io, void (*each)(void *ctx, const char *name), void *ctx)
{
    const int fd = openat(dir_of(io), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        const int result = -errno;
        close(fd);
        return result;
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            each(ctx, entry->d_name);
        errno = 0;
    }
    const int result = -errno;
    closedir(dir);
    return result;
}
