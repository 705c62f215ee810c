#include "shm/region.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "shm/ack.h"
#include "shm/file.h"
#include "shm/lock.h"
#include "shm/ring_file.h"

enum { NO_GROUP = -1 };

/* ---- directory and lock -------------------------------------------------------------------------------- */

/* mkdir -p; parents that are made get mode 0755, so that other namespaces' users can pass through. */
static int make_parents(const char *dir, cp_error *err)
{
    char path[CP_MAX_REGION_PATH];
    if (dir[0] != '/' || snprintf(path, sizeof path, "%s", dir) >= (int)sizeof path)
        return cp_error_set(err, CP_E_INVAL,
                            "the region's directory must be an absolute path of at most %d bytes: '%s'",
                            CP_MAX_REGION_PATH, dir);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool made = mkdir(path, 0755) == 0;
        if (made ? chmod(path, 0755) < 0 : errno != EEXIST) /* whatever the umask is */
            return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "make directory %s", path);
        *slash = '/';
    }
    return CP_OK;
}

static unsigned directory_mode(unsigned file_mode)
{
    /* Those who may read files may list and enter; only the owner makes and removes files. */
    return 0700 | ((file_mode & 0040) ? 0050u : 0) | ((file_mode & 0004) ? 0005u : 0);
}

static int set_access(int fd, const char *path, unsigned mode, unsigned gid, cp_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || ((status.st_mode & 07777) != mode && fchmod(fd, mode) < 0) ||
        (gid != (unsigned)NO_GROUP && status.st_gid != gid && fchown(fd, (uid_t)-1, gid) < 0))
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "set mode and group of %s", path);
    return CP_OK;
}

/* Who can replace files in the directory can pass for the recorder: it has to be this user's, and nobody else's to write to. */
static int check_directory(int fd, const char *dir, uid_t *user, cp_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "stat %s", dir);
    *user = status.st_uid;
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return cp_error_set(
            err, CP_E_PERM,
            "%s belongs to user %u, but this is run by user %u: run it as that user, or name another "
            "region.dir or namespace",
            dir, (unsigned)status.st_uid, (unsigned)geteuid());
    if (status.st_uid != geteuid() && (status.st_mode & S_IWOTH))
        return cp_error_set(err, CP_E_PERM, "everyone can replace files in %s: chmod o-w %s", dir, dir);
    return CP_OK;
}

static int make_directory(const cp_region_spec *spec, unsigned gid, cp_error *err)
{
    int rc = make_parents(spec->dir, err);
    if (rc < 0)
        return rc;
    if (mkdir(spec->dir, 0700) < 0 && errno != EEXIST)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno,
                              "make directory %s (its parent has to let this user; else make it for the user "
                              "beforehand)",
                              spec->dir);
    const int fd = open(spec->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    uid_t user = 0;
    if (fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open directory %s", spec->dir);
    rc = check_directory(fd, spec->dir, &user, err);
    if (rc == CP_OK && user == geteuid())
        rc = set_access(fd, spec->dir, directory_mode(spec->file_mode), gid, err);
    close(fd);
    return rc;
}

static int find_group(const char *name, unsigned *gid, cp_error *err)
{
    *gid = (unsigned)NO_GROUP;
    if (!name)
        return CP_OK;
    const struct group *group = getgrnam(name);
    if (!group)
        return cp_error_set(err, CP_E_INVAL, "group '%s' does not exist on this host", name);
    *gid = group->gr_gid;
    return CP_OK;
}

static int take_lock(cp_region_owner *owner, const char *dir, cp_error *err)
{
    char path[CP_MAX_REGION_PATH];
    if (snprintf(path, sizeof path, "%s/recorder.lock", dir) >= (int)sizeof path)
        return cp_error_set(err, CP_E_INVAL, "the region's path is longer than %d bytes", CP_MAX_REGION_PATH);
    owner->lock_fd = cp_file_open(path, O_RDWR | O_CREAT, 0644, NULL, err);
    if (owner->lock_fd < 0)
        return owner->lock_fd;
    if (fchmod(owner->lock_fd, 0644) < 0 && errno != EPERM)
        return cp_error_errno(err, CP_E_IO, errno, "set mode of %s", path);
    const int rc = cp_lock_take(owner->lock_fd);
    if (rc == -EAGAIN)
        return cp_error_set(err, CP_E_BUSY,
                            "another recorder runs on %s: stop it first (`coldpath status` shows its pid)",
                            dir);
    if (rc < 0)
        return cp_error_errno(err, CP_E_IO, -rc, "lock %s", path);
    return CP_OK;
}

bool cp_region_is_owned(const char *dir)
{
    char path[CP_MAX_REGION_PATH];
    if (snprintf(path, sizeof path, "%s/recorder.lock", dir) >= (int)sizeof path)
        return false;
    const int fd = cp_file_open(path, O_RDONLY, 0, NULL, NULL);
    if (fd < 0)
        return false;
    const bool held = cp_lock_held(fd);
    close(fd);
    return held;
}

/* ---- replacing a control file -------------------------------------------------------------------------- */

/* The entry of the old control file whose rings the new table can go on with, or -1. */
static int find_survivor(const cp_control *old, const cp_abi_table *table)
{
    const int index = old->header ? cp_control_find(old, table->name) : -1;
    if (index < 0)
        return -1;
    const cp_abi_table *entry = &old->directory[index];
    const bool same = entry->schema_hash == table->schema_hash && entry->ring_size == table->ring_size &&
                      entry->row_size == table->row_size && entry->slots <= table->slots;
    return same ? index : -1;
}

/* Locks of the rings that are to be replaced or removed, from the look at them until nobody can find them any more. */
typedef struct ring_locks {
    int *fds;
    uint32_t count;
} ring_locks;

static void ring_locks_release(ring_locks *locks)
{
    while (locks->count > 0)
        close(locks->fds[--locks->count]);
    free(locks->fds);
    locks->fds = NULL;
}

/* Keeps producers out of a slot. CP_E_BUSY: it has one. CP_E_ABSENT, CP_E_CORRUPT: there is no such ring. */
static int ring_locks_take(ring_locks *locks, const char *dir, const char *table, uint32_t slot,
                           cp_error *err)
{
    char path[CP_MAX_REGION_PATH];
    int rc = cp_ring_path(path, dir, table, slot, err);
    if (rc < 0)
        return rc;
    int *fds = realloc(locks->fds, (locks->count + 1) * sizeof *fds);
    if (!fds)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the locks of the rings");
    locks->fds = fds;
    const int fd = cp_file_open(path, O_RDWR, 0, NULL, err);
    if (fd < 0)
        return fd;
    fds[locks->count++] = fd;
    return cp_ring_lock(fd, path, err);
}

/* CP_OK when a ring of an old table, which locks keeps producers out of, holds no row that was not consumed. */
static int require_empty(const char *dir, const cp_control *old, uint32_t table, uint32_t slot, cp_error *err)
{
    const cp_abi_table *entry = &old->directory[table];
    cp_ring_map map;
    cp_abi_ack ack;
    struct cp_ring_hot hot;
    const int rc = cp_ring_map_open(&map, dir, entry, slot, CP_RING_READ, err);
    if (rc == CP_E_ABSENT || rc == CP_E_CORRUPT)
        return CP_OK; /* nothing there that could be read */
    if (rc < 0)
        return cp_error_prefix(err, "cannot look into slot %u of table %s, which the configuration changes",
                               slot, entry->name);
    cp_ack_read(cp_control_ack(old, table, slot), &ack);
    const ssize_t got = pread(map.fd, &hot, sizeof hot, CP_ABI_RING_HOT_OFFSET);
    const int errnum = errno;
    cp_ring_map_close(&map);
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errnum, "cannot look into slot %u of table %s", slot,
                              entry->name);
    if (got != (ssize_t)sizeof hot || hot.published == ack.consumed)
        return CP_OK;
    return cp_error_set(
        err, CP_E_BUSY,
        "table %s is changed or removed by the configuration, but slot %u of its old form still "
        "holds rows: run the recorder with the old configuration until they are delivered",
        entry->name, slot);
}

/* CP_OK when no ring of the old table is in use, no producer, no row that was not consumed; and none can come to be as long as the
 * locks are held. */
static int require_unused(const char *dir, const cp_control *old, uint32_t table, ring_locks *locks,
                          cp_error *err)
{
    const cp_abi_table *entry = &old->directory[table];
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        int rc = ring_locks_take(locks, dir, entry->name, slot, err);
        if (rc == CP_E_ABSENT || rc == CP_E_CORRUPT)
            continue;
        if (rc == CP_E_BUSY)
            return cp_error_set(err, CP_E_BUSY,
                                "table %s is changed or removed by the configuration, but slot %u of its old "
                                "form has a producer: stop the producer first",
                                entry->name, slot);
        if (rc == CP_OK)
            rc = require_empty(dir, old, table, slot, err);
        if (rc < 0)
            return rc;
    }
    return CP_OK;
}

/* CP_OK when the log of the old table holds nothing that ClickHouse does not have: nobody would deliver it any more. */
static int require_log_delivered(const char *dir, const cp_control *old, uint32_t table, cp_error *err)
{
    const cp_abi_table *entry = &old->directory[table];
    int64_t rows = 0;
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        cp_abi_ack ack;
        cp_ack_read(cp_control_ack(old, table, slot), &ack);
        rows += (int64_t)(ack.consumed_rows - cp_ack_settled_rows(&ack));
    }
    if (rows <= 0)
        return CP_OK;
    return cp_error_set(
        err, CP_E_BUSY,
        "table %s is changed, removed or no longer critical by the configuration, but its log holds "
        "%lld rows that ClickHouse does not have: run the recorder with the old configuration until "
        "they are delivered (if the log is lost, and they with it, remove %s)",
        entry->name, (long long)rows, dir);
}

/* CP_OK when no batch of the old table is set aside: rows of another form would find no table to be sent to. */
static int require_none_held(const cp_control *old, uint32_t table, cp_error *err)
{
    const cp_abi_table *entry = &old->directory[table];
    uint64_t rows = 0;
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        cp_abi_ack ack;
        cp_ack_read(cp_control_ack(old, table, slot), &ack);
        rows += ack.held_rows;
    }
    if (rows == 0)
        return CP_OK;
    return cp_error_set(
        err, CP_E_BUSY,
        "table %s is changed or removed by the configuration, but %llu rows of its old form are "
        "set aside for an endpoint that is away: run the recorder with the old configuration "
        "until they are delivered, or with clickhouse.abandoned when it will not come back",
        entry->name, (unsigned long long)rows);
}

static int check_old_tables(const char *dir, const cp_control *old, const cp_control *new, ring_locks *locks,
                            cp_error *err)
{
    for (uint32_t i = 0; i < old->table_count; i++) {
        const int successor = cp_control_find(new, old->directory[i].name);
        const bool survives = successor >= 0 && find_survivor(old, &new->directory[successor]) == (int)i;
        int rc = CP_OK;
        if (old->directory[i].critical && !(survives && new->directory[successor].critical))
            rc = require_log_delivered(dir, old, i, err);
        if (rc == CP_OK && !survives)
            rc = require_unused(dir, old, i, locks, err);
        if (rc == CP_OK && !survives)
            rc = require_none_held(old, i, err);
        if (rc < 0)
            return rc;
    }
    return CP_OK;
}

static void adopt_table(cp_control *new, uint32_t to, const cp_control *old, uint32_t from)
{
    new->counters[to] = old->counters[from];
    new->pressure[to] = old->pressure[from];
    if (old->measures)
        new->measures[to] = old->measures[from];
    if (old->latency)
        new->latency[to] = old->latency[from];
    new->intents[to] = old->intents[from];
    /* With the sequence number: it says of one that a killed recorder left half written that it is. */
    for (uint32_t slot = 0; slot < old->directory[from].slots; slot++)
        *cp_control_ack(new, to, slot) = *cp_control_ack(old, from, slot);
}

/* A table that has another form than before: all that outlives that is what an operator did to it. */
static void adopt_steering(cp_control *new, uint32_t to, const cp_control *old)
{
    const int from = old->header ? cp_control_find(old, new->directory[to].name) : -1;
    if (from < 0)
        return;
    new->counters[to].paused_since_ns = old->counters[from].paused_since_ns;
    if (!new->directory[to].critical)
        new->pressure[to].forced = old->pressure[from].forced;
}

static int make_rings(const cp_region_spec *spec, unsigned gid, cp_control *new, uint32_t table,
                      uint32_t first_slot, cp_error *err)
{
    for (uint32_t slot = first_slot; slot < new->directory[table].slots; slot++) {
        cp_abi_ack ack = {0};
        const int rc =
            cp_ring_create(spec->dir, &new->directory[table], slot, spec->file_mode, gid, &ack.epoch, err);
        if (rc < 0)
            return rc;
        cp_ack_write(cp_control_ack(new, table, slot), &ack);
    }
    return CP_OK;
}

/* Of tables that are gone, and of slots that a table has no more. */
static void remove_dropped_rings(const char *dir, const cp_control *old, const cp_control *new)
{
    for (uint32_t i = 0; i < old->table_count; i++) {
        const int successor = cp_control_find(new, old->directory[i].name);
        uint32_t slot = successor < 0 ? 0 : new->directory[successor].slots;
        for (; slot < old->directory[i].slots; slot++) {
            char path[CP_MAX_REGION_PATH];
            if (cp_ring_path(path, dir, old->directory[i].name, slot, NULL) == CP_OK)
                unlink(path);
        }
    }
}

static int fill_region(const cp_region_spec *spec, unsigned gid, const cp_control *old, cp_control *new,
                       ring_locks *locks, cp_error *err)
{
    int rc = old->header ? check_old_tables(spec->dir, old, new, locks, err) : CP_OK;
    if (old->header) {
        new->header->sent_day = old->header->sent_day;
        new->header->sent_bytes = old->header->sent_bytes;
        if (old->endpoints)
            memcpy(new->endpoints, old->endpoints, CP_ABI_ENDPOINTS * sizeof *new->endpoints);
        new->header->commands = old->header->commands;
        new->header->commands_refused = old->header->commands_refused;
    }
    if (old->header && old->canary)
        *new->canary = *old->canary;
    for (uint32_t i = 0; rc == CP_OK && i < new->table_count; i++) {
        uint32_t kept = 0;
        const int survivor = find_survivor(old, &new->directory[i]);
        if (survivor >= 0) {
            adopt_table(new, i, old, (uint32_t)survivor);
            kept = old->directory[survivor].slots;
        } else {
            adopt_steering(new, i, old);
        }
        rc = make_rings(spec, gid, new, i, kept, err);
    }
    return rc;
}

/* Exchanges the control files. The old one is retired first: once renamed over, nobody could find it to tell its producers. */
static int exchange(cp_control *old, const char *from, const char *to, cp_error *err)
{
    uint32_t state = CP_RECORDER_NONE;
    if (old->header) {
        state = __atomic_exchange_n(&old->header->state, CP_RECORDER_RETIRED, __ATOMIC_ACQ_REL);
        cp_failpoint(CP_FP_REGION_RETIRED);
    }
    if (rename(from, to) == 0)
        return CP_OK;
    const int errnum = errno;
    if (old->header)
        __atomic_store_n(&old->header->state, state, __ATOMIC_RELEASE);
    return cp_error_errno(err, CP_E_IO, errnum, "rename %s to %s", from, to);
}

/* Whoever may put may read it. */
static unsigned control_mode(const cp_region_spec *spec)
{
    return 0600 | (spec->file_mode & 0044);
}

/* Builds the new control file as control.new, and makes it the region's with one rename. */
static int put_in_place(cp_region_owner *owner, const cp_region_spec *spec, unsigned gid, ring_locks *locks,
                        cp_error *err)
{
    cp_control new;
    int rc = cp_control_create(&new, spec->dir, "control.new", spec->namespace_name, spec->tables,
                               spec->table_count, control_mode(spec), gid, err);
    if (rc < 0)
        return rc;
    char from[CP_MAX_REGION_PATH];
    char to[CP_MAX_REGION_PATH];
    snprintf(from, sizeof from, "%s/control.new", spec->dir);
    snprintf(to, sizeof to, "%s/control", spec->dir);
    rc = fill_region(spec, gid, &owner->control, &new, locks, err);
    cp_failpoint(CP_FP_REGION_FILLED);
    if (rc == CP_OK)
        rc = exchange(&owner->control, from, to, err);
    if (rc < 0) {
        unlink(from);
        cp_control_close(&new);
        return rc;
    }
    cp_failpoint(CP_FP_REGION_REPLACED);
    if (owner->control.header) {
        remove_dropped_rings(spec->dir, &owner->control, &new);
        cp_control_close(&owner->control);
    }
    owner->control = new;
    owner->created = true;
    return CP_OK;
}

static int replace_control(cp_region_owner *owner, const cp_region_spec *spec, unsigned gid, cp_error *err)
{
    ring_locks locks = {0};
    const int rc = put_in_place(owner, spec, gid, &locks, err);
    ring_locks_release(&locks);
    return rc;
}

/* ---- owning -------------------------------------------------------------------------------------------- */

/* True when a ring's file is not the one that the control file knows, and nothing was ever put into it: an init that was
 * killed before its control file was in place has left it. */
static bool ring_is_left_over(const char *path, uint64_t known_epoch)
{
    cp_abi_ring header;
    struct cp_ring_hot hot;
    const int fd = cp_file_open(path, O_RDONLY, 0, NULL, NULL);
    if (fd < 0)
        return false;
    const bool read = pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                      pread(fd, &hot, sizeof hot, CP_ABI_RING_HOT_OFFSET) == (ssize_t)sizeof hot;
    const bool left_over = read && header.magic == CP_ABI_RING_MAGIC && header.epoch != known_epoch &&
                           hot.published == 0 && !cp_lock_held(fd);
    close(fd);
    return left_over;
}

/* region.mode and group may have been changed since the file was made. */
static int grant(const char *path, unsigned mode, unsigned gid, cp_error *err)
{
    const int fd = cp_file_open(path, O_RDONLY, 0, NULL, NULL);
    if (fd < 0)
        return CP_OK; /* no regular file: the drain will say so */
    const int rc = set_access(fd, path, mode, gid, err);
    close(fd);
    return rc;
}

static int mend_ring(cp_region_owner *owner, const cp_region_spec *spec, unsigned gid, uint32_t table,
                     uint32_t slot, cp_error *err)
{
    const cp_abi_table *entry = &owner->control.directory[table];
    cp_abi_ack *shared = cp_control_ack(&owner->control, table, slot);
    char path[CP_MAX_REGION_PATH];
    int rc = cp_ring_path(path, spec->dir, entry->name, slot, err);
    if (rc < 0)
        return rc;
    const bool missing = access(path, F_OK) != 0 && errno == ENOENT;
    if (!missing && !ring_is_left_over(path, shared->epoch))
        return grant(path, spec->file_mode, gid, err);
    cp_abi_ack ack = {0};
    rc = cp_ring_create(spec->dir, entry, slot, spec->file_mode, gid, &ack.epoch, err);
    if (rc == CP_OK)
        cp_ack_write(shared, &ack);
    return rc;
}

/* Rings may be missing although the control file is there: removed by hand, or an init was killed half-way. */
static int mend_rings(cp_region_owner *owner, const cp_region_spec *spec, unsigned gid, cp_error *err)
{
    char control[CP_MAX_REGION_PATH];
    if (snprintf(control, sizeof control, "%s/control", spec->dir) < (int)sizeof control) {
        const int rc = grant(control, control_mode(spec), gid, err);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < owner->control.table_count; i++) {
        for (uint32_t slot = 0; slot < owner->control.directory[i].slots; slot++) {
            const int rc = mend_ring(owner, spec, gid, i, slot, err);
            if (rc < 0)
                return rc;
        }
    }
    return CP_OK;
}

int cp_region_own(cp_region_owner *owner, const cp_region_spec *spec, cp_error *err)
{
    memset(owner, 0, sizeof *owner);
    owner->lock_fd = -1;
    unsigned gid;
    int rc = find_group(spec->group, &gid, err);
    if (rc == CP_OK)
        rc = make_directory(spec, gid, err);
    if (rc == CP_OK)
        rc = take_lock(owner, spec->dir, err);
    if (rc == CP_OK) {
        rc = cp_control_open(&owner->control, spec->dir, true, err);
        if (rc == CP_E_ABSENT ||
            (rc == CP_OK && !cp_control_matches(&owner->control, spec->tables, spec->table_count)))
            rc = replace_control(owner, spec, gid, err);
    }
    if (rc == CP_OK)
        rc = mend_rings(owner, spec, gid, err);
    if (rc == CP_OK && !(owner->dir = strdup(spec->dir)))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory");
    if (rc < 0)
        cp_region_release(owner);
    return rc;
}

void cp_region_release(cp_region_owner *owner)
{
    cp_control_close(&owner->control);
    if (owner->lock_fd >= 0)
        close(owner->lock_fd);
    free(owner->dir);
    memset(owner, 0, sizeof *owner);
    owner->lock_fd = -1;
}
