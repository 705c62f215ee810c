#include "recorder/log_lane.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "ingest/unique.h"
#include "recorder/given_up.h"
#include "recorder/log_open.h"
#include "recorder/log_reconcile.h"
#include "shm/histogram.h"
#include "wal/reader.h"

enum {
    BEHIND_BATCHES = 3, /* more than this many full batches waiting: new rows go first */
    BACKLOG_SHARE = 4,  /* while they do, batches of the backlog are this many times smaller */
    UNDER_WAY =
        256, /* records, of which the time is known when they become durable; of others it is not measured */
    COMPLAIN_EVERY_S = 10,
    STORE_EVERY_S = 1 /* a checkpoint that could not be stored, when no batch does it */
};

_Static_assert((int)CP_LOG_STALLED == (int)CP_LOG_TAKES_ROWS + (int)CP_WAL_STALLED &&
                   (int)CP_LOG_FAILING == (int)CP_LOG_TAKES_ROWS + (int)CP_WAL_FAILING,
               "the log's state goes into the region as it is, behind CP_LOG_NONE");

struct cp_log_lane {
    cp_wal *wal;
    cp_lane *lane;
    cp_log_buffer *buffer;
    const cp_table_config *table;
    const cp_config *config;
    /* drain thread */
    cp_unique *unique; /* NULL: rows are not compared */
    uint64_t appended_lsn;
    uint64_t watched_ns;
    uint64_t refused_ns;
    cp_wal_state seen_state;
    struct {
        uint64_t lsn;
        uint64_t put_after_ns;
    } under_way[UNDER_WAY]; /* by LSN */
    /* drain thread to flusher */
    _Atomic uint64_t durable_rows; /* ever, since this recorder started, and what it found */
    _Atomic uint64_t durable_bytes;
    _Atomic uint64_t waiting_since; /* boot time; when the first row came that no batch has taken; 0: none */
    /* flusher's thread */
    cp_batch_policy policy;
    cp_wal_reader *reader;       /* of the next batch in order */
    cp_wal_reader *ahead_reader; /* of new rows, when they go first */
    _Atomic uint64_t next;       /* first LSN that ClickHouse may not have */
    uint64_t ahead_lo;           /* delivered stretch beyond it: [ahead_lo, ahead_next); 0: none */
    uint64_t ahead_next;
    uint64_t taken_rows;
    uint64_t taken_bytes;
    bool elsewhere;      /* rows that the rings count as durable are in another log */
    bool unstored;       /* all is delivered, and the checkpoint does not know: storing it failed */
    uint64_t store_at;   /* boot-time clock: then it is tried again */
    uint32_t full_takes; /* batches in a row that held all they may */
    uint64_t complained_ns;
};

/* ---- opening --------------------------------------------------------------------------------------------------- */

static void on_committed(void *ctx, uint64_t duration_ns)
{
    const cp_log_lane *log_lane = ctx;
    cp_histogram_add(&log_lane->lane->measures->sync_us, duration_ns / CP_NS_PER_US);
}

static void measure_durable(cp_log_lane *log_lane, uint64_t lsn)
{
    const uint64_t put_after_ns = log_lane->under_way[lsn % UNDER_WAY].put_after_ns;
    if (log_lane->under_way[lsn % UNDER_WAY].lsn == lsn && put_after_ns != 0)
        cp_histogram_add(&log_lane->lane->measures->put_durable_us,
                         (cp_boottime_ns() - put_after_ns) / CP_NS_PER_US);
}

static void on_durable(void *ctx, const cp_wal_durable_event *event)
{
    cp_log_lane *log_lane = ctx;
    measure_durable(log_lane, event->lsn);
    cp_failpoint(CP_FP_LOG_DURABLE);
    __atomic_store_n(&log_lane->lane->counters->log_durable_lsn, event->lsn,
                     __ATOMIC_RELEASE); /* before the ring knows */
    cp_lane_durable(log_lane->lane, event->slot, event->epoch, event->end, event->rows, event->rejected);
    uint64_t none = 0;
    atomic_compare_exchange_strong(&log_lane->waiting_since, &none, cp_boottime_ns());
    atomic_fetch_add_explicit(&log_lane->durable_rows, event->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&log_lane->durable_bytes, event->end - event->begin, memory_order_release);
}

/* What the log has of the rings, and they do not know yet. */
static void catch_up_rings(cp_log_lane *log_lane, const cp_region_owner *region)
{
    for (uint32_t slot = 0; slot < log_lane->lane->entry->slots; slot++) {
        uint64_t end;
        if (cp_wal_ring_end(log_lane->wal, slot, log_lane->lane->states[slot].epoch, &end))
            cp_lane_catch_up(log_lane->lane, region, slot, end);
    }
}

/* The rings count rows as durable and not delivered, but in a log that this is not: the directory was moved away, or is not
 * mounted. They stay counted as waiting, and no ring's delivered position passes them. */
static void look_for_rows(cp_log_lane *log_lane)
{
    const cp_wal_known known = cp_log_known(log_lane->lane->counters);
    const int64_t rows = (int64_t)cp_lane_undelivered(log_lane->lane);
    log_lane->elsewhere = known.id != 0 && known.id != cp_wal_id(log_lane->wal) && rows > 0;
    if (log_lane->elsewhere)
        cp_log(
            CP_LOG_ERROR, "rows are in another log",
            "table=%s rows=%lld dir=%s/%s consequence=\"ClickHouse does not get them; they stay counted as "
            "in the log\" remedy=\"stop the recorder, bring back the directory that was there (moved? not "
            "mounted?) or set wal.dir to it, start again; if it is lost, so are these rows: stop, and remove "
            "%s once status shows no rows in rings\"",
            log_lane->table->name, (long long)rows, log_lane->config->wal_dir, log_lane->table->name,
            log_lane->config->region_dir);
}

/* A new checkpoint in place of one that is lost, as far as the region knows what it said. */
static void checkpoint_restore(cp_log_lane *log_lane, const cp_chunk *into)
{
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64] = "\"\"";
    const uint64_t oldest = cp_wal_delivered(log_lane->wal) + 1;
    const int rc = cp_log_reconcile(log_lane->wal, log_lane->lane, into, &err);
    if (rc < 0)
        cp_log_quote(quoted, sizeof quoted, err.text);
    log_lane->next = cp_wal_delivered(log_lane->wal) + 1;
    cp_log(
        CP_LOG_ERROR, "the log's checkpoint is lost",
        "table=%s known_delivered_lsns=%llu sent_again_lsns=%llu-%llu error=%s consequence=\"of what is sent "
        "again, rows that the region does not know as delivered may arrive twice\" remedy=\"coldpath audit "
        "tells which\"",
        log_lane->table->name, (unsigned long long)(log_lane->next - oldest),
        (unsigned long long)log_lane->next, (unsigned long long)cp_wal_durable(log_lane->wal), quoted);
}

/* Keys of a table that has no unique_key any more are old when it has one again. */
static int unique_open(cp_log_lane *log_lane, const cp_region_owner *region, cp_error *err)
{
    char path[CP_MAX_REGION_PATH + CP_MAX_NAME + sizeof ".unique"];
    const cp_table_config *table = log_lane->table;
    uint64_t kept = 0;
    snprintf(path, sizeof path, "%s/%s.unique", region->dir, table->name);
    if (table->unique_key.count == 0)
        return unlink(path) == 0 || errno == ENOENT
                   ? CP_OK
                   : cp_error_errno(err, cp_error_code_of_errno(errno), errno, "remove %s", path);
    const int rc = cp_unique_open(&log_lane->unique, path, table->table, &table->unique_key,
                                  table->unique_window, &kept, err);
    for (uint32_t slot = 0; rc == CP_OK && slot < log_lane->lane->entry->slots; slot++) {
        const cp_abi_ack *state = &log_lane->lane->states[slot];
        if (state->epoch)
            cp_unique_forget(log_lane->unique, state->epoch, state->consumed);
    }
    if (rc == CP_OK)
        cp_log(CP_LOG_INFO, "rows are compared", "table=%s window=%u keys_known=%llu", table->name,
               table->unique_window, (unsigned long long)kept);
    return rc;
}

int cp_log_lane_open(cp_log_lane **out, const cp_config *config, uint32_t table, cp_lane *lane,
                     const cp_region_owner *region, cp_log_buffer *buffer, cp_error *err)
{
    *out = NULL;
    cp_log_lane *log_lane = calloc(1, sizeof *log_lane);
    if (!log_lane)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a log");
    log_lane->config = config;
    log_lane->table = &config->tables[table];
    log_lane->policy = log_lane->table->batch;
    log_lane->lane = lane;
    log_lane->buffer = buffer;
    const cp_wal_events events = {log_lane, on_durable, on_committed};
    int rc = cp_log_open(&log_lane->wal, config, table, lane->counters, &events, err);
    if (rc == CP_OK) {
        look_for_rows(log_lane);
        cp_log_remember(log_lane->wal, lane->counters);
        log_lane->next = cp_wal_delivered(log_lane->wal) + 1;
        catch_up_rings(log_lane, region);
        const cp_chunk into = {.data = buffer->data,
                               .row_at = buffer->rows,
                               .data_capacity = CP_LOG_CHUNK_MAX,
                               .row_capacity = CP_LOG_CHUNK_MAX / CP_LOG_RECORD_MIN};
        if (cp_wal_checkpoint_lost(log_lane->wal))
            checkpoint_restore(log_lane, &into);
        cp_given_up_book(log_lane->wal, lane, &into);
        rc = cp_wal_reader_create(&log_lane->reader, log_lane->wal, log_lane->next, err);
    }
    if (rc == CP_OK)
        rc = unique_open(log_lane, region, err);
    if (rc < 0) {
        cp_error_prefix(err, "the log of table %s", log_lane->table->name);
        cp_log_lane_close(log_lane);
        return rc;
    }
    *out = log_lane;
    return CP_OK;
}

void cp_log_lane_finish(cp_log_lane *log_lane, uint64_t deadline_ns)
{
    cp_wal_finish(log_lane->wal, deadline_ns);
}

void cp_log_lane_close(cp_log_lane *log_lane)
{
    if (!log_lane)
        return;
    cp_wal_reader_free(log_lane->reader);
    cp_wal_reader_free(log_lane->ahead_reader);
    cp_wal_close(log_lane->wal, 0);
    cp_unique_close(log_lane->unique);
    free(log_lane);
}

/* ---- drain thread ---------------------------------------------------------------------------------------------- */

int cp_log_lane_start(cp_log_lane *log_lane, cp_error *err)
{
    const int rc = cp_wal_start(log_lane->wal, err);
    if (rc < 0)
        return cp_error_prefix(err, "the log of table %s", log_lane->table->name);
    cp_wal_status status;
    cp_wal_status_read(log_lane->wal, &status);
    cp_log(status.buffered || status.not_persistent ? CP_LOG_WARN : CP_LOG_INFO, "log ready",
           "table=%s backend=%s sync=%s direct=%s persistent=%s fdatasync_us=%llu dsync_us=%llu "
           "waiting_lsns=%llu%s%s%s",
           log_lane->table->name, status.backend, status.sync, status.buffered ? "no" : "yes",
           status.not_persistent ? "no" : "yes",
           (unsigned long long)status.calibrated_fdatasync_ns / CP_NS_PER_US,
           (unsigned long long)status.calibrated_dsync_ns / CP_NS_PER_US,
           (unsigned long long)(status.durable_lsn + 1 - log_lane->next), status.note[0] ? " note=" : "",
           status.note,
           status.not_persistent ? " remedy=\"put wal.dir on a disk: rows do not survive the host\"" : "");
    return CP_OK;
}

static void duplicates_count(const cp_log_lane *log_lane, uint32_t rows)
{
    uint64_t *count = &log_lane->lane->counters->duplicate_rows;
    if (rows)
        __atomic_store_n(count, *count + rows, __ATOMIC_RELAXED);
}

cp_submit_result cp_log_lane_append(cp_log_lane *log_lane, cp_chunk *chunk)
{
    const uint32_t duplicates = log_lane->unique ? cp_unique_filter(log_lane->unique, chunk) : 0;
    const int rc = cp_wal_append(log_lane->wal, chunk, &log_lane->appended_lsn);
    cp_failpoint(CP_FP_LOG_APPENDED);
    if (rc == CP_OK) {
        duplicates_count(log_lane, duplicates);
        log_lane->under_way[log_lane->appended_lsn % UNDER_WAY].lsn = log_lane->appended_lsn;
        log_lane->under_way[log_lane->appended_lsn % UNDER_WAY].put_after_ns = chunk->put_after_ns;
        cp_lane_drained(log_lane->lane, chunk->slot, chunk->end, chunk->put_after_ns);
    }
    if (rc < 0 && rc != CP_FULL &&
        cp_boottime_ns() - log_lane->refused_ns > COMPLAIN_EVERY_S * (uint64_t)CP_NS_PER_S) {
        log_lane->refused_ns = cp_boottime_ns();
        cp_log(CP_LOG_ERROR, "the log refuses a chunk",
               "table=%s slot=%u bytes=%u error=\"%s\" consequence=\"its rows stay in the ring\" "
               "remedy=\"coldpath errors, coldpath wal verify\"",
               log_lane->table->name, chunk->slot, chunk->byte_count, cp_strerror(rc));
    }
    return rc == CP_OK ? CP_SUBMIT_COPIED : CP_SUBMIT_REFUSED;
}

/* Says so when the log stops taking rows, and when it goes on. */
static void watch_state(cp_log_lane *log_lane, uint64_t now_ns)
{
    if (now_ns - log_lane->watched_ns < CP_NS_PER_S)
        return;
    log_lane->watched_ns = now_ns;
    cp_wal_status status;
    cp_wal_status_read(log_lane->wal, &status);
    cp_lane_log_size(log_lane->lane, status.bytes, status.limit, CP_LOG_TAKES_ROWS + (uint32_t)status.state);
    if (status.state == log_lane->seen_state)
        return;
    log_lane->seen_state = status.state;
    char quoted[sizeof status.error + 64];
    if (status.state == CP_WAL_RUNNING)
        cp_log(CP_LOG_INFO, "the log takes rows again", "table=%s", log_lane->table->name);
    else
        cp_log(CP_LOG_ERROR, status.state == CP_WAL_STALLED ? "the log is full" : "the log cannot be written",
               "table=%s bytes=%llu limit=%llu durable_lsn=%llu delivered_lsn=%llu error=%s "
               "consequence=\"rows stay in their rings\" remedy=\"coldpath doctor\"",
               log_lane->table->name, (unsigned long long)status.bytes, (unsigned long long)status.limit,
               (unsigned long long)status.durable_lsn, (unsigned long long)status.delivered_lsn,
               cp_log_quote(quoted, sizeof quoted, status.error));
}

bool cp_log_lane_step(cp_log_lane *log_lane, uint64_t now_ns, bool *pending)
{
    watch_state(log_lane, now_ns);
    const bool moved = cp_wal_step(log_lane->wal, now_ns);
    *pending |= cp_wal_durable(log_lane->wal) < log_lane->appended_lsn;
    return moved;
}

/* ---- where the next batch begins -------------------------------------------------------------------------------- */

static bool goes_ahead(const cp_log_lane *log_lane)
{
    return log_lane->ahead_lo != 0;
}

/* Records that are durable and in no delivered stretch: in order, and beyond the backlog. */
static uint64_t backlog_records(const cp_log_lane *log_lane, uint64_t durable)
{
    return (goes_ahead(log_lane) ? log_lane->ahead_lo : durable + 1) - log_lane->next;
}

static uint64_t ahead_records(const cp_log_lane *log_lane, uint64_t durable)
{
    return goes_ahead(log_lane) ? durable + 1 - log_lane->ahead_next : 0;
}

/* When the rows that came last make a batch by the table's policy. */
static uint64_t live_due(const cp_log_lane *log_lane, uint64_t now_ns, bool urgent)
{
    const cp_batch_policy *policy = &log_lane->policy;
    const uint64_t since = atomic_load(&log_lane->waiting_since);
    const uint64_t bytes =
        atomic_load_explicit(&log_lane->durable_bytes, memory_order_acquire) - log_lane->taken_bytes;
    const uint64_t rows =
        atomic_load_explicit(&log_lane->durable_rows, memory_order_relaxed) - log_lane->taken_rows;
    if (urgent || bytes >= policy->bytes || rows >= policy->rows)
        return now_ns;
    return since ? since + policy->interval_ns : now_ns;
}

static void end_store(cp_log_lane *log_lane, uint64_t now_ns);

static void source_set_policy(void *ctx, const cp_batch_policy *policy)
{
    cp_log_lane *log_lane = ctx;
    log_lane->policy = *policy;
}

static uint64_t source_due(void *ctx, uint64_t now_ns, bool urgent)
{
    cp_log_lane *log_lane = ctx;
    if (log_lane->unstored && now_ns >= log_lane->store_at)
        end_store(log_lane, now_ns);
    const uint64_t durable = cp_wal_durable(log_lane->wal);
    if (goes_ahead(log_lane))
        return backlog_records(log_lane, durable) + ahead_records(log_lane, durable) ? now_ns : UINT64_MAX;
    return backlog_records(log_lane, durable) ? live_due(log_lane, now_ns, urgent) : UINT64_MAX;
}

/* True when the next batch is to be taken from behind the delivered stretch. */
static bool takes_ahead(const cp_log_lane *log_lane, uint64_t durable)
{
    if (!goes_ahead(log_lane) || ahead_records(log_lane, durable) == 0)
        return false;
    const uint64_t now = cp_boottime_ns();
    return backlog_records(log_lane, durable) == 0 || live_due(log_lane, now, false) <= now;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void complain(cp_log_lane *log_lane, const cp_error *err)
{
    const uint64_t now = cp_boottime_ns();
    if (now - log_lane->complained_ns < COMPLAIN_EVERY_S * (uint64_t)CP_NS_PER_S)
        return;
    char quoted[CP_ERROR_TEXT + 64];
    log_lane->complained_ns = now;
    cp_log(CP_LOG_ERROR, "the log cannot be read",
           "table=%s error=%s remedy=\"coldpath wal verify; messages of the disk (dmesg)\"",
           log_lane->table->name, cp_log_quote(quoted, sizeof quoted, err->text));
}

/* The same within 1 / share of the table's bounds. */
static uint32_t buffer_fill(cp_log_lane *log_lane, cp_wal_reader *reader, uint64_t lo, uint64_t hi,
                            uint32_t share)
{
    cp_error err = {0};
    cp_batch_policy policy = log_lane->policy;
    policy.max_bytes /= share;
    policy.max_rows /= share;
    const uint32_t count = cp_log_buffer_fill(log_lane->buffer, &policy, reader, lo, hi, &err);
    if (count == 0 && err.code < 0 && err.code != CP_E_ABSENT)
        complain(log_lane, &err);
    return count;
}

/* Whoever reads next, from where: the others must not keep segments from being used again until they have their turn, which with
 * a full log never comes. */
static void readers_rest(cp_log_lane *log_lane)
{
    cp_wal_reader_rest(log_lane->reader);
    if (log_lane->ahead_reader)
        cp_wal_reader_rest(log_lane->ahead_reader);
}

/* From here on new rows go first, when the backlog is more than a few batches. */
static void consider_going_ahead(cp_log_lane *log_lane, uint64_t durable)
{
    if (goes_ahead(log_lane) || log_lane->full_takes < BEHIND_BATCHES)
        return;
    if (!log_lane->ahead_reader &&
        cp_wal_reader_create(&log_lane->ahead_reader, log_lane->wal, log_lane->next, NULL) < 0)
        return; /* in order, then */
    cp_wal_reader_rest(log_lane->ahead_reader);
    log_lane->ahead_lo = log_lane->ahead_next = durable + 1;
    cp_log(CP_LOG_INFO, "new rows go before the backlog", "table=%s backlog_rows=%llu backlog_lsns=%llu",
           log_lane->table->name, (unsigned long long)cp_lane_undelivered(log_lane->lane),
           (unsigned long long)(durable + 1 - log_lane->next));
}

static uint32_t source_take(void *ctx, cp_chunk *const **chunks, uint64_t *lo)
{
    cp_log_lane *log_lane = ctx;
    const uint64_t durable = cp_wal_durable(log_lane->wal);
    consider_going_ahead(log_lane, durable);
    const bool ahead = takes_ahead(log_lane, durable);
    const uint64_t hi = !ahead && goes_ahead(log_lane) ? log_lane->ahead_lo - 1 : durable;
    *lo = ahead ? log_lane->ahead_next : log_lane->next;
    *chunks = log_lane->buffer->pointers;
    /* What comes from now on opens the next batch. */
    if (ahead || !goes_ahead(log_lane)) {
        atomic_store(&log_lane->waiting_since, 0);
        log_lane->taken_bytes = atomic_load_explicit(&log_lane->durable_bytes, memory_order_acquire);
        log_lane->taken_rows = atomic_load_explicit(&log_lane->durable_rows, memory_order_relaxed);
    }
    /* New rows wait for at most one batch of the backlog: a small one. */
    const uint32_t share = goes_ahead(log_lane) && !ahead ? BACKLOG_SHARE : 1;
    cp_wal_reader *reader = ahead ? log_lane->ahead_reader : log_lane->reader;
    const uint32_t count = buffer_fill(log_lane, reader, *lo, hi, share);
    log_lane->full_takes = count > 0 && *lo + count - 1 < hi ? log_lane->full_takes + 1 : 0;
    return count;
}

/* A batch that was cut before: as many rows as another configuration allowed. */
static uint32_t batch_read(cp_log_lane *log_lane, cp_wal_reader *reader, uint64_t lo, uint64_t hi,
                           cp_error *err)
{
    cp_batch_policy policy = log_lane->table->batch;
    policy.max_rows = UINT32_MAX;
    return cp_log_buffer_fill(log_lane->buffer, &policy, reader, lo, hi, err);
}

static uint32_t source_again(void *ctx, uint64_t lo, uint64_t hi, cp_chunk *const **chunks, cp_error *err)
{
    cp_log_lane *log_lane = ctx;
    *chunks = log_lane->buffer->pointers;
    return batch_read(log_lane, log_lane->reader, lo, hi, err);
}

/* ---- checkpoint -------------------------------------------------------------------------------------------------- */

/* Stores how far ClickHouse has the log, and the batch about to be sent. The delivered stretch beyond the backlog is stored as
 * an intent without token. */
static bool checkpoint_store(cp_log_lane *log_lane, const cp_batch_intent *batch)
{
    static _Thread_local cp_wal_intent intents[2];
    uint32_t count = 0;
    cp_error err = {0};
    memset(intents, 0, sizeof intents);
    if (goes_ahead(log_lane) && log_lane->ahead_next > log_lane->ahead_lo) {
        intents[count].lo = log_lane->ahead_lo;
        intents[count++].hi = log_lane->ahead_next - 1;
    }
    if (batch) {
        intents[count].lo = batch->range.lo;
        intents[count].hi = batch->range.hi;
        intents[count].rows = batch->rows;
        intents[count].piece_first = batch->piece.first;
        intents[count].piece_rows = batch->piece.rows;
        intents[count].endpoint = batch->endpoint;
        intents[count].group = batch->group;
        snprintf(intents[count++].token, sizeof intents[0].token, "%s", batch->token);
    }
    if (cp_wal_checkpoint_write(log_lane->wal, log_lane->next - 1, intents, count, &err) < 0) {
        complain(log_lane, &err);
        return false;
    }
    cp_wal_release(log_lane->wal, log_lane->next - 1);
    return true;
}

/* Everything is delivered, and no batch follows that would say so: a full log takes no row before its checkpoint knows. */
static void end_store(cp_log_lane *log_lane, uint64_t now_ns)
{
    log_lane->unstored = !checkpoint_store(log_lane, NULL);
    log_lane->store_at = now_ns + STORE_EVERY_S * (uint64_t)CP_NS_PER_S;
}

bool cp_log_lane_prepare(cp_log_lane *log_lane, const cp_batch_intent *batch)
{
    const bool stored = checkpoint_store(log_lane, batch);
    log_lane->unstored = false; /* the batch's delivery stores the next one */
    cp_failpoint(CP_FP_LOG_CHECKPOINTED);
    /* What a predecessor counted already is not counted again: its intent, which is ended, says so. */
    if (stored && !cp_lane_was_counted(log_lane->lane, batch->token))
        cp_lane_prepare(log_lane->lane, batch);
    return stored;
}

/* What went ahead may have been sent by a predecessor: then no batch of ours says how far it had come in the rings. */
static void rings_reach(cp_log_lane *log_lane)
{
    cp_lane *lane = log_lane->lane;
    for (uint32_t slot = 0; slot < lane->entry->slots; slot++) {
        uint64_t end;
        if (cp_wal_ring_within(log_lane->wal, slot, lane->states[slot].epoch, log_lane->next - 1, &end))
            cp_lane_reach(lane, slot, end);
    }
}

static void range_delivered(cp_log_lane *log_lane, const cp_lsn_range *range)
{
    if (range->lo == log_lane->next)
        log_lane->next = range->hi + 1;
    else if (goes_ahead(log_lane) && range->lo == log_lane->ahead_next)
        log_lane->ahead_next = range->hi + 1;
    if (goes_ahead(log_lane) && log_lane->next == log_lane->ahead_lo) {
        log_lane->next = log_lane->ahead_next;
        log_lane->ahead_lo = log_lane->ahead_next = 0;
        rings_reach(log_lane);
        readers_rest(log_lane);
        cp_log(CP_LOG_INFO, "the backlog is delivered", "table=%s", log_lane->table->name);
    }
}

void cp_log_lane_delivered(cp_log_lane *log_lane, const cp_batch_intent *batch)
{
    range_delivered(log_lane, &batch->range);
    const bool drained = log_lane->next > cp_wal_durable(log_lane->wal);
    cp_lane_logged_delivered(log_lane->lane, batch, !goes_ahead(log_lane) && !log_lane->elsewhere);
    cp_failpoint(CP_FP_LOG_DELIVERED);
    /* With nothing more to send, the next batch's checkpoint may be far off. */
    if (drained)
        end_store(log_lane, cp_boottime_ns());
}

/* ---- the batch that was under way -------------------------------------------------------------------------------- */

static int resume_intent(cp_log_lane *log_lane, const cp_wal_intent *intent, cp_flusher *flusher,
                         cp_error *err)
{
    cp_wal_reader *reader = NULL;
    /* Delivered, or set aside in a file that will be, though the log's checkpoint does not know yet. */
    if (cp_lane_was_counted(log_lane->lane, intent->token)) {
        range_delivered(log_lane, &(cp_lsn_range){intent->lo, intent->hi});
        log_lane->unstored = true; /* perhaps no batch follows that would say so */
        return CP_OK;
    }
    int rc = cp_wal_reader_create(&reader, log_lane->wal, intent->lo, err);
    if (rc < 0)
        return rc;
    const uint32_t count = batch_read(log_lane, reader, intent->lo, intent->hi, err);
    cp_wal_reader_free(reader);
    if (count != intent->hi - intent->lo + 1)
        return err->code < 0
                   ? err->code
                   : cp_error_set(
                         err, CP_E_TOO_BIG,
                         "table %s: a batch of %llu rows that was under way cannot be read whole: set "
                         "flush.max_bytes back to what it was until it is delivered",
                         log_lane->table->name, (unsigned long long)intent->rows);
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; i++)
        rows += log_lane->buffer->chunks[i].row_count;
    if (rows == 0) { /* repair gave all of it up: there is nothing to send */
        range_delivered(log_lane, &(cp_lsn_range){intent->lo, intent->hi});
        log_lane->unstored = true; /* perhaps no batch follows that would say so */
        return CP_OK;
    }
    cp_log(CP_LOG_INFO, "a batch that was under way is sent again", "table=%s rows=%llu lsns=%llu-%llu",
           log_lane->table->name, (unsigned long long)intent->rows, (unsigned long long)intent->lo,
           (unsigned long long)intent->hi);
    cp_failpoint(CP_FP_RESUME_READ);
    const cp_batch_left left = {.token = intent->token,
                                .endpoint = intent->endpoint,
                                .group = intent->group,
                                .range = {intent->lo, intent->hi},
                                .piece = {intent->piece_first, intent->piece_rows}};
    rc = cp_flusher_resume(flusher, log_lane->lane->index, log_lane->buffer->pointers, count, &left, err);
    cp_failpoint(CP_FP_RESUME_DONE);
    return rc;
}

int cp_log_lane_connect(cp_log_lane *log_lane, cp_flusher *flusher, cp_error *err)
{
    const cp_batch_source source = {.ctx = log_lane,
                                    .due = source_due,
                                    .set_policy = source_set_policy,
                                    .take = source_take,
                                    .again = source_again};
    const cp_wal_intent *intents = NULL;
    const uint32_t count = cp_wal_intents(log_lane->wal, &intents);
    cp_flusher_set_source(flusher, log_lane->lane->index, &source);
    int rc = CP_OK;
    for (uint32_t i = 0; i < count; i++) {
        if (intents[i].token[0] == '\0') {
            log_lane->ahead_lo = intents[i].lo;
            log_lane->ahead_next = intents[i].hi + 1;
        }
    }
    /* In order, a batch begins at next: one that does not was the first to go ahead. */
    for (uint32_t i = 0; i < count && !goes_ahead(log_lane); i++) {
        if (intents[i].lo != log_lane->next)
            log_lane->ahead_lo = log_lane->ahead_next = intents[i].lo;
    }
    if (goes_ahead(log_lane))
        rc = cp_wal_reader_create(&log_lane->ahead_reader, log_lane->wal, log_lane->next, err);
    if (log_lane->ahead_reader)
        cp_wal_reader_rest(log_lane->ahead_reader);
    for (uint32_t i = 0; rc == CP_OK && i < count; i++) {
        if (intents[i].token[0] != '\0')
            rc = resume_intent(log_lane, &intents[i], flusher, err);
    }
    if (log_lane->next > cp_wal_durable(log_lane->wal) && !log_lane->elsewhere)
        cp_lane_all_delivered(log_lane->lane);
    return rc;
}

/* ---- any thread ------------------------------------------------------------------------------------------------- */

void cp_log_lane_position(const cp_log_lane *log_lane, uint64_t *next, uint64_t *durable)
{
    *durable = cp_wal_durable(log_lane->wal);
    *next = atomic_load(&log_lane->next);
}

void cp_log_lane_left(const cp_log_lane *log_lane, uint64_t *rows, uint64_t *lsns)
{
    const uint64_t durable = cp_wal_durable(log_lane->wal);
    *rows += cp_lane_undelivered(log_lane->lane);
    *lsns += backlog_records(log_lane, durable) + ahead_records(log_lane, durable);
}

void cp_log_lane_rotate(cp_log_lane *log_lane)
{
    cp_wal_rotate(log_lane->wal);
}
