/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * histogram.h - how often each latency occurred: log-linear buckets, exact count and maximum.
 *
 * Flow:    histogram_record on a poller; histogram_copy by whoever asks, then percentiles.
 * Threads: one writer, any readers; neither waits. A copy taken under load may miss the last few.
 * Memory:  8.8 KiB, the caller's. Values below 64 are exact, above that 32 buckets for each power
 *          of two: a percentile is at most 3.2 % above the truth. The last bucket takes the rest,
 *          and the maximum is kept beside it, so nothing is dropped.
 * Source:  HdrHistogram's layout, http://hdrhistogram.org.
 */
#ifndef POLLERS_HISTOGRAM_H
#define POLLERS_HISTOGRAM_H

#include "pollers/counter.h"

#include <stddef.h>

#define HISTOGRAM_SUB_BITS     5
#define HISTOGRAM_SUB_COUNT    (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_TOP_BIT      38 /* 2^39 ticks: minutes */
#define HISTOGRAM_BUCKET_COUNT ((HISTOGRAM_TOP_BIT - HISTOGRAM_SUB_BITS + 2) * HISTOGRAM_SUB_COUNT)

struct histogram {
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

static inline uint32_t histogram_bucket(uint64_t value)
{
    if (value < 2 * HISTOGRAM_SUB_COUNT)
        return (uint32_t)value;
    uint32_t top_bit = 63u - (uint32_t)__builtin_clzll(value);
    if (top_bit > HISTOGRAM_TOP_BIT)
        return HISTOGRAM_BUCKET_COUNT - 1;
    uint32_t shift = top_bit - HISTOGRAM_SUB_BITS;
    return shift * HISTOGRAM_SUB_COUNT + (uint32_t)(value >> shift);
}

/* Writer. */
static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    counter_add(&histogram->buckets[histogram_bucket(value)], 1);
    if (value > counter_read(&histogram->max))
        atomic_store_explicit(&histogram->max, value, memory_order_relaxed);
}

/* The largest value that falls into bucket. */
uint64_t histogram_bucket_last(uint32_t bucket);

/* Any thread: a private copy to compute on. */
void histogram_copy(const struct histogram *from, struct histogram *to);

/* Adds every count of `from` to `to`; the maximum too. Writer of `to`. */
void histogram_add(struct histogram *to, const struct histogram *from);

uint64_t histogram_count(const struct histogram *histogram);

/* The value that at least `share` (0..1) of the recorded ones do not exceed; 0 when empty. Never
 * above the maximum. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

#endif
