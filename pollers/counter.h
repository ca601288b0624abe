/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counter.h - a number that one thread adds to and any thread reads.
 *
 * Threads: one writer. Relaxed: a reader wants a recent figure, and orders nothing by it.
 */
#ifndef POLLERS_COUNTER_H
#define POLLERS_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

static inline void counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    /* Load and store, not a locked add: there is only one writer. */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static inline uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
