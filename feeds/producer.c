#include "feeds/producer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"

enum {
    RETRY_NS = 20 * CP_NS_PER_MS
}; /* before each try to attach anew: the old control file may still be there */

/* Begins a span where the ring stands, or goes on with the last one when it ended there. */
static int span_begin(cp_producer *producer, cp_error *err)
{
    cp_ring_stats stats;
    cp_ring_get_stats(producer->ring, &stats);
    if (producer->span_count > 0) {
        const cp_ring_span *last = &producer->spans[producer->span_count - 1];
        if (last->epoch == stats.epoch && last->slot == stats.slot && last->last == stats.written)
            return CP_OK;
    }
    cp_ring_span *spans = realloc(producer->spans, (producer->span_count + 1) * sizeof *spans);
    if (!spans)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the account of a producer");
    producer->spans = spans;
    spans[producer->span_count++] = (cp_ring_span){
        .epoch = stats.epoch, .slot = stats.slot, .first = stats.written, .last = stats.written};
    return CP_OK;
}

int cp_producer_open(cp_producer *producer, cp_error *err)
{
    int rc = cp_attach(&producer->region, producer->region_path, err);
    if (rc == CP_OK)
        rc = cp_ring_open(&producer->ring, producer->region, producer->table, producer->schema_hash,
                          producer->name, err);
    if (rc == CP_OK)
        rc = span_begin(producer, err);
    if (rc < 0)
        cp_producer_close(producer);
    return rc;
}

static bool is_for_a_moment(int code)
{
    return code == CP_E_ABSENT || code == CP_E_BUSY || code == CP_E_CORRUPT || code == CP_E_RETIRED;
}

int cp_producer_reopen(cp_producer *producer, uint64_t timeout_ns, const volatile sig_atomic_t *stopped,
                       cp_error *err)
{
    const uint64_t begin = cp_boottime_ns();
    int rc = CP_E_RETIRED;
    cp_producer_close(producer);
    while (is_for_a_moment(rc)) {
        const struct timespec pause = {.tv_nsec = RETRY_NS};
        nanosleep(&pause, NULL);
        if (*stopped)
            return cp_error_set(err, CP_E_RETIRED, "%s: stopped while attaching to the region anew",
                                producer->table);
        rc = cp_producer_open(producer, err);
        if (cp_boottime_ns() - begin >= timeout_ns)
            break;
    }
    if (rc < 0)
        return cp_error_prefix(err, "%s: the region was replaced, and cannot be attached anew",
                               producer->table);
    fprintf(stderr, "%s: %s: the region was replaced; attached anew, slot %u\n",
            program_invocation_short_name, producer->table, producer->spans[producer->span_count - 1].slot);
    return CP_OK;
}

bool cp_producer_is_whole(const cp_producer *producer)
{
    return producer->ring && producer->span_count == 1;
}

const cp_ring_span *cp_producer_spans(cp_producer *producer)
{
    if (producer->ring && producer->span_count > 0) {
        cp_ring_stats stats;
        cp_ring_get_stats(producer->ring, &stats);
        producer->spans[producer->span_count - 1].last = stats.written;
    }
    return producer->spans;
}

void cp_producer_close(cp_producer *producer)
{
    cp_producer_spans(producer);
    cp_ring_close(producer->ring);
    cp_detach(producer->region);
    producer->ring = NULL;
    producer->region = NULL;
}

void cp_producer_free(cp_producer *producer)
{
    cp_producer_close(producer);
    free(producer->spans);
    producer->spans = NULL;
    producer->span_count = 0;
}
