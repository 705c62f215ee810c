/* Opening files in a directory that others can write to: regular files only, no symbolic links, never blocking on what
 * somebody put in their place; and random numbers for names that must not repeat. */
#ifndef CP_SHM_FILE_H
#define CP_SHM_FILE_H

#include <coldpath/error.h>
#include <stdint.h>
#include <sys/types.h>

/* open(2) with O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, refusing all but regular files. Returns the descriptor and the size,
 * or a negative code with the path and remedy in err. */
int cp_file_open(const char *path, int flags, mode_t mode, uint64_t *size, cp_error *err);

/* A random number that is not 0. Falls back to clocks where the kernel gives none. */
uint64_t cp_random_id(void);

#endif
