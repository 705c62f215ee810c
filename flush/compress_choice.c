#include "flush/compress_choice.h"

#include <string.h>

enum {
    PAUSE_FIRST = 16, /* a trial costs at most what one body in so many costs more the other way, */
    PAUSE_MOST =
        1024 /*   and in the long run next to nothing: a line that is ten times slower plain is burdened by 1 % */
};

static const double AVERAGE_WEIGHT = 0.25; /* of the newest */
static const double CLEARLY = 0.9;         /* plain has to take at most so much of the time */

void cp_compress_choice_init(cp_compress_choice *choice)
{
    memset(choice, 0, sizeof *choice);
    choice->pause = PAUSE_FIRST;
}

static bool choice_is_known(const cp_compress_choice *choice, bool compressed)
{
    return choice->ns_per_byte[compressed] > 0;
}

bool cp_compress_choice_next(cp_compress_choice *choice, uint64_t bytes)
{
    if (bytes < CP_CHOICE_LEAST_BYTES || !choice_is_known(choice, true))
        return true;
    if (!choice_is_known(choice, false))
        return false;
    if (++choice->since < choice->pause)
        return !choice->plain;
    choice->since = 0;
    return choice->plain;
}

void cp_compress_choice_learn(cp_compress_choice *choice, bool compressed, uint64_t bytes, uint64_t ns)
{
    if (bytes < CP_CHOICE_LEAST_BYTES)
        return;
    const double sample = (double)(ns ? ns : 1) / (double)bytes;
    double *average = &choice->ns_per_byte[compressed];
    *average = *average > 0 ? *average + AVERAGE_WEIGHT * (sample - *average) : sample;
    if (!choice_is_known(choice, !compressed))
        return;
    const bool plain = choice->ns_per_byte[false] < choice->ns_per_byte[true] * CLEARLY;
    const bool tried = compressed == choice->plain; /* the way that was thought worse */
    if (plain != choice->plain)
        choice->pause = PAUSE_FIRST;
    else if (tried && choice->pause < PAUSE_MOST)
        choice->pause *= 2;
    choice->plain = plain;
}
