/* Problems found in a configuration: collected first, then shown all at once, in the order of the files.
 *
 *   coldpath.yaml:7:5: error: unknown key "ring_sise" in tables.quotes
 *       7 |     ring_sise: 16MiB
 *         |     ^~~~~~~~~
 *         = did you mean "ring_size"?
 *
 * A source is one thing that sets values: a file, a variable of the environment, or a default. A place is a
 * source and, in a file, a line and column. What follows a key named password, and what stands before an @ in
 * a URL, is masked. */
#ifndef CP_RECORDER_CONFIG_PROBLEM_H
#define CP_RECORDER_CONFIG_PROBLEM_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cp_config_source {
    char *name; /* file name as given, "$COLDPATH_LOG__LEVEL", or "default" */
    char *text; /* of a file, while it is being read; else NULL */
    size_t len;
    uint32_t rank;       /* later sources have higher ranks, and win */
    bool world_readable; /* a file that anyone may read */
    bool is_file;
    struct cp_config_source *next;
} cp_config_source;

typedef struct cp_config_place {
    const cp_config_source *source;
    uint32_t line;   /* from 1; 0: the source as a whole */
    uint32_t column; /* from 1, in characters */
    uint32_t width;  /* characters to underline */
    bool hidden;     /* the line is not to be shown: it holds a secret */
} cp_config_place;

enum { CP_MAX_CONFIG_PROBLEMS = 100 }; /* nobody reads more; further ones are counted */

typedef struct cp_config_problem {
    cp_config_place place;
    char *what;
    char *remedy;
    bool warning;
    bool positioned; /* what begins with a position of its own, in another file */
} cp_config_problem;

typedef struct cp_config_problems {
    uint32_t errors; /* found, also beyond the limit */
    uint32_t count;
    cp_config_problem list[CP_MAX_CONFIG_PROBLEMS];
} cp_config_problems;

/* Adds an error. remedy may be NULL or "". Strings are copied; out of memory, the error is counted at least.
 */
void cp_config_problem_add(cp_config_problems *problems, const cp_config_place *place, const char *remedy,
                           const char *fmt, ...) CP_PRINTF(4, 5);

/* Adds something that is odd, but does not stop the load. */
void cp_config_problem_warn(cp_config_problems *problems, const cp_config_place *place, const char *remedy,
                            const char *fmt, ...) CP_PRINTF(4, 5);

/* Adds an error whose text already begins with "file:line:column: " (of a DDL). */
void cp_config_problem_foreign(cp_config_problems *problems, const cp_config_place *place, const char *text);

/* Shows everything on out (NULL: nowhere). With errors, returns CP_E_CONFIG and sets err to the first and the
 * count; else CP_OK. */
int cp_config_problems_report(cp_config_problems *problems, FILE *out, cp_error *err);

void cp_config_problems_clear(cp_config_problems *problems);

/* Writes "file:line:column", or the source's name. Returns out. */
char *cp_config_place_format(const cp_config_place *place, char *out, size_t size);

#endif
