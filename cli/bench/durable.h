/* From put to durable, as a producer sees it: a recorder of its own (coldpathd, from beside this program), a critical table per
 * row size, and a producer that puts a row and reads the durable position until it has passed it. ClickHouse is not there: rows
 * stay in the log. */
#ifndef CP_CLI_BENCH_DURABLE_H
#define CP_CLI_BENCH_DURABLE_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "wal/log.h"

enum {
    CP_BENCH_DURABLE_SIZES = 4,
    CP_BENCH_DURABLE_SEGMENTS =
        1 + CP_WAL_READY /* per size, of CP_WAL_SEGMENT_SIZE: what its log takes at first */
};

typedef struct cp_bench_durable cp_bench_durable;

/* Starts the recorder with its log in dir; sizes: bytes of the rows; cancelled: no longer wanted, asked while
 * something is waited for. CP_E_ABSENT: no coldpathd beside this program, or it did not come up in ten seconds. */
int cp_bench_durable_open(cp_bench_durable **out, const char *dir, const uint32_t *sizes, uint32_t count,
                          bool (*cancelled)(void), cp_error *err);

/* One row at a time for length_ns; fills ns with up to most latencies and returns how many: none when its log takes no
 * more. */
uint32_t cp_bench_durable_measure(cp_bench_durable *durable, uint32_t size, uint64_t length_ns, uint64_t *ns,
                                  uint32_t most);

/* Ends the recorder and removes its region; NULL is allowed. What lies in dir is the caller's. */
void cp_bench_durable_close(cp_bench_durable *durable);

#endif
