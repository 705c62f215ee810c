/* What the engine may touch, set before it is loaded. Two layers, neither of which trusts the other:
 *
 *   a statement ─► the engine's own access control: grants for tables and databases, none for sources (file, url,
 *                  s3, remote, …), dictionaries, backups or users; settings that name files cannot be changed
 *               ─► Landlock, the kernel's: the engine's threads open files in the data directory, read a handful
 *                  of system files, execute nothing and connect to nothing
 *
 * The second holds where the first has gaps: the scalar function file() is not subject to grants in an embedded
 * engine, and no list of what reads files is complete.
 *
 * Landlock: https://docs.kernel.org/userspace-api/landlock.html (Linux 5.19 and newer as used here; connections
 * from 6.7). Grants: ClickHouse's users configuration. */
#ifndef CP_EMBEDDED_CONFINE_H
#define CP_EMBEDDED_CONFINE_H

#include <stddef.h>

#include <coldpath/error.h>

/* Writes the engine's configuration and grants into the data directory, and the configuration's path to
 * path[0..size). CP_E_IO, CP_E_INVAL (the path is too long). */
int cp_confine_policy(const char *directory, char *path, size_t size, cp_error *err);

/* Confines the calling thread and every thread it will make, for good; others are not concerned. directory: the
 * data; library: the engine. CP_E_ABSENT: this kernel has no (or no usable) Landlock and nothing was done; other
 * errors: it failed half-way, do not go on. */
int cp_confine_thread(const char *directory, const char *library, cp_error *err);

#endif
