/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load_plan.h - one vCPU's sequence of accesses under load, and the oracle that knows each answer.
 *
 * Flow:    load_plan_create -> [load_plan_next -> the access is made -> load_plan_check]... ->
 *          load_plan_destroy.
 * Threads: its vCPU's.
 * Memory:  a shadow of the vCPU's share of the scratch ranges: one byte a byte, and one a unit.
 * Errors:  create: NULL, no memory.
 * Source:  Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).
 *
 * The 8-byte units of a scratch range are dealt to the vCPUs in turn, so that each knows alone what
 * its units hold. A unit's content is unknown until this vCPU wrote it: the first accesses to it
 * write it all. The same seed, mix, vCPU and number of vCPUs give the same sequence.
 */
#ifndef SERVER_VM_LOAD_PLAN_H
#define SERVER_VM_LOAD_PLAN_H

#include "server/vm/load_mix.h"
#include "server/vm/requester.h"

struct load_plan;

struct load_plan_setup {
    const struct load_mix *mix; /* must outlive the plan */
    uint64_t seed;
    uint32_t vcpu;
    uint32_t vcpu_count;
    uint32_t read_percent; /* of the accesses that initialise nothing, 0..100 */
};

struct load_plan *load_plan_create(const struct load_plan_setup *setup);
void load_plan_destroy(struct load_plan *plan);

/* Fills the next access. */
void load_plan_next(struct load_plan *plan, struct requester_access *access);
/* With the access that load_plan_next gave, answered. True: right; false: *expected is what the
 * whole value should have been. */
bool load_plan_check(struct load_plan *plan, const struct requester_access *access,
                     uint64_t *expected);

/* With the same access: a read of kind formula that the server answered in its device's place. */
bool load_plan_is_given_up(const struct load_plan *plan, const struct requester_access *access);

/* Whether each of vcpu_count vCPUs gets a unit of every scratch range. */
bool load_mix_suffices(const struct load_mix *mix, uint32_t vcpu_count);

#endif
