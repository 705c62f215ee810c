#include "recorder/resume.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "ingest/record.h"
#include "shm/ack.h"
#include "shm/intent.h"
#include "shm/sigbus_guard.h"

enum { SMALLEST_RECORD = 2 * CP_RECORD_HEADER };

struct cp_resumed {
    const cp_region_owner *region;
    uint32_t table;
    const cp_table *descriptor;
    cp_lane *lane;
    cp_abi_intent intent;
    cp_chunk chunks[CP_REGION_MAX_SLOTS]; /* one per span, with memory of their own */
    uint32_t chunk_count;
};

/* A chunk that holds size bytes of records. */
static int chunk_allocate(cp_chunk *chunk, uint64_t size, cp_error *err)
{
    memset(chunk, 0, sizeof *chunk);
    chunk->data_capacity = (uint32_t)size;
    chunk->row_capacity = (uint32_t)(size / SMALLEST_RECORD + 1);
    chunk->data = malloc(size + 1);
    chunk->row_at = calloc(chunk->row_capacity, sizeof *chunk->row_at);
    if (!chunk->data || !chunk->row_at)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a batch of %llu bytes that was under way",
                            (unsigned long long)size);
    return CP_OK;
}

/* Copies the span out of its ring; false when the ring does not hold it any more. */
static bool span_copy(const cp_resumed *job, const cp_abi_intent_span *span, cp_chunk *chunk)
{
    cp_ring_reader reader;
    cp_abi_ack ack;
    const cp_control *control = &job->region->control;
    cp_ack_read(cp_control_ack(control, job->table, span->slot), &ack);
    ack.consumed = span->begin;
    if (cp_ring_reader_open(&reader, job->region->dir, &control->directory[job->table], span->slot, &ack,
                            NULL) < 0)
        return false;
    const uint64_t size = span->end - span->begin;
    uint64_t copied = 0;
    if (cp_sigbus_enter()) {
        const uint64_t pending = cp_ring_reader_pending(&reader);
        if (reader.fault == CP_RING_SOUND && pending >= size)
            copied = cp_ring_reader_copy(&reader, chunk->data, size, pending);
        cp_sigbus_leave();
    }
    cp_ring_reader_close(&reader);
    return copied == size;
}

/* Rebuilds one span's chunk as the drain had made it. *whole: it holds the rows that the intent counted. */
static int span_rebuild(cp_resumed *job, const cp_abi_intent_span *span, bool *whole, cp_error *err)
{
    cp_chunk *chunk = &job->chunks[job->chunk_count++];
    const int rc = chunk_allocate(chunk, span->end - span->begin, err);
    if (rc < 0)
        return rc;
    chunk->table = (uint16_t)job->table;
    chunk->slot = (uint16_t)span->slot;
    chunk->epoch = span->epoch;
    chunk->begin = span->begin;
    *whole = span_copy(job, span, chunk) &&
             cp_records_parse(chunk, job->descriptor, job->region->control.directory[job->table].row_max,
                              span->end - span->begin, true, NULL, NULL) == CP_PARSE_WHOLE &&
             chunk->row_count == span->rows && chunk->rejected == span->rejected;
    return CP_OK;
}

static int batch_hand_over(const cp_resumed *job, cp_flusher *flusher, cp_drain *drain, cp_error *err)
{
    cp_chunk *chunks[CP_REGION_MAX_SLOTS];
    for (uint32_t i = 0; i < job->chunk_count; i++)
        chunks[i] = (cp_chunk *)(uintptr_t)&job->chunks[i];
    const cp_batch_left left = {.token = job->intent.token,
                                .endpoint = job->intent.endpoint,
                                .group = job->intent.group,
                                .piece = {job->intent.piece_first, job->intent.piece_rows}};
    const int rc = cp_flusher_resume(flusher, job->table, chunks, job->chunk_count, &left, err);
    cp_failpoint(CP_FP_RESUME_DONE);
    for (uint32_t i = 0; rc == CP_OK && i < job->intent.span_count; i++) {
        const cp_abi_intent_span *span = &job->intent.spans[i];
        cp_drain_start_at(drain, job->table, span->slot, span->end);
        job->lane->taken[span->slot] = (cp_lane_taken){span->end, span->consumed_rows};
    }
    return rc;
}

/* *kept: the flusher has the chunks. */
static int job_run(cp_resumed *job, cp_flusher *flusher, cp_drain *drain, bool *kept, cp_error *err)
{
    cp_failpoint(CP_FP_RESUME_READ);
    const char *name = job->descriptor->name;
    bool whole = true;
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && whole && i < job->intent.span_count; i++)
        rc = span_rebuild(job, &job->intent.spans[i], &whole, err);
    if (rc < 0)
        return rc;
    if (!whole) {
        cp_log(CP_LOG_ERROR, "a batch that was under way cannot be rebuilt",
               "table=%s rows=%llu consequence=\"its rows are sent as new ones, and may arrive twice\"", name,
               (unsigned long long)job->intent.rows);
        cp_intent_end(&job->region->control.intents[job->table]);
        return CP_OK;
    }
    cp_log(CP_LOG_INFO, "a batch that was under way is sent again", "table=%s rows=%llu", name,
           (unsigned long long)job->intent.rows);
    rc = batch_hand_over(job, flusher, drain, err);
    *kept = rc == CP_OK;
    return rc;
}

int cp_resume_table(cp_resumed **out, const cp_region_owner *region, uint32_t table,
                    const cp_table *descriptor, cp_lane *lane, cp_flusher *flusher, cp_drain *drain,
                    cp_error *err)
{
    *out = NULL;
    cp_resumed *job = calloc(1, sizeof *job);
    if (!job)
        return cp_error_set(err, CP_E_NOMEM, "no memory");
    job->region = region;
    job->table = table;
    job->descriptor = descriptor;
    job->lane = lane;
    bool kept = false;
    int rc = CP_OK;
    if (cp_intent_load(&region->control, table, &job->intent))
        rc = job_run(job, flusher, drain, &kept, err);
    if (kept)
        *out = job;
    else
        cp_resumed_free(job);
    return rc;
}

void cp_resumed_free(cp_resumed *resumed)
{
    if (!resumed)
        return;
    for (uint32_t i = 0; i < resumed->chunk_count; i++) {
        free(resumed->chunks[i].data);
        free(resumed->chunks[i].row_at);
    }
    free(resumed);
}
