#include "recorder/resend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "flush/one_off.h"
#include "recorder/config_apply.h"
#include "recorder/log_buffer.h"
#include "recorder/log_open.h"
#include "wal/inspect.h"

struct cp_resend {
    const cp_config *config;
    const cp_table_config *table;
    uint64_t hi;
    uint8_t uuid[CP_WAL_UUID];
    cp_wal *wal;
    cp_wal_reader *reader;
    cp_log_buffer buffer;
    cp_flusher *flusher;
    pthread_mutex_t mutex;
    cp_resend_progress progress; /* under mutex */
};

/* ---- what the flusher asks and tells ---------------------------------------------------------------------------- */

static uint64_t source_due(void *ctx, uint64_t now_ns, bool urgent)
{
    cp_resend *resend = ctx;
    (void)urgent;
    cp_resend_progress progress;
    cp_resend_look(resend, &progress);
    return progress.next <= resend->hi && !progress.failed ? now_ns : UINT64_MAX;
}

static uint32_t source_take(void *ctx, cp_chunk *const **chunks, uint64_t *lo)
{
    cp_resend *resend = ctx;
    cp_resend_progress progress;
    cp_error err = {0};
    cp_resend_look(resend, &progress);
    *lo = progress.next;
    *chunks = resend->buffer.pointers;
    const uint32_t count = cp_log_buffer_fill(&resend->buffer, &resend->table->batch, resend->reader,
                                              progress.next, resend->hi, &err);
    if (count == 0) {
        pthread_mutex_lock(&resend->mutex);
        resend->progress.failed = true;
        snprintf(resend->progress.text, sizeof resend->progress.text, "%s", err.text);
        pthread_mutex_unlock(&resend->mutex);
    }
    return count;
}

static uint32_t source_again(void *ctx, uint64_t lo, uint64_t hi, cp_chunk *const **chunks, cp_error *err)
{
    cp_resend *resend = ctx;
    *chunks = resend->buffer.pointers;
    return cp_log_buffer_fill(&resend->buffer, &resend->table->batch, resend->reader, lo, hi, err);
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    cp_resend *resend = ctx;
    (void)table;
    pthread_mutex_lock(&resend->mutex);
    snprintf(resend->progress.text, sizeof resend->progress.text, "%s", attempt->text);
    pthread_mutex_unlock(&resend->mutex);
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    cp_resend *resend = ctx;
    (void)table;
    pthread_mutex_lock(&resend->mutex);
    resend->progress.next = batch->range.hi + 1;
    resend->progress.rows += batch->rows;
    resend->progress.done = resend->progress.next > resend->hi;
    pthread_mutex_unlock(&resend->mutex);
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

/* Looks before it locks: opening would make a log that is not there. */
static int range_check(cp_resend *resend, uint64_t lo, uint64_t hi, cp_error *err)
{
    char dir[CP_MAX_REGION_PATH];
    cp_wal_view *view = NULL;
    if (snprintf(dir, sizeof dir, "%s/%s", resend->config->wal_dir, resend->table->name) >= (int)sizeof dir)
        return cp_error_set(err, CP_E_CONFIG, "wal.dir is longer than %zu bytes", sizeof dir);
    int rc = cp_wal_inspect(&view, dir, CP_WAL_HEADERS, err);
    if (rc < 0)
        return rc;
    if (view->empty || lo < view->oldest_lsn)
        rc = cp_error_set(err, CP_E_ABSENT,
                          "%s holds records %llu-%llu; wal.keep says how long delivered ones stay", dir,
                          (unsigned long long)view->oldest_lsn, (unsigned long long)view->end_lsn);
    else if (lo == 0 || lo > hi)
        rc = cp_error_set(err, CP_E_INVAL, "%llu-%llu is no range of records", (unsigned long long)lo,
                          (unsigned long long)hi);
    else if (view->checkpoint_lost || hi > view->delivered_lsn)
        rc = cp_error_set(
            err, CP_E_INVAL,
            "record %llu is not delivered yet (the last delivered one is %llu): without --range it is, and "
            "sending it now would bring its rows twice",
            (unsigned long long)hi, (unsigned long long)(view->checkpoint_lost ? 0 : view->delivered_lsn));
    memcpy(resend->uuid, view->uuid, sizeof resend->uuid);
    cp_wal_view_free(view);
    return rc;
}

static int flusher_make(cp_resend *resend, uint64_t lo, uint64_t hi, cp_error *err)
{
    char instance[CP_MAX_NAME + 128];
    uint64_t uuid[2];
    memcpy(uuid, resend->uuid, sizeof uuid);
    snprintf(instance, sizeof instance, "%s:again:%016llx%016llx:%llu-%llu", resend->config->namespace_name,
             (unsigned long long)uuid[0], (unsigned long long)uuid[1], (unsigned long long)lo,
             (unsigned long long)hi);
    cp_sink_config sink;
    cp_config_sink(resend->config, &sink);
    sink.instance = instance;
    const cp_flush_events events = {.ctx = resend, .attempt = on_attempt, .delivered = on_delivered};
    const cp_batch_source source = {
        .ctx = resend, .due = source_due, .take = source_take, .again = source_again};
    const cp_one_off one_off = {&sink, resend->table->table, &resend->table->batch, &source, &events};
    return cp_one_off_create(&resend->flusher, &one_off, err);
}

int cp_resend_start(cp_resend **out, const cp_config *config, uint32_t table, uint64_t lo, uint64_t hi,
                    cp_error *err)
{
    *out = NULL;
    cp_resend *resend = calloc(1, sizeof *resend);
    if (!resend)
        return cp_error_set(err, CP_E_NOMEM, "no memory to send records again");
    resend->config = config;
    resend->table = &config->tables[table];
    resend->hi = hi;
    resend->progress.next = lo;
    pthread_mutex_init(&resend->mutex, NULL);
    const cp_wal_events none = {0};
    int rc = range_check(resend, lo, hi, err);
    if (rc == CP_OK)
        rc = cp_log_open(&resend->wal, config, table, NULL, &none, err);
    if (rc == CP_OK)
        rc = cp_wal_reader_create(&resend->reader, resend->wal, lo, err);
    if (rc == CP_OK)
        rc = cp_log_buffer_create(&resend->buffer, config, err);
    if (rc == CP_OK)
        rc = flusher_make(resend, lo, hi, err);
    if (rc == CP_OK)
        rc = cp_flusher_start(resend->flusher, config->flush_cpu, err);
    if (rc < 0) {
        cp_error_prefix(err, "table %s", resend->table->name);
        cp_resend_stop(resend);
        return rc;
    }
    *out = resend;
    return CP_OK;
}

void cp_resend_look(cp_resend *resend, cp_resend_progress *progress)
{
    pthread_mutex_lock(&resend->mutex);
    *progress = resend->progress;
    pthread_mutex_unlock(&resend->mutex);
}

void cp_resend_stop(cp_resend *resend)
{
    if (!resend)
        return;
    cp_one_off_end(resend->flusher);
    cp_wal_reader_free(resend->reader);
    cp_wal_close(resend->wal, 0);
    cp_log_buffer_destroy(&resend->buffer);
    pthread_mutex_destroy(&resend->mutex);
    free(resend);
}
