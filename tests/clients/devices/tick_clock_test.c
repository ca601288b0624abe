/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/tick_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SEED   UINT64_C(0x9e3779b97f4a7c15)
#define ROUNDS 200000

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void check(uint64_t rate, uint64_t ticks)
{
    struct tick_clock clock;
    tick_clock_init(&clock, rate);
    struct tick_time time = tick_clock_split(&clock, ticks);
    if (time.seconds != ticks / rate || time.ticks != ticks % rate)
        fail_msg("rate %llu ticks %llu", (unsigned long long)rate, (unsigned long long)ticks);
}

static void split_is_exact_at_the_edges(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1,
                                     2,
                                     3,
                                     1000000,
                                     1000000000,
                                     2112000007,
                                     4294967295,
                                     (uint64_t)1 << 32,
                                     (1ull << 63) - 1,
                                     1ull << 63};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t last = UINT64_MAX / rates[i] * rates[i];
        const uint64_t ticks[] = {0, 1, rates[i] - 1, rates[i], last - 1, last, UINT64_MAX};
        for (size_t j = 0; j < sizeof(ticks) / sizeof(ticks[0]); j++)
            check(rates[i], ticks[j]);
    }
}

static void split_equals_division_for_random_numbers(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t rate = random_next(&seed) >> (random_next(&seed) % 63 + 1);
        check(rate ? rate : 1, random_next(&seed) >> (random_next(&seed) % 64));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_is_exact_at_the_edges),
        cmocka_unit_test(split_equals_division_for_random_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
