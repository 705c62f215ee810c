/* A directory `trash` beside what is dropped: files are moved there under names that say when, and are deleted when they have lain there
 * for a configured time: by a running recorder (recorder/housekeeping.h), and by whoever moves something there next.
 *
 *   <dir>/trash/<name>.<real time, ns>.<why>      quotes.rows → trash/quotes.1766000000000000000.dropped
 */
#ifndef CP_BASE_TRASH_H
#define CP_BASE_TRASH_H

#include <coldpath/error.h>
#include <stddef.h>
#include <stdint.h>

#define CP_TRASH_DIR "trash"

/* Writes the path under which a file `name` goes to the trash of dir at now_ns (real time). CP_E_TOO_BIG. */
int cp_trash_path(char *out, size_t size, const char *dir, const char *name, const char *why, uint64_t now_ns,
                  cp_error *err);

/* Deletes the files in dir's trash that are older than keep_ns at now_ns, by their names; what has no such name, or one of the future,
 * stays. *deleted: how many. No trash is an empty one. CP_E_PERM, CP_E_IO: some may be deleted. */
int cp_trash_expire(const char *dir, uint64_t keep_ns, uint64_t now_ns, uint32_t *deleted, cp_error *err);

#endif
