/* What tests of the configuration share: a directory of their own to write files in, and an environment
 * without variables that would set values. */
#ifndef CP_TEST_CONFIG_FIXTURE_H
#define CP_TEST_CONFIG_FIXTURE_H

#include <sys/types.h>

#include "recorder/config/config.h"

/* cmocka set-up and tear-down of one test: makes a directory and goes into it; goes back and removes it. */
int fixture_enter(void **state);
int fixture_leave(void **state);

/* Writes a file of the test's directory. text may be NULL: len zero bytes are not written then. */
void fixture_write(const char *name, const char *text, mode_t mode);
void fixture_write_bytes(const char *name, const void *bytes, size_t len);

/* Writes text to coldpath.yaml (mode 0600) and loads it; *report is what was shown, to be freed. */
int fixture_load(cp_config **out, const char *text, char **report, cp_error *err);

/* Loads text, which has to be good; the report goes to standard error when it is not. */
cp_config *fixture_load_good(const char *text);

/* The line that makes configurations find the shipped tables: "schema: {dir: /…/schema/ddl}\n". */
const char *fixture_schema(void);

#endif
