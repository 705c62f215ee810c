/* Giving up records of a log that were acknowledged and are damaged or gone, so that a recorder can open it again. Those that are
 * sound stay, with the same LSNs; every one given up is replaced by an empty record, so that the log has no hole.
 *
 *   000003.seg        7 │ 8: bad │ 9 … 20         ──►   damaged/000003.seg-<id>   as it was (the same inode)
 *                                                       000003.seg                7 │ 8: empty │ 9 … 20
 *   (missing) 21 … 40                             ──►   000004.seg                21 … 40, all empty
 *
 * Each new file is written whole and synced before it takes its name, so a repair may be killed anywhere and repeated. */
#ifndef CP_WAL_REPAIR_H
#define CP_WAL_REPAIR_H

#include "wal/inspect.h"

#define CP_WAL_DAMAGED_DIR "damaged"

/* Purging gives up records that are sound, because somebody wants to: likewise, but what was goes to the trash of the log's directory
 * (base/trash.h), for a while. */

typedef struct cp_wal_repair cp_wal_repair;

/* Takes the log's lock, so that no recorder runs, and looks at all of it. Writes nothing. CP_E_BUSY: a recorder has it, the
 * text says which; CP_E_ABSENT: there is no log; else errors of cp_wal_inspect. */
int cp_wal_repair_begin(cp_wal_repair **out, const char *dir, const cp_wal_known *known, cp_error *err);

/* What it found: each fault is what would be given up. Lives as long as the repair. */
const cp_wal_view *cp_wal_repair_view(const cp_wal_repair *repair);

/* Does it. CP_E_CORRUPT: a fault is not of a kind that this can mend, nothing was changed; CP_E_TOO_BIG: more records would be
 * given up than a segment has room for; CP_E_IO: what the text names failed; what is done is sound, run it again. */
int cp_wal_repair_run(cp_wal_repair *repair, cp_error *err);

/* Gives up the records lo to hi, which ClickHouse does not have. CP_E_CORRUPT: the log is damaged, to be repaired first; CP_E_INVAL:
 * some of them are not there, or delivered; CP_E_BUSY: some are of a batch of which nobody knows whether it arrived, or were delivered
 * ahead of the others; the text says which. CP_E_IO as above. */
int cp_wal_repair_purge(cp_wal_repair *repair, uint64_t lo, uint64_t hi, cp_error *err);

/* The same questions, and nothing done. */
int cp_wal_repair_may_purge(const cp_wal_repair *repair, uint64_t lo, uint64_t hi, cp_error *err);

void cp_wal_repair_end(cp_wal_repair *repair);

#endif
