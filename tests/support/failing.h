/* Lets the calls of a test's own process fail, one after the other: what fail_nth.c does to whole programs, for unit tests.
 *
 *     FAILING_SWEEP (mode, 5) {          the body again and again, each time with another call failing, until all have
 *         failing_begin();                   from here on they fail
 *         rc = cp_thing_open(&thing);
 *         failing_end();                     no more
 *         check(rc == CP_OK || *err.text);
 *     }
 *
 * Calls count in the order in which they are made, over all threads; of each place in the code, and way there, only the first: a loop
 * is not tried a thousand times. The linker leads the calls here (--wrap), those of the test's own code, too. Calls that libraries
 * make are theirs. $CP_FAILING says on standard error what fails. */
#ifndef COLDPATH_TESTS_FAILING_H
#define COLDPATH_TESTS_FAILING_H

#include <stdbool.h>
#include <stdint.h>

typedef enum failing_mode {
    FAILING_ONCE, /* one call */
    FAILING_EIO,  /* one call, with errno EIO where it has one, whatever else it may fail with */
    FAILING_ON,   /* and all behind it, as when memory, descriptors or disk stay full */
    FAILING_SHORT /* one read or write moves half of what it was asked to, in whole sectors */
} failing_mode;

typedef struct failing_sweep {
    failing_mode mode;
    uint64_t nth;
} failing_sweep;

/* depth: so many callers tell two places apart. */
#define FAILING_SWEEP(mode, depth)                                                                           \
    for (bool failing_more = failing_first(mode, depth); failing_more; failing_more = failing_next())

bool failing_first(failing_mode mode, unsigned depth);
/* False when none failed in the turn before: all have had theirs. */
bool failing_next(void);

void failing_begin(void);
void failing_end(void);

/* What fails in this turn, e.g. "pwrite, call 17"; "nothing" when nothing did (yet). */
const char *failing_what(void);
bool failing_happened(void);

/* Ends the turn and the test when the condition does not hold. text: what the code under test said last. */
#define FAILING_CHECK(condition, text)                                                                       \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            failing_end();                                                                                   \
            fail_msg("%s (%s failed; %s)", #condition, failing_what(), text);                                \
        }                                                                                                    \
    } while (0)

/* This process's open descriptors, and what it takes to count them. */
int failing_open_files(void);

/* For the wrapped calls, whose stack frame it is: counts one, and says whether it is to fail. */
bool failing_call(const char *name, const void *frame);
/* Likewise for one that may move less than it was asked to. */
bool failing_short(const char *name, const void *frame);

#endif
