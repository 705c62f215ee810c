#include "shm/error_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"
#include "shm/control.h"
#include "shm/file.h"
#include "shm/sigbus_guard.h"

enum {
    FILE_SIZE = CP_ABI_ERRORS_HEADER + CP_ABI_ERRORS * (int)sizeof(cp_abi_error),
    READ_TRIES = 20, /* of an entry that changes under the reader's eyes */
    READ_PAUSE_NS = 1000 * 1000
};

static int path_make(char path[CP_MAX_REGION_PATH], const char *dir, const char *suffix, cp_error *err)
{
    if (snprintf(path, CP_MAX_REGION_PATH, "%s/" CP_ERROR_LOG_FILE "%s", dir, suffix) < CP_MAX_REGION_PATH)
        return CP_OK;
    return cp_error_set(err, CP_E_INVAL, "the region's path is longer than %d bytes", CP_MAX_REGION_PATH);
}

static bool header_is_sound(const cp_abi_errors *header, uint64_t size)
{
    return header->magic == CP_ABI_ERRORS_MAGIC && header->abi_major == CP_ABI_MAJOR &&
           header->entry_count == CP_ABI_ERRORS && size == FILE_SIZE;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static int file_map(cp_error_log *log, int fd, const char *path, cp_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "stat %s", path);
    void *base = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (base == MAP_FAILED)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "map %s", path);
    log->device = status.st_dev;
    log->inode = status.st_ino;
    log->pid = (uint32_t)getpid();
    log->header = base;
    log->entries = (cp_abi_error *)(void *)((uint8_t *)base + CP_ABI_ERRORS_HEADER);
    return CP_OK;
}

static void text_end(char *text, size_t size)
{
    text[size - 1] = '\0';
}

/* A predecessor may have been killed in the middle of an entry. */
static void entries_mend(cp_error_log *log)
{
    for (uint32_t i = 0; i < CP_ABI_ERRORS; i++) {
        cp_abi_error *entry = &log->entries[i];
        entry->sequence += entry->sequence & 1;
        text_end(entry->table, sizeof entry->table);
        text_end(entry->message, sizeof entry->message);
        text_end(entry->detail, sizeof entry->detail);
        text_end(entry->remedy, sizeof entry->remedy);
    }
}

/* True when there is a sound file and it is mapped. */
static bool file_adopt(cp_error_log *log, const char *path)
{
    uint64_t size = 0;
    cp_abi_errors header;
    const int fd = cp_file_open(path, O_RDWR, 0, &size, NULL);
    if (fd < 0)
        return false;
    const bool sound = pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                       header_is_sound(&header, size) && file_map(log, fd, path, NULL) == CP_OK;
    close(fd);
    if (sound)
        entries_mend(log);
    return sound;
}

static int file_make(cp_error_log *log, const char *dir, const char *path, cp_error *err)
{
    char made[CP_MAX_REGION_PATH];
    int rc = path_make(made, dir, ".new", err);
    if (rc < 0)
        return rc;
    unlink(made);
    const int fd = cp_file_open(made, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, err);
    if (fd < 0)
        return fd;
    const int allocated = posix_fallocate(fd, 0, FILE_SIZE);
    if (allocated != 0)
        rc = cp_error_errno(err, allocated == ENOSPC ? CP_E_NOMEM : CP_E_IO, allocated,
                            "allocate %d bytes for %s", FILE_SIZE, made);
    if (rc == CP_OK)
        rc = file_map(log, fd, made, err);
    close(fd);
    if (rc == CP_OK) {
        log->header->abi_major = CP_ABI_MAJOR;
        log->header->entry_count = CP_ABI_ERRORS;
        __atomic_store_n(&log->header->magic, CP_ABI_ERRORS_MAGIC, __ATOMIC_RELEASE);
        if (rename(made, path) < 0)
            rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "rename %s to %s", made, path);
    }
    if (rc < 0) {
        unlink(made);
        cp_error_log_close(log);
    }
    return rc;
}

/* The region's mode may have been changed since the file was made. */
static int access_set(const char *path, unsigned mode, unsigned gid, cp_error *err)
{
    struct stat status;
    const int fd = cp_file_open(path, O_RDWR, 0, NULL, err);
    if (fd < 0)
        return fd;
    int rc = CP_OK;
    if (fstat(fd, &status) < 0 || ((status.st_mode & 07777) != mode && fchmod(fd, mode) < 0) ||
        (gid != (unsigned)-1 && status.st_gid != gid && fchown(fd, (uid_t)-1, gid) < 0))
        rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "set mode and group of %s", path);
    close(fd);
    return rc;
}

int cp_error_log_open(cp_error_log *log, const char *dir, unsigned mode, unsigned gid, cp_error *err)
{
    char path[CP_MAX_REGION_PATH];
    *log = (cp_error_log){0};
    int rc = path_make(path, dir, "", err);
    if (rc == CP_OK && !file_adopt(log, path))
        rc = file_make(log, dir, path, err);
    if (rc == CP_OK)
        rc = access_set(path, mode, gid, err);
    if (rc < 0)
        cp_error_log_close(log);
    return rc;
}

void cp_error_log_close(cp_error_log *log)
{
    if (log->header)
        munmap(log->header, FILE_SIZE);
    *log = (cp_error_log){0};
}

/* The entry of the same, a free one, or the one that was noted last longest ago. */
static cp_abi_error *entry_find(cp_error_log *log, const char *table, const char *message)
{
    cp_abi_error *oldest = &log->entries[0];
    for (uint32_t i = 0; i < CP_ABI_ERRORS; i++) {
        cp_abi_error *entry = &log->entries[i];
        if (entry->count > 0 && strncmp(entry->message, message, sizeof entry->message - 1) == 0 &&
            strncmp(entry->table, table, sizeof entry->table - 1) == 0)
            return entry;
        if (oldest->count > 0 && (entry->count == 0 || entry->change < oldest->change))
            oldest = entry;
    }
    return oldest;
}

static void entry_fill(cp_abi_error *entry, const cp_error_event *event, bool fresh, uint64_t change)
{
    if (fresh) {
        entry->count = 0;
        entry->first_ns = event->now_ns;
        snprintf(entry->table, sizeof entry->table, "%s", event->table);
        snprintf(entry->message, sizeof entry->message, "%s", event->message);
    }
    if (entry->first_ns > event->now_ns) /* the clock was set back */
        entry->first_ns = event->now_ns;
    entry->level = event->level;
    entry->count++;
    entry->last_ns = event->now_ns;
    entry->change = change;
    snprintf(entry->detail, sizeof entry->detail, "%s", event->detail);
    snprintf(entry->remedy, sizeof entry->remedy, "%s", event->remedy);
}

static void event_note(cp_error_log *log, const cp_error_event *event)
{
    cp_abi_error *entry = entry_find(log, event->table, event->message);
    const bool same = entry->count > 0 &&
                      strncmp(entry->message, event->message, sizeof entry->message - 1) == 0 &&
                      strncmp(entry->table, event->table, sizeof entry->table - 1) == 0;
    const uint64_t change = log->header->changes + 1;
    if (!same && entry->count > 0)
        __atomic_store_n(&log->header->displaced, log->header->displaced + 1, __ATOMIC_RELAXED);
    const uint32_t sequence = entry->sequence | 1u; /* odd already: left in the midst by a SIGBUS */
    __atomic_store_n(&entry->sequence, sequence, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    entry_fill(entry, event, !same, change);
    entry->recorder_pid = log->pid;
    __atomic_store_n(&entry->sequence, sequence + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&log->header->changes, change, __ATOMIC_RELEASE);
}

void cp_error_log_note(cp_error_log *log, const cp_error_event *event)
{
    if (!log->header ||
        !cp_sigbus_enter()) /* the file became shorter: whoever looks after it makes it anew */
        return;
    event_note(log, event);
    cp_sigbus_leave();
}

bool cp_error_log_is_whole(const cp_error_log *log, const char *dir)
{
    char path[CP_MAX_REGION_PATH];
    struct stat status;
    return log->header && path_make(path, dir, "", NULL) == CP_OK && lstat(path, &status) == 0 &&
           status.st_size == FILE_SIZE && status.st_dev == log->device && status.st_ino == log->inode;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void text_clean(char *text, size_t size)
{
    text_end(text, size);
    cp_utf8_make_plain(text);
}

/* False: free, or nothing that a recorder writes. */
static bool entry_clean(cp_abi_error *entry)
{
    if (entry->count == 0 || entry->first_ns > entry->last_ns || entry->level < CP_LOG_WARN ||
        entry->level > CP_LOG_ERROR)
        return false;
    text_clean(entry->table, sizeof entry->table);
    text_clean(entry->message, sizeof entry->message);
    text_clean(entry->detail, sizeof entry->detail);
    text_clean(entry->remedy, sizeof entry->remedy);
    return entry->message[0] != '\0';
}

static int read_whole(int fd, void *to, size_t size, off_t at, const char *path, cp_error *err)
{
    const ssize_t got = pread(fd, to, size, at);
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errno, "read %s", path);
    if (got != (ssize_t)size)
        return cp_error_set(err, CP_E_CORRUPT, "%s is no file of errors; the next recorder makes it anew",
                            path);
    return CP_OK;
}

/* An entry that was the same in two reads. One that stays half-written, by a recorder that was killed or stopped in the midst of it, comes
 * without what may be of two events. */
static int entry_read(int fd, uint32_t index, cp_abi_error *entry, const char *path, cp_error *err)
{
    const struct timespec pause = {.tv_nsec = READ_PAUSE_NS};
    const off_t at = CP_ABI_ERRORS_HEADER + (off_t)(index * sizeof *entry);
    cp_abi_error again;
    for (int i = 0; i < READ_TRIES; i++) {
        int rc = read_whole(fd, entry, sizeof *entry, at, path, err);
        if (rc == CP_OK)
            rc = read_whole(fd, &again, sizeof again, at, path, err);
        if (rc < 0 || (memcmp(entry, &again, sizeof again) == 0 && entry->sequence % 2 == 0))
            return rc;
        nanosleep(&pause, NULL);
    }
    entry->detail[0] = entry->remedy[0] = '\0';
    return CP_OK;
}

static int by_change(const void *a, const void *b)
{
    const cp_abi_error *left = a;
    const cp_abi_error *right = b;
    return (left->change > right->change) - (left->change < right->change);
}

static int view_read(cp_error_view *view, int fd, uint64_t size, const char *path, cp_error *err)
{
    cp_abi_errors header;
    int rc = read_whole(fd, &header, sizeof header, 0, path, err);
    if (rc < 0)
        return rc;
    if (header.magic != CP_ABI_ERRORS_MAGIC)
        return cp_error_set(err, CP_E_CORRUPT, "%s is no file of errors; the next recorder makes it anew",
                            path);
    if (header.abi_major != CP_ABI_MAJOR)
        return cp_error_set(err, CP_E_ABI, "%s has ABI version %u, this program speaks %d", path,
                            header.abi_major, CP_ABI_MAJOR);
    if (!header_is_sound(&header, size))
        return cp_error_set(err, CP_E_CORRUPT, "%s contradicts itself; the next recorder makes it anew",
                            path);
    view->changes = header.changes;
    view->displaced = header.displaced;
    for (uint32_t i = 0; i < CP_ABI_ERRORS; i++) {
        cp_abi_error *entry = &view->entries[view->count];
        rc = entry_read(fd, i, entry, path, err);
        if (rc < 0)
            return rc;
        if (entry_clean(entry))
            view->count++;
    }
    qsort(view->entries, view->count, sizeof view->entries[0], by_change);
    return CP_OK;
}

int cp_error_log_read(cp_error_view *view, const char *dir, cp_error *err)
{
    char path[CP_MAX_REGION_PATH];
    uint64_t size = 0;
    memset(view, 0, sizeof *view);
    int rc = path_make(path, dir, "", err);
    const int fd = rc == CP_OK ? cp_file_open(path, O_RDONLY, 0, &size, err) : rc;
    if (fd == CP_E_ABSENT)
        return cp_error_set(err, CP_E_ABSENT,
                            "%s has no file of errors: no recorder that keeps one has run there", dir);
    if (fd < 0)
        return fd;
    rc = view_read(view, fd, size, path, err);
    close(fd);
    return rc;
}
