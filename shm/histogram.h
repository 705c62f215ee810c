/* Log-linear histograms in shared memory (abi.h draws them): one writer adds, anyone reads quantiles. */
#ifndef CP_SHM_HISTOGRAM_H
#define CP_SHM_HISTOGRAM_H

#include "shm/abi.h"

/* The bucket of a value; the last one for what is larger than all. */
uint32_t cp_histogram_bucket(uint64_t value);

/* The smallest value of a bucket; bucket may be CP_ABI_HISTOGRAM_BUCKETS, where the last one would end. */
uint64_t cp_histogram_floor(uint32_t bucket);

/* Counts a value. The one writer. */
void cp_histogram_add(cp_abi_histogram *histogram, uint64_t value);

/* A private copy of what it holds now; buckets are read one by one, so a value added meanwhile may or may not be in it. */
void cp_histogram_read(const cp_abi_histogram *histogram, cp_abi_histogram *copy);

/* What later has and earlier has not; earlier may be from another file's life (larger): then later as it is. */
void cp_histogram_subtract(cp_abi_histogram *later, const cp_abi_histogram *earlier);

/* How many values. Of a private copy. */
uint64_t cp_histogram_count(const cp_abi_histogram *copy);

/* How many values are below `limit`, which is a bucket's floor. Of a private copy. */
uint64_t cp_histogram_below(const cp_abi_histogram *copy, uint64_t limit);

/* The value below which a share of all lies, 0 < share <= 1, interpolated within its bucket; 0 when there is none. Of a private
 * copy. */
double cp_histogram_quantile(const cp_abi_histogram *copy, double share);

#endif
