/* --yes --confirm=TABLE: what a verb that gives rows up wants to hear before it does. Both together, and the table by its name once
 * more; without them it only says what would go. */
#ifndef CP_CLI_CONFIRM_H
#define CP_CLI_CONFIRM_H

#include <argp.h>
#include <stdbool.h>

typedef struct cp_confirm {
    bool yes;
    const char *table; /* or NULL */
} cp_confirm;

/* The argp child of a verb for these options; its input is a cp_confirm. */
extern const struct argp cp_confirm_argp;

/* When all arguments are there: ends the program where they do not fit together. table: what the verb is about. */
void cp_confirm_check(const cp_confirm *confirm, const char *table, const struct argp_state *state);

/* Said of this table, in full. */
bool cp_confirm_is_given(const cp_confirm *confirm);

#endif
