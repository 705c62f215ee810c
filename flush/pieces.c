#include "flush/pieces.h"

#include <assert.h>

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t rest(const cp_pieces *pieces)
{
    return pieces->rows - pieces->first;
}

void cp_pieces_begin(cp_pieces *pieces, uint32_t rows)
{
    pieces->rows = rows;
    pieces->first = pieces->count = pieces->bad_end = pieces->hinted = 0;
    pieces->most = rows;
    pieces->mixed = false;
}

bool cp_pieces_resume(cp_pieces *pieces, uint32_t rows, uint32_t first, uint32_t count)
{
    if (first > rows || count < 1 || count > rows - first)
        return false;
    cp_pieces_begin(pieces, rows);
    pieces->first = first;
    pieces->count = count;
    return true;
}

bool cp_pieces_done(const cp_pieces *pieces)
{
    return pieces->first == pieces->rows;
}

bool cp_pieces_mostly_bad(const cp_pieces *pieces)
{
    return !pieces->exhaustive && pieces->judged >= CP_PIECES_WINDOW &&
           __builtin_popcountll(pieces->recent) >= CP_PIECES_WINDOW / 2;
}

static void judge(cp_pieces *pieces, uint32_t rows, bool refused)
{
    const uint32_t bits = smaller(rows, CP_PIECES_WINDOW);
    const uint64_t ones = bits == CP_PIECES_WINDOW ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    pieces->recent = bits == CP_PIECES_WINDOW ? 0 : pieces->recent << bits;
    pieces->recent |= refused ? ones : 0;
    pieces->judged = smaller(pieces->judged + bits, CP_PIECES_WINDOW);
}

/* The size of the next piece; last: of the one before it, when it was taken. */
static void advance(cp_pieces *pieces, uint32_t last)
{
    uint32_t count = rest(pieces);
    if (cp_pieces_mostly_bad(pieces))
        count = pieces->group ? pieces->group : 1;
    else if (pieces->hinted > 0 && pieces->hinted == pieces->first)
        count = 1;
    else if (pieces->bad_end > pieces->first)
        count = (pieces->bad_end - pieces->first + 1) / 2;
    else if (pieces->mixed)
        count = last > 0 ? smaller(last, pieces->rows) * 2 : 1;
    else if (pieces->gap > 0)
        count = last > pieces->gap / 2 ? smaller(last, pieces->rows) * 2 : pieces->gap;
    if (pieces->hinted <= pieces->first)
        pieces->hinted = 0;
    pieces->count = smaller(smaller(count, pieces->most), rest(pieces));
}

/* The rows of the piece are settled. */
static void settle(cp_pieces *pieces)
{
    pieces->first += pieces->count;
    if (pieces->bad_end <= pieces->first)
        pieces->bad_end = 0;
}

void cp_pieces_taken(cp_pieces *pieces)
{
    if (!cp_pieces_in_use(pieces))
        pieces->count = pieces->rows;
    const uint32_t taken = pieces->count;
    judge(pieces, taken, false);
    pieces->group = 0;
    pieces->run = taken < UINT32_MAX / 4 - pieces->run ? pieces->run + taken : UINT32_MAX / 4;
    settle(pieces);
    advance(pieces, taken);
}

bool cp_pieces_refused(cp_pieces *pieces, uint32_t hint)
{
    const bool whole = !cp_pieces_in_use(pieces);
    const bool was_hinted = pieces->hinted > 0 && pieces->first + pieces->count == pieces->hinted;
    const bool mostly_bad = cp_pieces_mostly_bad(pieces);
    if (whole)
        pieces->count = pieces->rows;
    else if (pieces->count == 1 || (mostly_bad && pieces->count <= pieces->group))
        return false;
    pieces->bad_end = pieces->first + pieces->count;
    pieces->hinted = 0;
    if (mostly_bad) {
        pieces->count = smaller(pieces->group ? pieces->group : 1, rest(pieces));
    } else if (hint < pieces->count && !was_hinted) { /* a row that was named wrongly is not believed twice */
        pieces->hinted = hint > 0 ? pieces->first + hint : 0;
        pieces->count = hint > 0 ? hint : 1;
    } else {
        pieces->count = pieces->count > 1 ? pieces->count / 2 : 1;
    }
    pieces->count = smaller(pieces->count, pieces->most);
    return true;
}

void cp_pieces_quarantined(cp_pieces *pieces)
{
    assert(pieces->count > 0);
    judge(pieces, pieces->count, true);
    const uint32_t gap = pieces->gap ? (3 * pieces->gap + pieces->run) / 4 : pieces->run;
    pieces->gap = gap > 0 ? gap : 1;
    pieces->run = 0;
    pieces->hinted = 0;
    if (cp_pieces_mostly_bad(pieces))
        pieces->group = smaller(pieces->group ? pieces->group * 2 : 1, CP_PIECES_GROUP_MAX);
    else
        pieces->group = 0;
    settle(pieces);
    pieces->bad_end = 0; /* it may have been the only one */
    advance(pieces, 0);
}

void cp_pieces_one(cp_pieces *pieces)
{
    if (!cp_pieces_in_use(pieces))
        pieces->count = pieces->rows;
}

bool cp_pieces_too_big(cp_pieces *pieces)
{
    cp_pieces_one(pieces);
    if (pieces->count == 1)
        return false;
    pieces->count /= 2;
    pieces->most = pieces->count;
    pieces->hinted = 0;
    return true;
}

bool cp_pieces_mixed(cp_pieces *pieces)
{
    cp_pieces_one(pieces);
    pieces->mixed = true;
    pieces->hinted = 0;
    if (pieces->count == 1)
        return false;
    pieces->count /= 2;
    return true;
}
