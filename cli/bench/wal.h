/* What durability costs on this host's disk: the log beside fio, in one run, on one file system.
 *
 *   commit    one record at a time, each waited for          fio: one write and its sync at a time, of the payload's
 *                                                            size, at least a block (O_DIRECT writes no less); of both
 *                                                            ways to sync the one that is faster by the medians
 *   stream    as many records as the log takes; it writes    fio: writes of 1.5 MiB, as many under way, each made
 *             frames of up to 1.5 MiB, three under way       durable; likewise; and once more from huge pages, as
 *                                                            the log writes
 *   put       a row put into a ring until the producer       -
 *             reads that it is durable, through a recorder
 *             of its own (coldpathd beside this program)
 *
 * The log's rates count payload, fio's all bytes: record headers, padding and segment headers count against the log. The
 * log's commit latency runs from append to the report of durability; fio's, with fdatasync, is the sum of the write's and the
 * sync's percentile. Rounds are interleaved; figures are medians with the spread. */
#ifndef CP_CLI_BENCH_WAL_H
#define CP_CLI_BENCH_WAL_H

#include <limits.h>

#include "cli/bench/figure.h"
#include "cli/bench/host.h"
#include "wal/log.h"

enum { CP_BENCH_WAL_SIZES = 3 };

typedef struct cp_bench_wal_options {
    const char *dir; /* on the file system to be measured */
    uint32_t rounds;
    uint64_t total_ns;
    bool (*cancelled)(void);
    void (*progress)(uint32_t round, uint32_t rounds);
} cp_bench_wal_options;

typedef struct cp_bench_wal_result {
    uint32_t payload; /* bytes per commit */
    cp_bench_figure commit_p50_ns;
    cp_bench_figure commit_p99_ns;
    cp_bench_figure commits_per_s;
    cp_bench_figure fio_p50_ns; /* zeros without fio */
    cp_bench_figure fio_p99_ns;
    cp_bench_figure fio_commits_per_s;
    cp_bench_figure stream_bytes_per_s;
    cp_bench_figure device_over_payload; /* while streaming */
    cp_bench_figure stream_over_fio;     /* bytes/s, round by round */
    cp_bench_figure p50_over_fio;
    cp_bench_figure p99_over_fio;
    const char *fio_sync; /* the way whose figures these are: "fdatasync" or "dsync" */
    const char *fio_stream_sync;
    cp_bench_figure fio_stream_bytes_per_s;
    const char *fio_huge_stream_sync; /* fio with its buffers on huge pages */
    cp_bench_figure fio_huge_stream_bytes_per_s;
    cp_bench_figure stream_over_fio_huge;
    cp_bench_figure put_p50_ns; /* of the rounds that had one; zeros without a recorder */
    cp_bench_figure put_p99_ns;
} cp_bench_wal_result;

typedef struct cp_bench_wal_report {
    uint32_t rounds;
    bool fio;
    char note[256];    /* what could not be measured, and why */
    cp_wal_status log; /* backend and sync mode */
    cp_bench_wal_result sizes[CP_BENCH_WAL_SIZES];
} cp_bench_wal_report;

/* Runs it in a directory of its own below dir, which is removed at the end. CP_E_IO: there is no room, or the log took nothing in
 * ten seconds; errors of making it and of the log. Cancelled, it ends within a second or two, with the rounds that were whole. */
int cp_bench_wal_run(const cp_bench_wal_options *options, cp_bench_wal_report *report, cp_error *err);

/* Prints the report; returns an exit code. */
int cp_bench_wal_print(const cp_bench_wal_report *report, const cp_bench_host *host, bool json);

#endif
