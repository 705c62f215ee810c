/* Secrets that somebody gives where they must not be: on a command line, which every user of the host can read, or under a misspelt key.
 * What is recognized by its name is refused, or masked, before anything repeats its value. */
#ifndef CP_BASE_SECRET_NAME_H
#define CP_BASE_SECRET_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a key or option of this name would hold a secret itself: it has "pass", "secret", "token", … in it, in any case, misspelt too,
 * and does not end as the name of a file's ("token_file", "password-file"). */
bool cp_secret_is_named(const char *name, size_t len);

/* Looks at a program's arguments before they are parsed: false when an option like --password or --token is among them, with or without
 * a value; then a message without any value is on standard error, and the program ends with the exit code for usage. */
bool cp_secret_arguments_check(int argc, char *const *argv);

#endif
