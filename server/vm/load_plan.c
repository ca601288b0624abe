/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/load_plan.h"

#include "clients/request.h"

#include <stdlib.h>
#include <string.h>

struct load_unit {
    uint8_t bytes[LOAD_UNIT_BYTES];
    uint8_t known_bytes; /* from the start; LOAD_UNIT_BYTES: all */
};

struct load_share {
    struct load_unit *units; /* [unit_count], of this vCPU only */
    uint64_t unit_count;
};

struct load_plan {
    struct load_plan_setup setup;
    uint64_t random;
    struct load_share shares[LOAD_PARTS_MAX]; /* by part; empty where the kind is ones */
    /* Of the access that load_plan_next gave: */
    struct load_unit *unit; /* NULL: another kind than scratch */
    size_t unit_offset;
    enum load_kind kind;
};

static uint64_t random_next(struct load_plan *plan)
{
    uint64_t value = plan->random += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

/* 0..limit-1; the bias of the remainder does not matter for load. */
static uint64_t random_below(struct load_plan *plan, uint64_t limit)
{
    return random_next(plan) % limit;
}

static uint64_t part_unit_count(const struct load_part *part)
{
    return (part->range.last - part->range.first + 1) / LOAD_UNIT_BYTES;
}

bool load_mix_suffices(const struct load_mix *mix, uint32_t vcpu_count)
{
    for (size_t i = 0; i < mix->count; i++)
        if (mix->parts[i].kind == LOAD_SCRATCH && part_unit_count(&mix->parts[i]) < vcpu_count)
            return false;
    return true;
}

struct load_plan *load_plan_create(const struct load_plan_setup *setup)
{
    struct load_plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return NULL;
    plan->setup = *setup;
    /* Far apart for neighbouring seeds and vCPUs: the first output of a generator of their own. */
    plan->random = setup->seed ^ (uint64_t)(setup->vcpu + 1) << 56;
    plan->random = random_next(plan);
    for (size_t i = 0; i < setup->mix->count; i++) {
        const struct load_part *part = &setup->mix->parts[i];
        if (part->kind != LOAD_SCRATCH)
            continue;
        struct load_share *share = &plan->shares[i];
        /* Units vcpu, vcpu + vcpu_count, ... */
        share->unit_count =
            (part_unit_count(part) + setup->vcpu_count - 1 - setup->vcpu) / setup->vcpu_count;
        share->units = calloc(share->unit_count, sizeof(*share->units));
        if (!share->units) {
            load_plan_destroy(plan);
            return NULL;
        }
    }
    return plan;
}

void load_plan_destroy(struct load_plan *plan)
{
    for (size_t i = 0; i < LOAD_PARTS_MAX; i++)
        free(plan->shares[i].units);
    free(plan);
}

static size_t choose_part(struct load_plan *plan)
{
    const struct load_mix *mix = plan->setup.mix;
    uint64_t ticket = random_below(plan, mix->weight);
    size_t index = 0;
    while (ticket >= mix->parts[index].weight)
        ticket -= mix->parts[index++].weight;
    return index;
}

/* 1, 2, 4, and for MMIO 8 bytes. */
static uint64_t choose_size(struct load_plan *plan, uint32_t type)
{
    return 1ull << random_below(plan, type == REQUEST_PORTIO ? 3 : 4);
}

static void choose_scratch(struct load_plan *plan, size_t part_index,
                           struct requester_access *access)
{
    const struct load_part *part = &plan->setup.mix->parts[part_index];
    const struct load_share *share = &plan->shares[part_index];
    uint64_t index = random_below(plan, share->unit_count);
    struct load_unit *unit = &share->units[index];
    if (unit->known_bytes < LOAD_UNIT_BYTES) {
        /* Nobody knows yet what it holds: write it, from its start, in the widest pieces. */
        access->size_bytes = part->range.type == REQUEST_PORTIO ? 4 : 8;
        access->direction = REQUEST_WRITE;
        plan->unit_offset = unit->known_bytes;
    } else {
        access->size_bytes = choose_size(plan, part->range.type);
        plan->unit_offset =
            random_below(plan, LOAD_UNIT_BYTES / access->size_bytes) * access->size_bytes;
    }
    plan->unit = unit;
    access->address = part->range.first +
                      (index * plan->setup.vcpu_count + plan->setup.vcpu) * LOAD_UNIT_BYTES +
                      plan->unit_offset;
}

/* A naturally aligned access that lies in the range; in a short one perhaps a smaller one. */
static void choose_ones(struct load_plan *plan, const struct address_range *range,
                        struct requester_access *access)
{
    uint64_t size_bytes = choose_size(plan, range->type);
    uint64_t first;
    uint64_t end; /* of the last access, minus one: no overflow at the top */
    for (;; size_bytes /= 2) {
        /* Round up without leaving the range; size 1 always fits. */
        uint64_t gap = (size_bytes - range->first % size_bytes) % size_bytes;
        first = range->first + gap;
        end = range->last;
        if (gap <= end - range->first && end - first >= size_bytes - 1)
            break;
    }
    uint64_t last_index = (end - first - (size_bytes - 1)) / size_bytes;
    uint64_t index =
        last_index == UINT64_MAX ? random_next(plan) : random_below(plan, last_index + 1);
    access->address = first + index * size_bytes;
    access->size_bytes = size_bytes;
    plan->unit = NULL;
}

void load_plan_next(struct load_plan *plan, struct requester_access *access)
{
    size_t part_index = choose_part(plan);
    const struct load_part *part = &plan->setup.mix->parts[part_index];
    *access = (struct requester_access){.type = part->range.type};
    access->direction =
        random_below(plan, 100) < plan->setup.read_percent ? REQUEST_READ : REQUEST_WRITE;
    if (part->kind == LOAD_SCRATCH)
        choose_scratch(plan, part_index, access);
    else
        choose_ones(plan, &part->range, access);
    plan->kind = part->kind;
    if (part->kind == LOAD_FORMULA)
        access->direction = REQUEST_READ;
    if (access->direction == REQUEST_WRITE)
        access->value = random_next(plan) & request_ones((uint32_t)access->size_bytes);
}

bool load_plan_check(struct load_plan *plan, const struct requester_access *access,
                     uint64_t *expected)
{
    struct load_unit *unit = plan->unit;
    if (access->direction == REQUEST_WRITE) {
        if (unit) {
            memcpy(unit->bytes + plan->unit_offset, &access->value, access->size_bytes);
            size_t end = plan->unit_offset + access->size_bytes;
            if (end > unit->known_bytes)
                unit->known_bytes = (uint8_t)end;
        }
        return true;
    }
    *expected = request_ones((uint32_t)access->size_bytes);
    if (plan->kind == LOAD_ANY || load_plan_is_given_up(plan, access))
        return true;
    if (unit) {
        *expected = 0;
        memcpy(expected, unit->bytes + plan->unit_offset, access->size_bytes);
    } else if (plan->kind == LOAD_FORMULA) {
        *expected = load_formula(access->address, (uint32_t)access->size_bytes);
    }
    return access->value == *expected;
}

bool load_plan_is_given_up(const struct load_plan *plan, const struct requester_access *access)
{
    return plan->kind == LOAD_FORMULA &&
           access->value == request_ones((uint32_t)access->size_bytes);
}
