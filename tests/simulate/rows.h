/* The model: every row that was put, where, and what became of it; and the promises that it is held against.
 *
 *     producer ── put ──► row, in a ring ──► stored by some sink (by one of them, once, in order)
 *                                        ├─► in the quarantine
 *                                        └─► set aside in a file, until it is one or the other (then in any order)
 *
 *     after every step      what the region calls settled is stored, quarantined, set aside or, of a table that sheds, counted;
 *                           and no more rows count as delivered than are stored, as quarantined than are there
 *     when a row is stored  it was not stored before, is not in the quarantine, and follows the last one of its ring
 *     of rows with one key  (unique_key) one is stored, or quarantined, as long as the host lives; the others count as rejected
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
    uint32_t original; /* the row whose key it has; its own number: it is the first */
    bool repeated;     /* of an original: others have its key, */
    bool taken;        /*   and one of them is stored or in the quarantine */
    bool poison;
    bool durable;   /* the region said so */
    bool doubtful;  /* may come twice: sim_rows_recorder_died */
    bool aside;     /* in a file of a batch that was set aside */
    bool was_aside; /* ever: it may come behind later ones */
    uint8_t stored;
    uint8_t quarantined;
    uint8_t store, host; /* where: rows that replicas share; the one that took it */
    uint64_t stored_ns;
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
    uint32_t stored;      /* rows */
    uint32_t quarantined; /* likewise */
    uint32_t again;       /* rows that come again, though they were under way and may have arrived */
    bool gone;            /* with its host */
    uint64_t missing;     /* settled, and not here */
    cp_abi_ack ack;       /* as last seen */
} sim_ring;

/* Of a ring. */
typedef struct sim_stretch {
    uint32_t table, slot;
    uint64_t epoch, begin, end;
} sim_stretch;

typedef struct sim_totals {
    uint64_t put, full, stored, quarantined, missing, set_aside, repeated;
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
void sim_row_put(uint32_t ring, uint64_t position, bool poison, uint32_t original);

/* An original among the last rows of the table that were put on this host; the number that the next row has: there is none. */
uint32_t sim_rows_recent(uint32_t table);
const sim_row *sim_row_of(uint64_t number);

/* ClickHouse stores it, as the rows of one insert, in order: host's request, into the rows of this store. */
void sim_row_stored(uint32_t table, uint64_t number, uint32_t store, uint32_t host);

/* Its record in the quarantine is durable. */
void sim_row_quarantined(uint32_t table, uint32_t slot, uint64_t epoch, uint64_t position);

/* The row at a stretch's begin: its batch is set aside, durably, or the file is removed again. */
void sim_row_set_aside(const sim_stretch *row, bool aside);

/* Stored rows that the host sees: its own, and those that another one took before lag_ns. */
uint64_t sim_rows_seen(const sim_stretch *of, uint32_t store, uint32_t host, uint64_t lag_ns);

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
