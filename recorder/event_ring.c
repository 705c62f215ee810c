#include "recorder/event_ring.h"

#include <coldpath/coldpath.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "rows/recorder_events.h"

enum { TEXT_ROOM = 4 * (CP_MAX_NAME + 1) + 256 };

struct cp_event_ring {
    const char *namespace_name;
    cp_region *region;
    cp_ring *ring;
    uint64_t refused;
};

typedef struct event_row {
    recorder_events_row row;
    char tail[TEXT_ROOM];
} event_row;

static const cp_table_config *event_table(const cp_config *config)
{
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (strcmp(config->tables[i].name, CP_EVENT_TABLE) == 0)
            return &config->tables[i];
    }
    return NULL;
}

int cp_event_ring_open(cp_event_ring **out, const cp_config *config, cp_error *err)
{
    *out = NULL;
    const cp_table_config *table = event_table(config);
    if (!table)
        return CP_OK;
    if (table->table->schema_hash != RECORDER_EVENTS_SCHEMA_HASH)
        return cp_error_set(
            err, CP_E_CONFIG,
            "%s: the recorder puts its own events into a table of this name, and it has other columns "
            "than schema/ddl/recorder_events.sql: use that file, or another name",
            table->ddl);
    cp_event_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the recorder's events");
    ring->namespace_name = config->namespace_name;
    int rc = cp_attach(&ring->region, config->region_dir, err);
    if (rc == CP_OK)
        rc = cp_ring_open(&ring->ring, ring->region, CP_EVENT_TABLE, RECORDER_EVENTS_SCHEMA_HASH, "coldpathd",
                          err);
    if (rc < 0) {
        cp_event_ring_close(ring);
        return cp_error_prefix(err, "the recorder's events");
    }
    *out = ring;
    return CP_OK;
}

void cp_event_ring_close(cp_event_ring *ring)
{
    if (!ring)
        return;
    if (ring->refused)
        cp_log(CP_LOG_WARN, "events found their ring full",
               "table=%s events=%llu remedy=\"a larger ring_size for it\"", CP_EVENT_TABLE,
               (unsigned long long)ring->refused);
    cp_ring_close(ring->ring);
    cp_detach(ring->region);
    free(ring);
}

/* As much of the text as there is room for: all of it, by the sizes of names and reasons. */
static void text_put(cp_tail *tail, cp_ref *ref, const char *text)
{
    const size_t room = tail->capacity - tail->used;
    const size_t length = strlen(text);
    (void)cp_tail_put(tail, ref, text, (uint32_t)(length < room ? length : room));
}

void cp_event_ring_put(cp_event_ring *ring, const cp_event *event)
{
    if (!ring)
        return;
    event_row put = {.row = {.ts = (int64_t)cp_realtime_ns(),
                             .level_from = (uint8_t)event->level_from,
                             .level_to = (uint8_t)event->level_to,
                             .slot = (uint16_t)event->slot,
                             .ring_epoch = event->epoch,
                             .position_from = event->position_from,
                             .position_to = event->position_to,
                             .rows = event->rows}};
    cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
    text_put(&tail, &put.row.namespace_, ring->namespace_name);
    text_put(&tail, &put.row.table, event->table);
    text_put(&tail, &put.row.event, event->event);
    text_put(&tail, &put.row.reason, event->reason);
    ring->refused += cp_put(ring->ring, &put, tail.used) != CP_OK;
}
