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
    PARTS = 29, /* measurements of a round: per size commit and 2 fio, stream and 4 fio, put; and some room */
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
    FIO_STREAM,
    FIO_HUGE_STREAM,
    STREAM_RATIO,
    HUGE_RATIO,
    P50_RATIO,
    P99_RATIO,
    PUT_P50,
    PUT_P99,
    FIGURES
} figure;

enum { WAYS = 2 }; /* to make fio's writes durable: fdatasync, dsync */

typedef struct fio_samples {
    double bytes_per_s[WAYS][CP_BENCH_MAX_ROUNDS];
    double commits_per_s[WAYS][CP_BENCH_MAX_ROUNDS];
    double p50_ns[WAYS][CP_BENCH_MAX_ROUNDS];
    double p99_ns[WAYS][CP_BENCH_MAX_ROUNDS];
} fio_samples;

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
    fio_samples fio_commit[CP_BENCH_WAL_SIZES];
    fio_samples fio_stream[CP_BENCH_WAL_SIZES];
    fio_samples fio_huge_stream[CP_BENCH_WAL_SIZES];
    uint32_t put_rounds[CP_BENCH_WAL_SIZES]; /* that have figures of puts */
    bool stuck;                              /* the log made nothing durable while it was waited for */
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

static void fio_measure(bench *b, uint64_t block, uint32_t depth, bool huge_pages, uint32_t round,
                        fio_samples *samples, cp_bench_wal_report *report)
{
    for (int way = 0; way < WAYS && b->fio && !b->options->cancelled(); way++) {
        const cp_bench_fio fio = {.file = b->fio_file,
                                  .file_size = FIO_FILE,
                                  .block = block,
                                  .depth = depth,
                                  .dsync = way == 1,
                                  .huge_pages = huge_pages,
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
            return;
        }
        samples->bytes_per_s[way][round] = result.bytes_per_s;
        samples->commits_per_s[way][round] = result.commits_per_s;
        samples->p50_ns[way][round] = result.p50_ns;
        samples->p99_ns[way][round] = result.p99_ns;
    }
}

static double median_of(const double *samples, uint32_t rounds)
{
    double copy[CP_BENCH_MAX_ROUNDS]; /* which is sorted */
    memcpy(copy, samples, rounds * sizeof *copy);
    return cp_bench_figure_of(copy, rounds).median;
}

/* The way that is faster by the medians of the run. Not round by round: the larger of two figures is as lucky as it is fast. */
static int way_faster(const fio_samples *samples, uint32_t rounds)
{
    return median_of(samples->bytes_per_s[1], rounds) > median_of(samples->bytes_per_s[0], rounds);
}

/* Likewise by the time of a commit. */
static int way_sooner(const fio_samples *samples, uint32_t rounds)
{
    return median_of(samples->p50_ns[1], rounds) < median_of(samples->p50_ns[0], rounds);
}

static const char *way_name(int way)
{
    return way == 1 ? "dsync" : "fdatasync";
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
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES && !b->options->cancelled(); size++) {
        const uint64_t block = payloads[size] < CP_WAL_BLOCK ? CP_WAL_BLOCK : payloads[size];
        commit_measure(b, size, round);
        fio_measure(b, block, 1, false, round, &b->fio_commit[size], report);
        stream_measure(b, size, round);
        fio_measure(b, STREAM_BLOCK, CP_WAL_UNDER_WAY, false, round, &b->fio_stream[size], report);
        fio_measure(b, STREAM_BLOCK, CP_WAL_UNDER_WAY, true, round, &b->fio_huge_stream[size], report);
        if (b->stuck)
            return stuck_fail(b, err);
        put_measure(b, size);
    }
    return CP_OK;
}

/* Fio's figures, of the better way, and what the log's are of them. */
static void fio_compare(bench *b, uint32_t size, cp_bench_wal_report *report)
{
    double(*samples)[CP_BENCH_MAX_ROUNDS] = b->samples[size];
    const int commit = way_sooner(&b->fio_commit[size], report->rounds);
    const int stream = way_faster(&b->fio_stream[size], report->rounds);
    const int huge = way_faster(&b->fio_huge_stream[size], report->rounds);
    for (uint32_t round = 0; round < report->rounds; round++) {
        samples[FIO_P50][round] = b->fio_commit[size].p50_ns[commit][round];
        samples[FIO_P99][round] = b->fio_commit[size].p99_ns[commit][round];
        samples[FIO_COMMITS][round] = b->fio_commit[size].commits_per_s[commit][round];
        samples[FIO_STREAM][round] = b->fio_stream[size].bytes_per_s[stream][round];
        samples[FIO_HUGE_STREAM][round] = b->fio_huge_stream[size].bytes_per_s[huge][round];
        samples[STREAM_RATIO][round] = ratio(samples[STREAM][round], samples[FIO_STREAM][round]);
        samples[HUGE_RATIO][round] = ratio(samples[STREAM][round], samples[FIO_HUGE_STREAM][round]);
        samples[P50_RATIO][round] = ratio(samples[COMMIT_P50][round], samples[FIO_P50][round]);
        samples[P99_RATIO][round] = ratio(samples[COMMIT_P99][round], samples[FIO_P99][round]);
    }
    report->sizes[size].fio_sync = way_name(commit);
    report->sizes[size].fio_stream_sync = way_name(stream);
    report->sizes[size].fio_huge_stream_sync = way_name(huge);
}

static void summarise(bench *b, cp_bench_wal_report *report)
{
    uint32_t without = 0; /* rounds and sizes */
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES; size++) {
        cp_bench_wal_result *r = &report->sizes[size];
        cp_bench_figure *const to[FIGURES] = {&r->commit_p50_ns,
                                              &r->commit_p99_ns,
                                              &r->commits_per_s,
                                              &r->fio_p50_ns,
                                              &r->fio_p99_ns,
                                              &r->fio_commits_per_s,
                                              &r->stream_bytes_per_s,
                                              &r->device_over_payload,
                                              &r->fio_stream_bytes_per_s,
                                              &r->fio_huge_stream_bytes_per_s,
                                              &r->stream_over_fio,
                                              &r->stream_over_fio_huge,
                                              &r->p50_over_fio,
                                              &r->p99_over_fio,
                                              &r->put_p50_ns,
                                              &r->put_p99_ns};
        r->payload = payloads[size];
        fio_compare(b, size, report);
        for (int f = 0; f < FIGURES; f++) {
            const bool put = f == PUT_P50 || f == PUT_P99;
            *to[f] = cp_bench_figure_of(b->samples[size][f], put ? b->put_rounds[size] : report->rounds);
        }
        if (b->put_rounds[size] < report->rounds)
            without += report->rounds - b->put_rounds[size];
    }
    if (b->durable && without > 0) {
        char text[96];
        snprintf(text, sizeof text, "put, %u of %u times: the recorder's log was full", without,
                 report->rounds * CP_BENCH_WAL_SIZES);
        note_add(report, text);
    }
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
    cp_json_add_string(item, "fio_sync", r->fio_sync);
    cp_bench_figure_add(item, "fio_p50_ns", &r->fio_p50_ns);
    cp_bench_figure_add(item, "fio_p99_ns", &r->fio_p99_ns);
    cp_bench_figure_add(item, "fio_commits_per_s", &r->fio_commits_per_s);
    cp_json_add_string(item, "fio_stream_sync", r->fio_stream_sync);
    cp_bench_figure_add(item, "fio_stream_bytes_per_s", &r->fio_stream_bytes_per_s);
    cp_json_add_string(item, "fio_huge_stream_sync", r->fio_huge_stream_sync);
    cp_bench_figure_add(item, "fio_huge_stream_bytes_per_s", &r->fio_huge_stream_bytes_per_s);
    cp_bench_figure_add(item, "commit_p50_over_fio", &r->p50_over_fio);
    cp_bench_figure_add(item, "commit_p99_over_fio", &r->p99_over_fio);
    cp_bench_figure_add(item, "stream_over_fio", &r->stream_over_fio);
    cp_bench_figure_add(item, "stream_over_fio_huge", &r->stream_over_fio_huge);
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
        printf("fio, of fdatasync and dsync the faster one; streams: writes of 1.5 MiB, three under way\n");
    for (uint32_t size = 0; size < CP_BENCH_WAL_SIZES && report->fio; size++) {
        const cp_bench_wal_result *r = &report->sizes[size];
        printf("%4u KiB | commits %s | stream %s, %.0f MB/s | its buffers on huge pages, as the log's: %s, "
               "%.0f MB/s, ratio %.2f\n",
               r->payload / 1024, r->fio_sync, r->fio_stream_sync, r->fio_stream_bytes_per_s.median / 1e6,
               r->fio_huge_stream_sync, r->fio_huge_stream_bytes_per_s.median / 1e6,
               r->stream_over_fio_huge.median);
    }
    if (report->note[0])
        printf("not measured: %s\n", report->note);
    cp_bench_host_print(host);
    return cp_output_finish();
}
