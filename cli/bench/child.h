/* Programs that a benchmark starts from beside this one (coldpathd, coldpath-chdb), and the files that they want. A child does not
 * outlive its parent, and says nothing: its output goes to a file, or nowhere. */
#ifndef CP_CLI_BENCH_CHILD_H
#define CP_CLI_BENCH_CHILD_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Starts the program of that name with argv (argv[0] and NULL included); log: where its output goes, NULL: nowhere. CP_E_ABSENT:
 * it is not beside this program; CP_E_NOMEM: no process for it. */
int cp_bench_child_start(pid_t *child, const char *name, const char *const *argv, const char *log,
                         cp_error *err);

/* False when it has ended; then *child is 0. */
bool cp_bench_child_runs(pid_t *child);

/* Sends the signal and waits for the end; *child of 0 is allowed, and it is 0 afterwards. */
void cp_bench_child_end(pid_t *child, int signal);

/* CPU time of all its threads so far, ns; 0 when there is none. */
uint64_t cp_bench_child_cpu_ns(pid_t child);

/* Writes a file that this user alone may read. CP_E_IO. */
int cp_bench_file_write(const char *path, const char *text, cp_error *err);

#endif
