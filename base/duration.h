/* Durations as command lines give them: "30s", "250ms", "50us", "2m", "1h", or a plain number of seconds; fractions are
 * allowed ("0.5"). Every program here takes the same. (The configuration's are stricter: they need a unit.) */
#ifndef CP_BASE_DURATION_H
#define CP_BASE_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* At most 10 years. False, and *ns unchanged, when text is no duration. */
bool cp_duration_parse(const char *text, uint64_t *ns);

#endif
