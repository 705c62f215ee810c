/* Which way bodies go when the configuration leaves it open: what is measured faster, tried again ever more seldom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flush/compress_choice.h"

enum { BYTES = 8 * 1024 * 1024, BODIES = 100 * 1000 };

/* So many bodies on a line where a byte takes so long, plain and compressed. Returns how many of the last half went compressed. */
static uint32_t run(cp_compress_choice *choice, double plain_ns, double compressed_ns, uint32_t bodies)
{
    uint32_t compressed = 0;
    for (uint32_t i = 0; i < bodies; i++) {
        const bool zstd = cp_compress_choice_next(choice, BYTES);
        compressed += zstd && i >= bodies / 2;
        cp_compress_choice_learn(choice, zstd, BYTES, (uint64_t)(BYTES * (zstd ? compressed_ns : plain_ns)));
    }
    return compressed;
}

static void test_begins_with_both(void **state)
{
    cp_compress_choice choice;
    (void)state;
    cp_compress_choice_init(&choice);
    assert_true(cp_compress_choice_next(&choice, BYTES));
    cp_compress_choice_learn(&choice, true, BYTES, BYTES);
    assert_false(cp_compress_choice_next(&choice, BYTES));
    assert_false(cp_compress_choice_next(&choice, BYTES)); /* until it is known */
}

static void test_slow_line(void **state)
{
    cp_compress_choice choice;
    (void)state;
    cp_compress_choice_init(&choice);
    const uint32_t compressed = run(&choice, 8.0, 2.0, BODIES);
    assert_true(BODIES / 2 - compressed <= BODIES / 2 / 1000); /* plain ones cost next to nothing */
    assert_true(BODIES / 2 - compressed > 0);                  /* but the line may have changed */
}

static void test_fast_line(void **state)
{
    cp_compress_choice choice;
    (void)state;
    cp_compress_choice_init(&choice);
    assert_true(run(&choice, 1.0, 2.0, BODIES) <= BODIES / 2 / 1000);
}

static void test_no_clear_winner(void **state)
{
    cp_compress_choice choice;
    (void)state;
    cp_compress_choice_init(&choice);
    assert_true(run(&choice, 1.95, 2.0, BODIES) >= BODIES / 2 - BODIES / 2 / 1000);
}

static void test_line_changes(void **state)
{
    cp_compress_choice choice;
    (void)state;
    cp_compress_choice_init(&choice);
    run(&choice, 1.0, 2.0, BODIES);
    assert_true(choice.plain);
    run(&choice, 20.0, 2.0, 10); /* it learns of this from every body */
    assert_false(choice.plain);
    run(&choice, 1.0, 2.0, BODIES); /* and of that from its trials */
    assert_true(choice.plain);
}

static void test_small_bodies(void **state)
{
    cp_compress_choice choice;
    (void)state;
    cp_compress_choice_init(&choice);
    run(&choice, 1.0, 2.0, 100);
    for (int i = 0; i < 100; i++)
        assert_true(cp_compress_choice_next(&choice, CP_CHOICE_LEAST_BYTES - 1));
    const cp_compress_choice before = choice;
    cp_compress_choice_learn(&choice, true, CP_CHOICE_LEAST_BYTES - 1, 1);
    assert_memory_equal(&before, &choice, sizeof choice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_with_both), cmocka_unit_test(test_slow_line),
        cmocka_unit_test(test_fast_line),        cmocka_unit_test(test_no_clear_winner),
        cmocka_unit_test(test_line_changes),     cmocka_unit_test(test_small_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
