#include "recorder/log_open.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/dir.h"
#include "base/error.h"
#include "recorder/log_buffer.h"
#include "shm/control.h"

/* Names this boot: what memory says of a log holds for no other. 0: not known. */
static uint64_t boot_name(void)
{
    unsigned long high = 0;
    unsigned low = 0;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    const bool read = file && fscanf(file, "%8lx-%4x", &high, &low) == 2;
    if (file)
        fclose(file);
    return read ? (uint64_t)high << 16 | low : 0;
}

cp_wal_known cp_log_known(const cp_abi_counters *memory)
{
    const uint64_t boot = boot_name();
    const uint64_t id = __atomic_load_n(&memory->log_id, __ATOMIC_ACQUIRE);
    return (cp_wal_known){.id = boot && id ? id ^ boot : 0,
                          .durable_lsn = __atomic_load_n(&memory->log_durable_lsn, __ATOMIC_RELAXED)};
}

void cp_log_remember(const cp_wal *wal, cp_abi_counters *memory)
{
    const uint64_t boot = boot_name();
    __atomic_store_n(&memory->log_id, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&memory->log_durable_lsn, cp_wal_durable(wal), __ATOMIC_RELEASE);
    __atomic_store_n(&memory->log_id, boot ? cp_wal_id(wal) ^ boot : 0, __ATOMIC_RELEASE);
}

/* Parents of the namespace's directory let other namespaces' users pass; it does not let them in. */
static int make_directories(const char *path, cp_error *err)
{
    char part[CP_MAX_REGION_PATH];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return cp_error_set(err, CP_E_CONFIG, "wal.dir is longer than %zu bytes", sizeof part);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const mode_t mode = strchr(slash + 1, '/') ? 0755 : 0700;
        const bool made = mkdir(part, mode) == 0;
        if (made ? chmod(part, mode) < 0 : errno != EEXIST)
            return cp_error_errno(err, cp_error_code_of_errno(errno), errno,
                                  "make %s for the logs of critical tables", part);
        const int synced = made ? cp_dir_sync_parent(part) : 0;
        if (synced < 0)
            return cp_error_errno(err, cp_error_code_of_errno(-synced), -synced, "sync the name of %s", part);
        *slash = '/';
    }
    return CP_OK;
}

int cp_log_open(cp_wal **out, const cp_config *config, uint32_t table, const cp_abi_counters *memory,
                const cp_wal_events *events, cp_error *err)
{
    char dir[CP_MAX_REGION_PATH];
    if (snprintf(dir, sizeof dir, "%s/%s", config->wal_dir, config->tables[table].name) >= (int)sizeof dir)
        return cp_error_set(err, CP_E_CONFIG, "wal.dir is longer than %zu bytes", sizeof dir);
    const int rc = make_directories(dir, err);
    if (rc < 0)
        return rc;
    cp_wal_config wal = {
        .dir = dir,
        .schema_hash = config->tables[table].table->schema_hash,
        .segment_size = config->wal_segment_size,
        .limit = config->tables[table].wal_limit,
        .keep_ns = config->wal_keep_ns,
        .max_chunk_bytes = CP_LOG_CHUNK_MAX,
        .backend = config->wal_backend,
        .sync = config->wal_sync,
        .events = *events,
    };
    if (memory)
        wal.known = cp_log_known(memory);
    return cp_wal_open(out, &wal, err);
}
