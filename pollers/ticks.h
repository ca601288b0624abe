/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ticks.h - the pollers' clock: the processor's time-stamp counter.
 *
 * Flow:    ticks_begin as a program begins -> ticks_now anywhere; conversions when a figure is shown.
 * Threads: any. No system call, so it works in a poller that may make none.
 * Errors:  without an invariant counter the figures are wrong when the clock rate changes;
 *          ticks_are_invariant tells.
 * Source:  AMD64 manual volume 3, CPUID Fn8000_0007 EDX[8]; Intel SDM volume 3, 18.17.
 */
#ifndef POLLERS_TICKS_H
#define POLLERS_TICKS_H

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

static inline uint64_t ticks_now(void)
{
    return __rdtsc();
}

/* Tells a spinning hardware thread's sibling to go ahead. */
static inline void ticks_pause(void)
{
    _mm_pause();
}

/* True if the counter runs at one rate in every power state, as all processors since 2008 do. */
bool ticks_are_invariant(void);

/* From here on ticks_per_second measures: what the program does until it asks is time it need not wait. A
 * server that was killed is back that much earlier. Before there are threads. */
void ticks_begin(void);

/* The rate as an earlier process of ours measured it since the machine was started: nothing is measured. */
void ticks_recall(uint64_t per_second);

/* Ticks in a second, measured once against the monotonic clock (over about 20 ms), then remembered.
 * Control thread. */
uint64_t ticks_per_second(void);

/* Nanoseconds in that many ticks, rounded down, for durations of up to years. */
uint64_t ticks_to_ns(uint64_t ticks);

uint64_t ticks_from_ns(uint64_t ns);

#endif
