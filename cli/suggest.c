#include "cli/suggest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST = 64 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment: three rows of the usual table are enough for swaps. */
size_t cp_edit_distance(const char *a, const char *b)
{
    const size_t a_len = strlen(a);
    const size_t b_len = strlen(b);
    if (a_len > LONGEST || b_len > LONGEST)
        return SIZE_MAX;
    size_t rows[3][LONGEST + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i - 1) % 3];
        const size_t *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = smaller(before[j - 1] + !same(a[i - 1], b[j - 1]), smaller(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                now[j] = smaller(now[j], two_before[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *cp_suggest(const char *word, const void *candidates, size_t count, size_t stride)
{
    const size_t len = strlen(word);
    size_t best = (len < 3 ? 1 : len / 3) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *candidate;
        memcpy(&candidate, (const char *)candidates + i * stride, sizeof candidate);
        const size_t distance = candidate ? cp_edit_distance(word, candidate) : SIZE_MAX;
        if (distance < best) {
            best = distance;
            found = candidate;
        }
    }
    return found;
}
