#include "shm/histogram.h"

enum { SUB_BITS = 2, SUBS = 1 << SUB_BITS };

uint32_t cp_histogram_bucket(uint64_t value)
{
    if (value < SUBS)
        return (uint32_t)value;
    const unsigned top = 63u - (unsigned)__builtin_clzll(value);
    const uint32_t bucket =
        (top - SUB_BITS + 1) * SUBS + (uint32_t)((value >> (top - SUB_BITS)) & (SUBS - 1));
    return bucket < CP_ABI_HISTOGRAM_BUCKETS ? bucket : CP_ABI_HISTOGRAM_BUCKETS - 1;
}

uint64_t cp_histogram_floor(uint32_t bucket)
{
    if (bucket < SUBS)
        return bucket;
    return (uint64_t)(SUBS + bucket % SUBS) << (bucket / SUBS - 1);
}

static void store_add(uint64_t *cell, uint64_t value)
{
    __atomic_store_n(cell, *cell + value, __ATOMIC_RELAXED);
}

void cp_histogram_add(cp_abi_histogram *histogram, uint64_t value)
{
    store_add(&histogram->sum, value);
    store_add(&histogram->buckets[cp_histogram_bucket(value)], 1);
}

void cp_histogram_read(const cp_abi_histogram *histogram, cp_abi_histogram *copy)
{
    *copy = (cp_abi_histogram){.sum = __atomic_load_n(&histogram->sum, __ATOMIC_RELAXED)};
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS; i++)
        copy->buckets[i] = __atomic_load_n(&histogram->buckets[i], __ATOMIC_RELAXED);
}

void cp_histogram_subtract(cp_abi_histogram *later, const cp_abi_histogram *earlier)
{
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS; i++) {
        if (earlier->buckets[i] > later->buckets[i])
            return;
    }
    later->sum -= earlier->sum <= later->sum ? earlier->sum : later->sum;
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS; i++)
        later->buckets[i] -= earlier->buckets[i];
}

uint64_t cp_histogram_count(const cp_abi_histogram *copy)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS; i++)
        count += copy->buckets[i];
    return count;
}

uint64_t cp_histogram_below(const cp_abi_histogram *copy, uint64_t limit)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS - 1 && cp_histogram_floor(i + 1) <= limit; i++)
        count += copy->buckets[i];
    return count;
}

double cp_histogram_quantile(const cp_abi_histogram *copy, double share)
{
    const double wanted = share * (double)cp_histogram_count(copy);
    double passed = 0;
    for (uint32_t i = 0; i < CP_ABI_HISTOGRAM_BUCKETS; i++) {
        const double here = (double)copy->buckets[i];
        if (here > 0 && passed + here >= wanted) {
            const double low = (double)cp_histogram_floor(i);
            const double width = (double)cp_histogram_floor(i + 1) - low;
            return low + width * (wanted - passed) / here;
        }
        passed += here;
    }
    return 0;
}
