#include "cli/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/text_table.h"
#include "monitor/health.h"
#include "recorder/config_apply.h"

enum { PROC_LINE = 256, BLOCK = 512 /* what st_blocks counts */, DAY_S = 24 * 3600 };

static cp_limit *limit_add(cp_limits *limits, uint64_t taken, uint64_t limit, const char *remedy,
                           const char *fmt, ...) CP_PRINTF(5, 6);

static void limit_judge(cp_limits *limits, cp_limit *limit, unsigned permille)
{
    limit->above = limit->above || (double)limit->taken > (double)limit->limit * permille / 1000;
    limits->above = limits->above || limit->above;
}

static cp_limit *limit_add(cp_limits *limits, uint64_t taken, uint64_t limit, const char *remedy,
                           const char *fmt, ...)
{
    cp_limit *added = &limits->list[limits->count++];
    va_list args;
    va_start(args, fmt);
    *added = (cp_limit){.taken = taken, .limit = limit, .remedy = remedy};
    vsnprintf(added->what, sizeof added->what, fmt, args);
    va_end(args);
    limit_judge(limits, added, CP_LIMIT_WATERMARK_PERMILLE);
    return added;
}

/* ---- what the host has ------------------------------------------------------------------------------------------ */

/* The number of kB behind a name at the start of a line of a file in /proc; 0 when it is not there. */
static uint64_t proc_bytes(const char *path, const char *name)
{
    char line[PROC_LINE];
    uint64_t kib = 0;
    FILE *file = fopen(path, "re");
    const size_t len = strlen(name);
    while (file && kib == 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, len) == 0)
            kib = strtoull(line + len, NULL, 10);
    }
    if (file)
        fclose(file);
    return kib * 1024;
}

/* Of the cgroup this runs in, version 2; UINT64_MAX: no limit, or not known. */
static uint64_t cgroup_memory(void)
{
    char line[PATH_MAX] = "";
    char path[PATH_MAX + 64];
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen("/proc/self/cgroup", "re");
    const bool found = file && fgets(line, sizeof line, file) && strncmp(line, "0::", 3) == 0;
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", line + (found ? 3 : 0));
    file = found ? fopen(path, "re") : NULL;
    if (file && fgets(line, sizeof line, file) && line[0] >= '0' && line[0] <= '9')
        limit = strtoull(line, NULL, 10);
    if (file)
        fclose(file);
    return limit;
}

static bool path_shorten(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || path[1] == '\0')
        return false;
    slash[slash == path] = '\0';
    return true;
}

/* The file system that dir is on, or will be, and where that is mounted. */
static bool filesystem_look(const char *dir, char root[PATH_MAX], struct statvfs *fs)
{
    char up[PATH_MAX];
    struct stat here;
    struct stat above;
    if (snprintf(root, PATH_MAX, "%s", dir) >= PATH_MAX)
        return false;
    while (stat(root, &here) < 0) {
        if (!path_shorten(root))
            return false;
    }
    memcpy(up, root, sizeof up);
    while (path_shorten(up) && stat(up, &above) == 0 && above.st_dev == here.st_dev)
        memcpy(root, up, sizeof up);
    return statvfs(root, fs) == 0;
}

/* Bytes that the files in dir take on disk; those that may not be looked at count as nothing. */
static uint64_t directory_bytes(const char *dir)
{
    uint64_t bytes = 0;
    DIR *stream = opendir(dir);
    for (const struct dirent *entry = stream ? readdir(stream) : NULL; entry; entry = readdir(stream)) {
        struct stat status;
        if (fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_blocks * BLOCK;
    }
    if (stream)
        closedir(stream);
    return bytes;
}

/* ---- what mends ------------------------------------------------------------------------------------------------- */

#define REMEDY_MEMORY "lower recorder.memory_limit and flush.max_bytes, or give the host more memory"
#define REMEDY_SHARED_MEMORY                                                                                 \
    "mount it larger (mount -o remount,size=… /dev/shm; in containers --shm-size), or smaller ring_size "  \
    "and "                                                                                                   \
    "slots"
#define REMEDY_LOG         "bring ClickHouse back, or raise wal_limit and restart the recorder"
#define REMEDY_LOG_NO_DISK "free room on the disk of wal.dir"
#define REMEDY_LOG_FAILING "mend the disk of wal.dir: coldpath errors has what it says"
#define REMEDY_DISK        "free room on that file system, lower wal_limit, or put wal.dir elsewhere"
#define REMEDY_DAY         "raise limits.daily_bytes, then coldpath reload"
#define REMEDY_RING        "find what holds its rows up: coldpath status; or a larger ring_size"

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void look_memory(cp_limits *limits, const cp_config *config, const cp_observer *observer)
{
    char text[2][CP_HUMAN_TEXT];
    const uint64_t most = config ? cp_config_memory(config) : 0;
    uint64_t host = proc_bytes("/proc/meminfo", "MemTotal:");
    const uint64_t cgroup = cgroup_memory();
    if (config && host) {
        cp_limit *limit =
            limit_add(limits, most, cgroup < host ? cgroup : host, REMEDY_MEMORY, "memory at most");
        snprintf(limit->note, sizeof limit->note, "rings apart; the host has %s available",
                 cp_human_bytes(text[0], proc_bytes("/proc/meminfo", "MemAvailable:")));
    }
    if (!observer || !observer->recorder_alive)
        return;
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/status", observer->control.header->recorder_pid);
    const uint64_t now = proc_bytes(path, "RssAnon:");
    if (config && now)
        limit_add(limits, now, most, REMEDY_MEMORY, "memory now");
}

/* ---- shared memory ---------------------------------------------------------------------------------------------- */

/* What rings take on top: of tables that never had a producer, and when every slot is taken. */
typedef struct ring_need {
    uint64_t first;
    uint64_t all;
} ring_need;

static uint64_t ring_unallocated(const char *dir, const char *table, uint32_t slot, uint64_t ring_size)
{
    char path[PATH_MAX];
    struct stat status;
    const uint64_t whole = ring_size + CP_ABI_RING_DATA_OFFSET;
    if (snprintf(path, sizeof path, "%s/%s.%u.ring", dir, table, slot) >= (int)sizeof path ||
        stat(path, &status) < 0)
        return whole;
    const uint64_t taken = (uint64_t)status.st_blocks * BLOCK;
    return taken < whole ? whole - taken : 0;
}

static void need_add(ring_need *need, const char *dir, const char *table, uint32_t slots, uint64_t ring_size)
{
    for (uint32_t slot = 0; slot < slots; slot++) {
        const uint64_t missing = ring_unallocated(dir, table, slot, ring_size);
        need->all += missing;
        need->first += slot == 0 ? missing : 0;
    }
}

static void look_shared_memory(cp_limits *limits, const cp_config *config, const cp_observer *observer)
{
    char root[PATH_MAX];
    char text[CP_HUMAN_TEXT];
    struct statvfs fs;
    ring_need need = {0, 0};
    const char *dir = observer ? observer->dir : config->region_dir;
    if (!filesystem_look(dir, root, &fs))
        return;
    const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    for (uint32_t i = 0; observer && i < observer->control.table_count; i++) {
        const cp_abi_table *entry = &observer->control.directory[i];
        need_add(&need, dir, entry->name, entry->slots, entry->ring_size);
    }
    for (uint32_t i = 0; !observer && i < config->table_count; i++)
        need_add(&need, dir, config->tables[i].name, config->tables[i].slots, config->tables[i].ring_size);
    cp_limit *limit = limit_add(limits, need.first, room, REMEDY_SHARED_MEMORY, "shared memory, %s", root);
    snprintf(limit->note, sizeof limit->note, "with every slot taken %s are %s",
             cp_human_bytes(text, need.all > room ? need.all - room : room - need.all),
             need.all > room ? "missing" : "left");
}

/* ---- logs and their disk ---------------------------------------------------------------------------------------- */

static void look_log(cp_limits *limits, const cp_table_view *table, const cp_abi_measures *measures)
{
    char files[CP_HUMAN_TEXT];
    const cp_abi_counters *counters = &table->counters;
    const uint32_t state = __atomic_load_n(&measures->log_state, __ATOMIC_RELAXED);
    const double mean =
        counters->drained_rows ? (double)counters->drained_bytes / (double)counters->drained_rows : 0;
    cp_limit *limit = limit_add(limits, 0, measures->log_limit, REMEDY_LOG, "log of %s", table->entry->name);
    limit->taken = (uint64_t)((double)table->in_log * mean);
    limit->above = state == CP_LOG_STALLED || state == CP_LOG_FAILING;
    if (state == CP_LOG_FAILING)
        limit->remedy = REMEDY_LOG_FAILING;
    else if (state == CP_LOG_STALLED && !cp_health_log_at_limit(measures))
        limit->remedy = REMEDY_LOG_NO_DISK;
    limit_judge(limits, limit, CP_LIMIT_LOG_PERMILLE);
    snprintf(limit->note, sizeof limit->note, "%sits files have %s",
             state == CP_LOG_STALLED   ? "it takes no rows; "
             : state == CP_LOG_FAILING ? "it cannot be written; "
                                       : "",
             cp_human_bytes(files, measures->log_bytes));
}

static void look_disk(cp_limits *limits, const cp_config *config)
{
    uint64_t growth = 0;
    for (uint32_t i = 0; i < config->table_count; i++) {
        const cp_table_config *table = &config->tables[i];
        char dir[PATH_MAX];
        if (!table->critical ||
            snprintf(dir, sizeof dir, "%s/%s", config->wal_dir, table->name) >= (int)sizeof dir)
            continue;
        const uint64_t bytes = directory_bytes(dir);
        growth += bytes < table->wal_limit ? table->wal_limit - bytes : 0;
    }
    char root[PATH_MAX];
    struct statvfs fs;
    if (growth > 0 && filesystem_look(config->wal_dir, root, &fs))
        limit_add(limits, growth, (uint64_t)fs.f_bavail * fs.f_frsize, REMEDY_DISK, "disk of the logs, %s",
                  root);
}

static void look_logs(cp_limits *limits, const cp_config *config, const cp_observer *observer)
{
    for (uint32_t i = 0; observer && observer->control.measures && i < observer->control.table_count; i++) {
        const cp_abi_measures *measures = &observer->control.measures[i];
        if (observer->control.directory[i].critical && measures->log_limit)
            look_log(limits, &observer->tables[i], measures);
    }
    if (config)
        look_disk(limits, config);
}

/* ---- rings ------------------------------------------------------------------------------------------------------ */

static void look_rings(cp_limits *limits, const cp_observer *observer)
{
    for (uint32_t i = 0; i < observer->control.table_count; i++) {
        const cp_table_view *table = &observer->tables[i];
        uint64_t most = 0;
        for (uint32_t slot = 0; slot < table->entry->slots; slot++) {
            const cp_ring_view *ring = &table->rings[slot];
            const uint64_t used = ring->readable ? ring->published - ring->ack.consumed : 0;
            most = used > most ? used : most;
        }
        if (most > table->entry->ring_size)
            most = table->entry->ring_size;
        limit_add(limits, most, table->entry->ring_size, REMEDY_RING, "ring of %s", table->entry->name)
            ->ring = true;
        limits->list[limits->count - 1].judged = true;
    }
}

/* ---- the day's budget ------------------------------------------------------------------------------------------- */

static void look_day(cp_limits *limits, const cp_observer *observer)
{
    const cp_abi_control *header = observer->control.header;
    const uint64_t most = __atomic_load_n(&header->sent_limit, __ATOMIC_RELAXED);
    const uint64_t day = __atomic_load_n(&header->sent_day, __ATOMIC_ACQUIRE);
    const uint64_t now_s = cp_realtime_ns() / CP_NS_PER_S;
    if (most == 0)
        return;
    const uint64_t sent = now_s / DAY_S == day ? __atomic_load_n(&header->sent_bytes, __ATOMIC_RELAXED) : 0;
    cp_limit *limit = limit_add(limits, sent, most, REMEDY_DAY, "bytes sent today (UTC)");
    limit->judged = sent >= most;
    const unsigned minutes = (unsigned)((DAY_S - now_s % DAY_S) / 60);
    snprintf(limit->note, sizeof limit->note, "%sthe next day begins in %u h %u min",
             sent >= most ? "nothing is sent; " : "", minutes / 60, minutes % 60);
}

void cp_limits_look(cp_limits *limits, const cp_config *config, const cp_observer *observer)
{
    limits->count = 0;
    limits->above = false;
    look_memory(limits, config, observer);
    look_shared_memory(limits, config, observer);
    look_logs(limits, config, observer);
    if (observer) {
        look_day(limits, observer);
        look_rings(limits, observer);
    }
}

/* ---- showing ---------------------------------------------------------------------------------------------------- */

static uint64_t room_left(const cp_limit *limit)
{
    return limit->taken < limit->limit ? limit->limit - limit->taken : 0;
}

char *cp_limit_text(const cp_limit *limit, char *text, size_t size)
{
    char figures[3][CP_HUMAN_TEXT];
    snprintf(text, size, "%s: %s of %s, %s left%s%s", limit->what, cp_human_bytes(figures[0], limit->taken),
             cp_human_bytes(figures[1], limit->limit), cp_human_bytes(figures[2], room_left(limit)),
             limit->note[0] ? "; " : "", limit->note);
    return text;
}

void cp_limits_print(const cp_limits *limits, FILE *out)
{
    cp_text_table *text = cp_text_table_new("limit\tused or needed\tof\tleft\t%\tremark", "lrrrrl");
    for (uint32_t i = 0; i < limits->count; i++) {
        const cp_limit *limit = &limits->list[i];
        char figures[3][CP_HUMAN_TEXT];
        if (limit->ring && (double)limit->taken < (double)limit->limit * CP_LIMIT_SHOWN_PERMILLE / 1000)
            continue;
        cp_text_table_row(
            text, "%s\t%s\t%s\t%s\t%.1f\t%s%s%s", limit->what, cp_human_bytes(figures[0], limit->taken),
            cp_human_bytes(figures[1], limit->limit), cp_human_bytes(figures[2], room_left(limit)),
            limit->limit ? 100.0 * (double)limit->taken / (double)limit->limit : 0,
            limit->above ? "TOO MUCH" : "", limit->above && limit->note[0] ? ": " : "", limit->note);
    }
    cp_text_table_print(text, out);
    for (uint32_t i = 0; i < limits->count; i++) {
        if (limits->list[i].above)
            fprintf(out, "%s: %s\n", limits->list[i].what, limits->list[i].remedy);
    }
}

json_object *cp_limits_json(const cp_limits *limits)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < limits->count; i++) {
        const cp_limit *limit = &limits->list[i];
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "limit", limit->what);
        cp_json_add_uint(item, "taken_bytes", limit->taken);
        cp_json_add_uint(item, "limit_bytes", limit->limit);
        cp_json_add_uint(item, "left_bytes", room_left(limit));
        cp_json_add_bool(item, "above_watermark", limit->above);
        cp_json_add_string(item, "note", limit->note[0] ? limit->note : NULL);
        json_object_array_add(list, item);
    }
    return list;
}
