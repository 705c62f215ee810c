#include "cli/bench/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/pages.h"
#include "cli/bench/place.h"
#include "cli/cli.h"
#include "wal/inspect.h"
#include "wal/reader.h"

enum {
    CHUNK = 256 * 1024,
    ROW = 120, /* with its record header 128 */
    ROWS = CHUNK / (ROW + CP_RECORD_HEADER),
    SEGMENT = 64 * 1024 * 1024,
    SPARE_SEGMENTS = 8,
    WRITE_PATIENCE_S = 120
};

typedef enum figure {
    BARE,
    BARE_HUGE,
    REPLAY,
    RATIO,
    HUGE_RATIO,
    OPEN_RATIO,
    OPEN_HUGE_RATIO,
    OPEN,
    FIGURES
} figure;

typedef struct bench {
    const cp_bench_recover_options *options;
    char dir[PATH_MAX];
    char log[PATH_MAX + 8];
    cp_wal_config config;
    cp_wal_view *view; /* which files, and how much of each */
    cp_chunk chunk;
    uint8_t *plain; /* what bare reads go into: ordinary pages, and huge ones */
    uint8_t *huge;
    double samples[FIGURES][CP_BENCH_MAX_ROUNDS];
} bench;

/* What it takes of the disk: the log's records with their headers, and the segments that it keeps ready. */
static uint64_t room_needed(uint64_t bytes)
{
    return ((bytes + bytes / 32) / SEGMENT + 1 + CP_WAL_READY) * SEGMENT;
}

/* ---- making the log -------------------------------------------------------------------------------------------- */

static void chunk_fill(cp_chunk *chunk)
{
    chunk->byte_count = CHUNK;
    chunk->row_count = ROWS;
    for (uint32_t i = 0; i < ROWS; i++) {
        const uint32_t at = i * (ROW + CP_RECORD_HEADER);
        const uint32_t size = ROW;
        memcpy(chunk->data + at, &size, sizeof size);
        memset(chunk->data + at + CP_RECORD_HEADER, (int)('a' + i % 26), ROW);
        chunk->row_at[i] = at + CP_RECORD_HEADER;
    }
}

static int log_write(bench *b, cp_error *err)
{
    cp_wal *wal = NULL;
    int rc = cp_wal_open(&wal, &b->config, err);
    if (rc == CP_OK)
        rc = cp_wal_start(wal, err);
    chunk_fill(&b->chunk);
    const uint64_t until = cp_boottime_ns() + WRITE_PATIENCE_S * (uint64_t)CP_NS_PER_S;
    for (uint64_t bytes = 0; rc == CP_OK && bytes < b->options->bytes && !b->options->cancelled();) {
        uint64_t lsn = 0;
        const uint64_t now = cp_boottime_ns();
        b->chunk.end = b->chunk.begin + CHUNK;
        if (cp_wal_append(wal, &b->chunk, &lsn) == CP_OK) {
            b->chunk.begin = b->chunk.end;
            bytes += CHUNK;
        }
        cp_wal_step(wal, now);
        if (now > until)
            rc = cp_error_set(err, CP_E_IO, "the log took no %" PRIu64 " bytes in %d s; is the disk full?",
                              b->options->bytes, WRITE_PATIENCE_S);
    }
    cp_wal_close(wal, b->options->cancelled() ? 0 : until);
    return rc == CP_OK ? cp_wal_inspect(&b->view, b->log, CP_WAL_ALL, err) : rc;
}

/* ---- measuring ------------------------------------------------------------------------------------------------- */

/* The used part of every segment; CP_OK or an error. */
static int bare_read(bench *b, uint8_t *buffer, uint64_t *bytes, cp_error *err)
{
    cp_io *io = NULL;
    int rc = cp_io_posix_create(&io, b->log, err);
    for (uint32_t n = 0; rc == CP_OK && n < b->view->segment_count; n++) {
        const cp_wal_view_segment *segment = &b->view->segments[n];
        if (!segment->scanned)
            continue;
        char name[CP_WAL_SEGMENT_NAME];
        cp_wal_segment_name(name, segment->slot);
        const int file = io->ops->open(io, name, CP_IO_READ_ONLY);
        int64_t got = file;
        for (uint64_t at = 0; got >= 0 && at < segment->end && !b->options->cancelled();
             at += CP_WAL_WINDOW) {
            const uint64_t want = segment->end - at < CP_WAL_WINDOW ? segment->end - at : CP_WAL_WINDOW;
            got = io->ops->read(io, file, buffer, want, at);
            *bytes += got > 0 ? (uint64_t)got : 0;
        }
        if (file >= 0)
            io->ops->close(io, file);
        if (got < 0)
            rc = cp_error_errno(err, CP_E_IO, (int)-got, "%s/%s", b->log, name);
    }
    if (io)
        io->ops->destroy(io);
    return rc;
}

static int replay(bench *b, cp_bench_recover_report *report, double *open_ns, double *read_ns, cp_error *err)
{
    cp_wal *wal = NULL;
    cp_wal_reader *reader = NULL;
    uint64_t lsn = 0;
    uint64_t began = cp_boottime_ns();
    int rc = cp_wal_open(&wal, &b->config, err);
    *open_ns = (double)(cp_boottime_ns() - began);
    if (rc == CP_OK) {
        cp_wal_status status;
        cp_wal_status_read(wal, &status);
        report->not_persistent = status.not_persistent;
    }
    report->records = report->rows = 0;
    began = cp_boottime_ns();
    if (rc == CP_OK)
        rc = cp_wal_reader_create(&reader, wal, 1, err);
    while (rc == CP_OK && !b->options->cancelled() &&
           (rc = cp_wal_reader_next(reader, &b->chunk, &lsn, err)) == CP_OK) {
        report->records++;
        report->rows += b->chunk.row_count;
    }
    *read_ns = (double)(cp_boottime_ns() - began);
    cp_wal_reader_free(reader);
    cp_wal_close(wal, 0);
    return rc == CP_E_ABSENT && report->records > 0 ? CP_OK : rc; /* nothing more */
}

static int round_run(bench *b, uint32_t round, cp_bench_recover_report *report, cp_error *err)
{
    double open_ns = 0;
    double read_ns = 0;
    uint64_t bytes = 0;
    report->bytes = 0;
    const uint64_t began = cp_boottime_ns();
    int rc = bare_read(b, b->plain, &report->bytes, err);
    const uint64_t between = cp_boottime_ns();
    if (rc == CP_OK)
        rc = bare_read(b, b->huge, &bytes, err);
    const double bare_ns = (double)(between - began);
    const double huge_ns = (double)(cp_boottime_ns() - between);
    if (rc == CP_OK)
        rc = replay(b, report, &open_ns, &read_ns, err);
    b->samples[BARE][round] = (double)report->bytes * 1e9 / bare_ns;
    b->samples[BARE_HUGE][round] = (double)bytes * 1e9 / (huge_ns + 1);
    b->samples[HUGE_RATIO][round] = huge_ns / (read_ns + 1);
    b->samples[REPLAY][round] = (double)report->bytes * 1e9 / (read_ns + 1);
    b->samples[RATIO][round] = bare_ns / (read_ns + 1);
    b->samples[OPEN_RATIO][round] = bare_ns / (open_ns + read_ns + 1);
    b->samples[OPEN_HUGE_RATIO][round] = huge_ns / (open_ns + read_ns + 1);
    b->samples[OPEN][round] = open_ns;
    return rc;
}

static int bench_open(bench *b, cp_error *err)
{
    snprintf(b->dir, sizeof b->dir, "%s/coldpath-bench-XXXXXX", b->options->dir);
    if (!mkdtemp(b->dir)) {
        const int errnum = errno;
        b->dir[0] = 0;
        return cp_error_errno(err, cp_error_code_of_errno(errnum), errnum, "cannot make a directory in %s",
                              b->options->dir);
    }
    snprintf(b->log, sizeof b->log, "%s/log", b->dir);
    b->config = (cp_wal_config){.dir = b->log,
                                .segment_size = SEGMENT,
                                .limit = b->options->bytes + b->options->bytes / 32 +
                                         SPARE_SEGMENTS * (uint64_t)SEGMENT,
                                .max_chunk_bytes = CHUNK};
    b->chunk = (cp_chunk){.data = malloc(CHUNK),
                          .row_at = calloc(ROWS, sizeof(uint32_t)),
                          .data_capacity = CHUNK,
                          .row_capacity = ROWS,
                          .epoch = 1};
    b->plain = aligned_alloc(CP_IO_BLOCK, CP_WAL_WINDOW);
    b->huge = cp_pages_take(CP_WAL_WINDOW);
    if (!b->chunk.data || !b->chunk.row_at || !b->plain || !b->huge)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    /* Ordinary pages also where all memory gets huge ones: the two are to differ. And no page fault later. */
    madvise(b->plain, CP_WAL_WINDOW, MADV_NOHUGEPAGE);
    memset(b->plain, 0, CP_WAL_WINDOW);
    return CP_OK;
}

int cp_bench_recover_run(const cp_bench_recover_options *options, cp_bench_recover_report *report,
                         cp_error *err)
{
    memset(report, 0, sizeof *report);
    bench *b = calloc(1, sizeof *b);
    if (!b)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    b->options = options;
    int rc = cp_bench_place_check(options->dir, "bench recover", room_needed(options->bytes), err);
    if (rc == CP_OK)
        rc = bench_open(b, err);
    if (rc == CP_OK)
        rc = log_write(b, err);
    for (uint32_t round = 0; rc == CP_OK && round < options->rounds && !options->cancelled(); round++) {
        options->progress(round, options->rounds);
        rc = round_run(b, round, report, err);
        if (!options->cancelled())
            report->rounds = round + 1;
    }
    report->bare_bytes_per_s = cp_bench_figure_of(b->samples[BARE], report->rounds);
    report->bare_huge_bytes_per_s = cp_bench_figure_of(b->samples[BARE_HUGE], report->rounds);
    report->replay_over_bare_huge = cp_bench_figure_of(b->samples[HUGE_RATIO], report->rounds);
    report->replay_bytes_per_s = cp_bench_figure_of(b->samples[REPLAY], report->rounds);
    report->replay_over_bare = cp_bench_figure_of(b->samples[RATIO], report->rounds);
    report->open_replay_over_bare = cp_bench_figure_of(b->samples[OPEN_RATIO], report->rounds);
    report->open_replay_over_bare_huge = cp_bench_figure_of(b->samples[OPEN_HUGE_RATIO], report->rounds);
    report->open_ns = cp_bench_figure_of(b->samples[OPEN], report->rounds);
    cp_wal_view_free(b->view);
    cp_bench_remove(b->dir);
    free(b->chunk.data);
    free(b->chunk.row_at);
    free(b->plain);
    cp_pages_free(b->huge, CP_WAL_WINDOW);
    free(b);
    return rc;
}

int cp_bench_recover_print(const cp_bench_recover_report *report, const cp_bench_host *host, bool json)
{
    if (json) {
        json_object *answer = cp_json_begin("bench recover");
        cp_bench_host_add(answer, host);
        cp_json_add_uint(answer, "rounds", report->rounds);
        cp_json_add_uint(answer, "bytes", report->bytes);
        cp_json_add_uint(answer, "records", report->records);
        cp_json_add_uint(answer, "rows", report->rows);
        cp_bench_figure_add(answer, "bare_bytes_per_s", &report->bare_bytes_per_s);
        cp_bench_figure_add(answer, "bare_huge_bytes_per_s", &report->bare_huge_bytes_per_s);
        cp_bench_figure_add(answer, "replay_bytes_per_s", &report->replay_bytes_per_s);
        cp_bench_figure_add(answer, "replay_over_bare", &report->replay_over_bare);
        cp_bench_figure_add(answer, "replay_over_bare_huge", &report->replay_over_bare_huge);
        cp_bench_figure_add(answer, "open_replay_over_bare", &report->open_replay_over_bare);
        cp_bench_figure_add(answer, "open_replay_over_bare_huge", &report->open_replay_over_bare_huge);
        cp_bench_figure_add(answer, "open_ns", &report->open_ns);
        cp_json_add_bool(answer, "persistent", !report->not_persistent);
        return cp_json_end(answer);
    }
    printf(
        "bare reads       %8.0f MB/s, onto huge pages, as the log's reader: %.0f MB/s\n"
        "verify, decode   %8.0f MB/s, of these %.2f (%.2f to %.2f)\nratio            %8.2f (%.2f to %.2f)\n"
        "  with opening   %8.2f (%.2f to %.2f)\nopen             %8.1f ms\n",
        report->bare_bytes_per_s.median / 1e6, report->bare_huge_bytes_per_s.median / 1e6,
        report->replay_bytes_per_s.median / 1e6, report->replay_over_bare_huge.median,
        report->replay_over_bare_huge.low, report->replay_over_bare_huge.high,
        report->replay_over_bare.median, report->replay_over_bare.low, report->replay_over_bare.high,
        report->open_replay_over_bare.median, report->open_replay_over_bare.low,
        report->open_replay_over_bare.high, report->open_ns.median / 1e6);
    printf("%" PRIu64 " bytes, %" PRIu64 " records, %" PRIu64 " rows of %d bytes; medians of %u rounds%s\n",
           report->bytes, report->records, report->rows, ROW, report->rounds,
           report->not_persistent ? "; a file system in memory, no disk" : "");
    cp_bench_host_print(host);
    return cp_output_finish();
}
