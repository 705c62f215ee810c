/* Reading quarantine files: walking over records, sound or not, and the list of rows that they hold. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "flush/quarantine_record.h"

enum {
    WINDOW = 4 * 1024 * 1024, /* holds the largest record, and many small ones */
    FILES_MAX = 4096,         /* of one table, in the trash and out of it */
    FILE_PATH = CP_QUARANTINE_PATH + 512
};

/* ---- one file ----------------------------------------------------------------------------------------------------- */

int cp_quarantine_walk_begin(cp_quarantine_walk *walk, int fd, cp_error *err)
{
    struct stat info;
    *walk = (cp_quarantine_walk){.fd = fd};
    if (fstat(fd, &info) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "look at a quarantine file");
    walk->size = (uint64_t)info.st_size;
    walk->window = malloc(WINDOW);
    return walk->window ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory to read a quarantine file");
}

void cp_quarantine_walk_end(cp_quarantine_walk *walk)
{
    free(walk->window);
    walk->window = NULL;
}

/* Has size bytes at `at` in the window. False: the file does not. */
static bool window_hold(cp_quarantine_walk *walk, uint64_t size, int *rc, cp_error *err)
{
    if (walk->at >= walk->from && walk->at + size <= walk->from + walk->filled)
        return true;
    if (size > WINDOW || walk->at + size > walk->size)
        return false;
    walk->from = walk->at;
    walk->filled = 0;
    while (walk->filled < size) {
        const ssize_t got = pread(walk->fd, walk->window + walk->filled, WINDOW - walk->filled,
                                  (off_t)(walk->from + walk->filled));
        if (got < 0 && errno != EINTR) {
            *rc = cp_error_errno(err, CP_E_IO, errno, "read a quarantine file");
            return false;
        }
        if (got == 0)
            return false;
        walk->filled += got > 0 ? (uint64_t)got : 0;
    }
    return true;
}

static const cp_quarantine_header *header_at(const cp_quarantine_walk *walk)
{
    return (const cp_quarantine_header *)(const void *)(walk->window + (walk->at - walk->from));
}

static bool record_sound(const cp_quarantine_header *header)
{
    const uint8_t *row = (const uint8_t *)(header + 1);
    const char *message = (const char *)row + cp_quarantine_pad(header->row_size);
    for (const uint8_t *pad = row + header->row_size; pad < (const uint8_t *)message; pad++) {
        if (*pad != 0)
            return false;
    }
    return message[header->message_size - 1] == '\0' &&
           cp_quarantine_checksum(header, row, message) == header->checksum;
}

int cp_quarantine_walk_next(cp_quarantine_walk *walk, const cp_quarantine_header **header, uint64_t *offset,
                            cp_error *err)
{
    int rc = 0;
    while (walk->at < walk->size) {
        if (window_hold(walk, sizeof **header, &rc, err) && cp_quarantine_header_plausible(header_at(walk)) &&
            window_hold(walk, cp_quarantine_record_size(header_at(walk)), &rc, err) &&
            record_sound(header_at(walk))) {
            *header = header_at(walk);
            *offset = walk->at;
            walk->at += cp_quarantine_record_size(*header);
            walk->sound = walk->at;
            return 1;
        }
        if (rc < 0)
            return rc;
        const uint64_t step = walk->size - walk->at < 8 ? walk->size - walk->at : 8;
        walk->damaged += step;
        walk->at += step;
    }
    return 0;
}

/* ---- all files ---------------------------------------------------------------------------------------------------- */

static int entry_compare(const void *a, const void *b)
{
    const cp_quarantine_entry *x = a;
    const cp_quarantine_entry *y = b;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    if (x->slot != y->slot)
        return x->slot < y->slot ? -1 : 1;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return 0;
}

static int entry_add(cp_quarantine_list *list, uint64_t *room, const cp_quarantine_header *header,
                     uint64_t offset, cp_error *err)
{
    if (list->count == *room) {
        *room = *room ? *room * 2 : 1024;
        cp_quarantine_entry *more = reallocarray(list->entries, *room, sizeof *more);
        if (!more)
            return cp_error_set(err, CP_E_NOMEM, "no memory for a list of %llu rows",
                                (unsigned long long)*room);
        list->entries = more;
    }
    list->entries[list->count++] = (cp_quarantine_entry){
        .epoch = header->epoch,
        .position = header->position,
        .refused_ns = header->refused_ns,
        .schema_hash = header->schema_hash,
        .offset = offset,
        .slot = header->slot,
        .size = header->row_size,
        .code = header->code,
        .together = header->together,
        .file = (uint16_t)(list->path_count - 1),
    };
    return CP_OK;
}

static int path_add(cp_quarantine_list *list, const char *path, cp_error *err)
{
    if (list->path_count == FILES_MAX)
        return cp_error_set(err, CP_E_TOO_BIG, "more than %d quarantine files of one table: empty the trash",
                            FILES_MAX);
    char **more = reallocarray(list->paths, list->path_count + 1u, sizeof *more);
    if (!more)
        return cp_error_set(err, CP_E_NOMEM, "no memory");
    list->paths = more;
    list->paths[list->path_count] = strdup(path);
    return list->paths[list->path_count++] ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory");
}

static int file_load(cp_quarantine_list *list, uint64_t *room, const char *path, cp_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? CP_OK
                               : cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    cp_quarantine_walk walk = {0};
    const cp_quarantine_header *header = NULL;
    uint64_t offset = 0;
    int rc = path_add(list, path, err);
    if (rc == CP_OK)
        rc = cp_quarantine_walk_begin(&walk, fd, err);
    while (rc == CP_OK && (rc = cp_quarantine_walk_next(&walk, &header, &offset, err)) > 0)
        rc = entry_add(list, room, header, offset, err);
    list->bytes += walk.size;
    list->damaged += walk.damaged;
    cp_quarantine_walk_end(&walk);
    close(fd);
    return rc;
}

static int trash_load(cp_quarantine_list *list, uint64_t *room, const char *dir, const char *table,
                      cp_error *err)
{
    char path[FILE_PATH];
    snprintf(path, sizeof path, "%s/trash", dir);
    DIR *trash = opendir(path);
    if (!trash)
        return errno == ENOENT ? CP_OK
                               : cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    int rc = CP_OK;
    const size_t length = strlen(table);
    const struct dirent *found;
    while (rc == CP_OK && (errno = 0, found = readdir(trash))) {
        if (strncmp(found->d_name, table, length) != 0 || found->d_name[length] != '.')
            continue;
        snprintf(path, sizeof path, "%s/trash/%s", dir, found->d_name);
        rc = file_load(list, room, path, err);
    }
    if (rc == CP_OK && errno != 0)
        rc = cp_error_errno(err, CP_E_IO, errno, "read directory %s/trash", dir);
    closedir(trash);
    return rc;
}

/* Sorts, and keeps one entry of each row. */
static void entries_settle(cp_quarantine_list *list)
{
    if (list->count == 0)
        return;
    qsort(list->entries, list->count, sizeof *list->entries, entry_compare);
    uint64_t kept = 1;
    for (uint64_t i = 1; i < list->count; i++) {
        if (entry_compare(&list->entries[kept - 1], &list->entries[i]) != 0)
            list->entries[kept++] = list->entries[i];
    }
    list->count = kept;
}

int cp_quarantine_load(cp_quarantine_list *list, const char *dir, const char *table, unsigned which,
                       cp_error *err)
{
    char path[FILE_PATH];
    uint64_t room = 0;
    int rc = CP_OK;
    *list = (cp_quarantine_list){0};
    if (which & CP_QUARANTINE_RETRYING) {
        snprintf(path, sizeof path, "%s/%s.retrying", dir, table);
        rc = file_load(list, &room, path, err);
    }
    if (rc == CP_OK && (which & CP_QUARANTINE_ROWS)) {
        snprintf(path, sizeof path, "%s/%s.rows", dir, table);
        rc = file_load(list, &room, path, err);
    }
    if (rc == CP_OK && (which & CP_QUARANTINE_TRASH))
        rc = trash_load(list, &room, dir, table, err);
    entries_settle(list);
    if (rc < 0)
        cp_quarantine_list_free(list);
    return rc;
}

void cp_quarantine_list_free(cp_quarantine_list *list)
{
    for (uint32_t i = 0; i < list->path_count; i++)
        free(list->paths[i]);
    free(list->paths);
    free(list->entries);
    *list = (cp_quarantine_list){0};
}

bool cp_quarantine_list_has(const cp_quarantine_list *list, uint64_t epoch, uint32_t slot, uint64_t position)
{
    const cp_quarantine_entry key = {.epoch = epoch, .slot = slot, .position = position};
    return list->count > 0 && bsearch(&key, list->entries, list->count, sizeof key, entry_compare) != NULL;
}

int cp_quarantine_read(const cp_quarantine_list *list, const cp_quarantine_entry *entry, uint8_t **buffer,
                       cp_quarantine_row *row, cp_error *err)
{
    const char *path = list->paths[entry->file];
    const size_t size = sizeof(cp_quarantine_header) + cp_quarantine_pad(entry->size) + CP_QUARANTINE_MESSAGE;
    uint8_t *bytes = realloc(*buffer, size);
    if (!bytes)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a row of %u bytes", entry->size);
    *buffer = bytes;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    const ssize_t got = pread(fd, bytes, size, (off_t)entry->offset);
    const int failed = got < 0 ? errno : 0;
    close(fd);
    if (failed)
        return cp_error_errno(err, CP_E_IO, failed, "read %s", path);
    const cp_quarantine_header *header = (const cp_quarantine_header *)(const void *)bytes;
    if (got < (ssize_t)sizeof *header || !cp_quarantine_header_plausible(header) ||
        header->row_size != entry->size || (uint64_t)got < cp_quarantine_record_size(header) ||
        !record_sound(header))
        return cp_error_set(err, CP_E_CORRUPT, "%s: there is no sound record at %llu any more", path,
                            (unsigned long long)entry->offset);
    *row = (cp_quarantine_row){
        .schema_hash = header->schema_hash,
        .epoch = header->epoch,
        .position = header->position,
        .refused_ns = header->refused_ns,
        .slot = header->slot,
        .code = header->code,
        .together = header->together,
        .size = header->row_size,
        .bytes = (const uint8_t *)(header + 1),
        .message = (const char *)(header + 1) + cp_quarantine_pad(header->row_size),
    };
    return CP_OK;
}
