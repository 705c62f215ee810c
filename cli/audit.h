/* One table's ledger held against what ClickHouse has.
 *
 *   ledger  ack: delivered position P, delivered rows D         ClickHouse, per ring (epoch, slot), in slices
 *     │                                                           │
 *     ├── rows below P: D of them ──────────────── exact ────────►│ count, distinct positions below P
 *     ├── the ring's own bytes, where they are not yet written over: rows, Σ position, Σ position² (mod 2^64)
 *     │                   of a range [begin, end) below P ───────►│ the same of that range
 *     └── published position, after the query ── upper bound ────►│ largest position
 *
 * A row is known by its epoch, slot and position (the provenance columns). The sums do not depend on the order of rows; they
 * come from what the producer wrote, not from what the recorder counted. The range is all of the ring's life while the ring
 * has not wrapped, later the last delivered batch (by its intent). Below P everything is settled, so the check is exact beside a
 * running recorder; rows at and above P are on their way, and only their bounds and their being there once are checked.
 * A critical table with a backlog delivers out of order: its counts are then bounds (`exact` is false).
 *
 * ClickHouse is asked for some millions of rows at a time, chosen by a hash of their position, because it keeps every position in
 * memory to tell the distinct ones; all that is asked adds up over such slices.
 *
 * A table without the three columns has nothing that names a row: its total count is all that is compared. */
#ifndef CP_CLI_AUDIT_H
#define CP_CLI_AUDIT_H

#include "flush/flusher.h"
#include "shm/observer.h"

enum { CP_AUDIT_PLACE = 2 * (2 * CP_MAX_NAME + 4) }; /* `database`.`table` */

/* Rows of one ring in [begin, end). */
typedef struct cp_audit_range {
    uint64_t begin;
    uint64_t end;
    uint64_t rows;
    uint64_t sum;     /* of positions, modulo 2^64 */
    uint64_t squares; /* of their squares, likewise */
} cp_audit_range;

typedef struct cp_audit_ring {
    uint32_t slot;
    uint64_t epoch;
    /* the ledger's word */
    uint64_t position; /* everything before it is delivered */
    uint64_t rows;     /* delivered: at the least those are there */
    uint64_t
        left_out; /* settled, but not by delivery: rejected, suppressed, dropped, quarantined, given up */
    uint64_t
        retried_most; /* quarantined ones, which a retry may have delivered since, and those of batches in doubt or set aside */
    bool exact; /* rows are just those before position */
    uint64_t published;
    uint64_t rows_most; /* more cannot have been sent */
    bool ranged;        /* range holds something */
    cp_audit_range range;
    /* ClickHouse's */
    uint64_t held;
    uint64_t distinct;
    uint64_t held_before; /* position */
    uint64_t distinct_before;
    uint64_t lowest;
    uint64_t highest;
    uint64_t misplaced; /* at positions where no record begins */
    cp_audit_range held_range;
    /* the verdict; all 0: equal */
    uint64_t missing;
    uint64_t twice;   /* copies too many */
    uint64_t unknown; /* rows that the ledger does not have */
    bool checksum_differs;
    uint64_t
        suspect_begin; /* positions between which it is wrong, as near as could be told; begin = end: not known */
    uint64_t suspect_end;
} cp_audit_ring;

typedef struct cp_audit {
    char place[CP_AUDIT_PLACE];
    const char *name;
    bool critical;
    bool provenance;
    bool absent; /* ClickHouse has no such table: every delivered row is missing */
    bool merges; /* an engine that may merge rows away, or a TTL: fewer rows need not be lost */
    uint64_t delivered;
    uint64_t held;    /* of the rings of this region; without provenance: all rows of the table */
    uint64_t others;  /* rows of the table that came through no ring of this region */
    uint64_t missing; /* and the next three: sums */
    uint64_t twice;
    uint64_t unknown;
    uint32_t rings_checked; /* by checksum */
    uint32_t ring_count;
    cp_audit_ring rings[CP_REGION_MAX_SLOTS];
} cp_audit;

/* Audits table index of the region. observer: open, looked at; is looked at again. database: for a DDL that names none. Errors of
 * cp_query_run and cp_control_parse_table, CP_E_RETIRED. A difference is no error: see cp_audit_differs. */
int cp_audit_table(cp_audit *audit, cp_observer *observer, uint32_t index, const cp_sink_config *sink,
                   const char *database, cp_error *err);

bool cp_audit_differs(const cp_audit *audit);
bool cp_audit_ring_differs(const cp_audit_ring *ring);

#endif
