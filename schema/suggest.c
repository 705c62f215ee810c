/* See suggest.h. The distance is Damerau's in its "optimal string alignment" form, over three rows of the
 * matrix. */
#include "schema/suggest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

/* SIZE_MAX: one of them is too long to be compared. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len > CP_SUGGEST_MAX || b_len > CP_SUGGEST_MAX)
        return SIZE_MAX;
    size_t rows[3][CP_SUGGEST_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3];
        const size_t *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            const size_t same = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

void cp_suggest_offer(cp_suggestion *suggestion, const char *name)
{
    const size_t distance = edit_distance(suggestion->word, suggestion->len, name, strlen(name));
    const size_t allowed = suggestion->len / 3 > 1 ? suggestion->len / 3 : 1;
    if (distance > allowed || (suggestion->best && distance >= suggestion->distance))
        return;
    suggestion->best = name;
    suggestion->distance = distance;
}
