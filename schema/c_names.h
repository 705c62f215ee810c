/* Names for generated C: any text to an identifier that is no keyword and that nothing else in the file has. Private to
 * schema/. */
#ifndef CP_SCHEMA_C_NAMES_H
#define CP_SCHEMA_C_NAMES_H

#include <stdbool.h>

enum {
    CP_C_NAME_MAX = 512
}; /* bytes of an identifier; longer ones are cut, and made different by a number */

/* The identifiers taken so far; begins as {0}. */
typedef struct cp_c_names {
    void *tree; /* of tsearch(3) */
} cp_c_names;

/* Makes prefix and text one identifier, in capitals if upper: letters, digits and _ stay, all else becomes _; what would
 * be a keyword of C or C++, or is taken, gets a _ or a number behind. out has CP_C_NAME_MAX bytes. Returns false when
 * out of memory. */
bool cp_c_name_make(cp_c_names *names, const char *prefix, const char *text, bool upper, char *out);

void cp_c_names_free(cp_c_names *names);

#endif
