#include "flush/one_off.h"

#include "base/clock.h"

enum { QUEUE = 8 /* chunks; unused, the batches come from the source */ };

static void on_release(void *ctx, cp_chunk *chunk)
{
    (void)ctx;
    (void)chunk;
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued, uint64_t oldest_ns)
{
    (void)ctx;
    (void)table;
    (void)in_flight;
    (void)queued;
    (void)oldest_ns;
}

int cp_one_off_create(cp_flusher **out, const cp_one_off *one_off, cp_error *err)
{
    cp_flush_events events = *one_off->events;
    events.release = on_release;
    events.progress = on_progress;
    int rc = cp_flusher_create(out, one_off->sink, &events, err);
    if (rc == CP_OK)
        rc = cp_flusher_add_table(*out, one_off->table, one_off->policy, QUEUE, err);
    if (rc == CP_OK)
        cp_flusher_set_source(*out, 0, one_off->source);
    return rc;
}

void cp_one_off_end(cp_flusher *flusher)
{
    if (flusher)
        cp_flusher_stop(flusher, cp_boottime_ns());
    cp_flusher_free(flusher);
}
