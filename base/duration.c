#include "base/duration.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

bool cp_duration_parse(const char *text, uint64_t *ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"", CP_NS_PER_S},    {"s", CP_NS_PER_S},        {"ms", CP_NS_PER_MS},
                 {"us", CP_NS_PER_US}, {"m", 60.0 * CP_NS_PER_S}, {"h", 3600.0 * CP_NS_PER_S}};
    const double limit =
        10 * 366 * 24 * 3600.0 * CP_NS_PER_S; /* so that sums with clock values do not overflow */
    const size_t number =
        strspn(text, "0123456789."); /* no sign, exponent, hexadecimal or "inf", as strtod takes */
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    const double value = strtod(text, &end);
    if (end != text + number)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        if (!(value * units[i].ns <= limit))
            return false;
        *ns = (uint64_t)(value * units[i].ns);
        return true;
    }
    return false;
}
