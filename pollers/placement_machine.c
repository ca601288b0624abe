/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/placement_machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int placement_machine_create(size_t cpu_count, struct placement_machine **machine)
{
    if (cpu_count > PLACEMENT_CPUS_MAX)
        return -E2BIG;
    struct placement_machine *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->cpus = calloc(cpu_count + 1, sizeof(*created->cpus));
    if (!created->cpus) {
        free(created);
        return -ENOMEM;
    }
    created->cpu_count = cpu_count;
    created->kind_count = 1;
    *machine = created;
    return 0;
}

int placement_machine_finish(struct placement_machine *machine)
{
    uint32_t last = 0;
    for (size_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].cpu > last)
            last = machine->cpus[i].cpu;
    if (last >= PLACEMENT_CPUS_MAX)
        return -E2BIG;
    machine->number_count = last + 1;
    machine->index_of = malloc(machine->number_count * sizeof(*machine->index_of));
    if (!machine->index_of)
        return -ENOMEM;
    memset(machine->index_of, 0xff, machine->number_count * sizeof(*machine->index_of));
    for (size_t i = 0; i < machine->cpu_count; i++) {
        struct placement_cpu *cpu = &machine->cpus[i];
        if (machine->index_of[cpu->cpu] != PLACEMENT_NONE)
            return -EINVAL;
        machine->index_of[cpu->cpu] = (uint32_t)i;
        cpu->is_usable = cpu->is_usable && cpu->is_online;
        cpu->is_isolated = cpu->is_isolated && cpu->is_usable;
        machine->usable_count += cpu->is_usable;
        machine->isolated_count += cpu->is_isolated;
    }
    return 0;
}

void placement_machine_destroy(struct placement_machine *machine)
{
    if (!machine)
        return;
    free(machine->index_of);
    free(machine->cpus);
    free(machine);
}

const struct placement_cpu *placement_find(const struct placement_machine *machine, uint32_t cpu)
{
    if (cpu >= machine->number_count || machine->index_of[cpu] == PLACEMENT_NONE)
        return NULL;
    return &machine->cpus[machine->index_of[cpu]];
}

bool placement_is_near(const struct placement_cpu *one, const struct placement_cpu *other)
{
    return one->near_kind == other->near_kind && one->near == other->near;
}

const char *placement_near_name(enum placement_near near_kind)
{
    switch (near_kind) {
    case PLACEMENT_NEAR_L3:
        return "L3";
    case PLACEMENT_NEAR_PACKAGE:
        return "package";
    case PLACEMENT_NEAR_NODE:
        return "NUMA node";
    default:
        return "machine";
    }
}

bool placement_is_in(const struct placement_cpu *cpu, enum placement_set set)
{
    switch (set) {
    case PLACEMENT_USABLE:
        return cpu->is_usable;
    case PLACEMENT_ISOLATED:
        return cpu->is_isolated;
    case PLACEMENT_OFFLINE:
        return !cpu->is_online;
    case PLACEMENT_FORBIDDEN:
        return cpu->is_online && !cpu->is_usable;
    }
    return false;
}

/* The end of the run of such CPUs that begins with `first`. */
static uint32_t run_last(const struct placement_machine *machine, enum placement_set set,
                         uint32_t first)
{
    const struct placement_cpu *next;
    while ((next = placement_find(machine, first + 1)) && placement_is_in(next, set))
        first++;
    return first;
}

void placement_list(const struct placement_machine *machine, enum placement_set set, char *text,
                    size_t text_bytes)
{
    size_t used = 0;
    snprintf(text, text_bytes, "none");
    for (uint32_t cpu = 0; cpu < machine->number_count; cpu++) {
        const struct placement_cpu *found = placement_find(machine, cpu);
        if (!found || !placement_is_in(found, set))
            continue;
        uint32_t last = run_last(machine, set, cpu);
        char run[32];
        int length =
            snprintf(run, sizeof(run), last > cpu ? "%s%u-%u" : "%s%u", used ? "," : "", cpu, last);
        if (used + (size_t)length + sizeof(",...") > text_bytes) {
            snprintf(text + used, text_bytes - used, ",...");
            return;
        }
        used += (size_t)snprintf(text + used, text_bytes - used, "%s", run);
        cpu = last;
    }
}

bool placement_check(const struct placement_machine *machine, uint32_t cpu, char *reason,
                     size_t reason_bytes)
{
    const struct placement_cpu *found = placement_find(machine, cpu);
    if (found && found->is_usable)
        return true;
    char usable[PLACEMENT_LIST_BYTES];
    placement_list(machine, PLACEMENT_USABLE, usable, sizeof(usable));
    if (!found)
        snprintf(reason, reason_bytes, "CPU %u does not exist; expected one of %s", cpu, usable);
    else if (!found->is_online)
        snprintf(reason, reason_bytes,
                 "CPU %u is offline; expected one of %s, or echo 1 "
                 ">/sys/devices/system/cpu/cpu%u/online",
                 cpu, usable, cpu);
    else
        snprintf(reason, reason_bytes,
                 "CPU %u exists, but this process may not use it (its cgroup's cpuset); expected "
                 "one of %s",
                 cpu, usable);
    return false;
}
