/* Rows that `coldpath wal repair` gave up, in the ledger. Repair puts empty records in the place of those it cannot keep; it knows
 * which, but not how many rows they held. The ledger does:
 *
 *   consumed_rows ─┬─ settled: delivered, rejected, …, given up
 *                  ├─ in the log: undelivered sound records of this ring, counted here
 *                  └─ the rest: given up
 *
 * Booked, they are settled: doing it again finds nothing more. One thread. */
#ifndef CP_RECORDER_GIVEN_UP_H
#define CP_RECORDER_GIVEN_UP_H

#include "recorder/lane.h"
#include "wal/log.h"

/* Books them for the rings of one table, when repair has been at what is not delivered of its log, which is then read once.
 * Before the threads start, when acknowledgements know all that is in the log. into: room for any record. When the log cannot
 * be read, it says so and leaves the rows for the next start. */
void cp_given_up_book(cp_wal *wal, cp_lane *lane, const cp_chunk *into);

#endif
