#include "cli/bench/encode.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench/json_text.h"
#include "cli/cli.h"
#include "flush/compress.h"

enum {
    ARENA_FACTOR = 8, /* streams double: room for the worst case, untouched where it is not needed */
    ARENA_LEAST = 64 << 20
};

static const char *const way_names[CP_BENCH_WAYS] = {"memcpy", "Native", "Native + zstd", "JSONEachRow",
                                                     "JSONEachRow + zstd"};
static const char *const way_keys[CP_BENCH_WAYS] = {"memcpy", "native", "native_zstd", "json", "json_zstd"};

typedef struct bench {
    const cp_bench_encode_options *options;
    cp_native *native;
    cp_compressor *compressor;
    ZSTD_CCtx *json_context;
    cp_arena arena;
    uint8_t *body;
    size_t body_room;
    char *text;
    size_t text_room;
    double samples[CP_BENCH_WAYS][CP_BENCH_MAX_ROUNDS];
    double ratio[CP_BENCH_MAX_ROUNDS];
} bench;

static uint64_t cpu_ns(void)
{
    struct timespec time;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * CP_NS_PER_S + (uint64_t)time.tv_nsec;
}

static int64_t heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

/* ---- the ways -------------------------------------------------------------------------------------------------- */

static int make_copy(bench *b, uint64_t *bytes)
{
    const cp_bench_rows *rows = b->options->rows;
    uint8_t *to = b->body;
    for (uint32_t i = 0; i < rows->chunk_count; i++) {
        memcpy(to, rows->chunks[i]->data, rows->chunks[i]->byte_count);
        to += rows->chunks[i]->byte_count;
    }
    __asm__ volatile("" : : "r"(b->body) : "memory");
    *bytes = (uint64_t)(to - b->body);
    return CP_OK;
}

static int make_native(bench *b, bool compress, uint64_t *bytes)
{
    const cp_bench_rows *rows = b->options->rows;
    cp_native_block block;
    int rc = cp_native_encode(b->native, &b->arena, rows->chunks, rows->chunk_count, SIZE_MAX, &block);
    if (rc != CP_OK)
        return rc;
    *bytes = block.bytes;
    size_t size = 0;
    if (!compress)
        return CP_OK;
    rc = cp_compress_block(b->compressor, &block, b->body, b->body_room, &size);
    *bytes = size;
    return rc;
}

static int make_json(bench *b, bool compress, uint64_t *bytes)
{
    const cp_bench_rows *rows = b->options->rows;
    char *to = b->text;
    for (uint32_t i = 0; i < rows->chunk_count; i++) {
        for (uint32_t k = 0; k < rows->chunks[i]->row_count; k++)
            to = cp_json_text_row(to, rows->table, rows->chunks[i], k);
    }
    *bytes = (uint64_t)(to - b->text);
    if (!compress)
        return CP_OK;
    const size_t size = ZSTD_compress2(b->json_context, b->body, b->body_room, b->text, *bytes);
    *bytes = size;
    return ZSTD_isError(size) ? CP_E_CORRUPT : CP_OK;
}

static int make_batch(bench *b, cp_bench_way way, uint64_t *bytes)
{
    switch (way) {
    case CP_BENCH_COPY:
        return make_copy(b, bytes);
    case CP_BENCH_NATIVE:
    case CP_BENCH_NATIVE_ZSTD:
        return make_native(b, way == CP_BENCH_NATIVE_ZSTD, bytes);
    default:
        return make_json(b, way == CP_BENCH_JSON_ZSTD, bytes);
    }
}

/* Batches for length_ns, at least one; nanoseconds per row of the fastest: what interrupts a batch is none of its cost. */
static int way_measure(bench *b, cp_bench_way way, uint64_t length_ns, double *ns,
                       cp_bench_encode_report *report, cp_error *err)
{
    const uint64_t end = cp_boottime_ns() + length_ns;
    uint64_t best = UINT64_MAX;
    do {
        const uint64_t before = cpu_ns();
        const int rc = make_batch(b, way, &report->bytes[way]);
        const uint64_t taken = cpu_ns() - before;
        if (rc != CP_OK)
            return cp_error_set(err, rc, "%s: %s", way_names[way],
                                rc == CP_E_TOO_BIG ? "the rows do not fit one batch; fewer with --rows"
                                                   : "failed");
        best = taken < best ? taken : best;
        report->batches += way == CP_BENCH_NATIVE || way == CP_BENCH_NATIVE_ZSTD;
    } while (cp_boottime_ns() < end);
    *ns = (double)(best ? best : 1) / report->rows; /* a few rows may take less than a step of the clock */
    return CP_OK;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

static int bench_open(bench *b, cp_bench_encode_report *report, cp_error *err)
{
    const cp_bench_rows *rows = b->options->rows;
    cp_error reason;
    report->json = cp_json_text_check(rows->table, &reason) == CP_OK;
    b->text_room = report->json ? cp_json_text_bound(rows->table, rows->largest) * rows->row_count : 1;
    b->body_room = cp_compress_bound(ARENA_FACTOR * rows->bytes + b->text_room);
    int rc = cp_native_create(&b->native, rows->table, err);
    if (rc == CP_OK)
        rc = cp_compressor_create(&b->compressor, b->options->level, false, err);
    if (rc != CP_OK)
        return rc;
    b->body = malloc(b->body_room);
    b->text = malloc(b->text_room);
    b->json_context = ZSTD_createCCtx();
    if (!b->body || !b->text || !b->json_context ||
        cp_arena_map(&b->arena, ARENA_FACTOR * rows->bytes + ARENA_LEAST) < 0 ||
        ZSTD_isError(ZSTD_CCtx_setParameter(b->json_context, ZSTD_c_compressionLevel, b->options->level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(b->json_context, ZSTD_c_checksumFlag, 1)))
        return cp_error_set(err, CP_E_NOMEM, "no memory for a batch of %u rows", rows->row_count);
    return CP_OK;
}

static int round_run(bench *b, uint32_t round, uint64_t length_ns, cp_bench_encode_report *report,
                     cp_error *err)
{
    int rc = CP_OK;
    const int64_t before = heap_bytes();
    for (int way = CP_BENCH_COPY; rc == CP_OK && way <= CP_BENCH_NATIVE_ZSTD; way++)
        rc = way_measure(b, (cp_bench_way)way, length_ns, &b->samples[way][round], report, err);
    report->heap_growth += heap_bytes() - before;
    for (int way = CP_BENCH_JSON; rc == CP_OK && report->json && way < CP_BENCH_WAYS; way++)
        rc = way_measure(b, (cp_bench_way)way, length_ns, &b->samples[way][round], report, err);
    if (report->json)
        b->ratio[round] = b->samples[CP_BENCH_NATIVE_ZSTD][round] / b->samples[CP_BENCH_JSON_ZSTD][round];
    return rc;
}

int cp_bench_encode_run(const cp_bench_encode_options *options, cp_bench_encode_report *report, cp_error *err)
{
    memset(report, 0, sizeof *report);
    report->rows = options->rows->row_count;
    report->row_bytes = options->rows->bytes;
    report->level = options->level;
    bench *b = calloc(1, sizeof *b);
    if (!b)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    b->options = options;
    int rc = bench_open(b, report, err);
    const uint64_t length_ns = options->total_ns / options->rounds / CP_BENCH_WAYS;
    /* One round for nothing: pages are touched, contexts take what they need. */
    if (rc == CP_OK)
        rc = round_run(b, 0, 0, report, err);
    report->heap_growth = 0;
    report->batches = 0;
    for (uint32_t round = 0; rc == CP_OK && round < options->rounds && !options->cancelled(); round++) {
        options->progress(round, options->rounds);
        rc = round_run(b, round, length_ns, report, err);
        report->rounds = round + 1;
    }
    for (int way = 0; way < CP_BENCH_WAYS; way++)
        report->ns[way] = cp_bench_figure_of(b->samples[way], report->rounds);
    report->cpu_ratio = cp_bench_figure_of(b->ratio, report->rounds);
    cp_native_free(b->native);
    cp_compressor_free(b->compressor);
    ZSTD_freeCCtx(b->json_context);
    cp_arena_unmap(&b->arena);
    free(b->body);
    free(b->text);
    free(b);
    return rc;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

static double wire_ratio(const cp_bench_encode_report *report)
{
    return (double)report->bytes[CP_BENCH_NATIVE_ZSTD] / (double)report->bytes[CP_BENCH_JSON_ZSTD];
}

static int print_json(const cp_bench_encode_report *report, const char *what, const cp_bench_host *host)
{
    json_object *answer = cp_json_begin("bench encode");
    json_object *ways = json_object_new_object();
    cp_bench_host_add(answer, host);
    cp_json_add_string(answer, "rows_of", what);
    cp_json_add_uint(answer, "rounds", report->rounds);
    cp_json_add_uint(answer, "rows", report->rows);
    cp_json_add_uint(answer, "row_bytes", report->row_bytes);
    cp_json_add_uint(answer, "zstd_level", (uint64_t)report->level);
    for (int way = 0; way < (report->json ? CP_BENCH_WAYS : CP_BENCH_JSON); way++) {
        json_object *item = json_object_new_object();
        cp_bench_figure_add(item, "cpu_ns_per_row", &report->ns[way]);
        cp_json_add_double(item, "rows_per_cpu_s", 1e9 / report->ns[way].median);
        cp_json_add_uint(item, "bytes", report->bytes[way]);
        cp_json_add(ways, way_keys[way], item);
    }
    cp_json_add(answer, "ways", ways);
    if (report->json) {
        cp_bench_figure_add(answer, "cpu_native_to_json", &report->cpu_ratio);
        cp_json_add_double(answer, "wire_native_to_json", wire_ratio(report));
    }
    cp_json_add_uint(answer, "batches", report->batches);
    cp_json_add(answer, "heap_growth_bytes", json_object_new_int64(report->heap_growth));
    return cp_json_end(answer);
}

int cp_bench_encode_print(const cp_bench_encode_report *report, const char *what, const cp_bench_host *host,
                          bool json)
{
    if (json)
        return print_json(report, what, host);
    printf("%-20s %10s %17s %14s %10s\n", "", "ns/row", "low … high", "rows per CPU s", "bytes/row");
    for (int way = 0; way < (report->json ? CP_BENCH_WAYS : CP_BENCH_JSON); way++) {
        char count[CP_HUMAN_TEXT];
        printf("%-20s %10.1f %8.1f …%7.1f %14s %10.1f\n", way_names[way], report->ns[way].median,
               report->ns[way].low, report->ns[way].high,
               cp_human_count(count, (uint64_t)(1e9 / report->ns[way].median)),
               (double)report->bytes[way] / report->rows);
    }
    if (report->json)
        printf("Native ÷ JSONEachRow, both with zstd -%d: CPU %.2f (%.2f to %.2f), bytes on the wire %.2f\n",
               report->level, report->cpu_ratio.median, report->cpu_ratio.low, report->cpu_ratio.high,
               wire_ratio(report));
    else
        printf("no JSONEachRow beside it: a column's type is none that this benchmark writes as JSON\n");
    printf("%u rows of %s per batch; medians of %u rounds; %" PRIu64 " batches, heap growth %" PRId64
           " bytes\n",
           report->rows, what, report->rounds, report->batches, report->heap_growth);
    cp_bench_host_print(host);
    return cp_output_finish();
}
