/* See housekeeping.h. */
#include "recorder/housekeeping.h"

#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/trash.h"
#include "recorder/error_notes.h"

#define LOOK_NS  ((uint64_t)CP_NS_PER_S)
#define TRASH_NS ((uint64_t)600 * CP_NS_PER_S)

void cp_housekeeping_init(cp_housekeeping *house, const cp_recorder *recorder, const cp_reload *reload)
{
    *house = (cp_housekeeping){.reload = reload, .parts = cp_recorder_take_apart(recorder)};
    house->region.region = house->parts.region;
}

static void trash_empty(const char *dir, uint64_t keep_ns)
{
    uint32_t deleted = 0;
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    const int rc = cp_trash_expire(dir, keep_ns, cp_realtime_ns(), &deleted, &err);
    if (deleted > 0)
        cp_log(CP_LOG_INFO, "trash deleted", "dir=%s/" CP_TRASH_DIR " files=%u older_than_s=%llu", dir,
               deleted, (unsigned long long)(keep_ns / CP_NS_PER_S));
    if (rc < 0)
        cp_log(CP_LOG_WARN, "trash cannot be deleted",
               "dir=%s/" CP_TRASH_DIR " error=%s remedy=\"delete it by hand, or let the recorder's user\"",
               dir, cp_log_quote(quoted, sizeof quoted, err.text));
}

static void trashes_empty(const cp_housekeeping *house)
{
    char dir[PATH_MAX];
    const cp_config *config = house->parts.config; /* directories are those of the start */
    const cp_config *now = house->reload->applied ? house->reload->applied : config;
    trash_empty(config->quarantine_dir, now->trash_keep_ns);
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (config->tables[i].critical &&
            snprintf(dir, sizeof dir, "%s/%s", config->wal_dir, config->tables[i].name) < (int)sizeof dir)
            trash_empty(dir, now->trash_keep_ns);
    }
}

bool cp_housekeeping_run(cp_housekeeping *house, uint64_t now_ns)
{
    if (now_ns < house->look_ns)
        return false;
    house->look_ns = now_ns + LOOK_NS;
    cp_region_watch_look(&house->region);
    if (!house->region.gone)
        cp_error_notes_keep(house->parts.config, house->parts.region);
    if (now_ns >= house->trash_ns) {
        house->trash_ns = now_ns + TRASH_NS;
        trashes_empty(house);
    }
    return true;
}

uint64_t cp_housekeeping_wait(const cp_housekeeping *house, uint64_t now_ns)
{
    return house->look_ns > now_ns ? house->look_ns - now_ns : 0;
}
