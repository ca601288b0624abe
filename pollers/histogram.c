/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/histogram.h"

uint64_t histogram_bucket_last(uint32_t bucket)
{
    if (bucket < 2 * HISTOGRAM_SUB_COUNT)
        return bucket;
    if (bucket == HISTOGRAM_BUCKET_COUNT - 1)
        return UINT64_MAX;
    uint32_t shift = bucket / HISTOGRAM_SUB_COUNT - 1;
    uint64_t first = (uint64_t)(bucket - shift * HISTOGRAM_SUB_COUNT) << shift;
    return first + ((1ull << shift) - 1);
}

void histogram_copy(const struct histogram *from, struct histogram *to)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        atomic_store_explicit(&to->buckets[i], counter_read(&from->buckets[i]),
                              memory_order_relaxed);
    /* After the buckets: a maximum of a value that is not in them is better than the reverse. */
    atomic_store_explicit(&to->max, counter_read(&from->max), memory_order_relaxed);
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        counter_add(&to->buckets[i], counter_read(&from->buckets[i]));
    uint64_t max = counter_read(&from->max);
    if (max > counter_read(&to->max))
        atomic_store_explicit(&to->max, max, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        count += counter_read(&histogram->buckets[i]);
    return count;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
    uint64_t count = histogram_count(histogram);
    if (count == 0)
        return 0;
    uint64_t max = counter_read(&histogram->max);
    double exact = share * (double)count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        seen += counter_read(&histogram->buckets[i]);
        if (seen >= rank) {
            uint64_t last = histogram_bucket_last(i);
            return last < max ? last : max;
        }
    }
    return max;
}
