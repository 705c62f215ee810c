/* The model: every row that was put, where, and what became of it; and the promises that it is held against.
 *
 *     producer ── put ──► row, in a ring ──► stored by the sink (once, in order)
 *                                        └─► in the quarantine
 *
 *     after every step      what the region calls settled is stored, quarantined or, of a table that sheds, counted
 *     when a row is stored  it was not stored before, is not in the quarantine, and follows the last one of its ring
 *     at the end            rows of tables that do not shed: each stored or quarantined, none twice; but for those that the
 *                           host's death took before anybody called them durable
 *                           tables that shed: as many are missing as the region counts as suppressed and dropped */
#ifndef COLDPATH_TESTS_SIMULATE_ROWS_H
#define COLDPATH_TESTS_SIMULATE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/control.h"

enum {
    SIM_TABLES = 4,
    SIM_ROWS = 1 << 17, /* of a world */
    SIM_RINGS = 1 << 10,
    SIM_SLOTS = 2 /* of a table */
};

typedef struct sim_table {
    const char *name;
    bool critical;
    bool countable; /* its rows can be told apart in ClickHouse */
    bool sheds;     /* rows may be left out, or lost with the recorder, as long as they are counted */
} sim_table;

extern const sim_table sim_tables[SIM_TABLES];

typedef struct sim_row {
    uint64_t position; /* in its ring */
    uint32_t ring;     /* index of sim_ring */
    bool poison;
    bool durable;  /* the region said so */
    bool doubtful; /* may come twice: sim_rows_recorder_died */
    uint8_t stored;
    uint8_t quarantined;
} sim_row;

/* A ring from its making to its host's death. */
typedef struct sim_ring {
    uint32_t table;
    uint32_t slot;
    uint64_t epoch;
    uint32_t *rows; /* their numbers, in the order of their positions */
    uint32_t count;
    uint32_t capacity;
    uint32_t settled;     /* rows whose fate the region calls decided */
    uint32_t durable;     /* likewise durable */
    uint32_t stored_last; /* the newest stored row's index + 1 */
    uint32_t ahead_last;  /* likewise of those that went before the backlog */
    bool gone;            /* with its host */
    uint64_t missing;     /* settled, and not here */
    cp_abi_ack ack;       /* as last seen */
} sim_ring;

typedef struct sim_totals {
    uint64_t put, full, stored, quarantined, missing, given_back;
} sim_totals;

extern sim_totals sim_total;

void sim_rows_begin(void);
void sim_rows_end(void);

/* The ring of that name, made known when it is new. */
uint32_t sim_ring_find(uint32_t table, uint32_t slot, uint64_t epoch);
const sim_ring *sim_ring_of(uint32_t ring);

/* Room for so many more rows? */
bool sim_rows_room(uint32_t more);
/* The number that the next row put has. */
uint32_t sim_rows_next(void);
void sim_row_put(uint32_t ring, uint64_t position, bool poison);
const sim_row *sim_row_of(uint64_t number);

/* ClickHouse stores it, as the rows of one insert, in order. */
void sim_row_stored(uint32_t table, uint64_t number);

/* Its record in the quarantine is durable. */
void sim_row_quarantined(uint32_t table, uint32_t slot, uint64_t epoch, uint64_t position);

/* Stored rows of a ring in [begin, end). */
uint64_t sim_rows_held(uint32_t table, uint64_t epoch, uint32_t slot, uint64_t begin, uint64_t end);

/* Two lines of the recorder's log: new rows of a table go before the backlog, or no longer do. */
void sim_rows_order(const char *fields, bool ahead);

/* Holds the region's acknowledgements against the model. */
void sim_rows_check(const cp_control *control);

/* The first ring of which not everything is settled, as far as the region says; NULL: there is none. */
const sim_ring *sim_rows_unsettled(const cp_control *control);

/* The recorder was killed with a batch on the wire of which some rows had been taken out of their rings early. Its successor cannot
 * make the batch again: what it still finds of it in the rings goes out anew, and may come twice (docs/guarantees.md). */
void sim_rows_recorder_died(const cp_control *control);

/* The region is gone: what was not durable may be. */
void sim_rows_host_died(void);

/* When all should have arrived. */
void sim_rows_check_end(const cp_control *control);

#endif
