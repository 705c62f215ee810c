#include "cli/bench/wal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench/durable.h"
#include "cli/bench/fio.h"
#include "cli/bench/place.h"
#include "cli/cli.h"

enum {
    PAYLOAD_MAX = 256 * 1024,
    SEGMENT = 64 * 1024 * 1024,
    SEGMENTS = 12,
    FIO_FILE = 256 * 1024 * 1024,
    STREAM_BLOCK = 1536 * 1024, /* a frame, about */
    BURST = 16,                 /* appends between two looks at completions */
    SAMPLES = 400 * 1000,
    PARTS =
        21, /* measurements of a round: per size 2 fio, commit, stream, put; 2 fio of streams; and some room */
    READY_MS = 5000,
    PATIENCE_S = 10, /* a log that makes nothing durable for so long is no longer waited for */
    DELIVER_BYTES = SEGMENT / 4,
    DELIVER_US = 2000
};

/* What it takes of the disk: the log up to its limit, fio's file, and the first segments of the recorder's logs. These grow with
 * what is put, and stop where the disk does: then only their figures end. */
static const uint64_t room_needed =
    (uint64_t)SEGMENTS * SEGMENT + FIO_FILE +
    (uint64_t)CP_BENCH_WAL_SIZES * CP_BENCH_DURABLE_SEGMENTS * CP_WAL_SEGMENT_SIZE;

static const uint32_t payloads[CP_BENCH_WAL_SIZES] = {1024, 16 * 1024, PAYLOAD_MAX};

typedef enum figure {
    COMMIT_P50,
    COMMIT_P99,
    COMMITS,
    FIO_P50,
    FIO_P99,
    FIO_COMMITS,
    STREAM,
    DEVICE,
    STREAM_RATIO,
    P50_RATIO,
    P99_RATIO,
    PUT_P50,
    PUT_P99,
    FIGURES
} figure;

typedef struct bench {
    const cp_bench_wal_options *options;
    char dir[PATH_MAX];
    char fio_file[PATH_MAX + 16];
    cp_wal *wal;
    cp_chunk chunk;
    cp_bench_durable *durable;
    bool fio;
    uint64_t part_ns;
    uint64_t *latencies;
    pthread_t flusher;
    bool flusher_runs;
    atomic_bool stop;
    double samples[CP_BENCH_WAL_SIZES][FIGURES][CP_BENCH_MAX_ROUNDS];
    double fio_stream[CP_BENCH_MAX_ROUNDS];
    uint32_t put_rounds[CP_BENCH_WAL_SIZES]; /* that have figures of puts */
    uint32_t dsync_rounds[CP_BENCH_WAL_SIZES];
    uint32_t dsync_stream_rounds;
    bool stuck; /* the log made nothing durable while it was waited for */
} bench;

/* ---- the log --------------------------------------------------------------------------------------------------- */

/* The flusher's thread, as in the recorder: what is durable counts as delivered whenever a good part of a segment has gathered,
 * so that segments are used again. */
static void *deliver_run(void *argument)
{
    bench *b = argument;
    uint64_t delivered = 0;
    while (!atomic_load(&b->stop)) {
        cp_wal_status status;
        cp_wal_status_read(b->wal, &status);
        if (status.device_bytes >= delivered + DELIVER_BYTES &&
            cp_wal_checkpoint_write(b->wal, status.durable_lsn, NULL, 0, NULL) == CP_OK) {
            cp_wal_release(b->wal, status.durable_lsn);
            delivered = status.device_bytes;
        }
        usleep(DELIVER_US);
    }
    return NULL;
}

static bool append(bench *b, uint32_t payload, uint64_t *lsn)
{
    b->chunk.byte_count = payload;
    b->chunk.end = b->chunk.begin + payload;
    if (cp_wal_append(b->wal, &b->chunk, lsn) != CP_OK)
        return false;
    b->chunk.begin = b->chunk.end;
    return true;
}

/* Until nothing is under way. */
static void settle(bench *b, uint64_t lsn)
{
    const uint64_t until = cp_boottime_ns() + PATIENCE_S * (uint64_t)CP_NS_PER_S;
    while (cp_wal_durable(b->wal) < lsn && !b->stuck && !b->options->cancelled()) {
        const uint64_t now = cp_boottime_ns();
        cp_wal_step(b->wal, now);
        b->stuck = now >= until;
    }
}

static void commit_measure(bench *b, uint32_t size, uint32_t round)
{
    double(*samples)[CP_BENCH_MAX_ROUNDS] = b->samples[size];
    const uint64_t began = cp_boottime_ns();
    uint64_t now = began;
    uint64_t lsn = 0;
    uint64_t busy_ns = 0;
    uint32_t count = 0;
    while ((now < began + b->part_ns || count == 0) && count < SAMPLES && !b->stuck &&
           !b->options->cancelled()) {
        const uint64_t from = cp_boottime_ns();
        const bool taken = append(b, payloads[size], &lsn);
        cp_wal_step(b->wal, from);
        if (taken)
            settle(b, lsn);
        now = cp_boottime_ns();
        if (taken) {
            busy_ns += now - from;
            b->latencies[count++] = now - from;
        } else
            b->stuck = count == 0 && now >= began + PATIENCE_S * (uint64_t)CP_NS_PER_S;
    }
    samples[COMMITS][round] = (double)count * 1e9 / (double)(busy_ns + 1);
    samples[COMMIT_P50][round] = (double)cp_bench_percentile(b->latencies, count, 0.5);
    samples[COMMIT_P99][round] = (double)cp_bench_percentile(b->latencies, count, 0.99);
}

static void stream_measure(bench *b, uint32_t size, uint32_t round)
{
    cp_wal_status before;
    cp_wal_status after;
    cp_wal_status_read(b->wal, &before);
    const uint64_t began = cp_boottime_ns();
    uint64_t now = began;
    uint64_t lsn = 0;
    while (now < began + b->part_ns && !b->options->cancelled()) {
        for (int i = 0; i < BURST && append(b, payloads[size], &lsn); i++) {
        }
        cp_wal_step(b->wal, now);
        now = cp_boottime_ns();
    }
    const uint64_t durable = cp_wal_durable(b->wal) - before.durable_lsn;
    const uint64_t ns = cp_boottime_ns() - began;
    settle(b, lsn);
    cp_wal_status_read(b->wal, &after);
    const double payload = (double)(after.durable_lsn - before.durable_lsn) * payloads[size];
    b->samples[size][STREAM][round] = (double)durable * payloads[size] * 1e9 / (double)ns;
    b->samples[size][DEVICE][round] =
        payload > 0 ? (double)(after.device_bytes - before.device_bytes) / payload : 0;
}

/* ---- fio ------------------------------------------------------------------------------------------------------- */

/* Keeps what could not be measured, and why. */
static void note_add(cp_bench_wal_report *report, const char *what)
{
    const size_t used = strlen(report->note);
    snprintf(report->note + used, sizeof report->note - used, "%s%.120s", used ? "; " : "", what);
}

/* The faster of both ways to make writes durable; dsync_rounds counts where that is dsync. */
static void fio_measure(bench *b, uint64_t block, uint32_t depth, uint32_t *dsync_rounds,
                        cp_bench_fio_result *best, cp_bench_wal_report *report)
{
    bool dsync_best = false;
    memset(best, 0, sizeof *best);
    for (int dsync = 0; dsync < 2 && b->fio && !b->options->cancelled(); dsync++) {
        const cp_bench_fio fio = {.file = b->fio_file,
                                  .file_size = FIO_FILE,
                                  .block = block,
                                  .depth = depth,
                                  .dsync = dsync,
                                  .runtime_ns = b->part_ns,
                                  .cancelled = b->options->cancelled};
        cp_bench_fio_result result;
        cp_error err = {0};
        const int rc = cp_bench_fio_run(&fio, &result, &err);
        if (b->options->cancelled())
            return;
        if (rc != CP_OK) {
            b->fio = false;
            note_add(report, err.text);
        } else if (result.bytes_per_s > best->bytes_per_s) {
            *best = result;
            dsync_best = dsync;
        }
    }
    *dsync_rounds += dsync_best;
}

static const char *sync_name(uint32_t dsync_rounds, uint32_t rounds)
{
    return dsync_rounds == 0 ? "fdatasync" : dsync_rounds >= rounds ? "dsync" : "either";
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* ---- rounds ---------------------------------------------------------------------------------------------------- */

static void put_measure(bench *b, uint32_t size)
{
    if (!b->durable)
        return;
    const uint32_t count = cp_bench_durable_measure(b->durable, size, b->part_ns, b->latencies, SAMPLES);
    if (count == 0)
        return; /* its log is full, or its disk */
    const uint32_t round = b->put_rounds[size]++;
    b->samples[size][PUT_P50][round] = (double)cp_bench_percentile(b->latencies, count, 0.5);
    b->samples[size][PUT_P99][round] = (double)cp_bench_percentile(b->latencies, count, 0.99);
}

/* What the log says of itself when it takes nothing. */
static int stuck_fail(bench *b, cp_error *err)
{
    cp_wal_status status;
    cp_wal_status_read(b->wal, &status);
    return cp_error_set(err, CP_E_IO, "the log in %s made nothing durable for %d s: %s", b->options->dir,
                        PATIENCE_S, status.error[0] ? status.error : "the disk is too slow, or full");
}

static int round_run(bench *b, uint32_t round, cp_bench_wal_report *report, cp_error *err)
{
    cp_bench_fio_result stream;
    fio_measure(b, STREAM_BLOCK, CP_WAL_UNDER_WAY, &b->dsync_stream_rounds, &stream, report);
    b->fio_stream[round] = stream.bytes_per_s;
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES && !b->options->cancelled(); size++) {
        double(*samples)[CP_BENCH_MAX_ROUNDS] = b->samples[size];
        cp_bench_fio_result fio;
        const uint64_t block = payloads[size] < CP_WAL_BLOCK ? CP_WAL_BLOCK : payloads[size];
        commit_measure(b, size, round);
        fio_measure(b, block, 1, &b->dsync_rounds[size], &fio, report);
        stream_measure(b, size, round);
        if (b->stuck)
            return stuck_fail(b, err);
        put_measure(b, size);
        samples[FIO_P50][round] = fio.p50_ns;
        samples[FIO_P99][round] = fio.p99_ns;
        samples[FIO_COMMITS][round] = fio.commits_per_s;
        samples[STREAM_RATIO][round] = ratio(samples[STREAM][round], stream.bytes_per_s);
        samples[P50_RATIO][round] = ratio(samples[COMMIT_P50][round], fio.p50_ns);
        samples[P99_RATIO][round] = ratio(samples[COMMIT_P99][round], fio.p99_ns);
    }
    return CP_OK;
}

static void summarise(bench *b, cp_bench_wal_report *report)
{
    uint32_t without = 0; /* rounds and sizes */
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES; size++) {
        cp_bench_wal_result *r = &report->sizes[size];
        cp_bench_figure *const to[FIGURES] = {
            &r->commit_p50_ns,   &r->commit_p99_ns,     &r->commits_per_s,      &r->fio_p50_ns,
            &r->fio_p99_ns,      &r->fio_commits_per_s, &r->stream_bytes_per_s, &r->device_over_payload,
            &r->stream_over_fio, &r->p50_over_fio,      &r->p99_over_fio,       &r->put_p50_ns,
            &r->put_p99_ns};
        r->payload = payloads[size];
        for (int f = 0; f < FIGURES; f++) {
            const bool put = f == PUT_P50 || f == PUT_P99;
            *to[f] = cp_bench_figure_of(b->samples[size][f], put ? b->put_rounds[size] : report->rounds);
        }
        if (b->put_rounds[size] < report->rounds)
            without += report->rounds - b->put_rounds[size];
        report->fio_sync[size] = sync_name(b->dsync_rounds[size], report->rounds);
    }
    if (b->durable && without > 0) {
        char text[96];
        snprintf(text, sizeof text, "put, %u of %u times: the recorder's log was full", without,
                 report->rounds * CP_BENCH_WAL_SIZES);
        note_add(report, text);
    }
    report->fio_stream_sync = sync_name(b->dsync_stream_rounds, report->rounds);
    report->fio_stream_bytes_per_s = cp_bench_figure_of(b->fio_stream, report->rounds);
    report->fio = b->fio;
}

/* ---- setting up ------------------------------------------------------------------------------------------------ */

static int bench_open(bench *b, cp_error *err)
{
    char log[PATH_MAX + 16];
    char place[PATH_MAX]; /* whole: coldpathd takes relative paths from its configuration's directory */
    if (!realpath(b->options->dir, place) ||
        snprintf(b->dir, sizeof b->dir, "%s/coldpath-bench-XXXXXX", place) >= (int)sizeof b->dir)
        return cp_error_errno(err, CP_E_ABSENT, errno, "no directory %s", b->options->dir);
    int rc = cp_bench_place_check(place, "bench wal", room_needed, err);
    if (rc != CP_OK) {
        b->dir[0] = 0;
        return rc;
    }
    if (!mkdtemp(b->dir)) {
        const int errnum = errno;
        b->dir[0] = 0;
        return cp_error_errno(err, cp_error_code_of_errno(errnum), errnum, "cannot make a directory in %s",
                              b->options->dir);
    }
    snprintf(b->fio_file, sizeof b->fio_file, "%s/fio", b->dir);
    snprintf(log, sizeof log, "%s/log", b->dir);
    b->chunk.data = calloc(1, PAYLOAD_MAX);
    b->chunk.epoch = 1;
    b->latencies = calloc(SAMPLES, sizeof *b->latencies);
    if (!b->chunk.data || !b->latencies)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < PAYLOAD_MAX; i++)
        b->chunk.data[i] = (uint8_t)(i * 7); /* no zeros, which a disk may treat apart */
    const cp_wal_config config = {.dir = log,
                                  .segment_size = SEGMENT,
                                  .limit = (uint64_t)SEGMENTS * SEGMENT,
                                  .max_chunk_bytes = PAYLOAD_MAX};
    rc = cp_wal_open(&b->wal, &config, err);
    if (rc == CP_OK)
        rc = cp_wal_start(b->wal, err);
    if (rc == CP_OK) {
        const int errnum = pthread_create(&b->flusher, NULL, deliver_run, b);
        b->flusher_runs = errnum == 0;
        rc = errnum ? cp_error_errno(err, CP_E_NOMEM, errnum, "cannot start a thread") : CP_OK;
    }
    return rc;
}

/* New segments are written full of zeros first: that is not to be measured. So the log gets all that it will need, and uses them
 * again from then on. */
static int warm_up(bench *b, cp_error *err)
{
    cp_wal_status status;
    const uint64_t part_ns = b->part_ns;
    b->part_ns = part_ns < CP_NS_PER_S ? part_ns : CP_NS_PER_S;
    commit_measure(b, CP_BENCH_WAL_SIZES - 1, 0); /* waits for the first segment */
    stream_measure(b, CP_BENCH_WAL_SIZES - 1, 0);
    b->part_ns = part_ns;
    if (b->stuck)
        return stuck_fail(b, err);
    for (int ms = 0; ms < READY_MS && !b->options->cancelled(); ms += 10) {
        cp_wal_status_read(b->wal, &status);
        if (status.segments_ready >= CP_WAL_READY)
            break;
        usleep(10 * 1000);
    }
    return CP_OK;
}

static void bench_free(bench *b)
{
    cp_bench_durable_close(b->durable);
    atomic_store(&b->stop, true);
    if (b->flusher_runs)
        pthread_join(b->flusher, NULL);
    cp_wal_close(b->wal, cp_boottime_ns() + CP_NS_PER_S);
    cp_bench_remove(b->dir);
    free(b->chunk.data);
    free(b->latencies);
    free(b);
}

int cp_bench_wal_run(const cp_bench_wal_options *options, cp_bench_wal_report *report, cp_error *err)
{
    memset(report, 0, sizeof *report);
    bench *b = calloc(1, sizeof *b);
    if (!b)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    b->options = options;
    b->fio = true;
    b->part_ns = options->total_ns / options->rounds / PARTS;
    int rc = bench_open(b, err);
    cp_error absent = {0};
    if (rc == CP_OK && cp_bench_durable_open(&b->durable, b->dir, payloads, CP_BENCH_WAL_SIZES,
                                             options->cancelled, &absent) != CP_OK) {
        char text[128];
        snprintf(text, sizeof text, "put: %.120s", absent.text);
        note_add(report, text);
    }
    if (rc == CP_OK)
        rc = warm_up(b, err);
    for (uint32_t round = 0; rc == CP_OK && round < options->rounds && !options->cancelled(); round++) {
        options->progress(round, options->rounds);
        rc = round_run(b, round, report, err);
        if (!options->cancelled())
            report->rounds = round + 1;
    }
    if (rc == CP_OK && report->rounds > 0) {
        cp_wal_status_read(b->wal, &report->log);
        summarise(b, report);
    }
    bench_free(b);
    return rc;
}

/* ---- printing -------------------------------------------------------------------------------------------------- */

static json_object *size_json(const cp_bench_wal_report *report, uint32_t size)
{
    const cp_bench_wal_result *r = &report->sizes[size];
    json_object *item = json_object_new_object();
    cp_json_add_uint(item, "payload_bytes", r->payload);
    cp_bench_figure_add(item, "commit_p50_ns", &r->commit_p50_ns);
    cp_bench_figure_add(item, "commit_p99_ns", &r->commit_p99_ns);
    cp_bench_figure_add(item, "commits_per_s", &r->commits_per_s);
    cp_bench_figure_add(item, "stream_bytes_per_s", &r->stream_bytes_per_s);
    cp_bench_figure_add(item, "device_over_payload", &r->device_over_payload);
    if (r->put_p50_ns.median > 0) {
        cp_bench_figure_add(item, "put_to_durable_p50_ns", &r->put_p50_ns);
        cp_bench_figure_add(item, "put_to_durable_p99_ns", &r->put_p99_ns);
    }
    if (!report->fio)
        return item;
    cp_json_add_string(item, "fio_sync", report->fio_sync[size]);
    cp_bench_figure_add(item, "fio_p50_ns", &r->fio_p50_ns);
    cp_bench_figure_add(item, "fio_p99_ns", &r->fio_p99_ns);
    cp_bench_figure_add(item, "fio_commits_per_s", &r->fio_commits_per_s);
    cp_bench_figure_add(item, "commit_p50_over_fio", &r->p50_over_fio);
    cp_bench_figure_add(item, "commit_p99_over_fio", &r->p99_over_fio);
    cp_bench_figure_add(item, "stream_over_fio", &r->stream_over_fio);
    return item;
}

static int print_json(const cp_bench_wal_report *report, const cp_bench_host *host)
{
    json_object *answer = cp_json_begin("bench wal");
    cp_bench_host_add(answer, host);
    json_object *sizes = json_object_new_array();
    cp_json_add_uint(answer, "rounds", report->rounds);
    cp_json_add_string(answer, "backend", report->log.backend);
    cp_json_add_string(answer, "sync", report->log.sync);
    cp_json_add_bool(answer, "direct", !report->log.buffered);
    cp_json_add_bool(answer, "persistent", !report->log.not_persistent);
    cp_json_add_bool(answer, "fio", report->fio);
    cp_json_add_string(answer, "note", report->note[0] ? report->note : NULL);
    if (report->fio) {
        cp_json_add_string(answer, "fio_stream_sync", report->fio_stream_sync);
        cp_bench_figure_add(answer, "fio_stream_bytes_per_s", &report->fio_stream_bytes_per_s);
    }
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES; size++)
        json_object_array_add(sizes, size_json(report, size));
    cp_json_add(answer, "sizes", sizes);
    return cp_json_end(answer);
}

/* A number, or a dash where nothing was measured. */
static void cell_print(int width, int digits, double value)
{
    if (value > 0)
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s–", width - 1, ""); /* one column, three bytes */
}

static void size_print(const cp_bench_wal_report *report, uint32_t size)
{
    const cp_bench_wal_result *r = &report->sizes[size];
    const double fio = report->fio;
    printf("%4u KiB |", r->payload / 1024);
    cell_print(8, 1, r->commit_p50_ns.median / 1e3);
    cell_print(9, 1, fio * r->fio_p50_ns.median / 1e3);
    cell_print(9, 2, fio * r->p50_over_fio.median);
    printf(" |");
    cell_print(8, 1, r->commit_p99_ns.median / 1e3);
    cell_print(9, 1, fio * r->fio_p99_ns.median / 1e3);
    cell_print(9, 2, fio * r->p99_over_fio.median);
    printf(" |");
    cell_print(8, 0, r->stream_bytes_per_s.median / 1e6);
    cell_print(9, 2, fio * r->stream_over_fio.median);
    cell_print(9, 3, r->device_over_payload.median);
    printf(" |");
    cell_print(9, 1, r->put_p50_ns.median / 1e3);
    cell_print(9, 1, r->put_p99_ns.median / 1e3);
    putchar('\n');
}

int cp_bench_wal_print(const cp_bench_wal_report *report, const cp_bench_host *host, bool json)
{
    if (json)
        return print_json(report, host);
    printf("%-8s | %-28s | %-28s | %-28s | %s\n", "payload", "commit p50: log, fio, ratio",
           "commit p99: log, fio, ratio", "stream MB/s, / fio, dev/payl", "put to durable p50, p99");
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES; size++)
        size_print(report, size);
    printf("us; medians of %u rounds; log: %s, %s%s%s\n", report->rounds, report->log.backend,
           report->log.sync, report->log.buffered ? ", not direct" : "",
           report->log.not_persistent ? "; a file system in memory, no disk" : "");
    if (report->fio)
        printf("fio, the faster of fdatasync and dsync in each round: commits of 1 KiB %s, 16 KiB %s, 256 "
               "KiB %s; "
               "streams (1.5 MiB writes, three under way) %s, %.0f MB/s\n",
               report->fio_sync[0], report->fio_sync[1], report->fio_sync[2], report->fio_stream_sync,
               report->fio_stream_bytes_per_s.median / 1e6);
    if (report->note[0])
        printf("not measured: %s\n", report->note);
    cp_bench_host_print(host);
    return cp_output_finish();
}
