/* What became of a span, asked of the region: how many of its rows are in the ring, and whether they are safe.
 *
 * The rows of a span lie in one ring, one behind the other, from a position that was noted before the first was put. So
 * after a kill the ring itself says how far it went:
 *
 *   - nobody attached to the slot since (its attach count is the one noted): all up to the published position are there;
 *   - somebody did: the records that still stand are compared with the rows, byte by byte;
 *   - neither (the ring was replaced, or has gone round; the host was started anew): it is in doubt, and said so.
 *
 * Safe is what the recorder calls durable: of a critical table in its log, of a lossy one delivered. */
#ifndef CP_CLI_IMPORT_SPAN_H
#define CP_CLI_IMPORT_SPAN_H

#include "cli/import/stage.h"
#include "shm/control.h"

/* Fills epoch, slot and the rest of a span from a ring that was just opened and has put nothing. */
int cp_put_span_note(cp_put_span *span, const char *region, const char *table, uint32_t slot, cp_error *err);

/* How many of rows, the span's, are in its ring: *put, and span->end behind the last. CP_E_UNSUPPORTED: in doubt. */
int cp_put_span_look(cp_put_span *span, const char *region, const cp_staged_rows *rows, size_t *put,
                     cp_error *err);

/* Whether a settled span's rows are safe: 1, 0 not yet, or there is no region (any more), CP_E_UNSUPPORTED in doubt. rows: how many they
 * are, for the message. */
int cp_put_span_is_safe(const cp_put_span *span, const char *region, size_t rows, cp_error *err);

#endif
