/* See region_watch.h. */
#include "recorder/region_watch.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "shm/ring_file.h"

_Static_assert(CP_REGION_MAX_SLOTS <= 64, "a bit for each slot");

static void rings_look(cp_region_watch *watch, uint32_t table)
{
    const cp_abi_table *entry = &watch->region->control.directory[table];
    for (uint32_t slot = 0; slot < entry->slots; slot++) {
        char path[CP_MAX_REGION_PATH];
        const uint64_t bit = UINT64_C(1) << slot;
        if (cp_ring_path(path, watch->region->dir, entry->name, slot, NULL) < 0)
            continue;
        if (access(path, F_OK) == 0 || errno != ENOENT) {
            watch->missing[table] &= ~bit;
            continue;
        }
        if (!(watch->missing[table] & bit))
            cp_log(CP_LOG_ERROR, "a ring's file was removed",
                   "table=%s slot=%u consequence=\"its producer goes on while this recorder runs, and puts "
                   "where nobody "
                   "looks after that\" remedy=\"end that producer, then restart the recorder, which makes "
                   "the ring anew\"",
                   entry->name, slot);
        watch->missing[table] |= bit;
    }
}

void cp_region_watch_look(cp_region_watch *watch)
{
    const cp_control *control = &watch->region->control;
    const bool gone = !cp_control_in_place(control, watch->region->dir);
    if (gone && !watch->gone)
        cp_log(CP_LOG_ERROR, "the region was removed",
               "dir=%s consequence=\"who is attached goes on, nobody else can put, look or command\" "
               "remedy=\"end the "
               "producers, then restart the recorder, which ships what they put and makes the region anew\"",
               watch->region->dir);
    watch->gone = gone;
    if (gone || control->table_count == 0)
        return;
    watch->table = (watch->table + 1) % control->table_count;
    rings_look(watch, watch->table);
}
