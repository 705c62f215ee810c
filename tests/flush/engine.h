/* The embedded ClickHouse engine (libchdb), by dlopen, for tests: one per process. */
#ifndef CP_TESTS_FLUSH_ENGINE_H
#define CP_TESTS_FLUSH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Loads the library and opens an empty database in a temporary directory. False when the library is not on this
 * machine; any other trouble fails the test. */
bool engine_open(void);

/* Closes it, removes the directory and leaves the process with status: the engine's global destructors abort. */
void engine_exit(int status) __attribute__((noreturn));

/* Runs sql and returns the result (malloc'd, NUL-terminated, *size may be NULL); fails the test on an error. */
char *engine_query(const char *sql, size_t *size);

/* Inserts data in format ("Native", "TSV") into table; returns NULL, or the engine's error (malloc'd). */
char *engine_insert(const char *table, const char *format, const void *data, size_t size);

#endif
