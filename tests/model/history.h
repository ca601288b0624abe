/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history.h - who may answer in a region of addresses, from one event to the next.
 *
 * Flow:    control writes down who may own the region before an operation, and who does after it; a
 *          vCPU looks at the count before its question and after the answer, and asks whether one
 *          of the masks in between allows it.
 * Threads: one writer, any readers.
 */
#ifndef TESTS_MODEL_HISTORY_H
#define TESTS_MODEL_HISTORY_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HISTORY_EVENTS 65536u

struct history {
    _Atomic uint64_t masks[HISTORY_EVENTS]; /* a bit for each who may answer */
    _Atomic uint32_t count;
};

/* The event that holds now. At least one was written down. */
static inline uint32_t history_now(const struct history *history)
{
    return atomic_load(&history->count) - 1;
}

static inline bool history_is_full(const struct history *history)
{
    return atomic_load(&history->count) + 2 >= HISTORY_EVENTS; /* an operation writes twice */
}

static inline void history_write(struct history *history, uint64_t mask)
{
    uint32_t count = atomic_load(&history->count);
    assert(count < HISTORY_EVENTS);
    atomic_store(&history->masks[count], mask);
    atomic_store(&history->count, count + 1);
}

/* True if `bit` was set at some event of first..last. */
static inline bool history_allows(const struct history *history, uint32_t first, uint32_t last,
                                  uint32_t bit)
{
    for (uint32_t i = first; i <= last; i++)
        if (atomic_load(&history->masks[i]) >> bit & 1)
            return true;
    return false;
}

#endif
