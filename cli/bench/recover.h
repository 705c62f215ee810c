/* How fast a log is read back, beside bare reads of the same files.
 *
 *   bare      O_DIRECT reads of 4 MiB, one at a time, of every segment's used part: no look at the bytes; onto ordinary pages,
 *             and onto huge ones, as the log's reader reads
 *   replay    the log's reader over the same segments: header and payload CRCs, chain, rows indexed into a chunk, as delivery
 *             gets them; it reads ahead, so that the disk is the bound as long as it is slower than a CPU
 *   open      the log opened: directory, headers, the newest segment's records; it is no part of replay, and figures that are said
 *             to be with it hold both
 *
 * The reader copies payloads, and counts the bytes of the files, as the bare reads do. Rounds are interleaved. */
#ifndef CP_CLI_BENCH_RECOVER_H
#define CP_CLI_BENCH_RECOVER_H

#include <coldpath/error.h>
#include <stdbool.h>

#include "cli/bench/figure.h"
#include "cli/bench/host.h"

typedef struct cp_bench_recover_options {
    const char *dir; /* on the file system to be measured */
    uint32_t rounds;
    uint64_t bytes; /* of the log */
    bool (*cancelled)(void);
    void (*progress)(uint32_t round, uint32_t rounds);
} cp_bench_recover_options;

typedef struct cp_bench_recover_report {
    uint32_t rounds;
    uint64_t bytes; /* of the files' used parts */
    uint64_t records;
    uint64_t rows;
    cp_bench_figure bare_bytes_per_s;
    cp_bench_figure bare_huge_bytes_per_s;
    cp_bench_figure replay_bytes_per_s;
    cp_bench_figure replay_over_bare;      /* round by round */
    cp_bench_figure replay_over_bare_huge; /* likewise */
    cp_bench_figure open_replay_over_bare; /* the bytes by the time of opening and replay, likewise */
    cp_bench_figure open_replay_over_bare_huge;
    cp_bench_figure open_ns;
    bool not_persistent; /* a file system in memory: no disk was read */
} cp_bench_recover_report;

/* Runs it in a directory of its own below dir, which is removed at the end. CP_E_IO: there is no room; errors of making it and of
 * the log. Cancelled, it ends within a second or two, with the rounds that were whole. */
int cp_bench_recover_run(const cp_bench_recover_options *options, cp_bench_recover_report *report,
                         cp_error *err);

/* Prints the report; returns an exit code. */
int cp_bench_recover_print(const cp_bench_recover_report *report, const cp_bench_host *host, bool json);

#endif
