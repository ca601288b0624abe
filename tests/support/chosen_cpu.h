/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chosen_cpu.h - the CPU that the plan gives the index-th of count pollers that ask for nothing.
 *
 * Threads: the test's.
 * Errors:  asserted.
 */
#ifndef TESTS_SUPPORT_CHOSEN_CPU_H
#define TESTS_SUPPORT_CHOSEN_CPU_H

#include "pollers/placement.h"
#include "pollers/placement_plan.h"

#include <assert.h>

#define CHOSEN_CPUS_MAX 16u

static inline uint32_t chosen_cpu(const struct placement *placement, uint32_t index, uint32_t count)
{
    struct placement_wish wishes[CHOSEN_CPUS_MAX];
    struct placement_seat seats[CHOSEN_CPUS_MAX];
    assert(index < count && count <= CHOSEN_CPUS_MAX);
    for (uint32_t i = 0; i < count; i++)
        wishes[i] = (struct placement_wish){.name = "any", .cpu = PLACEMENT_ANY};
    int result = placement_plan(placement_machine(placement), wishes, count, seats);
    assert(result == 0);
    (void)result;
    return seats[index].cpu;
}

#endif
