#include "shm/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "shm/file.h"

const char *cp_ring_fault_name(uint32_t fault)
{
    static const char *const names[] = {"sound", "bad header", "bad position", "bad record",
                                        "truncated file"};
    return fault < sizeof names / sizeof names[0] ? names[fault] : "unknown fault";
}

/* ---- checking what is in the file ---------------------------------------------------------------------- */

/* count items of size bytes at offset lie inside the file, aligned. */
static bool area_fits(uint64_t offset, uint64_t count, uint64_t size, uint64_t file_size)
{
    return offset % CP_CACHE_LINE == 0 && offset <= file_size && count <= (file_size - offset) / size;
}

static int control_check_geometry(cp_control *control, const cp_abi_control *copy, const char *path,
                                  cp_error *err)
{
    if (copy->magic != CP_ABI_CONTROL_MAGIC)
        return cp_error_set(err, CP_E_CORRUPT,
                            "%s is no coldpath control file (or was never finished): remove it and run "
                            "`coldpath init`",
                            path);
    if (copy->abi_major != CP_ABI_MAJOR)
        return cp_error_set(
            err, CP_E_ABI,
            "%s has ABI version %u.%u, this program speaks %d.%d: drain the region with the version that "
            "made it, or remove its directory if its rows are no longer needed",
            path, copy->abi_major, copy->abi_minor, CP_ABI_MAJOR, CP_ABI_MINOR);
    const uint64_t size = control->size;
    if (copy->file_size != size || copy->table_count > CP_REGION_MAX_TABLES ||
        copy->ring_count > CP_REGION_MAX_TABLES * CP_REGION_MAX_SLOTS ||
        !area_fits(copy->directory_offset, copy->table_count, sizeof(cp_abi_table), size) ||
        !area_fits(copy->pressure_offset, copy->table_count, sizeof(cp_abi_pressure), size) ||
        !area_fits(copy->counters_offset, copy->table_count, sizeof(cp_abi_counters), size) ||
        !area_fits(copy->acks_offset, copy->ring_count, sizeof(cp_abi_ack), size) ||
        !area_fits(copy->intents_offset, copy->table_count, sizeof(cp_abi_intent), size) ||
        !area_fits(copy->measures_offset, copy->measures_offset ? copy->table_count : 0,
                   sizeof(cp_abi_measures), size) ||
        !area_fits(copy->latency_offset, copy->latency_offset ? copy->table_count : 0, sizeof(cp_abi_latency),
                   size) ||
        !area_fits(copy->endpoints_offset, copy->endpoints_offset ? CP_ABI_ENDPOINTS : 0,
                   sizeof(cp_abi_endpoint), size) ||
        !area_fits(copy->canary_offset, copy->canary_offset ? 1 : 0, sizeof(cp_abi_canary), size) ||
        !area_fits(copy->text_offset, copy->text_size, 1, size))
        return cp_error_set(err, CP_E_CORRUPT, "%s: its geometry contradicts itself", path);
    uint8_t *base = (uint8_t *)control->header;
    control->generation = copy->generation;
    control->table_count = copy->table_count;
    control->ring_count = copy->ring_count;
    control->pressure = (cp_abi_pressure *)(void *)(base + copy->pressure_offset);
    control->counters = (cp_abi_counters *)(void *)(base + copy->counters_offset);
    control->acks = (cp_abi_ack *)(void *)(base + copy->acks_offset);
    control->intents = (cp_abi_intent *)(void *)(base + copy->intents_offset);
    control->measures =
        copy->measures_offset ? (cp_abi_measures *)(void *)(base + copy->measures_offset) : NULL;
    control->latency = copy->latency_offset ? (cp_abi_latency *)(void *)(base + copy->latency_offset) : NULL;
    control->endpoints =
        copy->endpoints_offset ? (cp_abi_endpoint *)(void *)(base + copy->endpoints_offset) : NULL;
    control->canary = copy->canary_offset ? (cp_abi_canary *)(void *)(base + copy->canary_offset) : NULL;
    control->text = (const char *)base + copy->text_offset;
    control->text_size = copy->text_size;
    return CP_OK;
}

static bool table_is_sane(const cp_abi_table *table, uint32_t first_ring, const cp_control *control)
{
    return memchr(table->name, '\0', sizeof table->name) && table->name[0] != '\0' &&
           !strchr(table->name, '/') && table->slots >= 1 && table->slots <= CP_REGION_MAX_SLOTS &&
           table->first_ring == first_ring && table->first_ring + table->slots <= control->ring_count &&
           table->ring_size >= CP_RING_MIN_SIZE && table->ring_size <= CP_RING_MAX_SIZE &&
           (table->ring_size & (table->ring_size - 1)) == 0 && table->row_size >= 8 &&
           table->row_size <= table->row_max && table->row_max <= CP_MAX_ROW &&
           table->row_max <= table->ring_size / 4 && table->ddl_offset <= control->text_size &&
           table->ddl_size <= control->text_size - table->ddl_offset && table->ddl_size <= CP_MAX_DDL;
}

static int control_copy_directory(cp_control *control, uint64_t offset, const char *path, cp_error *err)
{
    control->directory = calloc(control->table_count + 1u, sizeof *control->directory);
    if (!control->directory)
        return cp_error_set(err, CP_E_NOMEM, "%s: no memory for its directory", path);
    memcpy(control->directory, (const uint8_t *)control->header + offset,
           control->table_count * sizeof *control->directory);
    uint32_t first_ring = 0;
    for (uint32_t i = 0; i < control->table_count; i++) {
        if (!table_is_sane(&control->directory[i], first_ring, control))
            return cp_error_set(err, CP_E_CORRUPT, "%s: entry %u of its table directory contradicts itself",
                                path, i);
        first_ring += control->directory[i].slots;
    }
    return CP_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static int control_map(cp_control *control, int fd, uint64_t size, bool writable, const char *path,
                       cp_error *err)
{
    if (size < sizeof(cp_abi_control) || size > CP_REGION_MAX_CONTROL)
        return cp_error_set(err, CP_E_CORRUPT,
                            "%s has %llu bytes, which no control file has: remove it and run "
                            "`coldpath init`",
                            path, (unsigned long long)size);
    const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "stat %s", path);
    void *base = mmap(NULL, size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (base == MAP_FAILED)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "map %s", path);
    control->header = base;
    control->size = size;
    control->writable = writable;
    control->device = status.st_dev;
    control->inode = status.st_ino;
    return CP_OK;
}

static int control_adopt(cp_control *control, const char *path, cp_error *err)
{
    cp_abi_control copy;
    const uint64_t magic =
        __atomic_load_n(&control->header->magic, __ATOMIC_ACQUIRE); /* vouches for the rest */
    memcpy(&copy, control->header, sizeof copy);
    copy.magic = magic;
    int rc = control_check_geometry(control, &copy, path, err);
    if (rc == CP_OK)
        rc = control_copy_directory(control, copy.directory_offset, path, err);
    return rc;
}

int cp_control_open(cp_control *control, const char *dir, bool writable, cp_error *err)
{
    memset(control, 0, sizeof *control);
    char path[CP_MAX_REGION_PATH];
    if (snprintf(path, sizeof path, "%s/control", dir) >= (int)sizeof path)
        return cp_error_set(err, CP_E_INVAL, "the region's path is longer than %d bytes", CP_MAX_REGION_PATH);
    uint64_t size = 0;
    const int fd = cp_file_open(path, writable ? O_RDWR : O_RDONLY, 0, &size, err);
    if (fd < 0) {
        if (fd == CP_E_ABSENT)
            return cp_error_set(err, CP_E_ABSENT, "no region at %s: run `coldpath init`, or start coldpathd",
                                dir);
        return fd;
    }
    int rc = control_map(control, fd, size, writable, path, err);
    close(fd);
    if (rc == CP_OK)
        rc = control_adopt(control, path, err);
    if (rc < 0)
        cp_control_close(control);
    return rc;
}

bool cp_control_in_place(const cp_control *control, const char *dir)
{
    char path[CP_MAX_REGION_PATH + sizeof "/control"];
    struct stat status;
    if (snprintf(path, sizeof path, "%s/control", dir) < (int)sizeof path && stat(path, &status) == 0)
        return status.st_dev == control->device && status.st_ino == control->inode;
    return errno != ENOENT && errno != ENOTDIR; /* of anything else nobody knows */
}

void cp_control_close(cp_control *control)
{
    if (control->header)
        munmap(control->header, control->size);
    free(control->directory);
    memset(control, 0, sizeof *control);
}

int cp_control_find(const cp_control *control, const char *table)
{
    for (uint32_t i = 0; i < control->table_count; i++) {
        if (strcmp(control->directory[i].name, table) == 0)
            return (int)i;
    }
    return -1;
}

int cp_control_parse_table(const cp_control *control, uint32_t index, cp_table **out, cp_error *err)
{
    const cp_abi_table *entry = &control->directory[index];
    cp_table *table = NULL;
    char *text = malloc(entry->ddl_size + 1u); /* a copy: the file may change while it is read */
    if (!text)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the definition of table %s", entry->name);
    memcpy(text, control->text + entry->ddl_offset, entry->ddl_size);
    const int rc = cp_table_parse(&table, entry->name, text, entry->ddl_size, err);
    free(text);
    if (rc < 0)
        return cp_error_prefix(err, "the region's definition of table %s", entry->name);
    if (table->schema_hash != entry->schema_hash || table->row_size != entry->row_size) {
        cp_table_free(table);
        return cp_error_set(err, CP_E_ABI,
                            "table %s: this program lays out its row otherwise than the program that made "
                            "the region; use one version of coldpath on both sides",
                            entry->name);
    }
    *out = table;
    return CP_OK;
}

/* ---- making -------------------------------------------------------------------------------------------- */

static uint64_t align_line(uint64_t value)
{
    return (value + CP_CACHE_LINE - 1) & ~(uint64_t)(CP_CACHE_LINE - 1);
}

static void control_plan(cp_abi_control *plan, const cp_control_table *tables, uint32_t count)
{
    uint64_t at = CP_ABI_HEADER_SIZE;
    plan->abi_major = CP_ABI_MAJOR;
    plan->abi_minor = CP_ABI_MINOR;
    plan->generation = cp_random_id();
    plan->created_ns = cp_realtime_ns();
    plan->table_count = count;
    for (uint32_t i = 0; i < count; i++) {
        plan->ring_count += tables[i].slots;
        plan->text_size += strlen(tables[i].table->create);
    }
    plan->directory_offset = at;
    at += count * sizeof(cp_abi_table);
    plan->pressure_offset = at;
    at += count * sizeof(cp_abi_pressure);
    plan->counters_offset = at;
    at += count * sizeof(cp_abi_counters);
    plan->acks_offset = at;
    at += plan->ring_count * sizeof(cp_abi_ack);
    plan->intents_offset = at;
    at += count * sizeof(cp_abi_intent);
    plan->measures_offset = at;
    at += count * sizeof(cp_abi_measures);
    plan->latency_offset = at;
    at += count * sizeof(cp_abi_latency);
    plan->endpoints_offset = at;
    at += CP_ABI_ENDPOINTS * sizeof(cp_abi_endpoint);
    plan->canary_offset = at;
    at += sizeof(cp_abi_canary);
    plan->text_offset = at;
    plan->file_size = align_line(at + plan->text_size);
}

static void control_fill(uint8_t *base, const cp_abi_control *plan, const cp_control_table *tables)
{
    cp_abi_table *directory = (cp_abi_table *)(void *)(base + plan->directory_offset);
    uint32_t ring = 0;
    uint64_t text = 0;
    memcpy(base, plan, sizeof *plan);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const cp_table *table = tables[i].table;
        cp_abi_table *entry = &directory[i];
        snprintf(entry->name, sizeof entry->name, "%s", table->name);
        entry->schema_hash = table->schema_hash;
        entry->ring_size = tables[i].ring_size;
        entry->slots = tables[i].slots;
        entry->first_ring = ring;
        entry->row_size = table->row_size;
        entry->row_max = tables[i].row_max;
        entry->critical = tables[i].critical;
        entry->ddl_offset = text;
        entry->ddl_size = (uint32_t)strlen(table->create);
        memcpy(base + plan->text_offset + text, table->create, entry->ddl_size);
        text += entry->ddl_size;
        ring += entry->slots;
    }
    __atomic_store_n(&((cp_abi_control *)(void *)base)->magic, CP_ABI_CONTROL_MAGIC, __ATOMIC_RELEASE);
}

static int control_allocate(int fd, uint64_t size, unsigned mode, unsigned gid, const char *path,
                            cp_error *err)
{
    if (fchmod(fd, mode) < 0 || (gid != (unsigned)-1 && fchown(fd, (uid_t)-1, gid) < 0))
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "set mode and group of %s", path);
    const int rc = posix_fallocate(fd, 0, (off_t)size);
    if (rc != 0)
        return cp_error_errno(err, rc == ENOSPC ? CP_E_NOMEM : CP_E_IO, rc, "allocate %llu bytes for %s",
                              (unsigned long long)size, path);
    return CP_OK;
}

int cp_control_create(cp_control *control, const char *dir, const char *name, const char *namespace_name,
                      const cp_control_table *tables, uint32_t table_count, unsigned mode, unsigned gid,
                      cp_error *err)
{
    memset(control, 0, sizeof *control);
    cp_abi_control plan = {0};
    control_plan(&plan, tables, table_count);
    snprintf(plan.namespace_name, sizeof plan.namespace_name, "%s", namespace_name);
    char path[CP_MAX_REGION_PATH];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return cp_error_set(err, CP_E_INVAL, "the region's path is longer than %d bytes", CP_MAX_REGION_PATH);
    if (plan.file_size > CP_REGION_MAX_CONTROL)
        return cp_error_set(err, CP_E_TOO_BIG, "%s would need %llu bytes, more than the limit of %d", path,
                            (unsigned long long)plan.file_size, CP_REGION_MAX_CONTROL);
    unlink(path);
    const int fd = cp_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, err);
    if (fd < 0)
        return fd;
    int rc = control_allocate(fd, plan.file_size, mode, gid, path, err);
    if (rc == CP_OK)
        rc = control_map(control, fd, plan.file_size, true, path, err);
    close(fd);
    if (rc == CP_OK) {
        control_fill((uint8_t *)control->header, &plan, tables);
        rc = control_adopt(control, path, err);
    }
    if (rc < 0) {
        cp_control_close(control);
        unlink(path);
    }
    return rc;
}

bool cp_control_matches(const cp_control *control, const cp_control_table *tables, uint32_t table_count)
{
    if (control->table_count != table_count || !control->measures || !control->latency ||
        !control->endpoints || !control->canary)
        return false;
    for (uint32_t i = 0; i < table_count; i++) {
        const cp_abi_table *entry = &control->directory[i];
        const size_t ddl_size = strlen(tables[i].table->create);
        if (strcmp(entry->name, tables[i].table->name) != 0 || entry->ring_size != tables[i].ring_size ||
            entry->slots != tables[i].slots || entry->row_max != tables[i].row_max ||
            entry->critical != tables[i].critical || entry->ddl_size != ddl_size ||
            memcmp(control->text + entry->ddl_offset, tables[i].table->create, ddl_size) != 0)
            return false;
    }
    return true;
}
