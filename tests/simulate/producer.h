/* Simulated producers: libcoldpath's own calls, a process each, which attach, put, follow positions, leave, and are killed. */
#ifndef COLDPATH_TESTS_SIMULATE_PRODUCER_H
#define COLDPATH_TESTS_SIMULATE_PRODUCER_H

#include <stdbool.h>
#include <stdint.h>

void sim_producers_begin(const char *region_dir);

/* One of them does something. poison: of the rows it puts, in permille. False: there is no region yet. */
bool sim_producers_step(unsigned poison);

/* All are killed. */
void sim_producers_kill(void);

#endif
