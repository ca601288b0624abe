/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tick_clock.h - whole seconds out of time-stamp counter ticks, exactly and without a division.
 *
 * Flow:    tick_clock_init (control) -> tick_clock_split for each request (poller).
 * Threads: read-only after init.
 * Source:  Granlund, Montgomery: Division by Invariant Integers using Multiplication, 1994. Here
 *          the reciprocal is rounded down and the quotient, never too large, is corrected by its
 *          remainder.
 */
#ifndef CLIENTS_DEVICES_TICK_CLOCK_H
#define CLIENTS_DEVICES_TICK_CLOCK_H

#include <assert.h>
#include <stdint.h>

struct tick_clock {
    uint64_t ticks_per_second;
    uint64_t reciprocal; /* 2^(64 + shift) / ticks_per_second, rounded down, below 2^64 */
    uint32_t shift;
};

struct tick_time {
    uint64_t seconds;
    uint64_t ticks; /* since that second began: less than ticks_per_second */
};

/* ticks_per_second: 1..2^63. */
static inline void tick_clock_init(struct tick_clock *clock, uint64_t ticks_per_second)
{
    assert(ticks_per_second >= 1 && ticks_per_second <= (uint64_t)1 << 63);
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(ticks_per_second);
    unsigned __int128 reciprocal = ((unsigned __int128)1 << (64 + shift)) / ticks_per_second;
    clock->ticks_per_second = ticks_per_second;
    clock->reciprocal = reciprocal > UINT64_MAX ? UINT64_MAX : (uint64_t)reciprocal;
    clock->shift = shift;
}

/* With the rounding of the reciprocal and of the product the quotient is at most 2 too small. */
static inline struct tick_time tick_clock_split(const struct tick_clock *clock, uint64_t ticks)
{
    uint64_t high = (uint64_t)(((unsigned __int128)ticks * clock->reciprocal) >> 64);
    struct tick_time time = {.seconds = high >> clock->shift};
    time.ticks = ticks - time.seconds * clock->ticks_per_second;
    for (int i = 0; i < 2 && time.ticks >= clock->ticks_per_second; i++) {
        time.ticks -= clock->ticks_per_second;
        time.seconds++;
    }
    return time;
}

#endif
