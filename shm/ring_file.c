#include "shm/ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "shm/file.h"
#include "shm/lock.h"

int cp_ring_path(char path[CP_MAX_REGION_PATH], const char *dir, const char *table, uint32_t slot,
                 cp_error *err)
{
    if (snprintf(path, CP_MAX_REGION_PATH, "%s/%s.%u.ring", dir, table, slot) >= CP_MAX_REGION_PATH)
        return cp_error_set(err, CP_E_INVAL, "the path of a ring is longer than %d bytes",
                            CP_MAX_REGION_PATH);
    return CP_OK;
}

/* ---- creating ------------------------------------------------------------------------------------------ */

static int ring_write_header(int fd, const cp_abi_table *table, uint32_t slot, uint64_t *epoch)
{
    cp_abi_ring header = {
        .abi_major = CP_ABI_MAJOR,
        .abi_minor = CP_ABI_MINOR,
        .epoch = cp_random_id(),
        .data_size = table->ring_size,
        .data_offset = CP_ABI_RING_DATA_OFFSET,
        .slot = slot,
    };
    memcpy(header.table, table->name, sizeof header.table);
    const uint64_t magic = CP_ABI_RING_MAGIC;
    if (pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        pwrite(fd, &magic, sizeof magic, 0) != (ssize_t)sizeof magic)
        return -1;
    *epoch = header.epoch;
    return 0;
}

int cp_ring_create(const char *dir, const cp_abi_table *table, uint32_t slot, unsigned mode, unsigned gid,
                   uint64_t *epoch, cp_error *err)
{
    char path[CP_MAX_REGION_PATH];
    char temporary[CP_MAX_REGION_PATH + 8];
    int rc = cp_ring_path(path, dir, table->name, slot, err);
    if (rc < 0)
        return rc;
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    unlink(temporary);
    const int fd = cp_file_open(temporary, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, err);
    if (fd < 0)
        return fd;
    const off_t size = (off_t)(CP_ABI_RING_DATA_OFFSET + table->ring_size);
    rc = CP_OK;
    if (fchmod(fd, mode) < 0 || (gid != (unsigned)-1 && fchown(fd, (uid_t)-1, gid) < 0) ||
        ftruncate(fd, size) < 0 || ring_write_header(fd, table, slot, epoch) < 0 ||
        rename(temporary, path) < 0)
        rc = cp_error_errno(err, errno == ENOSPC ? CP_E_NOMEM : cp_error_code_of_errno(errno), errno,
                            "make %s", path);
    close(fd);
    if (rc < 0)
        unlink(temporary);
    return rc;
}

/* ---- mapping ------------------------------------------------------------------------------------------- */

/* Of x86-64. A file's huge page is mapped as one only where its address is as far from such a boundary as its place in the
 * file. Whether there are any, the file system decides (tmpfs: huge=). */
enum { HUGE_PAGE = 2 << 20 };

static int ring_map_areas(cp_ring_map *map, int protection, const char *path, cp_error *err)
{
    /* One reservation, then the file's head and its data twice placed into it. */
    map->map_size = CP_ABI_RING_DATA_OFFSET + 2 * (size_t)map->data_size;
    map->reserved_size = map->map_size + HUGE_PAGE;
    map->reserved =
        mmap(NULL, map->reserved_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map->reserved == MAP_FAILED)
        return cp_error_errno(err, CP_E_NOMEM, errno, "reserve %zu bytes of addresses for %s",
                              map->reserved_size, path);
    uint8_t *base = (uint8_t *)map->reserved + -(uintptr_t)map->reserved % HUGE_PAGE;
    map->header = (cp_abi_ring *)(void *)base;
    const size_t whole = CP_ABI_RING_DATA_OFFSET + (size_t)map->data_size;
    const int flags = MAP_SHARED | MAP_FIXED;
    if (mmap(base, whole, protection, flags, map->fd, 0) == MAP_FAILED ||
        mmap(base + whole, (size_t)map->data_size, protection, flags, map->fd, CP_ABI_RING_DATA_OFFSET) ==
            MAP_FAILED)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "map %s", path);
    map->hot = (struct cp_ring_hot *)(void *)(base + CP_ABI_RING_HOT_OFFSET);
    map->counters = (cp_abi_ring_counters *)(void *)(base + CP_ABI_RING_COUNTERS_OFFSET);
    map->data = base + CP_ABI_RING_DATA_OFFSET;
    return CP_OK;
}

/* Faults every page in for writing, in both mappings, leaving its bytes alone. */
static void ring_prefault(cp_ring_map *map)
{
#ifdef MADV_POPULATE_WRITE
    if (madvise(map->header, map->map_size, MADV_POPULATE_WRITE) == 0)
        return;
#endif
    uint8_t *base = (uint8_t *)map->header;
    for (size_t at = 0; at < map->map_size; at += 4096)
        __atomic_fetch_or(base + at, 0, __ATOMIC_RELAXED);
}

int cp_ring_lock(int fd, const char *path, cp_error *err)
{
    struct stat locked;
    struct stat named;
    const int rc = cp_lock_take(fd);
    if (rc == -EAGAIN)
        return cp_error_set(err, CP_E_BUSY, "%s has a producer", path);
    if (rc < 0)
        return cp_error_errno(err, CP_E_IO, -rc, "lock %s", path);
    if (fstat(fd, &locked) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "stat %s", path);
    if (stat(path, &named) < 0 || named.st_dev != locked.st_dev || named.st_ino != locked.st_ino)
        return cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; attach again", path);
    return CP_OK;
}

static int ring_make_ready(cp_ring_map *map, const char *path, cp_error *err)
{
    const int locked = cp_ring_lock(map->fd, path, err);
    if (locked < 0)
        return locked;
    const int rc = posix_fallocate(map->fd, 0, (off_t)(CP_ABI_RING_DATA_OFFSET + map->data_size));
    if (rc != 0)
        return cp_error_errno(
            err, rc == ENOSPC ? CP_E_NOMEM : CP_E_IO, rc,
            "allocate %llu bytes of shared memory for %s (is /dev/shm too small, or ring_size too big?)",
            (unsigned long long)map->data_size, path);
    return CP_OK;
}

/* Reads it rather than to look into the mapping: the producer may have made the file shorter since its size was asked for, and nobody
 * is guarded here. */
static int ring_check_header(cp_ring_map *map, const cp_abi_table *table, uint32_t slot, const char *path,
                             cp_error *err)
{
    cp_abi_ring copy;
    const ssize_t got = pread(map->fd, &copy, sizeof copy, 0);
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errno, "read %s", path);
    if (got != (ssize_t)sizeof copy || copy.magic != CP_ABI_RING_MAGIC)
        return cp_error_set(err, CP_E_CORRUPT, "%s is no ring file", path);
    if (copy.abi_major != CP_ABI_MAJOR)
        return cp_error_set(err, CP_E_ABI, "%s has ABI version %u, this program speaks %d", path,
                            copy.abi_major, CP_ABI_MAJOR);
    if (copy.data_size != map->data_size || copy.data_offset != CP_ABI_RING_DATA_OFFSET ||
        copy.slot != slot || strncmp(copy.table, table->name, sizeof copy.table) != 0)
        return cp_error_set(err, CP_E_CORRUPT, "%s contradicts the control file: table, slot or size differ",
                            path);
    map->epoch = copy.epoch;
    return CP_OK;
}

int cp_ring_map_open(cp_ring_map *map, const char *dir, const cp_abi_table *table, uint32_t slot,
                     cp_ring_access access, cp_error *err)
{
    memset(map, 0, sizeof *map);
    map->fd = -1;
    map->data_size = table->ring_size;
    char path[CP_MAX_REGION_PATH];
    int rc = cp_ring_path(path, dir, table->name, slot, err);
    if (rc < 0)
        return rc;
    uint64_t size = 0;
    map->fd = cp_file_open(path, access == CP_RING_WRITE ? O_RDWR : O_RDONLY, 0, &size, err);
    if (map->fd < 0)
        return map->fd;
    if (size != CP_ABI_RING_DATA_OFFSET + map->data_size)
        rc = cp_error_set(err, CP_E_CORRUPT, "%s has %llu bytes, the control file says %llu", path,
                          (unsigned long long)size,
                          (unsigned long long)(CP_ABI_RING_DATA_OFFSET + map->data_size));
    if (rc == CP_OK && access == CP_RING_WRITE)
        rc = ring_make_ready(map, path, err);
    if (rc == CP_OK)
        rc = ring_map_areas(map, access == CP_RING_WRITE ? PROT_READ | PROT_WRITE : PROT_READ, path, err);
    if (rc == CP_OK)
        rc = ring_check_header(map, table, slot, path, err);
    if (rc == CP_OK && access == CP_RING_WRITE)
        ring_prefault(map);
    if (rc < 0)
        cp_ring_map_close(map);
    return rc;
}

void cp_ring_map_close(cp_ring_map *map)
{
    if (map->header)
        munmap(map->reserved, map->reserved_size);
    if (map->fd >= 0)
        close(map->fd);
    memset(map, 0, sizeof *map);
    map->fd = -1;
}

bool cp_ring_count_rows(const uint8_t *data, uint64_t data_size, uint64_t from, uint64_t to, uint64_t *rows)
{
    *rows = 0;
    uint64_t left = to - from;
    if (left > data_size || left % CP_RECORD_PREFIX != 0 || from % CP_RECORD_PREFIX != 0)
        return false;
    while (left > 0) {
        /* Once: whoever writes there may do so now. */
        const uint32_t size = __atomic_load_n(
            (const uint32_t *)(const void *)(data + (from & (data_size - 1))), __ATOMIC_RELAXED);
        const uint64_t need = cp_record_size_(size);
        if (size == 0 || need > left)
            return false;
        from += need;
        left -= need;
        ++*rows;
    }
    return true;
}
