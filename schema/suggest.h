/* "Did you mean": the name nearest to a misspelt one. */
#ifndef CP_SCHEMA_SUGGEST_H
#define CP_SCHEMA_SUGGEST_H

#include <stddef.h>

enum { CP_SUGGEST_MAX = 127 }; /* longer words are not compared */

/* Collects the nearest of several names, counted in edits: insertions, deletions, substitutions, swaps of neighbours; letters' case is
 * free. Start with {.word, .len}, offer all, read .best: NULL when none is
 * within a third of the word's length (at least one edit is always allowed). */
typedef struct cp_suggestion {
    const char *word;
    size_t len;
    const char *best;
    size_t distance;
} cp_suggestion;
void cp_suggest_offer(cp_suggestion *suggestion, const char *name);

#endif
