/* The directory that a benchmark writes in: whether there is room for it. On a disk that is full a log waits, and figures of it would
 * be none. */
#ifndef CP_CLI_BENCH_PLACE_H
#define CP_CLI_BENCH_PLACE_H

#include <coldpath/error.h>
#include <stdint.h>

/* verb: for people, as in `bench wal`; need: bytes that it takes in dir. CP_E_IO: there is less; errors of looking. */
int cp_bench_place_check(const char *dir, const char *verb, uint64_t need, cp_error *err);

#endif
