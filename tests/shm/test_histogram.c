/* Log-linear histograms: buckets join without gap, quantiles are within a bucket of the truth, differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shm/histogram.h"

enum { VALUES = 20000 };

static void test_buckets(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS; i++) {
        const uint64_t floor = cp_histogram_floor(i);
        assert_true(cp_histogram_floor(i + 1) > floor);
        assert_int_equal(cp_histogram_bucket(floor), i);
        assert_int_equal(cp_histogram_bucket(cp_histogram_floor(i + 1) - 1), i);
    }
    assert_int_equal(cp_histogram_bucket(UINT64_MAX), CP_ABI_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(cp_histogram_bucket(cp_histogram_floor(CP_ABI_HISTOGRAM_BUCKETS)),
                     CP_ABI_HISTOGRAM_BUCKETS - 1);
}

static int compare(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left;
    const uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void test_quantiles(void **state)
{
    (void)state;
    static uint64_t values[VALUES];
    static cp_abi_histogram histogram;
    cp_abi_histogram copy;
    uint64_t random = 88172645463325252u;
    uint64_t sum = 0;
    memset(&histogram, 0, sizeof histogram);
    for (int i = 0; i < VALUES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        values[i] = (random >> 20) >> (random % 40); /* over many magnitudes */
        values[i] %= 400000000;
        sum += values[i];
        cp_histogram_add(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    cp_histogram_read(&histogram, &copy);
    assert_int_equal(cp_histogram_count(&copy), VALUES);
    assert_int_equal(copy.sum, sum);
    static const double shares[] = {0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const uint64_t truth = values[(size_t)(shares[i] * VALUES) - 1];
        const uint32_t bucket = cp_histogram_bucket(truth);
        const double got = cp_histogram_quantile(&copy, shares[i]);
        assert_true(got >= (double)cp_histogram_floor(bucket) &&
                    got <= (double)cp_histogram_floor(bucket + 1));
    }
    uint64_t below = 0;
    while (below < VALUES && values[below] < 1024)
        below++;
    assert_int_equal(cp_histogram_below(&copy, 1024), below);
}

static void test_difference(void **state)
{
    (void)state;
    cp_abi_histogram earlier = {0};
    cp_abi_histogram later;
    assert_true(cp_histogram_quantile(&earlier, 0.5) == 0);
    cp_histogram_add(&earlier, 5);
    later = earlier;
    cp_histogram_add(&later, 7);
    cp_histogram_add(&later, 7);
    cp_abi_histogram difference = later;
    cp_histogram_subtract(&difference, &earlier);
    assert_int_equal(cp_histogram_count(&difference), 2);
    assert_int_equal(difference.sum, 14);
    difference = earlier; /* another life: nothing to subtract */
    cp_histogram_subtract(&difference, &later);
    assert_int_equal(cp_histogram_count(&difference), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_buckets), cmocka_unit_test(test_quantiles),
                                       cmocka_unit_test(test_difference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
