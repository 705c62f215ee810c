/* What a misspelt word was probably meant to be. */
#ifndef CP_CLI_SUGGEST_H
#define CP_CLI_SUGGEST_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) between two words, ASCII case ignored; words longer
 * than 64 bytes are as far as can be from all others. */
size_t cp_edit_distance(const char *a, const char *b);

/* The candidate nearest to word, at most a third of word's length (at least one edit) away; or NULL.
 * Candidates are count pointers, stride bytes apart, so that an array of structs that begin with a name will
 * do. */
const char *cp_suggest(const char *word, const void *candidates, size_t count, size_t stride);

#endif
