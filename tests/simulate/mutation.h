/* Protections of the recorder that the simulation can take away, to see that it finds out: a protection that can go without being
 * missed would be either useless or untested. Those of the log are its own seams (cp_wal_unsafe); the others are calls between
 * two files of the product, which the linker leads here (--wrap) and which do nothing, or the wrong thing, while it is their turn. */
#ifndef COLDPATH_TESTS_SIMULATE_MUTATION_H
#define COLDPATH_TESTS_SIMULATE_MUTATION_H

#include <stdbool.h>

typedef struct sim_mutation {
    const char *name;
    const char *what;
    unsigned unsafe; /* cp_wal_unsafe */
    bool forgetful;  /* ClickHouse's protection: it forgets tokens */
} sim_mutation;

extern const sim_mutation sim_mutations[];   /* ends with a name of NULL */
extern const sim_mutation *sim_mutation_now; /* NULL: everything is in place */

const sim_mutation *sim_mutation_find(const char *name);

/* It is this one's turn. */
bool sim_mutation_is(const char *name);

#endif
