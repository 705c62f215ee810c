#include "flush/quarantine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "flush/quarantine_record.h"

enum { FILE_PATH = CP_QUARANTINE_PATH + 256 };

int cp_quarantine_init(cp_quarantine *quarantine, const char *dir, const char *table, uint64_t limit,
                       cp_error *err)
{
    *quarantine = (cp_quarantine){.limit = limit, .lock_fd = -1, .fd = -1};
    if (strlen(dir) >= sizeof quarantine->dir || strlen(table) >= sizeof quarantine->table ||
        strchr(table, '/') || table[0] == '.' || table[0] == '\0')
        return cp_error_set(err, CP_E_TOO_BIG, "quarantine of table %.128s: %.200s is no place for its files",
                            table, dir);
    memcpy(quarantine->dir, dir, strlen(dir) + 1);
    memcpy(quarantine->table, table, strlen(table) + 1);
    return CP_OK;
}

static void file_path(const cp_quarantine *quarantine, const char *kind, char path[FILE_PATH])
{
    snprintf(path, FILE_PATH, "%s/%s.%s", quarantine->dir, quarantine->table, kind);
}

static int fail_errno(cp_error *err, const char *what, const char *path)
{
    const int code = cp_error_code_of_errno(errno);
    return cp_error_errno(err, code, errno, "quarantine: %s %s", what, path);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

int cp_quarantine_make_directories_(const char *path, cp_error *err)
{
    char part[FILE_PATH];
    snprintf(part, sizeof part, "%s/", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool made = mkdir(part, 0700) == 0;
        if (!made && errno != EEXIST)
            return fail_errno(err, "make", part);
        const int synced = made ? cp_dir_sync_parent(part) : 0;
        if (synced < 0)
            return cp_error_errno(err, CP_E_IO, -synced, "quarantine: sync the name of %s", part);
        *slash = '/';
    }
    return CP_OK;
}

static int dir_sync(const char *path, cp_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int rc = fd < 0 || fsync(fd) < 0 ? fail_errno(err, "sync", path) : CP_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

int cp_quarantine_lock(cp_quarantine *quarantine, cp_error *err)
{
    assert(quarantine->lock_fd < 0);
    char path[FILE_PATH];
    file_path(quarantine, "lock", path);
    const int rc = cp_quarantine_make_directories_(quarantine->dir, err);
    if (rc < 0)
        return rc;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        const int code = errno == EWOULDBLOCK
                             ? cp_error_set(err, CP_E_BUSY,
                                            "the quarantine of table %s is being written by another process",
                                            quarantine->table)
                             : fail_errno(err, "lock", path);
        close(fd);
        return code;
    }
    quarantine->lock_fd = fd;
    return CP_OK;
}

void cp_quarantine_unlock(cp_quarantine *quarantine)
{
    if (quarantine->lock_fd >= 0)
        close(quarantine->lock_fd);
    quarantine->lock_fd = -1;
}

static int file_move(const char *from, const char *to, bool *moved, cp_error *err)
{
    *moved = rename(from, to) == 0;
    if (!*moved && errno != ENOENT)
        return fail_errno(err, "rename", from);
    return CP_OK;
}

int cp_quarantine_at_rest(const cp_quarantine *quarantine, cp_error *err)
{
    char path[FILE_PATH];
    file_path(quarantine, "retrying", path);
    if (access(path, F_OK) == 0)
        return cp_error_set(err, CP_E_BUSY, "a retry of table %s has begun and not ended: retry again first",
                            quarantine->table);
    if (errno != ENOENT) /* it may be there, and would be written over */
        return fail_errno(err, "look for", path);
    return CP_OK;
}

int cp_quarantine_begin_retry(cp_quarantine *quarantine, bool *moved, cp_error *err)
{
    char from[FILE_PATH];
    char to[FILE_PATH];
    file_path(quarantine, "rows", from);
    file_path(quarantine, "retrying", to);
    assert(quarantine->lock_fd >= 0);
    *moved = false;
    int rc = cp_quarantine_at_rest(quarantine, err);
    if (rc == CP_OK)
        rc = file_move(from, to, moved, err);
    return rc < 0 || !*moved ? rc : dir_sync(quarantine->dir, err);
}

int cp_quarantine_trash(cp_quarantine *quarantine, bool retrying, const char *suffix, bool *moved,
                        cp_error *err)
{
    char from[FILE_PATH];
    char trash[FILE_PATH];
    char to[FILE_PATH + 192];
    assert(quarantine->lock_fd >= 0);
    file_path(quarantine, retrying ? "retrying" : "rows", from);
    snprintf(trash, sizeof trash, "%s/trash", quarantine->dir);
    *moved = false;
    if (access(from, F_OK) < 0 && errno == ENOENT)
        return CP_OK;
    snprintf(to, sizeof to, "%s/%s.%llu.%s", trash, quarantine->table, (unsigned long long)cp_realtime_ns(),
             suffix);
    int rc = cp_quarantine_make_directories_(trash, err);
    if (rc == CP_OK)
        rc = file_move(from, to, moved, err);
    if (rc == CP_OK && *moved)
        rc = dir_sync(trash, err);
    if (rc == CP_OK && *moved)
        rc = dir_sync(quarantine->dir, err);
    return rc;
}

/* ---- appending ---------------------------------------------------------------------------------------------------- */

/* Where the file's last sound record ends: known from the last time, or looked for. */
static int end_find(cp_quarantine *quarantine, cp_error *err)
{
    struct stat info;
    if (fstat(quarantine->fd, &info) < 0)
        return fail_errno(err, "look at the file of table", quarantine->table);
    if (info.st_ino != quarantine->inode || (uint64_t)info.st_size != quarantine->sound) {
        cp_quarantine_walk walk;
        const cp_quarantine_header *header;
        uint64_t offset;
        int rc = cp_quarantine_walk_begin(&walk, quarantine->fd, err);
        while (rc == CP_OK && (rc = cp_quarantine_walk_next(&walk, &header, &offset, err)) > 0)
            rc = CP_OK;
        cp_quarantine_walk_end(&walk);
        if (rc < 0)
            return rc;
        quarantine->sound = walk.sound;
        quarantine->inode = info.st_ino;
    }
    quarantine->made = info.st_size == 0;
    quarantine->start = quarantine->end = quarantine->sound;
    if ((uint64_t)info.st_size != quarantine->end &&
        ftruncate(quarantine->fd, (off_t)quarantine->end) < 0) /* a torn record */
        return fail_errno(err, "cut a torn record off the file of table", quarantine->table);
    return CP_OK;
}

static void writing_end(cp_quarantine *quarantine)
{
    if (quarantine->fd >= 0)
        close(quarantine->fd);
    quarantine->fd = -1;
    cp_quarantine_unlock(quarantine);
}

int cp_quarantine_begin(cp_quarantine *quarantine, cp_error *err)
{
    char path[FILE_PATH];
    file_path(quarantine, "rows", path);
    int rc = cp_quarantine_lock(quarantine, err);
    if (rc < 0)
        return rc;
    quarantine->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    rc = quarantine->fd < 0 ? fail_errno(err, "open", path) : end_find(quarantine, err);
    if (rc < 0)
        writing_end(quarantine); /* the file stays as it is: nobody knows where its rows end */
    return rc;
}

void cp_quarantine_abort(cp_quarantine *quarantine)
{
    if (quarantine->fd >= 0 && ftruncate(quarantine->fd, (off_t)quarantine->start) < 0)
        quarantine->inode = 0; /* looked at again the next time */
    writing_end(quarantine);
}

int cp_quarantine_add(cp_quarantine *quarantine, const cp_quarantine_row *row, cp_error *err)
{
    static const uint8_t zeros[8];
    char message[CP_QUARANTINE_MESSAGE] = "";
    snprintf(message, sizeof message, "%s", row->message);
    cp_quarantine_header header = {
        .magic = CP_QUARANTINE_MAGIC,
        .schema_hash = row->schema_hash,
        .epoch = row->epoch,
        .position = row->position,
        .refused_ns = row->refused_ns,
        .slot = row->slot,
        .code = row->code,
        .together = row->together,
        .row_size = row->size,
        .message_size = (uint32_t)strlen(message) + 1,
    };
    memcpy(header.table, quarantine->table, sizeof header.table);
    const uint64_t size = cp_quarantine_record_size(&header);
    if (size > quarantine->limit || quarantine->end > quarantine->limit - size)
        return cp_error_set(
            err, CP_E_TOO_BIG,
            "the quarantine of table %s is full, %llu bytes: retry or drop its rows, or raise "
            "quarantine.limit",
            quarantine->table, (unsigned long long)quarantine->limit);
    const size_t row_pad = cp_quarantine_pad(header.row_size) - header.row_size;
    const struct iovec parts[] = {
        {&header, sizeof header},
        {(void *)(uintptr_t)row->bytes, header.row_size},
        {(void *)(uintptr_t)zeros, row_pad},
        {message, cp_quarantine_pad(header.message_size)},
    };
    header.checksum = cp_quarantine_checksum(&header, row->bytes, message);
    errno = 0;
    if (pwritev(quarantine->fd, parts, sizeof parts / sizeof parts[0], (off_t)quarantine->end) !=
        (ssize_t)size) {
        if (errno == 0)
            errno = ENOSPC; /* a short write */
        return fail_errno(err, "write a row of table", quarantine->table);
    }
    quarantine->end += size;
    return CP_OK;
}

int cp_quarantine_commit(cp_quarantine *quarantine, cp_error *err)
{
    int rc =
        fdatasync(quarantine->fd) < 0 ? fail_errno(err, "sync the file of table", quarantine->table) : CP_OK;
    if (rc == CP_OK && quarantine->made)
        rc = dir_sync(quarantine->dir, err);
    if (rc < 0) {
        cp_quarantine_abort(quarantine);
        return rc;
    }
    struct stat info;
    if (fstat(quarantine->fd, &info) == 0)
        quarantine->inode = info.st_ino;
    quarantine->sound = quarantine->end;
    writing_end(quarantine);
    return CP_OK;
}
