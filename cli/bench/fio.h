/* fio, the measure that a log's figures are read beside: one run, its answer in numbers. */
#ifndef CP_CLI_BENCH_FIO_H
#define CP_CLI_BENCH_FIO_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct cp_bench_fio {
    const char *file; /* written over; made with its size when it is not there */
    uint64_t file_size;
    uint64_t block;
    uint32_t depth;
    bool dsync;      /* O_DSYNC; else fdatasync after every write */
    bool huge_pages; /* its buffers lie on transparent ones, through glibc; else where malloc puts them */
    uint64_t runtime_ns;
    bool (*cancelled)(void); /* then it is ended early */
} cp_bench_fio;

typedef struct cp_bench_fio_result {
    double bytes_per_s;
    double commits_per_s;
    double p50_ns; /* of write and, with fdatasync, sync: the sum of both percentiles */
    double p99_ns;
} cp_bench_fio_result;

/* io_uring, O_DIRECT, sequential. CP_E_ABSENT: fio is not installed; CP_E_IO: it failed. */
int cp_bench_fio_run(const cp_bench_fio *fio, cp_bench_fio_result *result, cp_error *err);

#endif
