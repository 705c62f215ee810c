#include "flush/quarantine_retry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "flush/batch.h"
#include "flush/one_off.h"
#include "flush/quarantine.h"
#include "schema/row.h"

#define PROGRESS_MAGIC 0x3130475251504c43ull /* "CLPQRG01" */

enum {
    BATCH_BYTES = 16 * 1024 * 1024,
    BATCH_ROWS = CP_BATCH_CHUNKS, /* a row is a chunk */
    ROW_HEADER = CP_RECORD_HEADER,
    FILE_PATH = CP_QUARANTINE_PATH + 256
};

/* How far a retry has come, and what it has under way. Rows are numbered from 1 in the order of the list. */
typedef struct retry_progress {
    uint64_t magic;
    uint64_t checksum; /* XXH3 of all with this field 0 */
    uint64_t next;     /* all rows before are settled */
    uint64_t done;     /* 1: every row is, and the file belongs into the trash */
    uint64_t lo;       /* 0: nothing is under way */
    uint64_t hi;
    uint32_t piece_first;
    uint32_t piece_rows;
    uint64_t delivered;
    uint64_t refused;
    char token[CP_TOKEN_MAX - 16];
    uint64_t endpoint; /* as in cp_batch_intent; of an earlier program 0; likewise group */
    uint64_t group;
} retry_progress;

struct cp_quarantine_retry {
    cp_quarantine quarantine;
    const cp_table *table;
    cp_quarantine_list list;
    cp_flusher *flusher;
    int lock_fd;
    retry_progress progress; /* flusher's thread, once it runs */
    uint8_t *data;           /* rows of the batch that is lent */
    uint32_t *row_at;
    cp_chunk *chunks;
    cp_chunk **pointers;
    uint8_t *scratch; /* for reading a record */
    pthread_mutex_t mutex;
    cp_quarantine_result result; /* under mutex */
};

static void file_path(const cp_quarantine_retry *retry, const char *kind, char path[FILE_PATH])
{
    snprintf(path, FILE_PATH, "%s/%s.%s", retry->quarantine.dir, retry->quarantine.table, kind);
}

static void result_stuck(cp_quarantine_retry *retry, const char *text)
{
    pthread_mutex_lock(&retry->mutex);
    retry->result.stuck = true;
    snprintf(retry->result.text, sizeof retry->result.text, "%s", text);
    pthread_mutex_unlock(&retry->mutex);
}

/* ---- progress ----------------------------------------------------------------------------------------------------- */

static uint64_t progress_checksum(const retry_progress *progress)
{
    retry_progress copy = *progress;
    copy.checksum = 0;
    return XXH3_64bits(&copy, sizeof copy);
}

static bool write_durable(int fd, const void *bytes, size_t size)
{
    return write(fd, bytes, size) == (ssize_t)size && fdatasync(fd) == 0;
}

/* Beside the old one, then in its place. */
static bool progress_store(cp_quarantine_retry *retry, cp_error *err)
{
    char path[FILE_PATH];
    char fresh[FILE_PATH];
    file_path(retry, "progress", path);
    file_path(retry, "progress-new", fresh);
    retry->progress.magic = PROGRESS_MAGIC;
    retry->progress.checksum = progress_checksum(&retry->progress);
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_durable(fd, &retry->progress, sizeof retry->progress);
    good = good && rename(fresh, path) == 0;
    if (fd >= 0)
        close(fd);
    const int dir = good ? open(retry->quarantine.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    good = good && dir >= 0 && fsync(dir) == 0;
    if (!good)
        cp_error_errno(err, CP_E_IO, errno, "quarantine: write %s", path);
    if (dir >= 0)
        close(dir);
    return good;
}

/* CP_E_ABSENT: there is none. */
static int progress_load(cp_quarantine_retry *retry, cp_error *err)
{
    char path[FILE_PATH];
    retry_progress *progress = &retry->progress;
    file_path(retry, "progress", path);
    memset(progress, 0, sizeof *progress);
    progress->next = 1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? CP_E_ABSENT
                               : cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    const ssize_t got = read(fd, progress, sizeof *progress);
    close(fd);
    if (got != (ssize_t)sizeof *progress || progress->magic != PROGRESS_MAGIC ||
        progress->checksum != progress_checksum(progress) ||
        !memchr(progress->token, '\0', sizeof progress->token))
        return cp_error_set(err, CP_E_CORRUPT,
                            "%s is damaged: nobody knows which rows of the retry have arrived; compare with "
                            "ClickHouse, then rename it and %s.retrying",
                            path, retry->quarantine.table);
    return CP_OK;
}

static int progress_remove(const cp_quarantine_retry *retry, cp_error *err)
{
    char path[FILE_PATH];
    file_path(retry, "progress", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return cp_error_errno(err, CP_E_IO, errno, "remove %s", path);
    return CP_OK;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static bool entry_is_ours(const cp_quarantine_retry *retry, const cp_quarantine_entry *entry)
{
    return entry->schema_hash == retry->table->schema_hash;
}

/* Makes a chunk of the entry's row, at the given place in the batch's memory; without a row when it cannot be sent. */
static int chunk_fill(cp_quarantine_retry *retry, const cp_quarantine_entry *entry, uint32_t index,
                      uint64_t at, cp_error *err)
{
    cp_quarantine_row row;
    cp_chunk *chunk = &retry->chunks[index];
    uint8_t *data = retry->data + at;
    const uint32_t size = ROW_HEADER + ((entry->size + 7u) & ~7u);
    retry->row_at[index] = ROW_HEADER;
    *chunk = (cp_chunk){.slot = (uint16_t)entry->slot,
                        .epoch = entry->epoch,
                        .begin = entry->position,
                        .end = entry->position + size,
                        .byte_count = size,
                        .data = data,
                        .row_at = &retry->row_at[index]};
    retry->pointers[index] = chunk;
    if (!entry_is_ours(retry, entry))
        return CP_OK;
    const int rc = cp_quarantine_read(&retry->list, entry, &retry->scratch, &row, err);
    if (rc < 0)
        return rc;
    memset(data, 0, size);
    memcpy(data, &row.size, sizeof row.size);
    memcpy(data + ROW_HEADER, row.bytes, row.size);
    chunk->row_count = cp_row_check(retry->table, data + ROW_HEADER, row.size, NULL) == CP_OK;
    return CP_OK;
}

/* Lends rows lo … hi, as far as a batch goes. */
static uint32_t rows_lend(cp_quarantine_retry *retry, uint64_t lo, uint64_t hi, cp_error *err)
{
    uint32_t count = 0;
    uint64_t bytes = 0;
    while (count < BATCH_ROWS && lo + count <= hi && bytes <= BATCH_BYTES) {
        const cp_quarantine_entry *entry = &retry->list.entries[lo + count - 1];
        if (chunk_fill(retry, entry, count, bytes, err) < 0)
            return 0;
        bytes += retry->chunks[count++].byte_count;
    }
    return count;
}

static uint64_t source_due(void *ctx, uint64_t now_ns, bool urgent)
{
    const cp_quarantine_retry *retry = ctx;
    (void)urgent;
    return retry->progress.next <= retry->list.count ? now_ns : UINT64_MAX;
}

static uint32_t source_take(void *ctx, cp_chunk *const **chunks, uint64_t *lo)
{
    cp_quarantine_retry *retry = ctx;
    cp_error err = {0};
    *lo = retry->progress.next;
    *chunks = retry->pointers;
    const uint32_t count = rows_lend(retry, *lo, retry->list.count, &err);
    if (count == 0)
        result_stuck(retry, err.text);
    return count;
}

static uint32_t source_again(void *ctx, uint64_t lo, uint64_t hi, cp_chunk *const **chunks, cp_error *err)
{
    cp_quarantine_retry *retry = ctx;
    *chunks = retry->pointers;
    return rows_lend(retry, lo, hi, err);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

/* Rows that were not sent go back. */
static int rows_keep(cp_quarantine_retry *retry, uint64_t *kept, cp_error *err)
{
    cp_quarantine_list there;
    int rc =
        cp_quarantine_load(&there, retry->quarantine.dir, retry->quarantine.table, CP_QUARANTINE_ROWS, err);
    if (rc < 0)
        return rc;
    rc = cp_quarantine_begin(&retry->quarantine, err);
    const bool begun = rc == CP_OK;
    for (uint64_t i = 0; rc == CP_OK && i < retry->list.count; i++) {
        const cp_quarantine_entry *entry = &retry->list.entries[i];
        cp_quarantine_row row;
        if (entry_is_ours(retry, entry))
            continue;
        ++*kept;
        if (cp_quarantine_list_has(&there, entry->epoch, entry->slot, entry->position))
            continue;
        rc = cp_quarantine_read(&retry->list, entry, &retry->scratch, &row, err);
        if (rc == CP_OK)
            rc = cp_quarantine_add(&retry->quarantine, &row, err);
    }
    if (rc == CP_OK)
        rc = cp_quarantine_commit(&retry->quarantine, err);
    else if (begun)
        cp_quarantine_abort(&retry->quarantine);
    cp_quarantine_list_free(&there);
    return rc;
}

/* `done` stands in the progress: the file goes to the trash, then the progress goes. */
static int file_retire(cp_quarantine_retry *retry, cp_error *err)
{
    bool moved;
    int rc = cp_quarantine_lock(&retry->quarantine, err);
    if (rc < 0)
        return rc;
    rc = cp_quarantine_trash(&retry->quarantine, true, "retried", &moved, err);
    if (rc == CP_OK)
        rc = progress_remove(retry, err);
    cp_quarantine_unlock(&retry->quarantine);
    return rc;
}

static void rows_settled(cp_quarantine_retry *retry)
{
    cp_error err = {0};
    uint64_t kept = 0;
    int rc = rows_keep(retry, &kept, &err);
    retry->progress.done = 1;
    if (rc == CP_OK && !progress_store(retry, &err))
        rc = CP_E_IO;
    if (rc == CP_OK)
        rc = file_retire(retry, &err);
    pthread_mutex_lock(&retry->mutex);
    retry->result.kept = kept;
    retry->result.done = rc == CP_OK;
    retry->result.stuck = rc < 0;
    snprintf(retry->result.text, sizeof retry->result.text, "%s", err.text);
    pthread_mutex_unlock(&retry->mutex);
}

/* ---- what the flusher tells --------------------------------------------------------------------------------------- */

static bool on_prepare(void *ctx, uint32_t table, const cp_batch_intent *intent)
{
    cp_quarantine_retry *retry = ctx;
    cp_error err = {0};
    (void)table;
    retry->progress.lo = intent->range.lo;
    retry->progress.hi = intent->range.hi;
    retry->progress.endpoint = intent->endpoint;
    retry->progress.group = intent->group;
    retry->progress.piece_first = intent->piece.first;
    retry->progress.piece_rows = intent->piece.rows;
    snprintf(retry->progress.token, sizeof retry->progress.token, "%s", intent->token);
    const bool stored = progress_store(retry, &err);
    if (!stored)
        result_stuck(retry, err.text);
    cp_failpoint(CP_FP_RETRY_PREPARED);
    return stored;
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    cp_quarantine_retry *retry = ctx;
    (void)table;
    pthread_mutex_lock(&retry->mutex);
    retry->result.stuck = attempt->parked;
    snprintf(retry->result.text, sizeof retry->result.text, "%s", attempt->text);
    pthread_mutex_unlock(&retry->mutex);
}

static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    cp_quarantine_retry *retry = ctx;
    cp_error err = {0};
    uint32_t refused = 0;
    (void)table;
    for (uint32_t i = 0; i < batch->span_count; i++)
        refused += batch->spans[i].quarantined;
    retry->progress.next = batch->range.hi + 1;
    retry->progress.lo = retry->progress.hi = 0;
    retry->progress.piece_first = retry->progress.piece_rows = 0;
    retry->progress.delivered += batch->rows - refused;
    retry->progress.refused += refused;
    if (!progress_store(retry, &err))
        result_stuck(retry, err.text);
    cp_failpoint(CP_FP_RETRY_DELIVERED);
    pthread_mutex_lock(&retry->mutex);
    retry->result.delivered = retry->progress.delivered;
    retry->result.refused = retry->progress.refused;
    pthread_mutex_unlock(&retry->mutex);
    if (retry->progress.next > retry->list.count)
        rows_settled(retry);
}

/* ---- starting ----------------------------------------------------------------------------------------------------- */

static int retry_lock(cp_quarantine_retry *retry, cp_error *err)
{
    char path[FILE_PATH];
    file_path(retry, "retry-lock", path);
    retry->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (retry->lock_fd < 0 && errno == ENOENT)
        return cp_error_set(err, CP_E_ABSENT, "no row of table %s is in quarantine", retry->quarantine.table);
    if (retry->lock_fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    if (flock(retry->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return cp_error_set(err, CP_E_BUSY, "another retry of table %s is under way",
                            retry->quarantine.table);
    return CP_OK;
}

/* Goes on with what was begun, or begins with what has gathered. */
static int file_take(cp_quarantine_retry *retry, cp_error *err)
{
    bool moved;
    char path[FILE_PATH];
    int rc = progress_load(retry, err);
    if (rc == CP_OK && retry->progress.done) {
        rc = file_retire(retry, err);
        if (rc == CP_OK)
            rc = progress_load(retry, err);
    }
    if (rc < 0 && rc != CP_E_ABSENT)
        return rc;
    file_path(retry, "retrying", path);
    if (access(path, F_OK) == 0)
        return CP_OK;
    rc = cp_quarantine_lock(&retry->quarantine, err);
    if (rc == CP_OK)
        rc = cp_quarantine_begin_retry(&retry->quarantine, &moved, err);
    cp_quarantine_unlock(&retry->quarantine);
    if (rc == CP_OK && !moved)
        rc = cp_error_set(err, CP_E_ABSENT, "no row of table %s is in quarantine", retry->quarantine.table);
    return rc;
}

static int memory_take(cp_quarantine_retry *retry, cp_error *err)
{
    retry->data = malloc(BATCH_BYTES + ROW_HEADER + CP_MAX_ROW + 8);
    retry->row_at = calloc(BATCH_ROWS, sizeof *retry->row_at);
    retry->chunks = calloc(BATCH_ROWS, sizeof *retry->chunks);
    retry->pointers = calloc(BATCH_ROWS, sizeof(void *));
    if (!retry->data || !retry->row_at || !retry->chunks || !retry->pointers)
        return cp_error_set(err, CP_E_NOMEM, "no memory to send rows again");
    return CP_OK;
}

static int flusher_make(cp_quarantine_retry *retry, const cp_sink_config *sink, cp_error *err)
{
    char instance[CP_TOKEN_MAX];
    snprintf(instance, sizeof instance, "%s:quarantine", sink->instance);
    cp_sink_config config = *sink;
    config.instance = instance;
    config.retrying = true;
    const cp_flush_events events = {
        .ctx = retry, .prepare = on_prepare, .attempt = on_attempt, .delivered = on_delivered};
    const cp_batch_source source = {
        .ctx = retry, .gaps = true, .due = source_due, .take = source_take, .again = source_again};
    const cp_batch_policy policy = {.rows = 1,
                                    .max_rows = BATCH_ROWS,
                                    .bytes = 1,
                                    .max_bytes = BATCH_BYTES + CP_MAX_ROW,
                                    .interval_ns = CP_NS_PER_MS};
    const cp_one_off one_off = {&config, retry->table, &policy, &source, &events};
    return cp_one_off_create(&retry->flusher, &one_off, err);
}

/* The batch that a killed retry had under way. */
static int batch_resume(cp_quarantine_retry *retry, cp_error *err)
{
    const retry_progress *progress = &retry->progress;
    if (progress->lo == 0)
        return CP_OK;
    if (progress->lo > progress->hi || progress->hi > retry->list.count)
        return cp_error_set(err, CP_E_CORRUPT,
                            "the quarantine of table %s: rows %lu to %lu were under way, but there are %lu",
                            retry->quarantine.table, (unsigned long)progress->lo, (unsigned long)progress->hi,
                            (unsigned long)retry->list.count);
    const uint32_t count = rows_lend(retry, progress->lo, progress->hi, err);
    if (count != progress->hi - progress->lo + 1)
        return err && err->code < 0
                   ? err->code
                   : cp_error_set(err, CP_E_CORRUPT, "a batch that was under way cannot be read whole");
    const cp_batch_left left = {.token = progress->token,
                                .endpoint = progress->endpoint,
                                .group = progress->group,
                                .range = {progress->lo, progress->hi},
                                .piece = {progress->piece_first, progress->piece_rows}};
    return cp_flusher_resume(retry->flusher, 0, retry->pointers, count, &left, err);
}

static int retry_begin(cp_quarantine_retry *retry, const cp_sink_config *sink, cp_error *err)
{
    int rc = retry_lock(retry, err);
    if (rc == CP_OK)
        rc = file_take(retry, err);
    if (rc == CP_OK)
        rc = cp_quarantine_load(&retry->list, retry->quarantine.dir, retry->quarantine.table,
                                CP_QUARANTINE_RETRYING, err);
    if (rc == CP_OK)
        rc = memory_take(retry, err);
    if (rc == CP_OK)
        rc = flusher_make(retry, sink, err);
    if (rc == CP_OK)
        rc = batch_resume(retry, err);
    if (rc < 0)
        return rc;
    retry->result.rows = retry->list.count;
    retry->result.delivered = retry->progress.delivered;
    retry->result.refused = retry->progress.refused;
    if (retry->progress.next > retry->list.count)
        rows_settled(retry); /* a killed retry had got as far as this, or the file holds no sound record */
    return cp_flusher_start(retry->flusher, -1, err);
}

int cp_quarantine_retry_start(cp_quarantine_retry **out, const cp_sink_config *sink, const cp_table *table,
                              cp_error *err)
{
    *out = NULL;
    cp_quarantine_retry *retry = calloc(1, sizeof *retry);
    if (!retry)
        return cp_error_set(err, CP_E_NOMEM, "no memory to send rows again");
    retry->table = table;
    retry->lock_fd = -1;
    pthread_mutex_init(&retry->mutex, NULL);
    int rc = cp_quarantine_init(&retry->quarantine, sink->quarantine_dir, table->name, sink->quarantine_limit,
                                err);
    if (rc == CP_OK)
        rc = retry_begin(retry, sink, err);
    if (rc < 0) {
        cp_quarantine_retry_stop(retry);
        return rc;
    }
    *out = retry;
    return CP_OK;
}

void cp_quarantine_retry_look(cp_quarantine_retry *retry, cp_quarantine_result *result)
{
    pthread_mutex_lock(&retry->mutex);
    *result = retry->result;
    pthread_mutex_unlock(&retry->mutex);
}

void cp_quarantine_retry_stop(cp_quarantine_retry *retry)
{
    if (!retry)
        return;
    cp_one_off_end(retry->flusher);
    cp_quarantine_list_free(&retry->list);
    free(retry->data);
    free(retry->row_at);
    free(retry->chunks);
    free(retry->pointers);
    free(retry->scratch);
    if (retry->lock_fd >= 0)
        close(retry->lock_fd);
    pthread_mutex_destroy(&retry->mutex);
    free(retry);
}
