/* The plan of pieces against a model: rows that are good or bad, at random and in the patterns that hurt. Every row must be
 * settled once, in order, good ones taken and bad ones quarantined, within the number of sends that the header promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flush/pieces.h"

enum { ROWS_MAX = 200000, ROUNDS = 400 };

typedef enum hints { HINT_NONE, HINT_TRUE, HINT_LYING } hints;

typedef struct outcome {
    uint32_t sends;
    uint32_t taken;
    uint32_t quarantined;
    uint32_t innocent; /* good rows in quarantine */
} outcome;

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint32_t first_bad(const uint8_t *bad, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (bad[from + i])
            return i;
    }
    return CP_PIECES_NO_HINT;
}

static uint32_t hint_of(hints kind, const uint8_t *bad, uint32_t from, uint32_t count)
{
    if (kind == HINT_NONE)
        return CP_PIECES_NO_HINT;
    return kind == HINT_TRUE ? first_bad(bad, from, count) : (uint32_t)(next_random() % (2ull * count));
}

/* Sends a batch to a table that refuses the bad rows; at a crash only what the intent holds is known afterwards. */
static outcome play(cp_pieces *pieces, const uint8_t *bad, uint32_t rows, hints kind, bool crashes)
{
    outcome out = {0};
    uint32_t settled = 0;
    cp_pieces_begin(pieces, rows);
    while (!cp_pieces_done(pieces)) {
        if (crashes && cp_pieces_in_use(pieces) && next_random() % 4 == 0) {
            const uint32_t first = pieces->first;
            const uint32_t count = pieces->count;
            memset(pieces, 0, sizeof *pieces);
            pieces->exhaustive = true;
            assert_true(cp_pieces_resume(pieces, rows, first, count));
        }
        const bool whole = !cp_pieces_in_use(pieces);
        const uint32_t first = cp_pieces_in_use(pieces) ? pieces->first : 0;
        const uint32_t count = cp_pieces_in_use(pieces) ? pieces->count : rows;
        assert_int_equal(first, settled);
        assert_true(count >= 1 && count <= rows - first);
        const uint32_t at = first_bad(bad, first, count);
        out.sends++;
        if (at == CP_PIECES_NO_HINT) {
            cp_pieces_taken(pieces);
            out.taken += count;
            settled += count;
        } else if (!cp_pieces_refused(pieces, hint_of(kind, bad, first, count))) {
            assert_int_equal(pieces->first, first);
            assert_int_equal(pieces->count, count);
            for (uint32_t i = 0; i < count; i++)
                out.innocent += !bad[first + i];
            cp_pieces_quarantined(pieces);
            out.quarantined += count;
            settled += count;
        } else {
            assert_int_equal(pieces->first, first);
            assert_true(pieces->count < count + whole && pieces->count > 0);
        }
    }
    assert_int_equal(settled, rows);
    assert_int_equal(out.taken + out.quarantined, rows);
    return out;
}

static uint32_t log2_up(uint32_t value)
{
    return 32u - (uint32_t)__builtin_clz(value | 1);
}

static void test_random(void **state)
{
    (void)state;
    uint8_t *bad = calloc(ROWS_MAX, 1);
    assert_non_null(bad);
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t rows = 1 + (uint32_t)(next_random() % (round % 2 ? 300 : 5000));
        const uint64_t one_in = 1 + next_random() % (2ull * rows);
        uint32_t count = 0;
        for (uint32_t i = 0; i < rows; i++)
            count += bad[i] = next_random() % one_in == 0;
        cp_pieces pieces = {.exhaustive = true};
        const hints kind = (hints)(round % 3);
        const outcome out = play(&pieces, bad, rows, kind, round % 5 == 0);
        assert_int_equal(out.quarantined, count);
        assert_int_equal(out.innocent, 0);
        /* Each bad row: up to log2 n growing, up to log2 n halving (lies cost a send each), itself, the rest. */
        if (round % 5 != 0 && out.sends > (count + 1) * (3 * log2_up(rows) + 4))
            fail_msg("seed round %d: %u sends for %u bad rows of %u", round, out.sends, count, rows);
    }
    free(bad);
}

static void test_one(void **state)
{
    (void)state;
    uint8_t *bad = calloc(ROWS_MAX, 1);
    assert_non_null(bad);
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t at = (uint32_t)(next_random() % ROWS_MAX);
        bad[at] = 1;
        cp_pieces pieces = {0};
        const outcome blind = play(&pieces, bad, ROWS_MAX, HINT_NONE, false);
        assert_int_equal(blind.quarantined, 1);
        assert_true(blind.sends <= 2 * log2_up(ROWS_MAX) + 4);
        pieces = (cp_pieces){0};
        const outcome told = play(&pieces, bad, ROWS_MAX, HINT_TRUE, false);
        assert_int_equal(told.quarantined, 1);
        assert_true(told.sends <= log2_up(ROWS_MAX) + 4);
        bad[at] = 0;
    }
    free(bad);
}

/* 1,000 in 200,000: what a bad row costs falls to the logarithm of their distance, or to three sends when they are named. */
static void test_many(void **state)
{
    (void)state;
    uint8_t *bad = calloc(ROWS_MAX, 1);
    assert_non_null(bad);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROWS_MAX; i++)
        count += bad[i] = next_random() % 200 == 0;
    for (int kind = HINT_NONE; kind <= HINT_TRUE; kind++) {
        cp_pieces pieces = {0};
        const outcome out = play(&pieces, bad, ROWS_MAX, (hints)kind, false);
        print_message("%u bad rows of %u, %s: %u sends, %.1f a bad row\n", count, ROWS_MAX,
                      kind == HINT_NONE ? "not named" : "named", out.sends, (double)out.sends / count);
        assert_int_equal(out.quarantined, count);
        assert_int_equal(out.innocent, 0);
        assert_true(out.sends <= count * (kind == HINT_NONE ? 12u : 5u));
    }
    free(bad);
}

/* A table that takes nothing: a batch costs a bounded number of sends, and the next ones far fewer. */
static void test_all_bad(void **state)
{
    (void)state;
    uint8_t *bad = malloc(ROWS_MAX);
    assert_non_null(bad);
    memset(bad, 1, ROWS_MAX);
    cp_pieces pieces = {0};
    const outcome first = play(&pieces, bad, ROWS_MAX, HINT_NONE, false);
    assert_int_equal(first.quarantined, ROWS_MAX);
    assert_true(first.sends <= 64 + 2 * log2_up(ROWS_MAX) + ROWS_MAX / CP_PIECES_GROUP_MAX + 2);
    assert_true(cp_pieces_mostly_bad(&pieces));
    const outcome second = play(&pieces, bad, CP_PIECES_GROUP_MAX, HINT_NONE, false);
    assert_int_equal(second.sends, 2);
    /* Mended: the next batches are whole again. */
    memset(bad, 0, ROWS_MAX);
    const outcome third = play(&pieces, bad, ROWS_MAX, HINT_NONE, false);
    assert_int_equal(third.sends, 1);
    assert_false(cp_pieces_mostly_bad(&pieces));
    free(bad);
}

/* Every other row bad: no good row is looked for once that is known, unless each is to be tried. */
static void test_half_bad(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    uint8_t bad[ROWS];
    for (uint32_t i = 0; i < ROWS; i++)
        bad[i] = i % 3 != 0;
    cp_pieces pieces = {0};
    const outcome out = play(&pieces, bad, ROWS, HINT_NONE, false);
    assert_true(out.sends < 400);
    pieces = (cp_pieces){.exhaustive = true};
    const outcome all = play(&pieces, bad, ROWS, HINT_NONE, false);
    assert_int_equal(all.innocent, 0);
    assert_true(all.sends <= 2 * ROWS);
}

/* Too much at once, as for a server that takes at most 100 rows: no row is refused for it. */
static void test_too_big(void **state)
{
    (void)state;
    cp_pieces pieces = {0};
    uint32_t sends = 0;
    cp_pieces_begin(&pieces, 10000);
    while (!cp_pieces_done(&pieces)) {
        sends++;
        if ((cp_pieces_in_use(&pieces) ? pieces.count : 10000) > 100)
            assert_true(cp_pieces_too_big(&pieces));
        else
            cp_pieces_taken(&pieces);
    }
    assert_true(sends <= 10000 / 50 + log2_up(10000));
    cp_pieces_begin(&pieces, 1);
    assert_false(cp_pieces_too_big(&pieces));
}

static void test_resume_checks(void **state)
{
    (void)state;
    cp_pieces pieces = {0};
    assert_false(cp_pieces_resume(&pieces, 10, 0, 0));
    assert_false(cp_pieces_resume(&pieces, 10, 11, 1));
    assert_false(cp_pieces_resume(&pieces, 10, 9, 2));
    assert_false(cp_pieces_resume(&pieces, 10, 10, 1));
    assert_false(cp_pieces_resume(&pieces, 10, 1, UINT32_MAX));
    assert_true(cp_pieces_resume(&pieces, 10, 9, 1));
}

int main(void)
{
    const char *given = getenv("CP_SEED");
    seed = given ? strtoull(given, NULL, 10) | 1 : (uint64_t)time(NULL) | 1;
    print_message("CP_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),        cmocka_unit_test(test_one),      cmocka_unit_test(test_many),
        cmocka_unit_test(test_all_bad),       cmocka_unit_test(test_half_bad), cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_resume_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
