/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/ticks.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <time.h>

#define NS_PER_SECOND  1000000000ull
#define CALIBRATION_NS 20000000ull

bool ticks_are_invariant(void)
{
    unsigned int eax, ebx, ecx, edx;
    if (!__get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx))
        return false;
    return edx >> 8 & 1;
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

struct instant {
    uint64_t ticks;
    uint64_t ns;
};

/* Both clocks at one instant: of several tries the one with the least time between two reads. */
static struct instant instant_read(void)
{
    struct instant best = {0, 0};
    uint64_t best_width = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        uint64_t before = ticks_now();
        uint64_t ns = monotonic_ns();
        uint64_t width = ticks_now() - before;
        if (width < best_width) {
            best_width = width;
            best = (struct instant){before + width / 2, ns};
        }
    }
    return best;
}

/* Where ticks_begin was; ns 0: it was not. */
static struct instant begun;

void ticks_begin(void)
{
    begun = instant_read();
}

/* Relaxed: whoever comes second computes the same figure again. */
static _Atomic uint64_t known;

void ticks_recall(uint64_t per_second)
{
    atomic_store_explicit(&known, per_second, memory_order_relaxed);
}

uint64_t ticks_per_second(void)
{
    uint64_t rate = atomic_load_explicit(&known, memory_order_relaxed);
    if (rate)
        return rate;
    struct instant begin = begun.ns ? begun : instant_read();
    uint64_t passed_ns = monotonic_ns() - begin.ns;
    if (passed_ns < CALIBRATION_NS) {
        struct timespec pause = {.tv_nsec = (long)(CALIBRATION_NS - passed_ns)};
        nanosleep(&pause, NULL);
    }
    struct instant end = instant_read();
    rate = (uint64_t)((__uint128_t)(end.ticks - begin.ticks) * NS_PER_SECOND / (end.ns - begin.ns));
    atomic_store_explicit(&known, rate, memory_order_relaxed);
    return rate;
}

uint64_t ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)((__uint128_t)ticks * NS_PER_SECOND / ticks_per_second());
}

uint64_t ticks_from_ns(uint64_t ns)
{
    return (uint64_t)((__uint128_t)ns * ticks_per_second() / NS_PER_SECOND);
}
