/* Batches that the recorder sets aside for an endpoint (flush/held.h): the model learns here which rows are in a file, and when the file
 * goes. The linker leads the calls here (--wrap). */
#ifndef COLDPATH_TESTS_SIMULATE_ASIDE_H
#define COLDPATH_TESTS_SIMULATE_ASIDE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_aside_totals {
    uint64_t batches, removed;
} sim_aside_totals;

extern sim_aside_totals sim_aside_total;

void sim_aside_begin(void);

/* No file of a batch is there. */
bool sim_aside_is_empty(void);

#endif
