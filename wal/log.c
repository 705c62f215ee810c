#include "wal/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/pages.h"
#include "wal/log_private.h"

enum {
    DEFAULT_LIMIT_SEGMENTS = 64,
    DEFAULT_CHUNK = 1024 * 1024 + CP_WAL_BLOCK, /* the largest row, and its record header */
    DEFAULT_FRAME = CP_WAL_FRAME_MEMORY / CP_WAL_FRAMES - CP_WAL_FIRST_FRAME,
    DEFAULT_MARK_MS = 20,
    STEP_WAIT_NS = 10 * CP_NS_PER_MS
};

uint64_t cp_wal_random(cp_wal *wal)
{
    uint64_t word = 0;
    if (wal->seams.random_state == 0 && getrandom(&word, sizeof word, GRND_NONBLOCK) == sizeof word)
        return word;
    /* splitmix64 */
    wal->seams.random_state +=
        UINT64_C(0x9e3779b97f4a7c15) + (wal->seams.random_state == 0 ? cp_realtime_ns() : 0);
    word = wal->seams.random_state;
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

void cp_wal_report(cp_wal *wal, cp_wal_state state, const char *fmt, ...)
{
    char text[sizeof wal->error];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pthread_mutex_lock(&wal->mutex);
    if (state != CP_WAL_RUNNING) /* maintenance's errors are not yet the writer's, and do not hide those */
        wal->state = state;
    if (state != CP_WAL_RUNNING || wal->state != CP_WAL_FAILING)
        memcpy(wal->error, text, sizeof text);
    pthread_mutex_unlock(&wal->mutex);
}

void cp_wal_report_over(cp_wal *wal)
{
    pthread_mutex_lock(&wal->mutex);
    wal->state = CP_WAL_RUNNING;
    wal->error[0] = 0;
    pthread_mutex_unlock(&wal->mutex);
}

int cp_wal_io_create(cp_wal *wal, cp_io **out, cp_error *err)
{
    if (wal->seams.io_create)
        return wal->seams.io_create(wal->seams.ctx, out, err);
    return cp_io_posix_create(out, wal->dir, err);
}

/* ---- opening ---- */

static int config_settle(cp_wal *wal, cp_error *err)
{
    cp_wal_config *config = &wal->config;
    config->segment_size = config->segment_size ? config->segment_size : CP_WAL_SEGMENT_SIZE;
    config->limit = config->limit ? config->limit : config->segment_size * DEFAULT_LIMIT_SEGMENTS;
    config->mark_ns = config->mark_ns ? config->mark_ns : (uint64_t)DEFAULT_MARK_MS * CP_NS_PER_MS;
    config->max_chunk_bytes = config->max_chunk_bytes ? config->max_chunk_bytes : DEFAULT_CHUNK;
    if (config->frame_bytes == 0) { /* no more than a segment has room for */
        const uint64_t room =
            config->segment_size > CP_WAL_FIRST_FRAME ? config->segment_size - CP_WAL_FIRST_FRAME : 0;
        config->frame_bytes = room < DEFAULT_FRAME ? (uint32_t)room : DEFAULT_FRAME;
    }
    wal->frame_capacity = cp_wal_block_up((uint64_t)config->max_chunk_bytes + CP_WAL_RECORD_HEADER);
    if (wal->frame_capacity < config->frame_bytes)
        wal->frame_capacity = cp_wal_block_up(config->frame_bytes);
    if (config->segment_size % CP_WAL_BLOCK != 0 || config->segment_size < CP_WAL_SEGMENT_MIN ||
        config->segment_size > CP_WAL_SEGMENT_MAX)
        return cp_error_set(err, CP_E_CONFIG, "segment size %llu: a multiple of %d from %d to %d is needed",
                            (unsigned long long)config->segment_size, CP_WAL_BLOCK, CP_WAL_SEGMENT_MIN,
                            CP_WAL_SEGMENT_MAX);
    if (wal->frame_capacity + CP_WAL_FIRST_FRAME > config->segment_size)
        return cp_error_set(err, CP_E_CONFIG,
                            "segment size %llu: one frame of %llu bytes must fit: make segments larger",
                            (unsigned long long)config->segment_size,
                            (unsigned long long)wal->frame_capacity + CP_WAL_FIRST_FRAME);
    if (config->limit < CP_WAL_MIN_SEGMENTS * config->segment_size ||
        config->limit / config->segment_size > CP_WAL_MAX_SEGMENTS)
        return cp_error_set(err, CP_E_CONFIG,
                            "log limit %llu: from %d to %d segments of %llu bytes are possible",
                            (unsigned long long)config->limit, CP_WAL_MIN_SEGMENTS, CP_WAL_MAX_SEGMENTS,
                            (unsigned long long)config->segment_size);
    return CP_OK;
}

/* Of all frames' buffers. */
static size_t frame_bytes(const cp_wal *wal)
{
    return CP_WAL_FRAMES * (CP_WAL_FIRST_FRAME + (size_t)wal->frame_capacity);
}

static int memory_take(cp_wal *wal)
{
    if (cp_wal_segments_init(&wal->segments, CP_WAL_MAX_SEGMENTS) != CP_OK)
        return CP_E_NOMEM;
    wal->frame_memory = cp_pages_take(frame_bytes(wal));
    if (!wal->frame_memory)
        return CP_E_NOMEM;
    for (int i = 0; i < CP_WAL_FRAMES; i++)
        wal->frames[i].buffer = wal->frame_memory + (size_t)i * (frame_bytes(wal) / CP_WAL_FRAMES);
    return CP_OK;
}

static void wal_free(cp_wal *wal)
{
    cp_io *const instances[] = {wal->sink_io, wal->files};
    if (wal->sink_io)
        cp_wal_checkpoint_close(&wal->checkpoint);
    if (wal->files && wal->lock >= 0)
        wal->files->ops->close(wal->files, wal->lock);
    for (size_t i = 0; i < sizeof instances / sizeof instances[0]; i++) {
        if (instances[i])
            instances[i]->ops->destroy(instances[i]);
    }
    cp_pages_free(wal->frame_memory, frame_bytes(wal));
    cp_wal_segments_destroy(&wal->segments);
    pthread_cond_destroy(&wal->wake);
    pthread_mutex_destroy(&wal->mutex);
    free(wal->dir);
    free(wal);
}

static cp_wal *wal_new(const cp_wal_config *config, const cp_wal_seams *seams)
{
    cp_wal *wal = calloc(1, sizeof *wal);
    if (!wal)
        return NULL;
    wal->config = *config;
    wal->seams = *seams;
    wal->file = -1;
    wal->lock = -1;
    wal->checkpoint.file = -1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wal->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&wal->mutex, NULL);
    wal->dir = strdup(config->dir);
    wal->config.dir = wal->dir;
    return wal;
}

/* With a name that lasts; also of one that is there, since a predecessor may have been killed in here. */
static int directory_make(const cp_wal *wal, cp_error *err)
{
    if (wal->seams.io_create)
        return CP_OK;
    const bool made = mkdir(wal->dir, 0750) == 0;
    if (!made && errno != EEXIST)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot make the directory %s",
                              wal->dir);
    const int result = cp_dir_sync_parent(wal->dir);
    if (result == 0 ||
        (!made && result == -EACCES)) /* of a parent that is not ours to read somebody else took care */
        return CP_OK;
    return cp_error_errno(err, cp_error_code_of_errno(-result), -result, "cannot sync the name of %s",
                          wal->dir);
}

/* Everything that can fail, in order; the caller frees. */
static int wal_setup(cp_wal *wal, cp_error *err)
{
    int code = wal->dir ? config_settle(wal, err) : CP_E_NOMEM;
    if (code == CP_OK)
        code = memory_take(wal);
    if (code == CP_E_NOMEM)
        return cp_error_set(err, CP_E_NOMEM, "out of memory for the log %s", wal->config.dir);
    if (code == CP_OK)
        code = directory_make(wal, err);
    if (code == CP_OK)
        code = cp_wal_io_create(wal, &wal->files, err);
    if (code == CP_OK)
        code = cp_wal_io_create(wal, &wal->sink_io, err);
    if (code == CP_OK)
        code = cp_wal_recover(wal, err);
    if (code != CP_OK)
        return code;
    /* A block that is old or bad is made good before anything is built on the other one. That one may be in the cache alone: its
     * writer was killed, and an opening before this one was told that its sync had failed, which this one's sync is not. */
    if (!wal->checkpoint.lost && !(wal->checkpoint.newest[0] && wal->checkpoint.newest[1]))
        code = cp_wal_checkpoint_store(&wal->checkpoint, &wal->checkpoint.now, err);
    if (code != CP_OK)
        return cp_error_prefix(err, "%s", wal->dir);
    /* One segment at once, so that what is wrong with the place is said now; the others come beside the running. */
    if (cp_wal_segments_count(&wal->segments, CP_SEGMENT_READY) == 0 && !wal->seams.no_thread) {
        while (cp_wal_maintain(wal, cp_boottime_ns()) &&
               cp_wal_segments_count(&wal->segments, CP_SEGMENT_READY) == 0) {
        }
    }
    if (wal->seams.no_thread)
        return CP_OK;
    wal->thread_started = pthread_create(&wal->thread, NULL, cp_wal_maintain_run, wal) == 0;
    return wal->thread_started
               ? CP_OK
               : cp_error_set(err, CP_E_NOMEM, "cannot start a thread for the log %s", wal->dir);
}

int cp_wal_open_with(cp_wal **out, const cp_wal_config *config, const cp_wal_seams *seams, cp_error *err)
{
    cp_wal *wal = wal_new(config, seams);
    if (!wal)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    const int code = wal_setup(wal, err);
    if (code != CP_OK) {
        wal_free(wal);
        return code;
    }
    *out = wal;
    return CP_OK;
}

int cp_wal_open(cp_wal **out, const cp_wal_config *config, cp_error *err)
{
    static const cp_wal_seams none;
    return cp_wal_open_with(out, config, &none, err);
}

void cp_wal_finish(cp_wal *wal, uint64_t deadline_ns)
{
    if (!wal->io)
        return;
    uint64_t now_ns = 0;
    const struct timespec stalled = {.tv_nsec =
                                         STEP_WAIT_NS}; /* nothing is under way that could be waited for */
    while (wal->frame_count > 0 && (now_ns = cp_boottime_ns()) < deadline_ns) {
        if (!cp_wal_step_wait(wal, now_ns, STEP_WAIT_NS) && wal->writes == 0 && !wal->syncing)
            nanosleep(&stalled, NULL);
    }
    cp_wal_settle(wal);
    if (wal->file >= 0)
        wal->io->ops->close(wal->io, wal->file);
    wal->file = -1;
    wal->io->ops->destroy(wal->io);
    wal->io = NULL;
}

void cp_wal_close(cp_wal *wal, uint64_t deadline_ns)
{
    if (!wal)
        return;
    cp_wal_finish(wal, deadline_ns);
    if (wal->thread_started) {
        pthread_mutex_lock(&wal->mutex);
        wal->stop = true;
        pthread_cond_signal(&wal->wake);
        pthread_mutex_unlock(&wal->mutex);
        pthread_join(wal->thread, NULL);
    }
    const cp_wal_checkpoint_block *last = &wal->checkpoint.now;
    if (atomic_load(&wal->durable) > last->durable_lsn)
        cp_wal_checkpoint_write(wal, last->delivered_lsn, last->intents, last->intent_count, NULL);
    wal_free(wal);
}

/* ---- what recovery found ---- */

uint64_t cp_wal_delivered(const cp_wal *wal)
{
    return atomic_load(&wal->delivered);
}

uint64_t cp_wal_id(const cp_wal *wal)
{
    return cp_wal_uuid_id(wal->uuid);
}

uint32_t cp_wal_intents(const cp_wal *wal, const cp_wal_intent **intents)
{
    *intents = wal->checkpoint.now.intents;
    return wal->checkpoint.now.intent_count;
}

bool cp_wal_repaired(cp_wal *wal)
{
    bool repaired = false;
    const uint64_t delivered = cp_wal_delivered(wal);
    pthread_mutex_lock(&wal->mutex); /* maintenance runs from the opening on */
    for (uint32_t i = 0; i < wal->segments.count && !repaired; i++) {
        const cp_wal_segment *segment = &wal->segments.items[i];
        repaired = segment->state == CP_SEGMENT_SEALED && segment->repaired && segment->end_lsn > delivered;
    }
    pthread_mutex_unlock(&wal->mutex);
    return repaired;
}

bool cp_wal_checkpoint_lost(const cp_wal *wal)
{
    return wal->checkpoint.lost;
}

bool cp_wal_ring_end(const cp_wal *wal, uint32_t slot, uint64_t epoch, uint64_t *position)
{
    if (slot >= CP_WAL_RINGS || wal->rings[slot].lsn == 0 || wal->rings[slot].epoch != epoch)
        return false;
    *position = wal->rings[slot].end;
    return true;
}

bool cp_wal_ring_within(cp_wal *wal, uint32_t slot, uint64_t epoch, uint64_t lsn, uint64_t *position)
{
    pthread_mutex_lock(&wal->mutex);
    const bool within = cp_wal_ring_end(wal, slot, epoch, position) && wal->rings[slot].lsn <= lsn;
    pthread_mutex_unlock(&wal->mutex);
    return within;
}

uint64_t cp_wal_durable(const cp_wal *wal)
{
    return atomic_load_explicit(&wal->durable, memory_order_acquire);
}

/* ---- starting the writer ---- */

static int writer_io_create(cp_wal *wal, cp_error *err)
{
    if (wal->seams.io_create || wal->config.backend == CP_WAL_POSIX)
        return cp_wal_io_create(wal, &wal->io, err);
    cp_error refused;
    const int code = cp_io_uring_create(&wal->io, wal->dir, &refused);
    if (code == CP_OK)
        return CP_OK;
    if (code != CP_E_UNSUPPORTED || wal->config.backend == CP_WAL_IO_URING)
        return cp_error_set(err, code, "%s: %s", wal->dir, refused.text);
    snprintf(wal->note, sizeof wal->note, "%.250s", refused.text);
    return cp_wal_io_create(wal, &wal->io, err);
}

int cp_wal_start(cp_wal *wal, cp_error *err)
{
    const int code = writer_io_create(wal, err);
    if (code != CP_OK)
        return code;
    struct iovec buffers[CP_WAL_FRAMES];
    for (int i = 0; i < CP_WAL_FRAMES; i++)
        buffers[i] = (struct iovec){.iov_base = wal->frames[i].buffer,
                                    .iov_len = CP_WAL_FIRST_FRAME + (size_t)wal->frame_capacity};
    wal->io->ops->use_buffers(wal->io, buffers, CP_WAL_FRAMES);
    cp_wal_calibrate(wal);
    return CP_OK;
}

/* ---- the flusher's ---- */

int cp_wal_checkpoint_write(cp_wal *wal, uint64_t delivered_lsn, const cp_wal_intent *intents, uint32_t n,
                            cp_error *err)
{
    cp_wal_checkpoint_block *block = &wal->checkpoint_next;
    const cp_wal_checkpoint_block *now = &wal->checkpoint.now;
    memset(block, 0, sizeof *block);
    block->delivered_lsn = delivered_lsn;
    block->durable_lsn = cp_wal_durable(wal);
    block->written_ns = cp_realtime_ns();
    if (n > CP_WAL_INTENTS || delivered_lsn < now->delivered_lsn || delivered_lsn > block->durable_lsn)
        return cp_error_set(err, CP_E_INVAL,
                            "checkpoint at %llu with %u intents: it was at %llu, durable is %llu",
                            (unsigned long long)delivered_lsn, n, (unsigned long long)now->delivered_lsn,
                            (unsigned long long)block->durable_lsn);
    for (uint32_t i = 0; i < n; i++) {
        if (!cp_wal_intent_sane(&intents[i], delivered_lsn, block->durable_lsn))
            return cp_error_set(
                err, CP_E_INVAL,
                "intent %llu to %llu, piece %u+%u of %llu rows, is not between delivered and durable",
                (unsigned long long)intents[i].lo, (unsigned long long)intents[i].hi, intents[i].piece_first,
                intents[i].piece_rows, (unsigned long long)intents[i].rows);
        block->intents[i] = intents[i];
    }
    block->intent_count = wal->seams.unsafe & CP_UNSAFE_INTENT ? 0 : n;
    block->ring_count = CP_WAL_RINGS;
    pthread_mutex_lock(&wal->mutex);
    memcpy(block->rings, wal->rings, sizeof block->rings);
    pthread_mutex_unlock(&wal->mutex);
    const int code = cp_wal_checkpoint_store(&wal->checkpoint, block, err);
    if (code != CP_OK)
        return cp_error_prefix(err, "%s", wal->dir);
    wal->checkpoint.lost = false;
    atomic_store(&wal->delivered, delivered_lsn);
    return CP_OK;
}

void cp_wal_release(cp_wal *wal, uint64_t delivered_lsn)
{
    const uint64_t now_ns = cp_realtime_ns();
    const uint64_t stored = wal->checkpoint.now.delivered_lsn;
    if (delivered_lsn > stored && !(wal->seams.unsafe & CP_UNSAFE_RECYCLE))
        delivered_lsn = stored;
    pthread_mutex_lock(&wal->mutex);
    for (;;) {
        cp_wal_segment *oldest = cp_wal_segments_oldest(&wal->segments, CP_SEGMENT_SEALED);
        /* The newest durable segment stays: what comes next links to it. */
        if (!oldest || oldest->end_lsn > delivered_lsn || oldest->pins > 0 ||
            oldest->origin.id >= atomic_load(&wal->tail_id) ||
            (wal->config.keep_ns && oldest->sealed_ns + wal->config.keep_ns > now_ns))
            break;
        const bool whole = oldest->file_size == wal->config.segment_size && !oldest->poisoned;
        oldest->state = whole ? CP_SEGMENT_READY : CP_SEGMENT_DEAD;
        cp_failpoint(CP_FP_WAL_RELEASED);
    }
    pthread_cond_signal(&wal->wake);
    pthread_mutex_unlock(&wal->mutex);
}

/* ---- status ---- */

static void status_counts(cp_wal *wal, cp_wal_status *status)
{
    status->durable_lsn = cp_wal_durable(wal);
    status->delivered_lsn = cp_wal_delivered(wal);
    status->commits = atomic_load(&wal->commits);
    status->payload_bytes = atomic_load(&wal->payload_bytes);
    status->device_bytes = atomic_load(&wal->device_bytes);
    status->retries = atomic_load(&wal->retries);
    status->given_up = atomic_load(&wal->given_up);
    status->limit = wal->config.limit;
}

void cp_wal_status_read(cp_wal *wal, cp_wal_status *status)
{
    memset(status, 0, sizeof *status);
    status_counts(wal, status);
    const cp_io *io = wal->io;
    status->backend = io ? io->ops->name : "";
    status->sync = wal->dsync ? "dsync" : "fdatasync";
    status->registered = io && io->registered;
    status->buffered = io && io->degraded & CP_IO_BUFFERED;
    status->not_persistent = wal->files->degraded & CP_IO_VOLATILE;
    status->calibrated_fdatasync_ns = wal->calibrated[0];
    status->calibrated_dsync_ns = wal->calibrated[1];
    pthread_mutex_lock(&wal->mutex);
    status->state = wal->state;
    status->bytes = cp_wal_segments_bytes(&wal->segments);
    status->segments = wal->segments.count;
    status->segments_ready = cp_wal_segments_count(&wal->segments, CP_SEGMENT_READY);
    memcpy(status->note, wal->note, sizeof status->note);
    memcpy(status->error, wal->error, sizeof status->error);
    pthread_mutex_unlock(&wal->mutex);
}
