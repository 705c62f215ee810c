/* A producer of one table that outlives a change of the configuration.
 *
 *   cp_put ─► CP_E_RETIRED ─► cp_producer_reopen: close, detach, attach, open ─► the same row again
 *
 * With a new configuration a recorder (or `coldpath init`) replaces the region's control file. A ring that was opened
 * before goes on taking rows, which the new recorder ships, until it looks full: whoever reads the old control file does
 * not see what is consumed. Then puts are refused with CP_E_RETIRED, nothing is lost, and the producer attaches anew.
 * Its rows then lie in more than one span, when it gets another slot than before.
 *
 * Each producer has a mapping of the region of its own, so that it can let go of it while others in the process still use
 * theirs. One thread uses a producer. */
#ifndef CP_FEEDS_PRODUCER_H
#define CP_FEEDS_PRODUCER_H

#include <coldpath/coldpath.h>
#include <signal.h>

/* Rows of one producer in one ring: those of this epoch and slot at positions in [first, last). */
typedef struct cp_ring_span {
    uint64_t epoch;
    uint64_t first;
    uint64_t last;
    uint32_t slot;
} cp_ring_span;

typedef struct cp_producer {
    const char
        *region_path; /* as cp_attach takes it; these four are the caller's and must outlive the producer */
    const char *table;
    const char *name; /* for status */
    uint64_t schema_hash;
    cp_region *region;
    cp_ring *ring; /* NULL: not attached */
    cp_ring_span *spans;
    uint32_t span_count; /* the last one is under way; 0: never opened */
} cp_producer;

/* Attaches and takes a slot, with the four first fields set. Errors of cp_attach and cp_ring_open. Close it in any case. */
int cp_producer_open(cp_producer *producer, cp_error *err);

/* After CP_E_RETIRED: attaches anew and says so on standard error, in one line. A region that is absent, busy or half
 * made is tried again for timeout_ns. Errors: those of cp_producer_open (the last one met); CP_E_RETIRED when *stopped
 * was set meanwhile. */
int cp_producer_reopen(cp_producer *producer, uint64_t timeout_ns, const volatile sig_atomic_t *stopped,
                       cp_error *err);

/* True when all that was put so far lies in the ring that is open, so that its positions speak for all of it. */
bool cp_producer_is_whole(const cp_producer *producer);

/* The spans so far, span_count of them, the last up to the last row put. */
const cp_ring_span *cp_producer_spans(cp_producer *producer);

/* Gives the slot back and detaches; the spans stay until cp_producer_free. */
void cp_producer_close(cp_producer *producer);

void cp_producer_free(cp_producer *producer);

#endif
